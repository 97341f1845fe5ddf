"""What can be chosen when a float model is quantized. The defaults are what benchmarks/quantizer.py found best over all its models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from kilograd.errors import DataError

Method = Literal["minmax", "percentile", "mse", "entropy"]
Equalize = Literal["off", "weights", "activations"]
Rounding = Literal["nearest", "compensated"]
Io = Literal["int8", "float"]


@dataclass(frozen=True)
class QuantizeConfig:
    """Options of the quantizer.

    `method` finds the range of each activation from its histogram; `percentile` is the share of values, in per cent, that the method
    of that name keeps. `equalize` scales channels between neighbouring layers: by the ranges of their weights (Nagel 2019), or so that
    the channels of the activation between them fill its one range. `rounding` of weights is to the nearest step, or so that the errors of
    a layer's weights make each other good. `bias_correction` takes the mean error of each channel out of its bias. `output_aware` chooses
    ranges by what they do to the network's output. `dense_per_channel` gives fully connected layers a scale for each output; not every
    runtime has kernels for that. `io` says what the model reads and gives: int8, or float32 converted inside. `samples` bounds how many
    samples calibration reads, `batch` how many it runs at once. `margin` widens the ranges of the outputs where there is no real data.
    """

    method: Method = "mse"
    percentile: float = 99.99
    equalize: Equalize = "activations"
    rounding: Rounding = "compensated"
    bias_correction: bool = True
    output_aware: bool = False
    dense_per_channel: bool = False
    io: Io = "int8"
    samples: int = 256
    batch: int = 16
    margin: float = 1.5

    def __post_init__(self) -> None:
        for field, values in (("method", Method), ("equalize", Equalize), ("rounding", Rounding), ("io", Io)):
            if getattr(self, field) not in get_args(values):
                raise DataError(f"{field} is '{getattr(self, field)}'; choose one of {', '.join(get_args(values))}")
        if not 50 < self.percentile <= 100:
            raise DataError(f"percentile is {self.percentile}; it must lie above 50 and not above 100")
        if self.samples < 1 or self.batch < 1:
            raise DataError("samples and batch must be at least 1")
        if not 0.1 <= self.margin <= 10:
            raise DataError(f"margin is {self.margin}; it must lie between 0.1 and 10")

"""How a network learns: everything about a training step except which tensors are updated (that is the scheme)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainConfig:
    """Options of integer learning; facts and formulas in docs/numerics.md.

    `learning_rate` is in real units, as for float SGD. `total_steps` and `warmup_steps` count samples and are used by the schedules.
    """

    learning_rate: float = 0.01
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = 0
    total_steps: int = 0
    seed: int = 0
    loss: Literal["cross_entropy", "mean_squared_error"] = "cross_entropy"
    storage: Literal["w8", "w8f8"] = "w8"
    bias: Literal["int32", "int16"] = "int32"
    scaling: Literal["exact", "pow2"] = "exact"
    rounding: Literal["stochastic", "nearest"] = "stochastic"
    accumulate: int = 1  # samples a step; above 1 a planned buffer holds the pending steps
    skip_threshold: float = 0.0  # no backward pass when max |p - y| is below it
    # early: weights change before the input gradient reads them; less memory, but it feeds back at high learning rates
    update_order: Literal["exact", "early"] = "exact"
    exponent_start: int = -30
    guard: float = 2.0**-8  # channels whose weight scale is below guard * median of the layer are frozen

"""How a network learns: everything about a training step except which tensors are updated (that is the scheme)."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from kilograd.errors import SchemeError


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


def check_config(config: TrainConfig) -> None:
    """Raise SchemeError for an option whose value is none that it can have."""
    for name, kind in get_type_hints(TrainConfig).items():
        value = getattr(config, name)
        if get_origin(kind) is Literal and value not in get_args(kind):
            raise SchemeError(f"{name} is {value!r}; it can be {' or '.join(map(repr, get_args(kind)))}")
        if kind is int and not _is_whole(value):
            raise SchemeError(f"{name} is {value!r}; it must be a whole number")
    if config.accumulate < 1:
        raise SchemeError(f"accumulate is {config.accumulate}; it counts samples a step, 1 or more")
    if not 0.0 <= config.skip_threshold <= (1.0 if config.loss == "cross_entropy" else math.inf):
        raise SchemeError(f"skip_threshold is {config.skip_threshold}; max |p - y| lies in 0..1")
    if not -60 <= config.exponent_start <= 30:
        raise SchemeError(f"exponent_start is {config.exponent_start}; exponents lie in -60..30")
    if not 0.0 <= config.guard < 1.0:
        raise SchemeError(f"guard is {config.guard}; it is a share of the median weight scale, from 0 to below 1")


def _is_whole(value: Any) -> bool:
    try:
        operator.index(value)
    except TypeError:
        return False
    return True

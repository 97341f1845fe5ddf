"""Learning-rate schedules as break points for the device, which interpolates between them in integers."""

from __future__ import annotations

import math

from kilograd.errors import SchemeError
from kilograd.train.config import TrainConfig

#: pieces of straight line that stand for a cosine: off by at most 0.0003 of the peak
COSINE_PIECES = 64


def learning_rate_points(config: TrainConfig) -> list[tuple[int, float]]:
    """(step, learning rate), ascending; the first sample is step 1. After `total_steps` the last value stays."""
    peak, warmup, total = config.learning_rate, config.warmup_steps, config.total_steps
    if not math.isfinite(peak) or peak < 0:
        raise SchemeError(f"the learning rate is {peak}; it must be a number from 0 on")
    if warmup < 0:
        raise SchemeError(f"warmup_steps is {warmup}; it must be 0 or more")
    first = warmup + 1
    points = [(1, peak / first)] if warmup else []
    if config.schedule == "constant":
        return [*points, (first, peak)]
    if total < first:
        raise SchemeError(f"schedule '{config.schedule}' needs total_steps above warmup_steps ({warmup}), not {total}")
    length = total + 1 - first
    if config.schedule == "linear":
        return [*points, (first, peak), (total + 1, 0.0)]
    ahead = sorted({round(length * i / COSINE_PIECES) for i in range(COSINE_PIECES + 1)})
    return points + [(first + t, peak * 0.5 * (1 + math.cos(math.pi * t / length))) for t in ahead]

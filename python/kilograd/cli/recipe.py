"""Defaults of `kilograd tune`: the recipe of benchmarks.learning."""

from __future__ import annotations

from typing import Literal

LEARNING_RATE = 0.006
SCHEDULE: Literal["constant", "linear", "cosine"] = "cosine"
WARMUP_STEPS = 100
EPOCHS = 5
SCHEME = "head"

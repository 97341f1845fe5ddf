"""Defaults of `kilograd tune`: one recipe that held on every model and dataset of the learning benchmark."""

from __future__ import annotations

from typing import Literal

LEARNING_RATE = 0.005
SCHEDULE: Literal["constant", "linear", "cosine"] = "cosine"
WARMUP_STEPS = 100
EPOCHS = 5
SCHEME = "head"

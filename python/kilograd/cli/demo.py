"""`kilograd demo`: a quantized network learns to read digits that are turned on their side, in kilobytes.

The network (assets/digits.npz, made by scripts/train_demo_backbone.py) has learned upright digits. The device it runs on is mounted on its
side, so everything that it sees is turned by a quarter: a shift that the network has never met. It learns on the spot.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import kilograd as kg
from kilograd.cli.console import Report, kilobytes
from kilograd.cli.tuning import fine_tune
from kilograd.cli.digits import digits
from kilograd.data import Dataset, InputSpec, convert
from kilograd.ir.graph import Array, Graph, Kind
from kilograd.ir.serialize import load_graph

ASSET = Path(__file__).resolve().parents[1] / "assets" / "digits.npz"


def add_to(app: typer.Typer) -> None:
    """Register the command."""

"""Where real models and datasets for measuring are, if they are here at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_data() -> Path | None:
    """`$KILOGRAD_DATA`, else `shared/data` beside the repository; None when there is neither."""
    path = Path(os.environ.get("KILOGRAD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    return path if path.is_dir() else None


def require(relative: str) -> Path:
    """A file of the shared data; skips the test, saying so, when it is not here."""
    root = shared_data()
    if root is None or not (root / relative).exists():
        pytest.skip(f"shared data file {relative} is not here (set KILOGRAD_DATA)")
    return root / relative

"""`kilograd demo`: a quantized network learns handwritten digits that it has never met, in kilobytes."""

from __future__ import annotations

import typer


def add_to(app: typer.Typer) -> None:
    """Register the command."""

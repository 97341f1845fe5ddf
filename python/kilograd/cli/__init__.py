"""The command line. `main` is the program `kilograd`."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the program `kilograd`."""
    try:
        from kilograd.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich", "click"):
            raise
        sys.exit(f"kilograd: the command line needs the package '{error.name}': pip install 'kilograd[cli]'")
    sys.exit(run(sys.argv[1:]))

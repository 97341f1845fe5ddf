"""Where the C sources are that travel with the package."""

from __future__ import annotations

from pathlib import Path

from kilograd.errors import KilogradError


def _find(name: str, mark: str) -> Path:
    here = Path(__file__).resolve()
    for candidate in (here.parent / name, here.parents[2] / name):
        if (candidate / mark).exists():
            return candidate
    raise KilogradError(f"the C sources '{name}' are not beside the package {here.parent}: install kilograd again")


def csrc_dir() -> Path:
    """The kernels: a folder with kernels.def, common/ and ops/ (in an installed package or in a source tree)."""
    return _find("csrc", "kernels.def")


def runtime_dir() -> Path:
    """The runtime: a folder with include/kilograd/ and session/."""
    return _find("runtime", "include/kilograd/kilograd.h")


def firmware_dir() -> Path:
    """The firmware: a folder with app/, common/ and boards/."""
    return _find("firmware", "boards/README.md")

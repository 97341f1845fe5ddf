"""Kernels and runtime (session, link, store) need nothing but themselves: no heap, stdio or libm, and no variables that outlive a call."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kilograd._sources import csrc_dir, runtime_dir

PARTS = ("session", "link", "store")  # of the runtime: all that a device links
ALLOWED = {"memcpy", "memmove", "memset", "memcmp"}  # what compilers call by themselves in freestanding code


@pytest.fixture(scope="module")
def symbols(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, str]]:
    """(object, type, name) of every symbol, of sources compiled for a machine without an operating system."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or shutil.which("nm") is None:
        pytest.skip("no C compiler or no nm is here")
    out = tmp_path_factory.mktemp("objects")
    found = []
    # position-dependent code: tables of pointers are constants then, as on a microcontroller
    flags = ["-std=c11", "-O2", "-fno-pic", "-fno-stack-protector", "-ffp-contract=off"]
    flags += [f"-I{runtime_dir() / 'include'}", f"-I{csrc_dir()}"]
    parts = {part: sorted((runtime_dir() / part).glob("*.c")) for part in PARTS}
    assert all(parts.values()), f"parts of the runtime without sources: {parts}"
    for source in sorted([*csrc_dir().rglob("*.c"), *(file for files in parts.values() for file in files)]):
        target = out / f"{source.stem}.o"
        assert not target.exists(), f"two sources are called {source.name}"
        subprocess.run([compiler, *flags, "-c", source, "-o", target], check=True)
    listing = subprocess.run(["nm", "-A", "-P", *sorted(map(str, out.iterdir()))], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        where, name, kind, *_ = line.split()
        found.append((Path(where.rstrip(":")).stem, kind, name))
    return found


def test_nothing_from_outside(symbols: list[tuple[str, str, str]]) -> None:
    own = {name for _, kind, name in symbols if kind != "U"}
    foreign = {f"{where}: {name}" for where, kind, name in symbols if kind == "U" and name not in own | ALLOWED}
    assert not foreign, f"functions that a device may not have: {sorted(foreign)}"


def test_no_variables(symbols: list[tuple[str, str, str]]) -> None:
    """Constants only: nothing initialised (D), zeroed (B), common (C) or small (G, S)."""
    variables = {f"{where}: {name}" for where, kind, name in symbols if kind.upper() in "DBCGS"}
    assert not variables, f"variables that outlive a call: {sorted(variables)}"


def test_public_names_have_the_prefix(symbols: list[tuple[str, str, str]]) -> None:
    public = {name for _, kind, name in symbols if kind.isupper() and kind != "U"}
    assert all(name.startswith("kg_") for name in public), sorted(public)

"""The wheel: all that building firmware needs travels in it, and works from an empty folder."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.firmware.plans import small

ROOT = Path(__file__).parents[1]
#: folder of the checkout -> folder of the wheel; what is left out is not needed on a device
TRAVELS = {"csrc": (), "firmware": (), "runtime": ("bindings", "android"), "python/kilograd": ()}
PASSING = {".so", ".pyc", ".o"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("pip", "scikit_build_core", "pybind11"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("cmake or a C++ compiler is not here")
    folder = tmp_path_factory.mktemp("wheel")
    settings = [f"-Cbuild-dir={folder / 'build'}", "-Ccmake.build-type=Debug"]  # what it holds is looked at, not how fast it is
    command = [sys.executable, "-m", "pip", "wheel", ROOT, "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-w", folder]
    done = subprocess.run([*command, *settings], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (made,) = folder.glob("*.whl")
    with zipfile.ZipFile(made) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def test_every_source_travels(wheel: Path) -> None:
    missing = []
    for folder, left_out in TRAVELS.items():
        for file in sorted((ROOT / folder).rglob("*")):
            relative = file.relative_to(ROOT / folder)
            if (
                not file.is_file()
                or relative.parts[0] in left_out
                or file.suffix in PASSING
                or any(p.startswith(".") for p in relative.parts)
            ):
                continue
            place = wheel / "kilograd" / ("" if folder == "python/kilograd" else folder) / relative
            if not place.is_file() or place.read_bytes() != file.read_bytes():
                missing.append(f"{folder}/{relative}")
    assert not missing, f"not in the wheel, or not the same: {missing}"
    assert list((wheel / "kilograd").glob("_core*.so"))


@pytest.mark.parametrize("board", ["microbit", "esp32-c3"])
def test_firmware_is_built_from_what_is_installed(board: str, wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("typer")
    if board == "microbit" and shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    small("last:2").save(tmp_path / "m.kgp")
    here = {**os.environ, "PYTHONPATH": str(wheel)}
    command = [sys.executable, "-m", "kilograd", "build", "--board", board, "m.kgp", "-o", "out", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["board"] == board
    lists = (tmp_path / "out/generated" / ("build.cmake" if board == "microbit" else "sources.cmake")).read_text()
    assert str(ROOT) + "/" not in lists and str(wheel) in lists

"""`kilograd device` on boards that it builds and starts itself. tests/link/test_commands.py has every command, on a port."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.firmware.plans import need, small

pytest.importorskip("typer")
pytest.importorskip("serial")


def call(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, list[dict[str, Any]], str]:
    from kilograd.cli.app import run

    code = run(["device", *(str(a) for a in argv), "--json"])
    out = capsys.readouterr()
    return code, [json.loads(line) for line in out.out.splitlines()], out.err


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Plans and data."""
    rng = np.random.default_rng(5)
    x, y = rng.integers(-128, 128, (8, 6, 6, 3)).astype(np.int8), rng.integers(0, 4, 8)
    np.savez(tmp_path / "d.npz", x_train=x[:5], y_train=y[:5], x_test=x[5:], y_test=y[5:])
    small("last:2").save(tmp_path / "learns.kgp")
    small(None).save(tmp_path / "infers.kgp")
    return tmp_path


def test_one_command_after_the_other(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What one command leaves in the flash the next one finds; a plan that was sent runs, learns, and is found under its own name."""
    need("mps2-an386")
    board = ["--port", "qemu:mps2-an386", "--memory", files / "flash.bin", "--plan"]
    learns, infers = [*board, files / "learns.kgp"], [*board, files / "infers.kgp"]

    def done(command: str, *argv: object) -> dict[str, Any]:
        code, said, error = call(capsys, command, *argv)
        assert code == 0 and len(said) == 1, error
        return said[0]

    assert done("update", files / "learns.kgp", *infers)["trains"] is True
    tuned = done("tune", *learns, "--data", files / "d.npz", "--save")
    assert tuned["steps"] == 5 and tuned["saved"] is True
    assert done("eval", *learns, "--data", files / "d.npz") == {"accuracy": tuned["accuracy_after"], "samples": 3}
    code, looks, _ = call(capsys, "monitor", *learns, "--count", 2, "--every", 0.1)
    assert code == 0 and [look["saved_sequence"] for look in looks] == [1, 1]


def test_a_board_without_a_store_says_so(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert need("netduinoplus2").store is None
    code, said, error = call(capsys, "save", "--port", "qemu:netduinoplus2", "--plan", files / "learns.kgp")
    assert code == 1 and "the board 'netduinoplus2' has no store" in error and said[0]["error"]["type"] == "DeviceError"


def test_a_plan_that_finds_no_place(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("microbit")
    need("mps2-an386")
    code, _, error = call(capsys, "update", files / "learns.kgp", "--port", "qemu:microbit", "--plan", files / "infers.kgp")
    assert code == 1 and "'microbit' has no place for another plan" in error
    (files / "bad.kgp").write_bytes(b"KGP\n" + bytes(60))
    code, _, error = call(capsys, "update", files / "bad.kgp", "--port", "qemu:mps2-an386", "--plan", files / "infers.kgp")
    assert code == 1 and "bad.kgp" in error

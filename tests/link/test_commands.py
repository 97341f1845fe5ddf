"""`kilograd device …` against boards behind a socket."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kilograd as kg
from kilograd.cli.tuning import shuffled
from kilograd.plan.plan import Plan
from tests.link.programs import board_program, training_plan
from tests.link.test_device import samples

pytest.importorskip("serial")
pytest.importorskip("typer")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return training_plan()


@pytest.fixture(scope="module")
def folder(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.kgp, data.npz, x.npy."""
    path = tmp_path_factory.mktemp("commands")
    plan.save(path / "net.kgp")
    (x, y), (x_test, y_test) = samples(20), samples(8, seed=2)
    np.savez(path / "data.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    np.save(path / "x.npy", x_test)
    return path


@pytest.fixture
def port(folder: Path) -> Iterator[str]:
    """A URL behind which each connection finds a fresh board."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    subprocess.run([board_program(), str(folder / "net.kgp"), "256"], stdin=connection, stdout=connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def run(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 0) -> tuple[str, str]:
    from kilograd.cli.app import run as kilograd

    assert kilograd([str(a) for a in argv]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def as_json(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 0) -> Any:
    return json.loads(run(capsys, *argv, "--json", code=code)[0])


def test_info_and_stats(port: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = as_json(capsys, "device", "info", "--port", port)
    assert (about["board"], about["plan"], about["trains"]) == ("memory", "net", True)
    assert about["tensors_in_out"][0] == {"name": "x", "shape": [1, 6, 6, 3], "type": "int8"}
    out, _ = run(capsys, "device", "info", "--port", port, "--plan", folder / "net.kgp")
    assert "board memory" in out and "input x [1, 6, 6, 3] int8" in out
    out, _ = run(capsys, "device", "stats", "--port", port)
    assert "stack used" in out and "1,234 B" in out
    assert as_json(capsys, "device", "stats", "--port", port)["unit"] == "instructions"
    out, _ = run(capsys, "device", "monitor", "--port", port, "--count", 2, "--every", 0.1)
    assert out.count("1,234") == 2


def test_infer_and_eval(port: str, folder: Path, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    simulator = kg.Simulator(plan)
    found = as_json(capsys, "device", "infer", "--port", port, "--input", folder / "x.npy", "--output", folder / "y.npy")
    assert found["samples"] == 8
    assert np.array_equal(np.load(folder / "y.npy"), simulator.infer(np.load(folder / "x.npy")))
    accuracy = as_json(capsys, "device", "eval", "--port", port, "--data", folder / "data.npz")
    assert accuracy == {"accuracy": simulator.evaluate(*samples(8, seed=2)), "samples": 8}


def test_tune(port: str, folder: Path, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    simulator, (x, y) = kg.Simulator(plan), samples(20)
    found = as_json(capsys, "device", "tune", "--port", port, "--data", folder / "data.npz", "--epochs", 2, "--seed", 3, "--save")
    losses = simulator.train(x, y, shuffled(20, 2, 3))
    assert found["losses"] == losses.tolist() and found["steps"] == 40 and found["saved"]
    assert found["accuracy_after"] == simulator.evaluate(*samples(8, seed=2))
    out, _ = run(capsys, "device", "tune", "--port", port, "--data", folder / "data.npz", "--limit", 5)
    assert "accuracy └" in out and "5 samples in" in out


def test_what_lasts(port: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "device", "save", "--port", port) == {"saved_sequence": 1}
    assert as_json(capsys, "device", "reset", "--port", port) == {"reset": True}
    error = as_json(capsys, "device", "load", "--port", port, code=1)["error"]
    assert error["type"] == "DeviceError" and "nothing saved" in error["message"]
    smaller = training_plan("last:1")
    smaller.save(folder / "smaller.kgp")
    about = as_json(capsys, "device", "update", folder / "smaller.kgp", "--port", port)
    assert about["checksum"] == smaller.to_bytes()[12:16][::-1].hex()


def test_mistakes(port: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, "device", "info", "--port", "/dev/no-such-port", code=1)
    assert "cannot open the port" in err
    _, err = run(capsys, "device", "info", "--port", "qemu:mps2-an386", code=1)
    assert "name the plan" in err
    _, err = run(capsys, "device", "eval", "--port", port, "--data", folder / "nothing.npz", code=1)
    assert "no data file" in err

"""What a board learned, read over its link, as a model file: the same bits as the simulator that learned the same."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

import kilograd as kg
from kilograd.device.client import Device
from kilograd.exports.learned import with_learned
from kilograd.exports.tflite import write_tflite
from kilograd.frontends import import_tflite
from kilograd.plan.learned import values_of
from tests.link.programs import Pipe, board_program
from tests.tflite_builder import small_cnn


def test_what_a_board_learned_is_exported(tmp_path: Path) -> None:
    graph = import_tflite(small_cnn(3))
    plan = kg.compile(graph, train="last:2", config=kg.TrainConfig(learning_rate=0.05, total_steps=6, warmup_steps=0))
    plan.save(tmp_path / "p.kgp")
    rng, simulator = np.random.default_rng(1), kg.Simulator(plan)
    x, y = rng.integers(-128, 128, (6, 8, 8, 3), dtype=np.int8), rng.integers(0, 4, 6)
    simulator.train(x, y)
    with Device(Pipe(tmp_path / "p.kgp", 1024)) as device:
        device.train(x, y)
        values = values_of(plan, device)
        exported = with_learned(graph, plan, device)
    assert any((values[n] != value).any() for n, value in values_of(plan).items())
    for name, value in values_of(plan, simulator).items():
        np.testing.assert_array_equal(values[name], value)
    assert write_tflite(exported) == write_tflite(with_learned(graph, plan, simulator))


def test_the_command_line_reads_a_board(tmp_path: Path) -> None:
    pytest.importorskip("serial")
    from kilograd.cli.app import run

    (tmp_path / "m.tflite").write_bytes(small_cnn(3))
    plan = kg.compile(import_tflite(small_cnn(3)), train="head")
    plan.save(tmp_path / "p.kgp")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                subprocess.run([board_program(), str(tmp_path / "p.kgp"), "256"], stdin=connection, stdout=connection)

        board_program()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url, out = f"socket://127.0.0.1:{server.getsockname()[1]}", tmp_path / "learned.npz"
        assert run(["export", str(tmp_path / "m.tflite"), "--plan", str(tmp_path / "p.kgp"), "--port", url, "-o", str(out)]) == 0
        thread.join(10)
    want = values_of(plan)
    with np.load(out) as found:
        assert set(found.files) == set(want)
        for name, value in want.items():
            np.testing.assert_array_equal(found[name], value)

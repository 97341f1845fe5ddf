"""Models with state on emulated boards: streams, and learning through time, in the bits of the Simulator."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import kilograd as kg
from kilograd.device.opening import open_board
from kilograd.frontends import import_tflite
from kilograd.plan.plan import Plan
from tests.ops.test_lstm import model as lstm_model
from tests.ops.test_svdf import model as svdf_model
from tests.ops.test_variable import accumulator

pytest.importorskip("serial")
MODELS = {"variable": accumulator(), "svdf": svdf_model(), "lstm": lstm_model((1, 5, 4, 3), dense=4)}


@pytest.fixture(autouse=True)
def tools() -> None:
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not here")


def first_content(plan: Plan, name: str) -> np.ndarray:
    """What a variable holds when a stream begins."""
    t = plan.tensors[name]
    return np.frombuffer(plan.state[t.offset : t.offset + t.nbytes], t.dtype.numpy).reshape(t.shape)


@pytest.mark.parametrize(("model", "board"), [("variable", "mps2-an386"), ("svdf", "microbit"), ("lstm", "microbit")])
def test_streams(model: str, board: str) -> None:
    """Inference, learning where the model has a head for it, and a new stream begun by writing the variables."""
    graph, trains = import_tflite(MODELS[model]), model != "svdf"
    plan = kg.compile(graph, train="full") if trains else kg.compile(graph)
    simulator, rng = kg.Simulator(plan), np.random.default_rng(0)
    x = rng.integers(-40, 41, (6, *plan.tensors[plan.inputs[0]].shape[1:])).astype(np.int8)
    with open_board(f"qemu:{board}", plan) as device:
        first = simulator.infer(x)
        np.testing.assert_array_equal(device.infer(x), first)
        for i in range(4 if trains else 0):
            assert device.train_step(x[i], i) == simulator.train_step(x[i], i)
        simulator.reset_variables()
        for name in plan.variables:
            device.write(name, first_content(plan, name))
        second = simulator.infer(x)
        np.testing.assert_array_equal(device.infer(x), second)
        for name in plan.variables:
            np.testing.assert_array_equal(device.read(name), simulator.read(name), err_msg=name)
        assert trains or np.array_equal(first, second)

"""Streaming models of others, 50 calls in a row: every tensor of every call, in NumPy, in the C runtime and in emitted C."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kilograd as kg
from kilograd.frontends import import_tflite
from kilograd.ir.graph import Array, Graph
from tests.emit.emitted import need
from tests.reference import require_interpreter
from tests.shared_data import require
from tests.streaming import check_emitted, check_stream, numpy_stream, simulated_stream

CALLS = 50
WAKE_WORDS = ["v1_okay_nabu", "v2_hey_jarvis"]


def stream(graph: Graph, count: int = CALLS) -> list[Array]:
    """Samples over the whole range of the input; the last calls at its ends."""
    t, rng = graph[graph.inputs[0]], np.random.default_rng(0)
    info = np.iinfo(t.dtype.numpy)
    drawn = [rng.integers(info.min, info.max + 1, t.shape).astype(t.dtype.numpy) for _ in range(count - 4)]
    return drawn + [np.full(t.shape, v, t.dtype.numpy) for v in (info.min, info.max) * 2]


@pytest.mark.parametrize("name", WAKE_WORDS)
def test_wake_words(name: str, tmp_path: Path) -> None:
    data = require(f"models/micro_wake_word/{name}.tflite").read_bytes()
    require_interpreter()
    graph = import_tflite(data)
    inputs = stream(graph)
    results = sum(len(n.writes()) for n in graph.nodes)
    assert check_stream(data, graph, inputs) == CALLS * results
    need("gcc")
    check_emitted(graph, inputs, tmp_path)


def test_keywords(tmp_path: Path) -> None:
    """SVDF with int16 states, int16 input."""
    data = require("models/tflite_micro/keyword_scrambled.tflite").read_bytes()
    require_interpreter()
    graph = import_tflite(data)
    assert check_stream(data, graph, stream(graph)) == CALLS * len(graph.nodes)
    need("gcc")
    check_emitted(graph, stream(graph), tmp_path)


def test_keywords_of_the_older_form(tmp_path: Path) -> None:
    """SVDF with int8 states, on which LiteRT crashes: NumPy, the C runtime and emitted C agree."""
    graph = import_tflite(require("models/tflite_micro/keyword_scrambled_8bit.tflite").read_bytes())
    inputs = stream(graph)
    for a, b in zip(numpy_stream(graph, inputs), simulated_stream(graph, inputs), strict=True):
        for name, value in a.items():
            np.testing.assert_array_equal(value, b[name], err_msg=name)
    need("gcc")
    check_emitted(graph, inputs, tmp_path)


def test_a_wake_word_learns_while_it_streams() -> None:
    """The head learns, variables move on as without learning, and a reset keeps what was learned."""
    graph = import_tflite(require("models/micro_wake_word/v1_okay_nabu.tflite").read_bytes())
    config = kg.TrainConfig(loss="mean_squared_error", learning_rate=1.0, exponent_start=-12)
    learner, looker = kg.Simulator(kg.compile(graph, train="head", config=config)), kg.Simulator(kg.compile(graph))
    head = [n for n in graph.nodes if n.op == "fully_connected"][-1].inputs[1]
    before = learner.read(head)
    target = np.full(learner.plan.tensors["target"].shape, 100, np.int8)
    for x in stream(graph, 20):
        learner.train_step(x, target)
        looker.infer(x)
        for variable in looker.plan.variables:
            np.testing.assert_array_equal(learner.read(variable), looker.read(variable), err_msg=variable)
    learned = learner.read(head)
    assert not np.array_equal(learned, before)
    learner.reset_variables()
    np.testing.assert_array_equal(learner.read(head), learned)

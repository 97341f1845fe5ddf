"""A trained LSTM of others learns another task: image rows as a sequence, all of its weights."""

from __future__ import annotations

import numpy as np

import kilograd as kg
from kilograd.frontends import import_tflite
from tests.shared_data import require


def test_an_lstm_learns_another_task() -> None:
    """From digits to clothes: every image is a sequence of its own, so variables begin anew with each."""
    graph = import_tflite(require("models/tflite_micro/trained_lstm_int8.tflite").read_bytes())
    with np.load(require("datasets/fashion_mnist_28.npz")) as data:
        x, y = (data["x_train"][:3000] ^ 0x80).view(np.int8), data["y_train"][:3000]
        x_test, y_test = (data["x_test"][:1000] ^ 0x80).view(np.int8), data["y_test"][:1000]
    found = {}
    for scheme in ("head", "full"):
        simulator = kg.Simulator(kg.compile(graph, train=scheme, config=kg.TrainConfig(learning_rate=0.01)))
        simulator.fresh = True
        before = simulator.evaluate(x_test, y_test)
        simulator.train(x, y)
        found[scheme] = simulator.evaluate(x_test, y_test)
        assert before < 0.2
    assert found["full"] > 0.7, found


def test_fresh_samples_do_not_see_each_other() -> None:
    graph = import_tflite(require("models/tflite_micro/trained_lstm_int8.tflite").read_bytes())
    x = np.random.default_rng(0).integers(-128, 128, (6, 28, 28)).astype(np.int8)
    simulator = kg.Simulator(kg.compile(graph))
    stream = simulator.infer(x)
    simulator.fresh = True
    fresh = simulator.infer(x)
    np.testing.assert_array_equal(fresh[::-1], simulator.infer(x[::-1]))
    assert not np.array_equal(fresh, stream)

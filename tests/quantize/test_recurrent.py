"""Float models with a memory: an LSTM is quantized, streams are refused."""

from __future__ import annotations

import numpy as np
import pytest

import kilograd as kg
from kilograd.errors import UnsupportedOperator
from kilograd.frontends import import_tflite
from kilograd.ops.base import evaluate
from kilograd.quantize.api import quantize_model
from tests.ops.test_lstm import model
from tests.ops.test_svdf import float_model


@pytest.mark.parametrize("time_major", [False, True])
def test_an_lstm_is_quantized(time_major: bool) -> None:
    """Each sample is a sequence of its own; the integers follow the float network."""
    graph = import_tflite(model((1, 6, 5, 4), time_major=time_major, real=True))
    samples = np.random.default_rng(0).normal(0, 1, (40, *graph["x"].shape)).astype(np.float32)
    integers = quantize_model(graph, samples).graph
    simulator = kg.Simulator(kg.compile(integers))
    simulator.fresh = True
    one = simulator.input.shape[1:] if simulator.input.shape[0] == 1 else simulator.input.shape
    y, q = simulator.infer(samples.reshape(-1, *one)), simulator.output.quant
    real = y if q is None else (y.astype(np.float64) - q.z) * q.s
    want = np.stack([evaluate(graph, {"x": x}).tensors["y"] for x in samples]).reshape(real.shape)
    noise = np.abs(real - want)
    assert noise.max() < 0.1 and noise.mean() < 0.01 and np.abs(want).max() > 0.5


def test_streams_are_refused() -> None:
    with pytest.raises(UnsupportedOperator, match="remembers from sample to sample"):
        quantize_model(import_tflite(float_model(0)), np.zeros((4, 2, 5), np.float32))

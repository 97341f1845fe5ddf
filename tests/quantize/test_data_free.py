"""Calibration without data: made-up samples, and the statistics that batch normalisations promise."""

from __future__ import annotations

import numpy as np
import pytest

from kilograd.errors import DataError
from kilograd.ir.graph import DType, Graph, Node, Tensor
from kilograd.quantize import QuantizeConfig, quantize_model
from kilograd.quantize.observe import observe
from kilograd.quantize.prepare import prepare
from kilograd.quantize.runner import Runner, matched
from kilograd.quantize.synthetic import synthetic_inputs
from tests.quantize.models import Floats, network, samples


def normalised(x: np.ndarray, seed: int = 0) -> Graph:
    """Three convolutions with batch normalisation whose statistics are those of x, as training leaves them."""
    m = Floats((1, 8, 8, 3), seed)
    at = "x"
    for i in range(3):
        conv = m.conv(at, f"c{i}", 8)
        m.graph.outputs = [conv]
        seen = Runner(m.graph).run({"x": x})[conv]
        axes = (0, 1, 2, 3)
        parts = (m.rng.uniform(0.3, 2, 8), m.rng.normal(0, 1, 8), seen.mean(axis=axes), seen.var(axis=axes))
        operands = [conv, *(m.constant(f"bn{i}.{n}", v) for n, v in zip("gbmv", parts, strict=True))]
        at = f"bn{i}.relu"
        m.graph.add(Tensor(f"bn{i}", m.graph[conv].shape, DType.FLOAT32))
        m.graph.add(Tensor(at, m.graph[conv].shape, DType.FLOAT32))
        m.graph.nodes.append(Node("batch_norm", operands, [f"bn{i}"], {"epsilon": 0.0}, name=f"bn{i}"))
        m.graph.nodes.append(Node("relu", [f"bn{i}"], [at], {}, name=at))
        m.graph.outputs = [at]
        m.graph = prepare(m.graph)
    return m.graph


def test_made_up_samples_fill_the_range_and_vary() -> None:
    for shape in ((1, 16, 16, 3), (1, 49, 10, 1), (1, 128), (1, 1)):
        x = synthetic_inputs(shape, -3.0, 5.0, 16)
        assert x.shape == (16, *shape) and x.dtype == np.float32 and x.min() >= -3 and x.max() <= 5
        assert x.reshape(16, -1).mean(axis=1).std() > 0.1
    image = synthetic_inputs((1, 32, 32, 3), 0, 1, 8)
    steps, shuffled = np.diff(image, axis=2), np.diff(np.random.default_rng(0).permuted(image, axis=2), axis=2)
    assert np.abs(steps).mean() < 0.6 * np.abs(shuffled).mean()  # neighbours are alike


def test_matched_values_have_the_statistics() -> None:
    rng = np.random.default_rng(0)
    mean, deviation = rng.normal(0, 2, 5), rng.uniform(0.1, 3, 5)
    y = matched(rng.normal(3, 4, (6, 1, 4, 4, 5)).astype(np.float32), mean, deviation)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2, 3)), mean, atol=1e-3)
    np.testing.assert_allclose(y.std(axis=(0, 1, 2, 3)), deviation, rtol=1e-3)


def test_promised_statistics_give_the_ranges_of_the_data() -> None:
    """Samples of a quite different scale, made up, still give the activations of training."""
    x = samples(network(), 64) * 0.1
    graph = normalised(x)
    assert set(graph.meta["batch_norm"]) >= {"bn0.relu", "bn1.relu", "bn2.relu"}
    truth = observe(graph, {"x": x}, QuantizeConfig())
    fake = synthetic_inputs((1, 8, 8, 3), -20, 20, 64)
    blind = observe(graph, {"x": fake}, QuantizeConfig())
    told = observe(graph, {"x": fake}, QuantizeConfig(), promised=graph.meta["batch_norm"])
    for name in ("bn0.relu", "bn1.relu", "bn2.relu"):
        assert 0.5 < told[name].high / truth[name].high < 2
        assert blind[name].high / truth[name].high > 4


def test_a_network_without_data() -> None:
    x = samples(network(), 64) * 0.1
    graph = normalised(x)
    result = quantize_model(graph, None, QuantizeConfig(), input_range=(float(x.min()), float(x.max())))
    assert "batch normalisation" in result.report["calibration"]
    with pytest.raises(DataError, match="--input-range"):
        quantize_model(graph, None)
    plain = quantize_model(network(), None, input_range=(-3, 3))
    assert plain.report["calibration"] == "made-up samples" and plain.graph.nodes

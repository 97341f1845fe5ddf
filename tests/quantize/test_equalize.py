"""Equalisation computes the same and makes channels alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kilograd.ir.graph import Array, Graph
from kilograd.ir.verify import verify
from kilograd.ops.base import infer_outputs
from kilograd.quantize import QuantizeConfig, Quantized, quantize_model
from kilograd.quantize.equalize import equalize, pairs
from kilograd.quantize.observe import observe
from kilograd.quantize.prepare import prepare
from kilograd.quantize.runner import Runner
from tests.quantize.models import Floats, network, samples


def uneven(activation: str = "relu") -> Graph:
    """Layers whose channels differ by a factor of a hundred: convolution, depthwise, pooled into a dense layer."""
    m = Floats((1, 8, 8, 3))
    c = m.conv("x", "c", 6, activation=activation)
    d = m.depthwise(c, "d", activation)
    p = m.conv(d, "p", 5, k=1, pad=0, activation=activation)
    pooled = m.node("average_pool2d", [p], "pool", filter=(8, 8), stride=(1, 1), padding=(0,) * 4, activation="none")
    graph = m.done(m.dense(m.node("reshape", [pooled], "flat", (1, 5)), "y", 4))
    spread = np.geomspace(0.03, 1, 6).astype(np.float32)
    for name, axis in (("c", 0), ("d", 3)):
        w, b = graph[f"{name}.w"], graph[f"{name}.b"]
        graph.set(w.name, data=np.asarray(w.data) * spread.reshape([-1 if i == axis else 1 for i in range(4)]))
        graph.set(b.name, data=np.asarray(b.data) * spread)
    return graph


def outputs(graph: Graph, x: Array) -> Array:
    return Runner(graph).run({"x": x})[graph.outputs[0]]


@pytest.mark.parametrize("how", ["weights", "activations"])
@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
def test_the_network_computes_the_same(how: Any, activation: str) -> None:
    graph = prepare(uneven(activation))
    x = samples(graph)
    seen = observe(graph, {"x": x}, QuantizeConfig())
    scaled = equalize(graph, how, seen)
    verify(scaled, infer_outputs)
    assert not np.array_equal(np.asarray(scaled["c.w"].data), np.asarray(graph["c.w"].data))
    np.testing.assert_allclose(outputs(scaled, x), outputs(graph, x), rtol=2e-3, atol=2e-4)


def test_channels_become_alike() -> None:
    graph = prepare(uneven())
    x = samples(graph)
    for how in ("weights", "activations"):
        scaled = equalize(graph, how, observe(graph, {"x": x}, QuantizeConfig()))  # type: ignore[arg-type]
        before, after = (observe(g, {"x": x}, QuantizeConfig())["c"].channel_high for g in (graph, scaled))
        assert after.max() / after.min() < 0.3 * before.max() / before.min()


def test_it_helps_where_channels_differ_and_costs_nothing_at_the_output() -> None:
    graph = uneven()
    x = samples(graph)
    reports = [quantize_model(graph, x, QuantizeConfig(equalize=h)).report for h in ("off", "activations")]  # type: ignore[arg-type]
    assert reports[1]["outputs"]["y"]["sqnr_db"] > reports[0]["outputs"]["y"]["sqnr_db"] - 1
    few = [narrowest(quantize_model(graph, x, QuantizeConfig(equalize=h)), x) for h in ("off", "activations")]  # type: ignore[arg-type]
    assert few[1] > 3 * few[0]


def narrowest(result: Quantized, x: Array) -> float:
    """How many steps of its scale the narrowest channel between the first two layers has."""
    high = observe(result.prepared, {"x": x}, QuantizeConfig(method="minmax"))["c"].channel_high
    return float(high.min() / result.graph["c"].q.s)


def test_without_data_channels_below_a_relu6_are_left_alone() -> None:
    graph = prepare(uneven("relu6"))
    seen = observe(graph, {"x": samples(graph)}, QuantizeConfig())
    left = equalize(graph, "activations", seen, real_data=False)
    for t in graph.tensors.values():
        if t.data is not None:
            np.testing.assert_array_equal(t.data, left[t.name].data)


def test_pairs_need_a_single_reader() -> None:
    found = {(p.first.name, p.second.name) for p in pairs(prepare(network()))}
    assert ("c2.relu", "dw") not in found and ("c2", "dw") in found
    assert all(first != "c1" for first, _ in found)  # its result is read twice

"""A net with a grouped and a transposed convolution learns: in C as in NumPy, in emitted C as in the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kilograd as kg
from kilograd.ir.graph import DType, Graph, Node, QuantParams, Tensor
from kilograd.ops import operator
from kilograd.train.config import TrainConfig
from kilograd.train.scheme import Scheme
from tests.emit.emitted import assert_equal, need, simulate, train_program
from tests.ops.finite_difference import dequantize
from tests.train.nets import NetBuilder
from tests.train.test_simulated import assert_same_training


def weighted(n: NetBuilder, name: str, op: str, x: str, shape: tuple[int, ...], attrs: dict[str, Any]) -> str:
    """Append a layer whose scales come from its real results."""
    fan = int(np.prod(shape[1:]))
    w, bias = n._weights(name, shape, 0, fan, n.graph[x].q.s, True)
    real_w = dequantize(n.graph[w], np.asarray(n.graph[w].data))
    real_b = np.asarray(n.graph[bias].data) * n.graph[x].q.s * n.graph[w].q.scale.astype(np.float64)
    node = Node(op, [x, w, bias], [name], attrs, name)
    n.graph.add(Tensor(name, (), DType.INT8, quant=QuantParams.per_tensor(1.0)))
    n.graph.set(name, shape=operator(op).infer(n.graph, node)[0].shape)
    values = np.concatenate([operator(op).real(n.graph, node, [n.real[x][i : i + 1], real_w, real_b])[0] for i in range(4)])
    n.graph.set(name, quant=QuantParams.per_tensor(float(values.max()) / 255, -128))
    n.real[name] = values
    n.graph.nodes.append(node)
    return name


def autoencoder() -> Graph:
    """Down by a grouped convolution, up by a transposed one, then classes."""
    n = NetBuilder((1, 6, 6, 4))
    down = {"stride": (2, 2), "dilation": (1, 1), "padding": (1, 0, 1, 0), "activation": "relu"}
    up = {"stride": (2, 2), "dilation": (1, 1), "padding": (0, 1, 0, 1), "output": (6, 6), "transposed": True, "activation": "relu"}
    code = weighted(n, "down", "conv2d", "x", (12, 3, 3, 2), down)
    wide = weighted(n, "up", "transpose_conv", code, (8, 3, 3, 12), up)
    n.dense("head", n.flat("flat", n.pool("pool", n.conv("last", wide, 12, k=3))), 3)
    return n.graph


@pytest.mark.parametrize("scheme", [Scheme(everything=True), Scheme(weights={1: 3}), Scheme(biases=(1,), weights={0: 2})])
def test_it_learns_in_c_as_in_numpy(scheme: Scheme) -> None:
    graph, rng = autoencoder(), np.random.default_rng(0)
    samples = [(rng.integers(-128, 128, (1, 6, 6, 4)).astype(np.int8), np.array([i % 3], np.int32)) for i in range(9)]
    assert_same_training(graph, scheme, TrainConfig(learning_rate=0.1, exponent_start=-15), samples)


@pytest.mark.parametrize("bits", ["-m64", "-m32"])
def test_emitted_code_learns_as_the_simulator_does(tmp_path: Path, bits: str) -> None:
    need("gcc", bits)
    graph, rng = autoencoder(), np.random.default_rng(0)
    plan = kg.compile(graph, train=Scheme(everything=True), config=TrainConfig(learning_rate=0.1, exponent_start=-15))
    x, y = rng.integers(-128, 128, (9, 6, 6, 4)).astype(np.int8), np.arange(9) % 3
    got = train_program(plan, x, y, tmp_path, "gcc", [bits, "-O2"], 8 if bits == "-m64" else 4)
    assert_equal(plan, got, simulate(plan, x, y))


def accuracy(scheme: Scheme, passes: int) -> float:
    """Of a new head after some passes over 90 samples, on 30 others: the class is the channel that is brighter than the others."""
    rng, y = np.random.default_rng(0), np.arange(120) % 3
    x = (rng.integers(-60, 60, (120, 6, 6, 4)) + 50 * (np.arange(4) == y[:, None])[:, None, None, :]).astype(np.int8)
    simulator = kg.Simulator(kg.compile(autoencoder(), classes=3, train=scheme, config=TrainConfig(learning_rate=0.05)))
    for _ in range(passes):
        simulator.train(x[:90], y[:90])
    return float(np.mean([int(np.argmax(simulator.infer(v[None]))) == label for v, label in zip(x[90:], y[90:], strict=True)]))


def test_it_learns() -> None:
    """The head alone gets nowhere on a random net; with both convolutions it does, and so it does with the transposed one alone."""
    assert accuracy(Scheme(), 12) < 0.75
    assert accuracy(Scheme(everything=True), 6) > 0.95
    assert accuracy(Scheme(weights={1: 12}, biases=(1,)), 12) > 0.85

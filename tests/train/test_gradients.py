"""Gradients of a whole network against finite differences of the same network in real numbers."""

from __future__ import annotations

import numpy as np
import pytest

from kilograd.ir.graph import Array, Graph, Node
from kilograd.ops.base import RunState, evaluate
from kilograd.train.autodiff import training_graph
from kilograd.train.config import TrainConfig
from kilograd.train.scheme import Scheme, layers
from tests.train.nets import Real, bias_scale, bias_value, class_samples, cross_entropy, parameter, real_forward, small_net

REPEATS = 12  # of the same sample, with other random numbers, once the exponents have settled
MANY = 1 << 20  # samples a step: nothing is applied, the pending sums can be read


def integer_gradients(graph: Graph, x: Array, label: int, rate: float = 2.0**10) -> dict[str, Real]:
    """Gradients in real units, out of the pending steps: step = rate / MANY * gradient / unit, 16 fraction bits (biases 8)."""
    t = training_graph(graph, Scheme(everything=True), TrainConfig(learning_rate=rate, accumulate=MANY))
    state = RunState({})
    feeds = {"x": x, "label": np.array([label], np.int32)}
    for _ in range(40):
        evaluate(t, feeds, state)
    pending = [n for n in t.tensors if n.endswith("#pending")]
    for name in pending:
        state.tensors[name][...] = 0
    for _ in range(REPEATS):
        evaluate(t, feeds, state)
    steps = {n.removesuffix("#pending"): state.tensors[n] * (MANY / rate / REPEATS) for n in pending}
    units = {node.inputs[1]: (2.0**-16, weight_unit(graph, node)) for node in layers(graph)}
    units |= {node.inputs[2]: (2.0**-8, bias_scale(graph, node)) for node in layers(graph) if node.inputs[2]}
    return {name: steps[name] * fraction * unit for name, (fraction, unit) in units.items()}


def weight_unit(graph: Graph, node: Node) -> Real:
    """Scale of a layer's weights, shaped to multiply with them."""
    w = graph[node.inputs[1]]
    shape = [1] * len(w.shape)
    shape[w.q.axis or 0] = -1
    return w.q.scale.astype(np.float64).reshape(shape)


def numeric_gradient(graph: Graph, x: Array, label: int, name: str, value: Real, index: tuple[int, ...], h: float = 1e-5) -> float:
    """Central difference of the real network's loss with respect to one element."""
    losses = []
    for sign in (1, -1):
        moved = np.array(value)
        moved[index] += sign * h
        losses.append(cross_entropy(real_forward(graph, x, {name: moved})[graph.outputs[0]], label))
    return (losses[0] - losses[1]) / (2 * h)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_whole_network_gradients(seed: int) -> None:
    graph = small_net(seed=seed)
    rng = np.random.default_rng(seed)
    x, label = class_samples(graph, 1, 4, seed=seed)[0]
    got = integer_gradients(graph, x, label)
    sizes = {}
    for node in layers(graph):
        for name in filter(None, node.inputs[1:3]):
            value = parameter(graph, name, {}) if name == node.inputs[1] else np.asarray(bias_value(graph, node, {}))
            flat = rng.choice(value.size, min(value.size, 40), replace=False)
            where = [tuple(int(i) for i in np.unravel_index(f, value.shape)) for f in flat]
            want = np.array([numeric_gradient(graph, x, label, name, value, i) for i in where])
            have = np.array([got[name][i] for i in where])
            cosine = float(have @ want / (np.linalg.norm(have) * np.linalg.norm(want)))
            sizes[name] = float(np.linalg.norm(have) / np.linalg.norm(want))
            assert cosine > 0.98, (name, cosine)
    # int8 logits round and saturate, which changes p - y, the gradient of the head's bias; from there on sizes must be kept
    for name, size in sizes.items():
        assert abs(size / sizes["head.b"] - 1) < 0.06, (name, size, sizes["head.b"])

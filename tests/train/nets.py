"""A small random int8 network with every kind of layer that learning meets, and its meaning in real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Tensor
from kilograd.ops import fields
from kilograd.ops.base import RunState, evaluate
from kilograd.ops.fixed_point import train_view
from kilograd.ops.windows import windows

Real = npt.NDArray[np.float64]


class NetBuilder:
    """Adds layers one after another; scales come from real activations of random inputs, so that little saturates."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.graph = Graph("net")
        self.graph.add(Tensor("x", shape, DType.INT8, quant=QuantParams.per_tensor(1 / 64, -3)))
        self.graph.inputs = ["x"]
        samples = self.rng.integers(-128, 128, (4, *shape[1:]))
        self.real: dict[str, Real] = {"x": (samples + 3) / 64.0}

    def _result(self, name: str, op: str, inputs: list[str], attrs: dict[str, Any]) -> str:
        """Append a node; the result's shape and scale come from its real values."""
        node = Node(op, inputs, [name], attrs, name)
        values = np.stack(
            [real_node(self.graph, node, [self.real[t][i : i + 1] if t in self.real else None for t in inputs])[0] for i in range(4)]
        )
        if op in ("average_pool2d", "reshape"):
            quant = self.graph[inputs[0]].q
        elif attrs.get("activation") == "relu":
            values = np.maximum(values, 0)
            quant = QuantParams.per_tensor(float(values.max()) / 255, -128)
        else:
            quant = QuantParams.per_tensor(float(np.abs(values).max()) / 120, int(self.rng.integers(-7, 8)))
        self.real[name] = values
        self.graph.add(Tensor(name, (1, *values.shape[1:]), DType.INT8, quant=quant))
        self.graph.nodes.append(node)
        self.graph.outputs = [name]
        return name

    def _weights(self, name: str, shape: tuple[int, ...], axis: int, fan_in: int, s_x: float, bias: bool) -> tuple[str, str]:
        channels = shape[axis]
        scale = (self.rng.uniform(0.6, 1.6, channels) * 1.7 / (127 * np.sqrt(fan_in))).astype(np.float32)
        data = self.rng.integers(-127, 128, shape).astype(np.int8)
        quant = QuantParams(scale, np.zeros(channels, np.int32), axis)
        self.graph.add(Tensor(f"{name}.w", shape, DType.INT8, Kind.CONST, quant, data))
        if not bias:
            return f"{name}.w", ""
        b = np.rint(self.rng.normal(0, 0.1, channels) / (s_x * scale)).astype(np.int32)
        self.graph.add(Tensor(f"{name}.b", (channels,), DType.INT32, Kind.CONST, data=b))
        return f"{name}.w", f"{name}.b"

    def conv(self, name: str, x: str, channels: int, k: int = 1, stride: int = 1, activation: str = "relu", bias: bool = True) -> str:
        in_c, p = self.graph[x].shape[3], k // 2
        w, b = self._weights(name, (channels, k, k, in_c), 0, in_c * k * k, self.graph[x].q.s, bias)
        attrs = {"stride": (stride, stride), "dilation": (1, 1), "padding": (p, p, p, p), "activation": activation}
        return self._result(name, "conv2d", [x, w, b], attrs)

    def depthwise(self, name: str, x: str, k: int = 3, stride: int = 1, activation: str = "relu") -> str:
        c, p = self.graph[x].shape[3], k // 2
        w, b = self._weights(name, (1, k, k, c), 3, k * k, self.graph[x].q.s, True)
        attrs = {"stride": (stride, stride), "dilation": (1, 1), "padding": (p, p, p, p), "activation": activation}
        return self._result(name, "depthwise_conv2d", [x, w, b], attrs)

    def add(self, name: str, a: str, b: str) -> str:
        return self._result(name, "add", [a, b], {"activation": "none"})

    def pool(self, name: str, x: str) -> str:
        h, w = self.graph[x].shape[1:3]
        attrs = {"filter": (h, w), "stride": (h, w), "padding": (0, 0, 0, 0), "activation": "none", "rounding": "half_away"}
        return self._result(name, "average_pool2d", [x], attrs)

    def flat(self, name: str, x: str) -> str:
        return self._result(name, "reshape", [x], {"shape": (1, self.graph[x].size)})

    def dense(self, name: str, x: str, outputs: int) -> str:
        features = self.graph[x].size
        w, b = self._weights(name, (outputs, features), 0, features, self.graph[x].q.s, True)
        return self._result(name, "fully_connected", [x, w, b], {"activation": "none", "keep_dims": False})


def small_net(classes: int = 4, seed: int = 0, size: int = 6) -> Graph:
    """Stem, inverted residual block, depthwise with stride, pooling, classifier: six layers with weights."""
    n = NetBuilder((1, size, size, 3), seed)
    stem = n.conv("stem", "x", 6, k=3, stride=1)
    wide = n.conv("wide", stem, 10, bias=False)
    deep = n.depthwise("deep", wide)
    narrow = n.conv("narrow", deep, 6, activation="none")
    joined = n.add("joined", stem, narrow)
    down = n.depthwise("down", joined, stride=2, activation="none")
    n.dense("head", n.flat("flat", n.pool("pool", down)), classes)
    return n.graph


# ---- the same network in real numbers -----------------------------------------------------------------------------------


def parameter(graph: Graph, name: str, values: dict[str, Real]) -> Real:
    """Real value of a weight, from `values` if it is there."""
    if name in values:
        return values[name]
    t = graph[name]
    shape = [1] * len(t.shape)
    if t.q.axis is not None:
        shape[t.q.axis] = -1
    assert t.data is not None
    return (t.data - t.q.zero_point.reshape(shape)) * t.q.scale.astype(np.float64).reshape(shape)


def bias_value(graph: Graph, node: Node, values: dict[str, Real]) -> Real | float:
    """Real value of a layer's bias."""
    name = node.inputs[2]
    if not name:
        return 0.0
    if name in values:
        return values[name]
    data = graph[name].data
    assert data is not None
    return data * bias_scale(graph, node)


def bias_scale(graph: Graph, node: Node) -> Real:
    """Real value of one unit of a layer's int32 bias, per channel."""
    x, w = graph[node.inputs[0]], graph[node.inputs[1]]
    return float(x.q.s) * w.q.scale.astype(np.float64)


def real_node(graph: Graph, node: Node, inputs: list[Real | None], values: dict[str, Real] | None = None) -> Real:
    """A node in real arithmetic, without rounding or saturation."""
    values, x = values or {}, inputs[0]
    assert x is not None
    if node.op == "add":
        assert inputs[1] is not None
        return x + inputs[1]
    if node.op == "reshape":
        return x.reshape(1, -1)
    if node.op == "average_pool2d":
        return x.mean(axis=(1, 2), keepdims=True)
    w, b = parameter(graph, node.inputs[1], values), bias_value(graph, node, values)
    if node.op == "fully_connected":
        return x.reshape(1, -1) @ w.T + b
    pads, stride, k = node.attrs["padding"], node.attrs["stride"], w.shape[1:3]
    out = [(s + pads[0] + pads[1] - k[0]) // stride[0] + 1 for s in x.shape[1:3]]
    cols = windows(x[0], k, out, node.attrs)
    if node.op == "depthwise_conv2d":
        return np.einsum("hwklc,klc->hwc", cols, w[0])[None] + b
    return np.tensordot(cols, w, axes=([2, 3, 4], [1, 2, 3]))[None] + b


def real_forward(graph: Graph, x: Array, values: dict[str, Real] | None = None) -> dict[str, Real]:
    """All activations in real arithmetic; saturation at the ends of int8 stays, because it stops gradients (except at the output)."""
    q = graph[graph.inputs[0]].q
    real: dict[str, Real] = {graph.inputs[0]: (x.astype(np.float64) - q.z) * q.s}
    for node in graph.nodes:
        y = graph[node.outputs[0]]
        value = real_node(graph, node, [real.get(t) for t in node.inputs], values)
        if y.name not in graph.outputs:
            lo, hi = fields.activation_range(graph, y.name, node.attrs.get("activation", "none"))
            value = np.clip(value, (lo - y.q.z) * y.q.s, (hi - y.q.z) * y.q.s)
        real[y.name] = value
    return real


def cross_entropy(logits: Real, label: int) -> float:
    """Loss in nats."""
    z = logits.reshape(-1) - logits.max()
    return float(np.log(np.exp(z).sum()) - z[label])


# ---- running --------------------------------------------------------------------------------------------------------------


def train(graph: Graph, samples: list[tuple[Array, int]], state: RunState | None = None) -> tuple[RunState, list[float]]:
    """Training steps in NumPy; the state after the last, and the losses in nats."""
    state = state or RunState({})
    losses = []
    for x, label in samples:
        state = evaluate(graph, {graph.inputs[0]: x, "label": np.array([label], np.int32)}, state)
        losses.append(int(train_view(state.tensors["train"])["loss"][0]) / 65536)
    return state, losses


def random_samples(graph: Graph, count: int, classes: int, seed: int = 1) -> list[tuple[Array, int]]:
    """Random inputs with random labels."""
    rng = np.random.default_rng(seed)
    shape = graph[graph.inputs[0]].shape
    return [(rng.integers(-128, 128, shape).astype(np.int8), int(rng.integers(classes))) for _ in range(count)]


def class_samples(graph: Graph, count: int, classes: int, seed: int = 1) -> list[tuple[Array, int]]:
    """Inputs that can be told apart: a pattern for each class, and noise."""
    rng = np.random.default_rng(seed)
    shape = graph[graph.inputs[0]].shape
    patterns = rng.normal(0, 90, (classes, *shape[1:]))
    labels = [i % classes for i in range(count)]
    return [(np.clip(rng.normal(patterns[label], 20, shape), -128, 127).astype(np.int8), label) for label in labels]

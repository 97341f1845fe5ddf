"""Small float networks as graphs, and samples for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Shape, Tensor
from kilograd.ir.verify import verify
from kilograd.ops.base import infer_outputs, operator


class Floats:
    """Builds a float graph: each call adds a node and gives the name of its result."""

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        self.graph, self.rng = Graph("floats"), np.random.default_rng(seed)
        self.graph.add(Tensor("x", shape, DType.FLOAT32))
        self.graph.inputs = ["x"]

    def constant(self, name: str, value: Any) -> str:
        data = np.ascontiguousarray(value, np.float32)
        return self.graph.add(Tensor(name, data.shape, DType.FLOAT32, Kind.CONST, None, data)).name

    def node(self, op: str, inputs: list[str], name: str, shape: Shape | None = None, **attrs: Any) -> str:
        node = Node(op, inputs, [name], attrs, name=name)
        self.graph.add(Tensor(name, shape or self.graph[inputs[0]].shape, DType.FLOAT32))
        if shape is None and op in operators_that_infer():
            (found,) = operator(op).infer(self.graph, node)
            self.graph.set(name, shape=found.shape)
        self.graph.nodes.append(node)
        return name

    def conv(self, x: str, name: str, channels: int, k: int = 3, stride: int = 1, pad: int = 1, activation: str = "none") -> str:
        in_c = self.graph[x].shape[3]
        w = self.constant(f"{name}.w", self.rng.normal(0, (k * k * in_c) ** -0.5, (channels, k, k, in_c)))
        b = self.constant(f"{name}.b", self.rng.normal(0, 0.2, channels))
        attrs = {"stride": (stride, stride), "dilation": (1, 1), "padding": (pad,) * 4, "activation": activation}
        return self.node("conv2d", [x, w, b], name, **attrs)

    def depthwise(self, x: str, name: str, activation: str = "none", multiplier: int = 1) -> str:
        c = self.graph[x].shape[3] * multiplier
        w = self.constant(f"{name}.w", self.rng.normal(0, 0.4, (1, 3, 3, c)))
        b = self.constant(f"{name}.b", self.rng.normal(0, 0.2, c))
        return self.node("depthwise_conv2d", [x, w, b], name, stride=(1, 1), dilation=(1, 1), padding=(1,) * 4, activation=activation)

    def transposed(self, x: str, name: str, channels: int, padding: tuple[int, ...], output: tuple[int, int], groups: int = 1) -> str:
        """3x3, stride 2."""
        in_c = self.graph[x].shape[3] // groups
        w = self.constant(f"{name}.w", self.rng.normal(0, (4 * in_c) ** -0.5, (channels, 3, 3, in_c)))
        b = self.constant(f"{name}.b", self.rng.normal(0, 0.2, channels))
        attrs = {"stride": (2, 2), "dilation": (1, 1), "padding": padding, "output": output, "transposed": True, "activation": "none"}
        return self.node("transpose_conv", [x, w, b], name, shape=(1, *output, channels), **attrs)

    def dense(self, x: str, name: str, out: int, activation: str = "none") -> str:
        features = self.graph[x].size
        w = self.constant(f"{name}.w", self.rng.normal(0, features**-0.5, (out, features)))
        return self.node("fully_connected", [x, w, self.constant(f"{name}.b", self.rng.normal(0, 0.1, out))], name, activation=activation)

    def done(self, *outputs: str) -> Graph:
        self.graph.outputs = list(outputs)
        verify(self.graph, infer_outputs)
        return self.graph


def operators_that_infer() -> tuple[str, ...]:
    return ("conv2d", "depthwise_conv2d", "fully_connected", "concatenation", "average_pool2d", "max_pool2d", "mean", "pad", "add", "mul")


def network(seed: int = 0) -> Graph:
    """Most operators: convolutions, separate activations, pad, residual sum, pools joined, a gate, classifier."""
    m = Floats((1, 8, 8, 3), seed)
    a = m.node("relu6", [m.conv("x", "c1", 8)], "c1.relu")
    padded = m.node("pad", [a], "padded", padding=[[0, 0], [1, 1], [1, 1], [0, 0]])
    b = m.node("relu", [m.conv(padded, "c2", 8, pad=0)], "c2.relu")
    c = m.depthwise(b, "dw", "relu")
    total = m.node("add", [a, m.conv(c, "pw", 8, k=1, pad=0)], "sum", activation="relu")
    pool: dict[str, Any] = {"filter": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "activation": "none"}
    both = m.node(
        "concatenation", [m.node("average_pool2d", [total], "avg", **pool), m.node("max_pool2d", [c], "max", **pool)], "both", axis=3
    )
    gate = m.node("logistic", [m.conv(both, "g", 16, k=1, pad=0)], "gate")
    gated = m.node("mul", [both, gate], "gated", activation="none")
    mean = m.node("mean", [gated], "mean", axes=(1, 2), keep_dims=False)
    return m.done(m.node("softmax", [m.dense(mean, "logits", 4)], "y", beta=1.0))


def samples(graph: Graph, count: int = 64, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(0, 1, (count, *graph[graph.inputs[0]].shape)).astype(np.float32)

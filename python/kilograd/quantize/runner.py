"""Float evaluation of a graph for many samples at once.

A value is an array [samples, *shape of the tensor]. Layers with weights, pools and element-wise operators run as a whole with BLAS; any
other operator runs sample by sample through its `real`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kilograd.ir.graph import Array, DType, Graph, Kind, Node
from kilograd.ops import pooling, support
from kilograd.ops.base import operator

#: operators on two tensors, repeated as NumPy does it
BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "maximum": np.maximum, "minimum": np.minimum,
    "squared_difference": lambda a, b: np.square(a - b),
}  # fmt: skip
#: operators on one tensor whose `real` works on every axis alike (or on the last): one more in front changes nothing
UNARY = (
    "relu", "relu6", "relu_0_to_1", "relu_n1_to_1", "leaky_relu", "logistic", "tanh", "hard_swish", "elu", "gelu", "exp", "log", "abs",
    "neg", "sqrt", "rsqrt", "square", "softmax", "log_softmax",
)  # fmt: skip
MAX_COLUMNS = 1 << 24  # elements of an im2col matrix


def _padded(x: Array, padding: Sequence[int], value: float = 0.0) -> Array:
    top, bottom, left, right = padding
    if not any(padding):
        return x
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def _convolve(x: Array, w: Array, attrs: dict[str, Any], out_hw: Sequence[int]) -> Array:
    """[n, h, w, c] with weights OHWI."""
    (sh, sw), (dh, dw) = attrs["stride"], attrs["dilation"]
    out_c, kh, kw, in_c = w.shape
    x = _padded(x, attrs["padding"])
    if kh == kw == 1:
        return x[:, : (out_hw[0] - 1) * sh + 1 : sh, : (out_hw[1] - 1) * sw + 1 : sw] @ w.reshape(out_c, in_c).T
    seen = sliding_window_view(x, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), axis=(1, 2))  # [n, h, w, c, kh, kw]
    seen = seen[:, ::sh, ::sw, :, ::dh, ::dw][:, : out_hw[0], : out_hw[1]]
    matrix = w.transpose(3, 1, 2, 0).reshape(-1, out_c)
    step = max(1, MAX_COLUMNS // (out_hw[0] * out_hw[1] * len(matrix)))
    parts = [seen[i : i + step].reshape(-1, len(matrix)) @ matrix for i in range(0, len(x), step)]
    return np.concatenate(parts).reshape(len(x), *out_hw, out_c)


def _depthwise(x: Array, w: Array, attrs: dict[str, Any], out_hw: Sequence[int]) -> Array:
    (sh, sw), (dh, dw) = attrs["stride"], attrs["dilation"]
    x = _padded(np.repeat(x, w.shape[3] // x.shape[3], axis=3) if w.shape[3] != x.shape[3] else x, attrs["padding"])
    total = np.zeros((len(x), *out_hw, w.shape[3]), x.dtype)
    for ky in range(w.shape[1]):
        for kx in range(w.shape[2]):
            rows = slice(ky * dh, ky * dh + (out_hw[0] - 1) * sh + 1, sh)
            total += x[:, rows, kx * dw : kx * dw + (out_hw[1] - 1) * sw + 1 : sw] * w[0, ky, kx]
    return total


def _linear(graph: Graph, node: Node, inputs: Sequence[Array | None]) -> Array | None:
    """A layer with weights, None for a form that is not done here."""
    x, w, b = np.asarray(inputs[0]), np.asarray(inputs[1]), inputs[2] if len(inputs) > 2 else None
    shape = graph[node.outputs[0]].shape
    if node.op == "fully_connected":
        y = x.reshape(-1, w.shape[1]) @ w.T
    elif node.op == "conv2d" and x.shape[-1] == w.shape[-1]:
        y = _convolve(x[:, 0], w, node.attrs, shape[1:3])
    elif node.op == "depthwise_conv2d":
        y = _depthwise(x[:, 0], w, node.attrs, shape[1:3])
    else:
        return None
    return support.apply_activation(node, y.reshape(len(x), *shape) + (np.float32(0) if b is None else b))


def _pool(graph: Graph, node: Node, x: Array) -> Array:
    shape = graph[node.outputs[0]].shape
    y = np.empty((len(x), *shape), x.dtype)
    for oy, ox, rows, cols in pooling.windows(node.attrs, graph[node.inputs[0]].shape, shape):
        window = x[:, 0, rows, cols]
        y[:, 0, oy, ox] = window.mean(axis=(1, 2)) if node.op == "average_pool2d" else window.max(axis=(1, 2))
    return support.apply_activation(node, y)


def _aligned(graph: Graph, node: Node, inputs: Sequence[Array | None], constant: Sequence[bool]) -> bool:
    """True when NumPy repeats the operands rightly although those that move have one more axis, that of the samples, in front."""
    rank = len(graph[node.outputs[0]].shape)
    return all(
        np.ndim(np.asarray(v)) == rank + 1 if not c else np.ndim(np.asarray(v)) <= rank for v, c in zip(inputs, constant, strict=True)
    )


def run_batch(graph: Graph, node: Node, inputs: Sequence[Array | None], constant: Sequence[bool]) -> list[Array]:
    """Results of a float node; operands that are `constant` have no axis of samples."""
    op = operator(node.op)
    moving = [np.asarray(v) for v, c in zip(inputs, constant, strict=True) if v is not None and not c]
    plain = all(c for i, c in enumerate(constant) if i > 0)
    if plain and node.op in ("conv2d", "depthwise_conv2d", "fully_connected") and not any(inputs[3:]):
        y = _linear(graph, node, inputs)
        if y is not None:
            return [y]
    if node.op in ("average_pool2d", "max_pool2d"):
        return [_pool(graph, node, moving[0])]
    if node.op == "reshape":
        return [moving[0].reshape(len(moving[0]), *graph[node.outputs[0]].shape)]
    if node.op in UNARY:
        return op.real(graph, node, inputs)
    if node.op in BINARY and _aligned(graph, node, inputs, constant):
        return [support.apply_activation(node, BINARY[node.op](*(np.asarray(v) for v in inputs[:2])))]
    results = [
        op.real(graph, node, [v if v is None or c else v[i] for v, c in zip(inputs, constant, strict=True)]) for i in range(len(moving[0]))
    ]
    return [np.stack(parts) for parts in zip(*results, strict=True)]


def matched(value: Array, mean: Array, deviation: Array) -> Array:
    """A value moved and scaled so that its channels have the given mean and deviation."""
    axes = tuple(range(value.ndim - 1))
    old, width = value.mean(axis=axes, dtype=np.float64), value.std(axis=axes, dtype=np.float64)
    gain = np.where(width > 1e-6 * max(float(width.max(initial=0.0)), 1e-30), deviation / np.maximum(width, 1e-30), 0.0)
    return ((value - old) * gain + mean).astype(value.dtype)


Visit = Callable[[Node, list[Array]], list[Array]]


Promised = Mapping[str, tuple[Array, Array]]


class Runner:
    """Runs the nodes of a float graph on a batch and forgets values that nobody will read.

    `promised` holds (mean, deviation) of the channels of some results before their activation. Samples that were made up are given these
    statistics there, layer by layer, so that what follows sees what training saw.
    """

    def __init__(self, graph: Graph, keep: Sequence[str] = (), promised: Promised | None = None) -> None:
        self.graph, self.promised = graph, promised or {}
        self.constants = {t.name: np.asarray(t.data) for t in graph.tensors.values() if t.kind is not Kind.ARENA}
        self.last: dict[str, int] = {}
        for i, node in enumerate(graph.nodes):
            self.last.update(dict.fromkeys(node.reads(), i))
        self.keep = {*keep, *graph.outputs}

    def step(self, node: Node, values: dict[str, Array], constants: dict[str, Array] | None = None) -> list[Array]:
        """Results of one node on the values so far."""
        known = self.constants if constants is None else constants
        fixed = [bool(t) and t in known for t in node.inputs]
        operands = [None if not t else known[t] if c else values[t] for t, c in zip(node.inputs, fixed, strict=True)]
        if node.outputs[0] not in self.promised:
            return run_batch(self.graph, node, operands, fixed)
        bare = replace(node, attrs={**node.attrs, "activation": "none"})
        (value,) = run_batch(self.graph, bare, operands, fixed)
        return [support.apply_activation(node, matched(value, *self.promised[node.outputs[0]]))]

    def forget(self, i: int, *stores: dict[str, Array]) -> None:
        """Drop what node i was the last to read."""
        for name in self.graph.nodes[i].reads():
            if self.last.get(name) == i and name not in self.keep:
                for values in stores:
                    values.pop(name, None)

    def run(self, feeds: dict[str, Array], visit: Visit | None = None) -> dict[str, Array]:
        """Values of the outputs (and of `keep`). `visit` sees the results of each node and may put others in their place."""
        values = dict(feeds)
        for i, node in enumerate(self.graph.nodes):
            results = self.step(node, values)
            if visit is not None:
                results = visit(node, results)
            for name, value in zip(node.outputs, results, strict=False):
                if name:
                    values[name] = value
            self.forget(i, values)
        return values


def batches(feeds: dict[str, Array], size: int) -> Iterator[dict[str, Array]]:
    """The samples in portions."""
    count = len(next(iter(feeds.values())))
    for start in range(0, count, size):
        yield {name: value[start : start + size] for name, value in feeds.items()}


def real_tensors(graph: Graph) -> list[str]:
    """Names of the float32 values that are computed or fed, in program order."""
    names = [*graph.inputs, *(t for node in graph.nodes for t in node.writes())]
    return [n for n in names if graph[n].dtype is DType.FLOAT32 and graph[n].kind is Kind.ARENA]

"""The scheme (Jacob et al.): real = scale * (q - zero point); activations int8, one scale; weights int8 around 0; biases int32 s_x s_w."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kilograd.errors import UnsupportedOperator
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams
from kilograd.quantize.config import QuantizeConfig
from kilograd.quantize.groups import Groups
from kilograd.quantize.prepare import CHANNEL_AXIS, weighted

BIAS_LIMIT = 2.0**30  # of an integer bias: the product sums need room beside it
SMALLEST = 1e-12  # scale
#: operators that may read constants as if they were activations
TAKES_CONSTANTS = (
    "add", "sub", "mul", "div", "maximum", "minimum", "squared_difference", "prelu", "concatenation", "pack", "batch_matmul", "gather",
)  # fmt: skip

Params = dict[str, QuantParams]
Ranges = Mapping[str, tuple[float, float]]


def range_params(low: float, high: float) -> QuantParams:
    """Quantization whose 256 steps cover a range; 0 is represented exactly, an empty range becomes 0..1."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < SMALLEST * 255:
        low, high = 0.0, 1.0
    scale = np.float32((high - low) / 255)
    zero = int(np.clip(np.round(-128 - low / float(scale)), -128, 127))
    return QuantParams.per_tensor(float(scale), zero)


def fake_quantize(value: Array, q: QuantParams) -> Array:
    """To int8 and back, in the element type of `value`."""
    steps = np.rint(value * np.float32(1 / q.s)) + np.float32(q.z)
    back: Array = (np.clip(steps, -128, 127) - np.float32(q.z)) * np.float32(q.s)
    return back


def group_ranges(graph: Graph, groups: Groups, ranges: Ranges) -> dict[str, tuple[float, float]]:
    """The range of each group: what its members need together."""
    found: dict[str, tuple[float, float]] = {}
    for root, members in groups.members().items():
        each = [ranges[t] for t in members if t in ranges]
        each += [constant_range(graph, t) for t in members if graph[t].kind is Kind.CONST]
        if each:
            found[root] = (min(r[0] for r in each), max(r[1] for r in each))
    return found


def constant_range(graph: Graph, name: str) -> tuple[float, float]:
    """Extremes of a constant."""
    data = np.asarray(graph[name].data)
    return float(data.min()), float(data.max())


def activation_params(graph: Graph, groups: Groups, ranges: Mapping[str, tuple[float, float]]) -> Params:
    """Quantization of every float value: by its group's range (of `group_ranges`), or as its operator fixes it; and of constants."""
    params: Params = {}
    for root, members in groups.members().items():
        q = QuantParams.per_tensor(*groups.fixed[root]) if root in groups.fixed else range_params(*ranges[root])
        params.update(dict.fromkeys(members, q))
    for node in graph.nodes:
        for name in constant_operands(graph, node):
            if name not in params:
                params[name] = range_params(*constant_range(graph, name))
    return params


def constant_operands(graph: Graph, node: Node) -> list[str]:
    """Constant float operands that a node reads as values (not as weights of a layer)."""
    if weighted(graph, node) or node.op == "lstm":
        return []
    names = [t for t in node.reads() if graph[t].kind is not Kind.ARENA and graph[t].dtype is DType.FLOAT32]
    if names and node.op not in TAKES_CONSTANTS:
        raise UnsupportedOperator(
            f"layer '{node.name}' ({node.op}) has float weights or state and the quantizer has no rule for them. Quantize the model with "
            "the tool that trained it, or replace the layer."
        )
    return names


def quantize_weights(weights: Array, axis: int | None, smallest: Array | float = 0.0) -> tuple[Array, Array]:
    """int8 around 0 and scales (one a slice of `axis`, or one); no scale is below `smallest`. Empty channels: scale of the whole."""
    w = np.asarray(weights, np.float64)
    whole = float(np.abs(w).max(initial=0.0))
    largest = np.array([whole]) if axis is None else np.abs(w).max(axis=tuple(i for i in range(w.ndim) if i != axis))
    largest = np.where(largest > 0, largest, whole if whole > 0 else 1.0)
    scale = np.maximum(np.maximum(largest / 127, smallest), SMALLEST).astype(np.float32)
    shape = [-1 if i == axis else 1 for i in range(w.ndim)]
    q = np.clip(np.rint(w / scale.astype(np.float64).reshape(shape)), -127, 127).astype(np.int8)
    return q, scale


class LayerIntegers:
    """Integer weights and bias of one layer; those rounded already (rounding.py) stand in `graph.meta["rounded"]`."""

    def __init__(self, graph: Graph, node: Node, x: QuantParams, config: QuantizeConfig) -> None:
        weights = np.asarray(graph[node.inputs[1]].data)
        self.axis = None if node.op == "fully_connected" and not config.dense_per_channel else CHANNEL_AXIS[node.op]
        bias = np.asarray(graph[node.inputs[2]].data, np.float64) if len(node.inputs) > 2 and node.inputs[2] else None
        floor: Array | float = 0.0
        if bias is not None:  # a channel whose weights vanish beside its bias gets coarser weights, so that the bias fits
            floor = np.abs(bias) / (x.s * BIAS_LIMIT)
            floor = floor if self.axis is not None else float(np.max(floor))
        self.weights, self.scale = quantize_weights(weights, self.axis, floor)
        if node.name in graph.meta.get("rounded", {}):
            self.weights, self.scale = graph.meta["rounded"][node.name]
        self.bias_scale = np.float32(x.s) * self.scale
        self.bias = None
        if bias is not None:
            self.bias = np.clip(np.rint(bias / self.bias_scale.astype(np.float64)), -(2**31), 2**31 - 1).astype(np.int32)

    def real_weights(self) -> Array:
        """The weights as float32 again."""
        shape = [-1 if i == self.axis else 1 for i in range(self.weights.ndim)]
        back: Array = self.weights.astype(np.float32) * self.scale.reshape(shape)
        return back

    def real_bias(self) -> Array | None:
        """The bias as float32 again."""
        return None if self.bias is None else (self.bias * self.bias_scale.astype(np.float64)).astype(np.float32)

"""Turning the tensors that a scheme selects into state: whole weights, the live part of partly learned weights, biases."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from kilograd.errors import GraphError, SchemeError
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Phase, QuantParams, Tensor
from kilograd.ops import fields
from kilograd.ops.base import prod
from kilograd.ops.fixed_point import I32_MAX, ROUND_NEAREST
from kilograd.train.config import TrainConfig
from kilograd.train.scheme import LAYERS, Selection, input_channels, layers

#: range of an int16 bias delta
DELTA_LIMIT = 32767


@dataclass(frozen=True)
class Bias:
    """A bias that learns. `parameter` is what the update changes: the int32 bias itself, or the int16 delta beside it."""

    parameter: str
    unit: float  # of the parameter, in units of the int32 bias: 1 or 2^u
    limit: int  # largest |parameter|
    frozen: Array  # bool [channels]: initial value so large that a step could overflow the accumulator


@dataclass
class Learned:
    """What learns in a graph after `make_learnable`."""

    layer: dict[str, str] = field(default_factory=dict)  # parameter to node name
    biases: dict[str, Bias] = field(default_factory=dict)  # bias operand of a layer to its Bias
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)  # parameter to smallest and largest value


def scale_guard(scales: Array, guard: float) -> Array:
    """True for channels whose weight scale is so small that a step in integers would explode (collapsed channels of real models)."""
    scales = np.asarray(scales, np.float64)
    return scales < guard * np.median(scales)


def make_learnable(graph: Graph, selection: Selection, config: TrainConfig) -> Learned:
    """Convert the selected tensors of `graph` (changed in place) and tell what learns."""
    learned = Learned()
    for node in layers(graph):
        node.inputs += [""] * (3 - len(node.inputs))
        if k := selection.weights.get(node.name, 0):
            _weights(graph, node, k, learned)
        if node.name in selection.biases:
            _bias(graph, node, config, learned)
    return learned


def _own(graph: Graph, node: Node, name: str) -> None:
    """Two layers that share a parameter would both write it."""
    readers = graph.consumers(name)
    if len(readers) > 1:
        names = ", ".join(f"'{n.name}'" for n in readers[:4])
        raise SchemeError(f"'{name}' is shared by layers {names} and cannot learn. Let other layers learn, or export without sharing.")
    if graph[name].data is None:
        raise GraphError(f"'{name}' of layer '{node.name}' cannot learn: it is no constant")


def _weights(graph: Graph, node: Node, k: int, learned: Learned) -> None:
    w, axis = graph[node.inputs[1]], LAYERS[node.op]
    _own(graph, node, w.name)
    total = w.shape[axis]
    part = k * (total // input_channels(graph, node))  # a depthwise channel may have several columns
    if node.op in ("svdf", "lstm"):
        _second_weights(graph, node, part < total, learned)
    parameter = w.name if part == total else f"{w.name}#live"
    if part == total:
        graph.set(w.name, kind=Kind.STATE)
    else:
        graph.add(_slice(w, parameter, axis, 0, part, Kind.STATE))
        graph.tensors[w.name] = _slice(w, w.name, axis, part, total, Kind.CONST)
        node.inputs = [*node.inputs[:3], parameter]
    learned.layer[parameter] = node.name
    learned.ranges[parameter] = (-128, 127) if w.q.zero_point.any() else (-127, 127)


def _second_weights(graph: Graph, node: Node, partly: bool, learned: Learned) -> None:
    """The time weights of an SVDF and the recurrent weights of an LSTM learn with the others, which learn as a whole."""
    if partly:
        raise SchemeError(f"the weights of '{node.name}' ({node.op}) learn as a whole or not at all: give fraction 1.")
    second = node.inputs[4]
    _own(graph, node, second)
    graph.set(second, kind=Kind.STATE)
    limit = DELTA_LIMIT if node.op == "svdf" else 127
    learned.layer[second], learned.ranges[second] = node.name, (-limit, limit)


def _slice(t: Tensor, name: str, axis: int, first: int, last: int, kind: Kind) -> Tensor:
    """Part [first, last) of a constant along `axis`, with its part of per-channel scales."""
    q = t.q
    if q.axis == axis:
        q = QuantParams(q.scale[first:last], q.zero_point[first:last], axis)
    assert t.data is not None
    data = np.ascontiguousarray(np.take(t.data, range(first, last), axis))
    return replace(t, name=name, shape=data.shape, kind=kind, quant=q, data=data)


def accumulator_headroom(graph: Graph, node: Node) -> int:
    """Largest |bias| with which the sum of a layer cannot leave int32."""
    if node.op == "svdf":
        return I32_MAX // 2  # the other half is for the weights, whose sum has no bound below 2^31
    w = graph[node.inputs[1]]
    fan_in = input_channels(graph, node) if node.op != "depthwise_conv2d" else 1
    fan_in *= prod(w.shape[1:3]) if len(w.shape) == 4 else 1
    return max(I32_MAX - 255 * (255 if w.q.zero_point.any() else 128) * fan_in, 0)


def whole_scales(graph: Graph, node: Node) -> Array:
    """Weight scales of all output channels of a layer, whether its weights are in one piece or two."""
    scales = [graph[node.inputs[1]].q.scale]
    live = fields.optional(node, 3)
    if live and node.op == "depthwise_conv2d" and graph[live].q.axis is not None:
        scales.insert(0, graph[live].q.scale)
    return np.broadcast_to(np.concatenate(scales).astype(np.float64), (graph[node.outputs[0]].shape[-1],))


def _bias(graph: Graph, node: Node, config: TrainConfig, learned: Learned) -> None:
    if not node.inputs[2]:
        _add_zero_bias(graph, node)
    name = node.inputs[2]
    _own(graph, node, name)
    data = graph[name].data
    assert data is not None
    limit = accumulator_headroom(graph, node)
    frozen = np.abs(data.astype(np.int64)) > limit
    if config.bias == "int32":
        graph.set(name, kind=Kind.STATE)
        learned.biases[name] = Bias(name, 1.0, limit, frozen)
        learned.layer[name], learned.ranges[name] = node.name, (-limit, limit)
        return
    u = _delta_shift(graph, node)
    frozen |= np.abs(data.astype(np.int64)) + (DELTA_LIMIT << u) > limit
    delta, total = f"{name}#delta", f"{name}#sum"
    graph.add(Tensor(delta, data.shape, DType.INT16, Kind.STATE, data=np.zeros(data.shape, np.int16)))
    graph.add(Tensor(total, data.shape, DType.INT32, quant=graph[name].quant))
    graph.nodes.insert(graph.index(node), Node("bias_delta", [name, delta], [total], {"u": u}, f"{node.name}/bias_delta", Phase.FORWARD))
    node.inputs[2] = total
    learned.biases[total] = Bias(delta, float(2**u), DELTA_LIMIT, frozen)
    learned.layer[delta], learned.ranges[delta] = node.name, (-DELTA_LIMIT, DELTA_LIMIT)


def _add_zero_bias(graph: Graph, node: Node) -> None:
    channels = graph[node.outputs[0]].shape[-1]
    name = graph.fresh(f"{node.name}.bias")
    graph.add(Tensor(name, (channels,), DType.INT32, Kind.CONST, data=np.zeros(channels, np.int32)))
    node.inputs[2] = name


def _delta_shift(graph: Graph, node: Node) -> int:
    """Shift u of the int16 deltas: 255 steps of the layer's output, the whole int8 range, fit 15 bits in the median channel."""
    if node.op == "svdf":
        unit = graph[node.inputs[5]].q.s * graph[node.inputs[4]].q.scale
    elif node.op == "lstm":
        unit = graph[node.inputs[0]].q.s * graph[node.inputs[1]].q.scale
    else:
        unit = graph[node.inputs[0]].q.s * whole_scales(graph, node)
    m = unit / (2.0**-12 if node.op == "lstm" else graph[node.outputs[0]].q.s)  # sums of gates have 12 fraction bits
    return min(max(0, int(np.ceil(np.log2(np.median(255 / m) / DELTA_LIMIT)))), 15)


def add_update_state(graph: Graph, learned: Learned, config: TrainConfig) -> None:
    """Fractions of w8f8 weights, and pending steps of accumulated gradients."""
    for name in learned.layer:
        t = graph[name]
        if config.storage == "w8f8" and t.dtype is DType.INT8:
            graph.add(Tensor(f"{name}#fraction", t.shape, DType.INT8, Kind.STATE, data=np.zeros(t.shape, np.int8)))
        if config.accumulate > 1:
            graph.add(Tensor(f"{name}#pending", t.shape, DType.INT32, Kind.STATE, data=np.zeros(t.shape, np.int32)))


def apply_nodes(graph: Graph, learned: Learned, rounding: int) -> list[Node]:
    """One sgd_apply a parameter with pending steps."""
    nodes = []
    biases = {b.parameter for b in learned.biases.values()}
    for name, layer in learned.layer.items():
        pending, fraction = f"{name}#pending", f"{name}#fraction"
        if pending not in graph.tensors:
            continue
        fraction = fraction if fraction in graph.tensors else ""
        lo, hi = learned.ranges[name]
        attrs = {"rounding": ROUND_NEAREST if name in biases else rounding, "lo": lo, "hi": hi}
        second = [name] == next(n for n in graph.nodes if n.name == layer).inputs[4:5]
        what = "bias" if name in biases else "second_weights" if second else "weights"
        mutates = tuple(t for t in (name, fraction, pending) if t)
        node_name = f"{layer}/apply_{what}"
        nodes.append(Node("sgd_apply", [name, fraction, pending, fields.TRAIN], [], attrs, node_name, Phase.APPLY, mutates))
    return nodes

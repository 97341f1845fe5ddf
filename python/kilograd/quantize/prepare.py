"""Passes over a float graph before it is calibrated: plain functions Graph -> Graph that leave what the network computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from kilograd.errors import GraphError
from kilograd.frontends.simplify import fold_constants, fuse_pad, merge_reshapes
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Tensor
from kilograd.ir.passes import remove_dead_nodes

#: operators with weights: the axis of the output channels in the weights
CHANNEL_AXIS = {"conv2d": 0, "depthwise_conv2d": 3, "fully_connected": 0, "transpose_conv": 0}
#: operators into which an activation can be fused
FUSED_INTO = (*CHANNEL_AXIS, "add", "sub", "mul")


def prepare(graph: Graph) -> Graph:
    """All passes of this file."""
    for one in (fold_constants, fold_batch_norm, fuse_activations, fuse_pad, merge_reshapes, remove_dead_nodes):
        graph = one(graph)
    return graph


def weighted(graph: Graph, node: Node) -> bool:
    """True for a layer with constant float weights."""
    return node.op in CHANNEL_AXIS and graph[node.inputs[1]].dtype is DType.FLOAT32 and graph[node.inputs[1]].kind is Kind.CONST


def only_reader(graph: Graph, tensor: str) -> Node | None:
    """The node that reads `tensor` if there is exactly one and the tensor is no output of the graph."""
    readers = graph.consumers(tensor)
    return readers[0] if len(readers) == 1 and tensor not in graph.outputs else None


def constant(graph: Graph, name: str) -> Array:
    """Content of a constant as float64."""
    data = graph[name].data
    if data is None:
        raise GraphError(f"tensor '{name}' must be a constant here")
    return np.asarray(data, np.float64)


def set_constant(graph: Graph, node: Node, i: int, value: Array, stem: str) -> None:
    """Give a node a constant of its own as operand i; the one that it alone reads under the name `stem` is replaced."""
    data = np.ascontiguousarray(value, np.float32)
    if len(node.inputs) > i and node.inputs[i] == stem and len(graph.consumers(stem)) == 1:
        graph.set(stem, shape=data.shape, data=data)
        return
    name = graph.fresh(stem)
    graph.add(Tensor(name, data.shape, DType.FLOAT32, Kind.CONST, None, data))
    node.inputs += [""] * (i + 1 - len(node.inputs))
    node.inputs[i] = name


def along_channels(node: Node, weights: Array, values: Array) -> Array:
    """`values`, one an output channel, in a shape that multiplies the weights of `node`."""
    shape = [1] * weights.ndim
    shape[CHANNEL_AXIS[node.op]] = -1
    return values.reshape(shape)


def fold_batch_norm(graph: Graph) -> Graph:
    """Fold a batch normalisation into the layer with weights before it; one that stands elsewhere becomes a product and a sum.

    `graph.meta["batch_norm"]` then holds (mean, deviation) of each channel of what the folded layer gives before its activation, which the
    statistics of training promise; calibration without data reads them.
    """
    out = graph.copy()
    promised: dict[str, tuple[Array, Array]] = dict(out.meta.get("batch_norm", {}))
    for norm in [n for n in out.nodes if n.op == "batch_norm"]:
        gamma, beta, mean, variance = (constant(out, t) for t in norm.inputs[1:5])
        factor = gamma / np.sqrt(variance + float(norm.attrs.get("epsilon", 1e-5)))
        offset = beta - mean * factor
        layer = out.producer(norm.inputs[0])
        fits = layer is not None and weighted(out, layer) and only_reader(out, layer.outputs[0]) is norm
        if layer is not None and fits and layer.attrs.get("activation", "none") == "none":
            w = constant(out, layer.inputs[1])
            old = constant(out, layer.inputs[2]) if len(layer.inputs) > 2 and layer.inputs[2] else np.zeros(len(factor))
            set_constant(out, layer, 1, w * along_channels(layer, w, factor), f"{layer.inputs[1]}.folded")
            set_constant(out, layer, 2, old * factor + offset, f"{layer.name}.bias.folded")
            _take_result(out, layer, norm)
        else:
            _as_product_and_sum(out, norm, factor, offset)
        promised[norm.outputs[0]] = (beta, np.abs(gamma))
    out.meta["batch_norm"] = promised
    out.drop_unused()
    return out


def _take_result(graph: Graph, layer: Node, after: Node) -> None:
    """Let `layer` write what `after`, which is removed, wrote."""
    layer.outputs = [after.outputs[0]]
    graph.nodes = [n for n in graph.nodes if n is not after]


def _as_product_and_sum(graph: Graph, norm: Node, factor: Array, offset: Array) -> None:
    x, y, name = graph[norm.inputs[0]], norm.outputs[0], norm.name or norm.outputs[0]
    scaled = graph.fresh(f"{y}.scaled")
    graph.add(Tensor(scaled, x.shape, DType.FLOAT32))
    product = Node("mul", [x.name], [scaled], {"activation": "none"}, name=f"{name}.scale")
    total = Node("add", [scaled], [y], {"activation": "none"}, name=name)
    shape = (1,) * (len(x.shape) - 1) + (len(factor),)
    set_constant(graph, product, 1, factor.reshape(shape), f"{y}.factor")
    set_constant(graph, total, 1, offset.reshape(shape), f"{y}.offset")
    at = graph.index(norm)
    graph.nodes[at : at + 1] = [product, total]


def fuse_activations(graph: Graph) -> Graph:
    """Let a layer clamp by itself instead of a relu or relu6 that alone reads its result."""
    out = graph.copy()
    promised: dict[str, Any] = out.meta.get("batch_norm", {})
    for act in [n for n in out.nodes if n.op in ("relu", "relu6")]:
        layer = out.producer(act.inputs[0])
        if layer is None or layer.op not in FUSED_INTO or only_reader(out, layer.outputs[0]) is not act:
            continue
        if layer.attrs.get("activation", "none") != "none":
            continue
        layer.attrs["activation"] = act.op
        if layer.outputs[0] in promised:
            promised = {**promised, act.outputs[0]: promised[layer.outputs[0]]}
        _take_result(out, layer, act)
    out.meta["batch_norm"] = promised
    out.drop_unused()
    return out

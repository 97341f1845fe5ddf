"""Passes over imported graphs that leave every remaining tensor as it was, bit for bit: plain functions Graph -> Graph."""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Graph, Kind, Node
from kilograd.ir.passes import remove_dead_nodes, replace_uses
from kilograd.ops.base import RunState, operator, run_node
from kilograd.ops.strided_copy import MoveOperator
from kilograd.ops.support import same_quant

PADDED = ("conv2d", "depthwise_conv2d")  # not pooling: there pixels outside do not count, pixels of a PAD do
MAX_FOLDED = 1 << 20  # elements of a result that is computed at compile time


def simplify(graph: Graph) -> Graph:
    """All passes of this file, then the removal of what is dead."""
    for one in (fold_constants, moves_to_reshapes, merge_reshapes, fuse_pad, remove_dead_nodes):
        graph = one(graph)
    return graph


def fuse_pad(graph: Graph) -> Graph:
    """Let a convolution pad by itself instead of reading the result of a PAD.

    Exact, because both pad with the zero point of the same quantization. Done where the convolution is the only reader and the PAD touches
    height and width only.
    """
    out = graph.copy()
    for pad in [n for n in out.nodes if n.op == "pad"]:
        x, padded = pad.inputs[0], pad.outputs[0]
        readers = out.consumers(padded)
        if len(readers) != 1 or padded in out.outputs or not same_quant(out[x], out[padded]) or not _with_zero(out, pad):
            continue
        conv, pads = readers[0], pad.attrs["padding"]
        if conv.op not in PADDED or conv.inputs.count(padded) != 1 or conv.inputs[0] != padded or not _spatial(pads):
            continue
        (top, bottom), (left, right) = pads[1], pads[2]
        t, b, le, r = conv.attrs["padding"]
        conv.attrs["padding"] = (t + top, b + bottom, le + left, r + right)
        conv.inputs[0] = x
        _remove(out, pad)
    out.drop_unused()
    return out


def fold_constants(graph: Graph) -> Graph:
    """Compute nodes all of whose operands are constants; their results become constants."""
    out = graph.copy()
    for node in list(out.nodes):
        known = node.reads() and all(out[t].kind is Kind.CONST for t in node.reads())
        if not known or node.mutates or operator(node.op).internal or any(t in out.outputs for t in node.outputs):
            continue
        if len(node.outputs) != 1 or out[node.outputs[0]].size > MAX_FOLDED:
            continue
        values = [out[t].data if t else None for t in node.inputs]
        (value,) = run_node(out, node, values, RunState({}))
        t = out[node.outputs[0]]
        out.set(t.name, kind=Kind.CONST, data=np.ascontiguousarray(value.reshape(t.shape)))
        _remove(out, node)
    out.drop_unused()
    return out


def moves_to_reshapes(graph: Graph) -> Graph:
    """A move that leaves every element where it is (a permutation of axes of size 1, a slice of everything) becomes a reshape, a view."""
    out = graph.copy()
    for node in out.nodes:
        op = operator(node.op)
        if not isinstance(op, MoveOperator) or len(node.inputs) != 1 or op.table(out, node, 0) is not None:
            continue
        moves, y = op.moves(out, node), out[node.outputs[0]]
        if y.size == out[node.inputs[0]].size and len(moves) == 1 and moves[0].stays():
            node.op, node.attrs = "reshape", {"shape": y.shape}
    return out


def merge_reshapes(graph: Graph) -> Graph:
    """A reshape of a reshape reads the first operand; a reshape to the same shape disappears."""
    out = graph.copy()
    for node in [n for n in out.nodes if n.op == "reshape"]:
        source = out.producer(node.inputs[0])
        if source is not None and source.op == "reshape":
            node.inputs[0] = source.inputs[0]
        x, y = out[node.inputs[0]], out[node.outputs[0]]
        if x.shape == y.shape and y.name not in out.outputs and same_quant(x, y):
            replace_uses(out, y.name, x.name)
            _remove(out, node)
    return remove_dead_nodes(out)


def _with_zero(graph: Graph, pad: Node) -> bool:
    """The border means 0, as that of a convolution does."""
    q, given = graph[pad.inputs[0]].quant, pad.attrs.get("value")
    zero = pad.attrs.get("real_value", 0.0) == 0.0 if q is None else given is None or given == q.z
    return zero and pad.attrs.get("mode", "constant") == "constant"


def _spatial(pads: list[list[int]]) -> bool:
    return len(pads) == 4 and not any(pads[0]) and not any(pads[3])


def _remove(graph: Graph, node: Node) -> None:
    graph.nodes = [n for n in graph.nodes if n is not node]

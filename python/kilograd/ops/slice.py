"""Part of a tensor along one axis, copied: int8. Only passes create these nodes.

slice: elements [start, start + n) of `axis`, n from the shape of the result (the error of one operand of a concatenation; exponent shared).
channel_slice: the first `channels` of the last axis (what the backward pass saves of a partly learning layer's input).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import support
from kilograd.ops.base import KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register


def part(graph: Graph, node: Node) -> tuple[int, int, int]:
    """(axis, start, number of elements) that a node copies."""
    x, y = graph[node.inputs[0]], graph[node.outputs[0]]
    axis = int(node.attrs.get("axis", len(x.shape) - 1))
    if not 0 <= axis < len(x.shape) or len(y.shape) != len(x.shape):
        raise GraphError(f"{node.op} '{node.name}': axis {axis} does not fit shapes {list(x.shape)} and {list(y.shape)}")
    return axis, int(node.attrs.get("start", 0)), int(node.attrs.get("channels", y.shape[axis]))


class SliceOperator(Operator):
    """y = x[.., start : start + n, ..]."""

    internal = True
    kernels = ("slice_ref_s8",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, (axis, start, size) = graph[node.inputs[0]], part(graph, node)
        support.need_int8(graph, node, x.name)
        if start < 0 or size < 1 or start + size > x.shape[axis]:
            raise GraphError(f"{node.op} '{node.name}': {size} elements from {start} on of axis {axis} are not all in {list(x.shape)}")
        return [TensorType(tuple(size if i == axis else d for i, d in enumerate(x.shape)), DType.INT8, x.quant)]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "same"

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        axis, start, size = part(graph, node)
        return [np.ascontiguousarray(np.asarray(inputs[0]).take(range(start, start + size), axis=axis))]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, (axis, start, size) = graph[node.inputs[0]], part(graph, node)
        inner = prod(x.shape[axis + 1 :])
        sizes = {"outer": prod(x.shape[:axis]), "chunk": size * inner, "stride": x.shape[axis] * inner, "offset": start * inner}
        return KernelCall("slice_ref_s8", {"x": Operand(x.name), "y": Operand(node.outputs[0]), **sizes})


@register
class Slice(SliceOperator):
    """y = x[.., start : start + n, ..]. Attributes: axis, start."""

    name = "slice"
    no_gradient = "it is part of a backward pass"
    whole_input = "it runs on whole error tensors"


@register
class ChannelSlice(SliceOperator):
    """y = x[.., :channels], saved for the backward pass. Attribute: channels (default: what the result has)."""

    name = "channel_slice"
    no_gradient = "it only saves a value for the backward pass"

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        return first, last

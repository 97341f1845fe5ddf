"""What element-wise operators on two operands share (add, mul): shapes, clamp, argument struct with its kg_broadcast part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Array, Graph, Node, Shape
from kilograd.ops import fields, support
from kilograd.ops.base import FieldValue, KernelCall, Operand, Operator, Reference, TensorType, prod

AXES = 4


def _merge(shapes: Sequence[Shape]) -> list[tuple[int, ...]]:
    """Sizes per axis of shapes of one rank, result first; axes side by side are merged where each operand repeats both or walks both."""
    merged: list[tuple[int, ...]] = []
    for sizes in zip(*shapes, strict=True):
        if sizes[0] == 1:
            continue
        if merged and all((m == 1) == (s == 1) for m, s in zip(merged[-1], sizes, strict=True)):
            merged[-1] = tuple(m * s for m, s in zip(merged[-1], sizes, strict=True))
        else:
            merged.append(sizes)
    return merged


def broadcast_fields(node: Node, result: Shape, a: Shape, b: Shape) -> dict[str, FieldValue]:
    """kg_broadcast: at most four axes after merging."""
    rank = len(result)
    shapes = [result, (1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b)]
    axes = _merge(shapes)
    if len(axes) > AXES:
        raise GraphError(f"{node.op} '{node.name}': {a} and {b} repeat along too many axes; at most {AXES} groups of axes are supported")
    axes = [(1, 1, 1)] * (AXES - len(axes)) + axes
    words: dict[str, FieldValue] = {f"shape.size_{i}": axis[0] for i, axis in enumerate(axes)}
    for operand, prefix in ((1, "a"), (2, "b")):
        for i in range(AXES):
            walked = axes[i][operand] > 1
            words[f"shape.{prefix}_{i}"] = prod([axis[operand] for axis in axes[i + 1 :]]) if walked else 0
    return words


def rows(graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
    """Row by row where the first operand is not repeated."""
    return (first, last) if graph[node.inputs[0]].shape == graph[node.outputs[0]].shape else None


def require_whole(graph: Graph, node: Node, tensor: str) -> None:
    """Refuse the gradient of an operand that is repeated."""
    if prod(graph[tensor].shape) != prod(graph[node.outputs[0]].shape):
        raise NoBackwardRule(
            f"{node.op} '{node.name}' repeats its operand '{tensor}' {list(graph[tensor].shape)} over "
            f"{list(graph[node.outputs[0]].shape)}, and the gradient of a repeated operand is not supported. Let only layers after "
            f"'{node.name}' learn, or freeze what leads to '{tensor}'."
        )


class BinaryOperator(Operator):
    """An element-wise operator on two int8 tensors; either may be repeated along axes. Attribute: activation."""

    whole_input = "its first operand is repeated"
    clamps = True

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        a, b = graph[node.inputs[0]], graph[node.inputs[1]]
        dtype = support.need_activations(graph, node, a.name, b.name)
        try:
            shape = np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            raise GraphError(f"{node.op} '{node.name}': shapes {a.shape} and {b.shape} do not fit") from None
        return support.with_mask(node, TensorType(shape, dtype, graph[node.outputs[0]].quant))

    def centred(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, Array]:
        """Both operands without their zero points, int64."""
        a, b = (np.asarray(v, np.int64) - graph[t].q.z for t, v in zip(node.inputs, inputs, strict=True))
        return a, b

    def results(self, graph: Graph, node: Node, value: Array) -> Reference:
        """Result and clamp mask from values in the integers of the result without its zero point."""
        y = graph[node.outputs[0]]
        limits = fields.activation_range(graph, y.name, node.attrs["activation"])
        return support.clamp_results(node, value.reshape(y.shape) + y.q.z, *limits)

    def call(self, graph: Graph, node: Node, scaling: dict[str, FieldValue]) -> KernelCall:
        """The kernel call; `scaling` are the multipliers and shifts."""
        a, b, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        return KernelCall(
            self.kernels[0],
            {
                "x1": Operand(a.name),
                "x2": Operand(b.name),
                "y": Operand(y.name),
                "mask": fields.operand(support.mask_name(node)),
                **broadcast_fields(node, y.shape, a.shape, b.shape),
                "x1_zero": a.q.z,
                "x2_zero": b.q.z,
                "y_zero": y.q.z,
                **scaling,
                "y_min": lo,
                "y_max": hi,
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        size = graph[node.outputs[0]].size
        return [(0, i) for i in (0, 1) if graph[node.inputs[i]].size == size]

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        return rows(graph, node, first, last)

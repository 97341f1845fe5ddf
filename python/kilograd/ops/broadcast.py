"""What element-wise operators on two operands share: shapes and the kg_broadcast part of their argument structs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import DType, Graph, Node, Shape
from kilograd.ops.base import FieldValue, TensorType, prod

AXES = 4


def infer(graph: Graph, node: Node) -> list[TensorType]:
    """Types of the result and its clamp mask."""
    a, b = graph[node.inputs[0]], graph[node.inputs[1]]
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise GraphError(f"{node.op} '{node.name}': shapes {a.shape} and {b.shape} do not fit") from None
    if a.dtype is not DType.INT8 or b.dtype is not DType.INT8:
        raise GraphError(f"{node.op} '{node.name}': operands are {a.dtype.value} and {b.dtype.value}, both must be int8")
    return [TensorType(shape, DType.INT8, graph[node.outputs[0]].quant), TensorType(shape, DType.BITS)][: len(node.outputs)]


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


def inplace(graph: Graph, node: Node) -> list[tuple[int, int]]:
    """The result may take the place of an operand that is not repeated."""
    y = graph[node.outputs[0]]
    return [(0, i) for i in (0, 1) if prod(graph[node.inputs[i]].shape) == prod(y.shape)]


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

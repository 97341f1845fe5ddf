"""What reductions over axes share (mean, sum, reduce_max, reduce_min): axes, shapes, argument struct.

Operand: x, up to four axes. Attributes: axes (counted from the front), keep_dims.
"""

from __future__ import annotations

from kilograd.errors import GraphError
from kilograd.ir.graph import DType, Graph, Node, Shape
from kilograd.ops import support
from kilograd.ops.base import FieldValue, Operator, TensorType, prod

MAX_COUNT = 1 << 23


def reduced(node: Node, shape: Shape) -> tuple[int, ...]:
    """The axes that are reduced away, checked."""
    axes = tuple(sorted({int(a) for a in node.attrs["axes"]}))
    if any(not 0 <= a < len(shape) for a in axes):
        raise GraphError(f"{node.op} '{node.name}': axes {list(axes)} are not all axes of shape {list(shape)}")
    return axes


def count(node: Node, shape: Shape) -> int:
    """Elements that make one result."""
    return prod([shape[a] for a in reduced(node, shape)])


def shape_fields(node: Node, shape: Shape) -> dict[str, FieldValue]:
    """kg_reduce_shape."""
    full = support.rank4(f"{node.op} '{node.name}'", shape)
    axes = {a + 4 - len(shape) for a in reduced(node, shape)}
    values: dict[str, FieldValue] = {f"shape.d{i}": full[i] for i in range(4)}
    return {**values, **{f"shape.over{i}": int(i in axes) for i in range(4)}}


class Reduction(Operator):
    """An operator that makes one element of each group of elements."""

    whole_input = "it may reduce rows"

    def result(self, graph: Graph, node: Node) -> tuple[Shape, DType]:
        """Shape and element type of the result."""
        x = graph[node.inputs[0]]
        dtype = support.activation_type(graph, node)
        support.rank4(f"{node.op} '{node.name}'", x.shape)
        axes = reduced(node, x.shape)
        if count(node, x.shape) > MAX_COUNT:
            raise GraphError(f"{node.op} '{node.name}': it reduces {count(node, x.shape)} values to one; at most {MAX_COUNT} are supported")
        if node.attrs.get("keep_dims", False):
            return tuple(1 if i in axes else d for i, d in enumerate(x.shape)), dtype
        return tuple(d for i, d in enumerate(x.shape) if i not in axes), dtype

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        shape, dtype = self.result(graph, node)
        return support.with_mask(node, TensorType(shape, dtype, graph[node.outputs[0]].quant))

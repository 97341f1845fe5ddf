"""A tensor repeated along its axes. Operand: x. Attribute: multiples, one number an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Array, Graph, Node
from kilograd.ops.base import TensorType, register
from kilograd.ops.strided_copy import Move, MoveOperator, need_int8, strides

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


@register
class Tile(MoveOperator):
    """y[i, j, ..] = x[i mod d0, j mod d1, ..]. The error of x is the sum over the copies."""

    name = "tile"
    tflite = ("TILE",)
    onnx = ("Tile",)
    whole_input = "rows are repeated"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, many = graph[node.inputs[0]], node.attrs["multiples"]
        if len(many) != len(x.shape) or any(n < 1 for n in many):
            raise GraphError(
                f"tile '{node.name}': multiples {list(many)} do not fit shape {list(x.shape)} (one number from 1 for each axis)"
            )
        return self.moved(graph, node, tuple(d * n for d, n in zip(x.shape, many, strict=True)))

    def compute(self, graph: Graph, node: Node, inputs: list[Array]) -> Array:
        return np.tile(inputs[0], node.attrs["multiples"])

    def moves(self, graph: Graph, node: Node) -> list[Move]:
        x, many, sy = graph[node.inputs[0]].shape, node.attrs["multiples"], strides(graph[node.outputs[0]].shape)
        sx = strides(x)
        sizes = tuple(v for pair in zip(many, x, strict=True) for v in pair)
        from_x = tuple(v for s in sx for v in (0, s))
        to_y = tuple(v for d, s in zip(x, sy, strict=True) for v in (d * s, s))
        return [Move(sizes, from_x, to_y)]

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        if not builder.wants(node.inputs[0]):
            return
        need_int8(builder.graph, node)
        x, (move,) = builder.graph[node.inputs[0]], self.moves(builder.graph, node)
        kept = Move(move.sizes[1::2], strides(x.shape), move.y[1::2]).merged()
        many = Move(move.sizes[::2], move.y[::2], move.y[::2]).merged()
        if max(len(kept.sizes), len(many.sizes)) > 4:
            raise NoBackwardRule(
                f"tile '{node.name}' repeats along more than four axes, whose errors cannot be summed. Freeze what is before."
            )
        gy, gx = builder.error_of(node), builder.new_error(x.name, node)
        attrs = {"sizes": kept.sizes, "strides": kept.y, "many": many.sizes, "steps": many.y}
        builder.emit("strided_sum", [gy], [gx], attrs, node)

"""Concatenation along one axis.

Operands: one or more. Attributes: axis; stack, true where the axis is a new one and each operand one slice of it. An int8 operand with
another quantization than the result goes through a table, computed in float32 as TensorFlow Lite's uint8 kernel does (its other kernels
allow only equal ones).
"""

from __future__ import annotations

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams, Shape
from kilograd.ops import lut, support
from kilograd.ops.base import TensorType, register
from kilograd.ops.lut import round_away
from kilograd.ops.strided_copy import Move, MoveOperator, strides


def rescale_table(x: QuantParams, y: QuantParams) -> Array:
    """int8 [256] from the quantization of an operand to that of the result (zero points and values as unsigned numbers)."""
    scale = np.float32(x.s) * (np.float32(1) / np.float32(y.s))
    bias = np.float32(-(x.z + 128)) * scale
    value = (lut.INPUTS + 128).astype(np.float32) * scale + bias
    table: Array = np.clip(round_away(value) + y.z, -128, 127).astype(np.int8)
    return table


@register
class Concatenation(MoveOperator):
    """y = operands one after another along an axis."""

    name = "concatenation"
    tflite = ("CONCATENATION", "PACK")
    onnx = ("Concat",)
    whole_input = "it may join rows"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        shapes, axis, y = self._shapes(graph, node), int(node.attrs["axis"]), graph[node.outputs[0]]
        dtype, first = support.need_activations(graph, node, *node.inputs), shapes[0]
        if node.attrs.get("activation", "none") != "none":
            raise GraphError(f"concatenation '{node.name}': a fused activation ({node.attrs['activation']}) is not possible here")
        if not 0 <= axis < len(first):
            raise GraphError(f"concatenation '{node.name}': axis {axis} is no axis of {list(first)}")
        for name, shape in zip(node.inputs, shapes, strict=True):
            if len(shape) != len(first) or any(a != b for i, (a, b) in enumerate(zip(shape, first, strict=True)) if i != axis):
                raise GraphError(f"concatenation '{node.name}': {list(shape)} and {list(first)} differ on another axis than {axis}")
            if (dtype is not DType.INT8 or node.attrs.get("stack")) and not support.same_quant(graph[name], y):
                raise GraphError(f"concatenation '{node.name}': '{name}' has another quantization than the result, as only int8 may have")
        shape = tuple(sum(s[axis] for s in shapes) if i == axis else d for i, d in enumerate(first))
        return [TensorType(shape, dtype, y.quant)]

    @staticmethod
    def _shapes(graph: Graph, node: Node) -> list[Shape]:
        """Shapes of the operands, with the new axis where they are stacked."""
        shapes, axis = [graph[t].shape for t in node.inputs], int(node.attrs["axis"])
        return [(*s[:axis], 1, *s[axis:]) for s in shapes] if node.attrs.get("stack") else shapes

    def compute(self, graph: Graph, node: Node, inputs: list[Array]) -> Array:
        join = np.stack if node.attrs.get("stack") else np.concatenate
        return join(inputs, axis=int(node.attrs["axis"]))

    def table(self, graph: Graph, node: Node, operand: int) -> Array | None:
        x, y = graph[node.inputs[operand]], graph[node.outputs[0]]
        return None if x.dtype is not DType.INT8 or support.same_quant(x, y) else rescale_table(x.q, y.q)

    def moves(self, graph: Graph, node: Node) -> list[Move]:
        axis, sy = int(node.attrs["axis"]), strides(graph[node.outputs[0]].shape)
        moves, start = [], 0
        for i, shape in enumerate(self._shapes(graph, node)):
            moves.append(Move(shape, strides(shape), sy, 0, start * sy[axis], i))
            start += shape[axis]
        return moves

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        spatial = len(graph[node.outputs[0]].shape) == 4 and node.attrs["axis"] != 1 and not node.attrs.get("stack")
        return (first, last) if spatial else None

"""Permutation of axes. Operand: x. Attribute: permutation (axis i of the result is axis permutation[i] of x)."""

from __future__ import annotations

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Node
from kilograd.ops.base import TensorType, register
from kilograd.ops.strided_copy import Move, MoveOperator, strides


@register
class Transpose(MoveOperator):
    """y[i0, i1, ..] = x[..], axes permuted."""

    name = "transpose"
    tflite = ("TRANSPOSE",)
    onnx = ("Transpose",)
    whole_input = "rows of the result are not rows of the input"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, order = graph[node.inputs[0]], tuple(node.attrs["permutation"])
        if sorted(order) != list(range(len(x.shape))):
            raise GraphError(f"transpose '{node.name}': {list(order)} is no permutation of the axes of {list(x.shape)}")
        return self.moved(graph, node, tuple(x.shape[a] for a in order))

    def compute(self, graph: Graph, node: Node, inputs: list[Array]) -> Array:
        return np.transpose(inputs[0], node.attrs["permutation"])

    def moves(self, graph: Graph, node: Node) -> list[Move]:
        x, y = strides(graph[node.inputs[0]].shape), graph[node.outputs[0]].shape
        return [Move(y, tuple(x[a] for a in node.attrs["permutation"]), strides(y))]

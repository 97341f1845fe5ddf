"""Another shape for the same bytes: a view, no kernel.

Operand: x (any type). Attribute: shape. In a backward pass it is also what gives an error tensor the shape of a layer's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Node
from kilograd.ops.base import KernelCall, Operator, Reference, RunState, TensorType, prod, register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


@register
class Reshape(Operator):
    """y = x under another shape."""

    name = "reshape"
    tflite = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
    onnx = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
    types = ("int8", "int16", "int32", "int64")
    float_kernel = True  # nothing is computed
    whole_input = "rows of the result need not be rows of the input"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        shape = tuple(int(d) for d in node.attrs.get("shape", y.shape))
        if prod(shape) != prod(x.shape):
            raise GraphError(f"reshape '{node.name}': {list(x.shape)} and {list(shape)} do not have the same number of elements")
        if x.quant is not None and not x.quant.same_as(y.quant):
            raise GraphError(f"reshape '{node.name}': input and result need the same quantization")
        return [TensorType(shape, x.dtype, x.quant)]

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.asarray(inputs[0]).reshape(graph[node.outputs[0]].shape)]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "same"

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        return [np.asarray(inputs[0]).reshape(graph[node.outputs[0]].shape)]

    def lower(self, graph: Graph, node: Node) -> list[KernelCall]:
        return []

    def view(self, graph: Graph, node: Node) -> bool:
        return True

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        if builder.wants(node.inputs[0]):
            builder.share_error(node.inputs[0], builder.error_of(node), node)

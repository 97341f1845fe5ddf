"""Where along one axis the largest value stands: int8 in, int32 or int64 out; the first of equals.

Operand: x. Attributes: axis (counted from the front), result ("int32" or "int64"), keep_dims.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import support
from kilograd.ops.base import KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register


class Position(Operator):
    """The index of the best element along an axis."""

    no_gradient = "an index does not change with the values, except in jumps"
    whole_input = "the axis may be that of the rows"
    kernels = ("arg_max_ref_s8",)
    smallest: ClassVar[bool]

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        shape, axis, where = graph[node.inputs[0]].shape, node.attrs["axis"], f"{node.op} '{node.name}'"
        support.activation_type(graph, node)
        if not 0 <= axis < len(shape):
            raise GraphError(f"{where}: axis {axis} is no axis of shape {list(shape)}")
        if node.attrs["result"] not in ("int32", "int64"):
            raise GraphError(f"{where}: the result must be int32 or int64, not {node.attrs['result']}")
        kept = (1,) if node.attrs.get("keep_dims", False) else ()
        return [TensorType((*shape[:axis], *kept, *shape[axis + 1 :]), DType(node.attrs["result"]))]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, y = np.asarray(inputs[0]), graph[node.outputs[0]]
        best = np.argmin if self.smallest else np.argmax
        return [best(x, axis=node.attrs["axis"]).astype(y.dtype.numpy).reshape(y.shape)]

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return self.reference(graph, node, inputs, RunState({}))

    def quantize(self, graph: Graph, node: Node) -> str:
        return "fixed"

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, axis = graph[node.inputs[0]], node.attrs["axis"]
        return KernelCall(
            "arg_max_ref_s8",
            {
                "x": Operand(x.name),
                "y": Operand(node.outputs[0]),
                "outer": prod(x.shape[:axis]),
                "axis": x.shape[axis],
                "inner": prod(x.shape[axis + 1 :]),
                "minimum": int(self.smallest),
                "wide": int(node.attrs["result"] == "int64"),
            },
        )


@register
class ArgMax(Position):
    """y = first k with the largest x along an axis."""

    name = "arg_max"
    tflite = ("ARG_MAX",)
    onnx = ("ArgMax",)
    smallest = False

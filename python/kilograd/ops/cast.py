"""The stored numbers in another element type, without regard to what they stand for.

Operand: x. Attributes: x_unsigned, y_unsigned (int8 that was uint8 before the import: 128 is added, or taken away). The result has the
declared type: int8, int16, int32 or float32. Integers wrap; float32 is cut towards zero and saturates, NaN gives 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import support
from kilograd.ops.base import KernelCall, Operand, Reference, RunState, TensorType, register

CODES = {DType.INT8: 0, DType.INT16: 2, DType.INT32: 3, DType.FLOAT32: 4}  # KG_CAST_*; uint8 is 1


@register
class Cast(support.ElementwiseOperator):
    """y = (type of y) x."""

    name = "cast"
    tflite = ("CAST",)
    onnx = ("Cast",)
    types = ("int8", "int16", "int32")
    float_kernel = True
    kernels = ("cast_ref",)
    no_gradient = "a cast reads stored integers, not the numbers that they stand for"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        support.activation_type(graph, node)
        if y.dtype not in CODES:
            raise GraphError(f"cast '{node.name}': the result is {y.dtype.value}; it can be {', '.join(d.value for d in CODES)}")
        return [TensorType(x.shape, y.dtype, y.quant)]

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.asarray(inputs[0])]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        y, x = graph[node.outputs[0]].dtype, np.asarray(inputs[0])
        if x.dtype.kind == "f" and y is DType.FLOAT32:
            return [x.astype(np.float32)]
        down = 128 if node.attrs.get("y_unsigned") else 0
        if x.dtype.kind == "f":
            info = np.iinfo(y.numpy)
            v = np.clip(np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0)), info.min + down, info.max + down).astype(np.int64)
        else:
            v = x.astype(np.int64) + (128 if node.attrs.get("x_unsigned") else 0)
        return [v.astype(np.float32) if y is DType.FLOAT32 else (v - down).astype(y.numpy)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        return KernelCall(
            "cast_ref",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "from": CODES[x.dtype] + bool(node.attrs.get("x_unsigned")),
                "to": CODES[y.dtype] + bool(node.attrs.get("y_unsigned")),
                "count": x.size,
            },
        )

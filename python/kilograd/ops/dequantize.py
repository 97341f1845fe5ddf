"""int8 or int16 to float32, the boundary of a model: y = scale * (x - zero), IEEE single, one rounding. Operand: x.

Errors are kept in real units, so the error of the result is the error of the operand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import lut, support
from kilograd.ops.base import KernelCall, Operand, Reference, RunState, TensorType, register
from kilograd.ops.quantize import SUFFIX, check_scale, float_bits

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


@register
class Dequantize(support.ElementwiseOperator):
    """y = scale * (x - zero)."""

    name = "dequantize"
    tflite = ("DEQUANTIZE",)
    onnx = ("DequantizeLinear",)
    types = ("int8", "int16")
    kernels = ("dequantize_ref_s8_f32", "dequantize_ref_s16_f32")

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x = graph[node.inputs[0]]
        if support.activation_type(graph, node) is DType.FLOAT32:
            raise GraphError(f"dequantize '{node.name}': operand '{x.name}' is float32 already")
        check_scale(node, x.q.s)
        return [TensorType(x.shape, DType.FLOAT32)]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "fixed"

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.asarray(inputs[0])]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        q = graph[node.inputs[0]].q
        return [np.float32(q.s) * (np.asarray(inputs[0], np.int32) - q.z).astype(np.float32)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x = graph[node.inputs[0]]
        return KernelCall(
            f"dequantize_ref_{SUFFIX[x.dtype]}_f32",
            {"x": Operand(x.name), "y": Operand(node.outputs[0]), "scale": float_bits(x.q.s), "zero": x.q.z, "count": x.size},
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        if builder.wants(node.inputs[0]):
            lut.need_int8_errors(builder.graph, node)
            builder.share_error(node.inputs[0], builder.error_of(node), node)

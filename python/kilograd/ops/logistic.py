"""Logistic function: int8 in, int8 with scale 1/256 and zero point -128 out, by a table built as TensorFlow Lite builds it (float32).

Operand: x. Backward: the derivative y (1 - y) as a Q15 table over the saved result (lut_grad).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams
from kilograd.ops import fields, lut, support
from kilograd.ops.base import Blob, ExponentOf, KernelCall, Operand, Reference, RunState, TensorType, register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


def round_away(v: Array) -> Array:
    """Nearest integers as int64, halves away from zero."""
    return (np.sign(v) * np.floor(np.abs(v) + 0.5)).astype(np.int64)


def derivative_table(y: QuantParams) -> Array:
    """int16 [256]: p (1 - p) in Q15 for y = -128..127, p the real value of y."""
    p = (lut.INPUTS - y.z) * np.float64(y.s)
    return round_away(np.clip(p * (1 - p), 0, 0.25) * 2**15).astype(np.int16)


@register
class Logistic(lut.TableOperator):
    """y = 1 / (1 + exp(-x))."""

    name = "logistic"
    tflite = ("LOGISTIC",)
    fixed_result = (1 / 256, -128)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        y = graph[node.outputs[0]]
        if y.dtype is DType.INT8 and y.q.s != 1 / 256:
            raise GraphError(f"logistic '{node.name}': the result must have scale 1/256, it has {y.q.s}")
        return super().infer(graph, node)

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = np.asarray(inputs[0])
        return [1 / (1 + np.exp(-np.clip(x, -80, 80)))]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "fixed"

    def values(self, x: QuantParams, y: QuantParams) -> Array:
        real = np.float32(x.s) * (lut.INPUTS - x.z).astype(np.float32)
        with np.errstate(over="ignore"):  # exp of a large number may be infinite: the result is 0 then
            power = np.exp(-real.astype(np.float64)).astype(np.float32)
        result = np.float32(1) / (np.float32(1) + power)
        return round_away((result * (np.float32(1) / np.float32(y.s))).astype(np.float64)) + y.z

    def limits(self, y: QuantParams) -> tuple[int, int]:
        return -128, 127

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        x, y = node.inputs[0], node.outputs[0]
        if builder.wants(x):
            gy = builder.error_of(node)
            gx = builder.new_error(x, node)
            table = derivative_table(builder.graph[y].q)
            builder.emit("lut_grad", [gy, builder.saved(y, node)], [gx], {"table": table}, node)


@register
class LutGrad(support.GradientOperator):
    """Error of the input: operands gy, saved result y; gx = gy * table[y + 128]. Attribute: table (int16 [256], derivative in Q15)."""

    name = "lut_grad"
    kernels = ("lut_grad_ref_s8",)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        slope = np.asarray(node.attrs["table"], np.int64)[np.asarray(inputs[1], np.int64) + 128]
        e = support.error_exponent(graph, state, node.inputs[0])
        return [support.put_error(graph, state, node.outputs[0], np.asarray(inputs[0], np.int64) * slope, e - 15)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, y = node.inputs
        return KernelCall(
            "lut_grad_ref_s8",
            {
                "gy": Operand(gy),
                "gy_exponent": ExponentOf(gy),
                "y": Operand(y),
                "table": Blob(np.asarray(node.attrs["table"], np.int16)),
                **fields.error_out("gx", node.outputs[0]),
                "count": graph[gy].size,
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

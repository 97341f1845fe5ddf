"""To int8: from float32 (the boundary of a model), or from int8 with another quantization.

Operand: x. Results: y, clamp mask (optional). From float32: y = clamp(round(x / scale) + zero), halves away from zero, IEEE single; NaN
gives -128.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams
from kilograd.ops import fields, lut, support
from kilograd.ops.base import KernelCall, Operand, Reference, RunState, TensorType, register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

LIMIT = 2**30


def float_bits(scale: float) -> int:
    """The bits of a scale as float32."""
    return int(np.array(scale, np.float32).view(np.uint32))


def check_scale(node: Node, scale: float) -> None:
    """Raise unless the scale is a positive normal float32."""
    if not np.finfo(np.float32).tiny <= scale <= np.finfo(np.float32).max:
        raise GraphError(f"{node.op} '{node.name}': scale {scale} must be a positive normal number")


def round_float(ratio: Array) -> Array:
    """float32 to int64, halves away from zero, saturated to +-2^30; NaN gives -2^30."""
    v = np.where(np.isnan(ratio), -np.inf, ratio.astype(np.float64))
    v = np.clip(v, -LIMIT, LIMIT)
    return (np.sign(v) * np.floor(np.abs(v) + 0.5)).astype(np.int64)


@register
class Quantize(lut.TableOperator):
    """y = clamp(round(x / scale) + zero)."""

    name = "quantize"
    tflite = ("QUANTIZE",)
    kernels = ("quantize_ref_f32_s8", "lut_ref_s8")
    float_kernel = True
    clamps = True

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        if x.dtype is not DType.FLOAT32:
            return super().infer(graph, node)
        check_scale(node, y.q.s)
        return support.with_mask(node, TensorType(x.shape, DType.INT8, y.quant))

    def values(self, x: QuantParams, y: QuantParams) -> Array:
        return lut.rescaled(float(np.float64(x.s) / np.float64(y.s)), x.z, y.z)

    def limits(self, y: QuantParams) -> tuple[int, int]:
        return -128, 127

    def can_clamp(self, graph: Graph, node: Node) -> bool:
        return graph[node.inputs[0]].dtype is DType.FLOAT32 or super().can_clamp(graph, node)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        if x.dtype is not DType.FLOAT32:
            return super().reference(graph, node, inputs, state)
        with np.errstate(over="ignore", invalid="ignore"):
            ratio = np.asarray(inputs[0], np.float32) / np.float32(y.q.s)
        return support.clamp_results(node, round_float(ratio) + y.q.z, -128, 127)

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        if x.dtype is not DType.FLOAT32:
            return super().lower(graph, node)
        return KernelCall(
            "quantize_ref_f32_s8",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "mask": fields.operand(support.mask_name(node)),
                "scale": float_bits(y.q.s),
                "zero": y.q.z,
                "count": x.size,
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [] if graph[node.inputs[0]].dtype is DType.FLOAT32 else [(0, 0)]

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        x = builder.graph[node.inputs[0]]
        if not builder.wants(x.name):
            return
        if x.dtype is DType.FLOAT32:
            raise NoBackwardRule(
                f"no gradient can pass through quantize '{node.name}': its input '{x.name}' is float32 and errors are integers. "
                "Let only layers after it learn."
            )
        builder.share_error(x.name, builder.error_of(node), node)

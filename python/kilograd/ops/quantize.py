"""To integers: from float32 (the boundary of a model), or from integers with another quantization or width.

Operand: x. Results: y (int8, int16 or int32 as declared), clamp mask (optional, of int8). From float32: y = clamp(round(x / scale) + zero),
halves away from zero, IEEE single; NaN gives the lowest integer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams
from kilograd.ops import fields, lut, support
from kilograd.ops.base import KernelCall, Operand, Reference, RunState, TensorType, register
from kilograd.ops.rescale import Factors, PiecewiseLinear

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

LIMIT = 2**30
SUFFIX = {DType.INT8: "s8", DType.INT16: "s16"}


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
    return lut.round_away(np.clip(v, -LIMIT, LIMIT))


@register
class Quantize(PiecewiseLinear):
    """y = clamp(round(x / scale) + zero)."""

    name = "quantize"
    tflite = ("QUANTIZE",)
    onnx = ("QuantizeLinear",)
    kernels = ("quantize_ref_f32_s8", "quantize_ref_f32_s16", "lut_ref_s8", "rescale_ref")
    types = ("int8", "int16", "int32")
    float_kernel = True
    clamps = True

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        support.activation_type(graph, node)
        allowed = tuple(SUFFIX) if x.dtype is DType.FLOAT32 else (*SUFFIX, DType.INT32)
        if y.dtype not in allowed:
            raise GraphError(
                f"quantize '{node.name}': {x.dtype.value} cannot become {y.dtype.value}, only {', '.join(d.value for d in allowed)}"
            )
        for t in (x, y):
            if t.dtype is not DType.FLOAT32:
                if t.quant is None:
                    raise GraphError(f"quantize '{node.name}': '{t.name}' has no scale")
                check_scale(node, t.q.s)
        return support.with_mask(node, TensorType(x.shape, y.dtype, y.quant))

    def slope_pair(self, node: Node) -> Factors:
        return 1.0, 1.0

    def factors(self, node: Node, x: QuantParams, y: QuantParams) -> Factors:
        ratio = float(np.float64(x.s) / np.float64(y.s))
        return ratio, ratio

    def can_clamp(self, graph: Graph, node: Node) -> bool:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        return y.dtype is DType.INT8 and (x.dtype is DType.FLOAT32 or super().can_clamp(graph, node))

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        if x.dtype is not DType.FLOAT32:
            return super().reference(graph, node, inputs, state)
        with np.errstate(over="ignore", invalid="ignore"):
            value = round_float(np.asarray(inputs[0], np.float32) / np.float32(y.q.s)) + y.q.z
        if y.dtype is DType.INT8:
            return support.clamp_results(node, value, -128, 127)
        return [np.clip(value, -32768, 32767).astype(np.int16)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        if x.dtype is not DType.FLOAT32:
            return super().lower(graph, node)
        return KernelCall(
            f"quantize_ref_f32_{SUFFIX[y.dtype]}",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "mask": fields.operand(support.mask_name(node)),
                "scale": float_bits(y.q.s),
                "zero": y.q.z,
                "count": x.size,
            },
        )

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.asarray(inputs[0])]

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        x = builder.graph[node.inputs[0]]
        if not builder.wants(x.name):
            return
        if x.dtype is DType.FLOAT32:
            raise NoBackwardRule(
                f"no gradient can pass through quantize '{node.name}': its input '{x.name}' is float32 and errors are integers. "
                "Let only layers after it learn."
            )
        lut.need_int8_errors(builder.graph, node)
        lut.need_int8_result(builder.graph, node)
        builder.share_error(x.name, builder.error_of(node), node)

"""Logarithm of softmax over the last axis: int8 in, int8 with scale 1/16 and zero point 127 out; or float32, for models that end in it.

Operand: x. int8: the arithmetic of TensorFlow Lite's reference kernel (gemmlowp fixed point), exponentials from the table of softmax.
float32: differences in IEEE single, exponential and logarithm in integers with 30 fraction bits, the same bits everywhere and within 2e-6
of the true value (relative to the result where that is larger than 16). Backward: log_softmax_grad with the saved int8 result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams
from kilograd.ops import fields, lut, support
from kilograd.ops.base import Blob, ExponentOf, KernelCall, Operand, Reference, RunState, TensorType, register
from kilograd.ops.fixed_point import (
    I32_MAX,
    I32_MIN,
    high_mul,
    one_over_one_plus,
    quantize_multiplier,
    requantize,
    rounding_shr,
    shl_saturated,
    shr_rounded,
    wrap32,
)
from kilograd.ops.softmax import MAX_DEPTH, SUM_BITS, exp_table, scaling

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

ONE, LN2, INVERSE_LN2 = 1 << 30, 744261118, 1549082005  # Q30
MAX_DEPTH_F32 = 1 << 24


def logarithm(v: int) -> int:
    """log(v) as Q5.26 for v >= 1 in Q12.19 (the C kernel explains it)."""
    sqrt_half, sqrt_sqrt_half = 1518500250, 1805811301
    zeros = 32 - v.bit_length()
    ra = shl_saturated(high_mul(shl_saturated(v, zeros - 1), sqrt_half), 1)
    ka = min(shl_saturated(12 - zeros, 25) + (1 << 23), I32_MAX)
    headroom = 31 - high_mul(v, sqrt_half).bit_length()
    r, k = min(ra, shl_saturated(v, headroom)), max(ka, max(shl_saturated(12 - headroom, 25) - (1 << 23), I32_MIN))
    p, q = (r + sqrt_sqrt_half + 1) // 2, 2 * (r - sqrt_sqrt_half)
    square = high_mul(q, q)
    above = high_mul(q, r) + high_mul(high_mul(q, square), 117049297)
    below = high_mul(p, 1057819769 + q + high_mul(127690142, square)) + high_mul(638450708, q)
    log_r = high_mul(shr_rounded(above, 6), one_over_one_plus(below))
    return shl_saturated(high_mul(k, 1488522236) + log_r, 1)


def reverse_scaling(multiplier: int, shift: int) -> tuple[int, int]:
    """(multiplier, shift) from Q5.26 back to differences of integers."""
    return quantize_multiplier(float(1 << (31 - shift)) / multiplier)


def exponential_q30(difference: Array) -> Array:
    """Exponential of float32 <= 0 as Q30."""
    t = np.where(np.isnan(difference), 32.0, np.minimum(-difference.astype(np.float64), 32.0))
    t = np.floor(t * ONE).astype(np.int64)
    n = ((t >> 4) * INVERSE_LN2) >> 56
    r, v = np.maximum(t - n * LN2, 0), np.full_like(t, ONE)
    for k in range(11, 0, -1):
        v = ONE - ((r * v) >> 30) // k
    return (v + ((np.int64(1) << n) >> 1)) >> n


def logarithm_q30(s: int) -> int:
    """log(s), both Q30, s >= 1."""
    k = s.bit_length() - 31
    m = s >> k
    z = ((m - ONE) * ONE) // (m + ONE)
    square, series = (z * z) >> 30, ONE // 21
    for i in range(19, 0, -2):
        series = ONE // i + ((square * series) >> 30)
    return k * LN2 + ((z * series) >> 29)


@register
class LogSoftmax(support.ElementwiseOperator):
    """y = x - log(sum exp(x)) over the last axis."""

    name = "log_softmax"
    tflite = ("LOG_SOFTMAX",)
    onnx = ("LogSoftmax",)
    float_kernel = True
    fixed_result = (1 / 16, 127)
    kernels = ("log_softmax_ref_s8", "log_softmax_ref_f32")

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        dtype = support.activation_type(graph, node)
        most = MAX_DEPTH_F32 if dtype is DType.FLOAT32 else MAX_DEPTH
        if not x.shape or not 1 <= x.shape[-1] <= most:
            raise GraphError(f"log_softmax '{node.name}': the last axis of {list(x.shape)} must have 1 to {most} values")
        if dtype is DType.FLOAT32:
            return [TensorType(x.shape, dtype)]
        if (y.q.s, y.q.z) != (1 / 16, 127):
            raise GraphError(f"log_softmax '{node.name}': the result must have scale 1/16 and zero point 127, it has {y.q.s} and {y.q.z}")
        exp_table(x.q.s, 1.0)
        return [TensorType(x.shape, DType.INT8, y.quant)]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "fixed"

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        d = np.asarray(inputs[0]) - np.asarray(inputs[0]).max(axis=-1, keepdims=True)
        return [d - np.log(np.exp(d).sum(axis=-1, keepdims=True))]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x = np.asarray(inputs[0])
        rows = x.reshape(-1, x.shape[-1])
        y = self._float_rows(rows) if x.dtype.kind == "f" else self._integer_rows(graph[node.inputs[0]].q, rows.astype(np.int64))
        return [y.reshape(x.shape)]

    @staticmethod
    def _float_rows(x: Array) -> Array:
        x = x.astype(np.float32)
        y = np.empty_like(x)
        with np.errstate(invalid="ignore", over="ignore"):
            d = x - np.where(np.isnan(x[:, :1]), x[:, :1], np.fmax.reduce(x, axis=1, keepdims=True))
            for i, row in enumerate(d):
                total = max(int(exponential_q30(row).sum()), ONE)
                y[i] = row - np.float32(logarithm_q30(total)) * np.float32(2.0**-30)
        return y

    @staticmethod
    def _integer_rows(q: QuantParams, x: Array) -> Array:
        table = exp_table(q.s, 1.0).astype(np.int64)
        multiplier, shift, radius = scaling(q.s, 1.0)
        d = x - x.max(axis=1, keepdims=True)
        scaled = requantize(d, np.array(multiplier), np.array(shift))
        reverse = [np.array(v) for v in reverse_scaling(multiplier, shift)]
        y = np.empty(x.shape, np.int8)
        for i, total in enumerate(rounding_shr(table[-d], np.array(SUM_BITS)).sum(axis=1)):
            log_sum = logarithm(int(total))
            least = max(int(requantize(wrap32(np.array(log_sum + I32_MIN)), *reverse)), -min(radius, 255) - 1)
            value = np.clip(rounding_shr(wrap32(scaled[i] - log_sum), np.array(22)) + 127, -128, 127)
            y[i] = np.where(d[i] > least, value, -128)
        return y

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x = graph[node.inputs[0]]
        rows = {"rows": x.size // x.shape[-1], "depth": x.shape[-1]}
        if x.dtype is DType.FLOAT32:
            return KernelCall("log_softmax_ref_f32", {"x": Operand(x.name), "y": Operand(node.outputs[0]), **rows})
        multiplier, shift, radius = scaling(x.q.s, 1.0)
        reverse = reverse_scaling(multiplier, shift)
        return KernelCall(
            "log_softmax_ref_s8",
            {
                "x": Operand(x.name),
                "y": Operand(node.outputs[0]),
                "table": Blob(exp_table(x.q.s, 1.0)),
                **rows,
                "multiplier": multiplier,
                "shift": shift,
                "reverse_multiplier": reverse[0],
                "reverse_shift": reverse[1],
                "least": -min(radius, 255),
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        if builder.wants(node.inputs[0]):
            lut.need_int8_errors(builder.graph, node)
            gy = builder.error_of(node)
            gx = builder.new_error(node.inputs[0], node)
            builder.emit("log_softmax_grad", [gy, builder.saved(node.outputs[0], node)], [gx], {}, node)


def probability_table() -> Array:
    """int16 [256]: exp of results in Q14."""
    return lut.round_away(np.exp((lut.INPUTS - 127) / 16.0) * (1 << 14)).astype(np.int16)


@register
class LogSoftmaxGrad(support.GradientOperator):
    """Error of the input: operands gy, saved result y; gx = gy - p * sum gy with p = exp(y)."""

    name = "log_softmax_grad"
    kernels = ("log_softmax_grad_ref_s8",)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, p = np.asarray(inputs[0], np.int64), probability_table().astype(np.int64)[np.asarray(inputs[1], np.int64) + 128]
        acc = np.clip((gy << 14) - p * gy.sum(axis=-1, keepdims=True), I32_MIN, I32_MAX)
        return [support.put_error(graph, state, node.outputs[0], acc, support.error_exponent(graph, state, node.inputs[0]) - 14)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy = graph[node.inputs[0]]
        return KernelCall(
            "log_softmax_grad_ref_s8",
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                "y": Operand(node.inputs[1]),
                "table": Blob(probability_table()),
                **fields.error_out("gx", node.outputs[0]),
                "rows": gy.size // gy.shape[-1],
                "depth": gy.shape[-1],
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

"""Softmax over the last axis: int8 in, int8 with scale 1/256 and zero point -128 or int16 with 1/65536 and -32768 out; or int16 in, int16
with scale 1/32768 and zero point 0 out.

Operand: x. Attribute: beta. The arithmetic is that of TensorFlow Lite's reference kernel (gemmlowp fixed point): the exponential of a
difference of two int8 has 256 possible arguments, so it is a table (int32, Q0.31); the reciprocal of the sum is computed. The kernel for
unsigned models gives the same bits. int16 takes exponential and reciprocal from tables with linear interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import fields, lut, support
from kilograd.ops.base import Blob, ExponentOf, FieldValue, KernelCall, Operand, Reference, RunState, TensorType, register
from kilograd.ops.fixed_point import (
    I32_MAX,
    doubling_high_mul,
    high_mul,
    one_over_one_plus,
    quantize_multiplier,
    requantize,
    rounding_shr,
    shl_saturated,
    shr_rounded,
)

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

INTEGER_BITS = 5  # scaled differences are Q5.26
SUM_BITS = 12  # sums of exponentials are Q12.19
MAX_DEPTH, MAX_DEPTH_S16 = 4095, 65535
#: scale and zero point of the result by the types of operand and result
RESULTS = {
    (DType.INT8, DType.INT8): (1 / 256, -128), (DType.INT8, DType.INT16): (1 / 65536, -32768), (DType.INT16, DType.INT16): (1 / 32768, 0)
}  # fmt: skip
#: exp(-2^k) as Q0.31 for k = -2 .. 4
EXP_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def _exp_small(a: int) -> int:
    """exp(a) for a in [-1/4, 0), Q0.31: Taylor series around -1/8."""
    x = a + (1 << 28)
    x2 = high_mul(x, x)
    x3, x4 = high_mul(x2, x), high_mul(x2, x2)
    tail = shr_rounded(high_mul(shr_rounded(x4, 2) + x3, 715827883) + x2, 1)  # x^4/24 + x^3/6 + x^2/2
    return 1895147668 + high_mul(1895147668, x + tail)


def exp_negative(a: int) -> int:
    """exp(a) for a <= 0 in Q5.26, as Q0.31: the part below 1/4 by a series, the rest by a product of powers."""
    if a == 0:
        return I32_MAX
    quarter = 1 << 24
    below = (a & (quarter - 1)) - quarter
    result, rest = _exp_small(shl_saturated(below, INTEGER_BITS)), below - a
    for k, power in enumerate(EXP_POWERS):
        if rest & (1 << (24 + k)):
            result = high_mul(result, power)
    return result


def scaling(scale: float, beta: float) -> tuple[int, int, int]:
    """(multiplier, shift, radius): differences of integers to Q5.26, and the largest difference that fits."""
    real = min(float(np.float32(beta)) * float(np.float32(scale)) * (1 << (31 - INTEGER_BITS)), 2.0**31 - 1.0)
    if not real > 1.0:
        raise GraphError(f"softmax: scale {scale} times beta {beta} is too small (all probabilities would be equal)")
    multiplier, shift = quantize_multiplier(real)
    return multiplier, shift, math.floor((2**INTEGER_BITS - 1) * 2.0 ** (31 - INTEGER_BITS) / 2.0**shift)


@lru_cache(maxsize=64)
def exp_table(scale: float, beta: float) -> Array:
    """int32 [256]: exp(-d * scale * beta) for d = 0..255, 0 where the difference is out of range."""
    multiplier, shift, radius = scaling(scale, beta)
    table = np.array([exp_negative(high_mul(-d << shift, multiplier)) if d <= radius else 0 for d in range(256)], np.int32)
    table.flags.writeable = False  # shared by all who ask
    return table


def reciprocal(total: int) -> tuple[int, int]:
    """(r, bits) with 1 / total = r * 2^-(31 + bits), total in Q12.19 and r in Q0.31; bits is what the total has above the unit."""
    zeros = 32 - total.bit_length()
    return one_over_one_plus((total << zeros) - 2**31), SUM_BITS - zeros


def interpolation_table(function: Callable[[Array], Array], lo: float, hi: float) -> Array:
    """int16 [513]: a function on lo..hi as Q0.15; each value is moved by half the error that linear interpolation has in the middle."""
    step = (hi - lo) / 512
    x = lo + step * np.arange(512)
    at, middle = (lut.round_away(function(v) * 32768) for v in (x, x + step / 2))
    error = lut.round_away((function(x + step) * 32768 + at) / 2) - middle
    table = np.append(at - lut.round_away(error / 2), lut.round_away(function(np.array([hi])) * 32768))
    return np.clip(table, -32768, 32767).astype(np.int16)


@cache
def exp_table16() -> Array:
    """Exponential on -10..0."""
    return interpolation_table(np.exp, -10.0, 0.0)


@cache
def inverse_table16() -> Array:
    """1 / (1 + x) on 0..1."""
    return interpolation_table(lambda v: 1 / (1 + v), 0.0, 1.0)


def scaling16(scale: float, beta: float) -> tuple[int, int]:
    """(multiplier, shift) of differences of int16: 10 are 65535."""
    multiplier, shift = quantize_multiplier(float(np.float32(scale) * np.float32(beta)) / (10.0 / 65535.0))
    if multiplier == 0 or shift > 15:
        raise GraphError(f"softmax: scale {scale} times beta {beta} of an int16 input must lie in 1e-13 to 4")
    return multiplier, shift


def rows16(x: Array, multiplier: int, shift: int) -> Array:
    """int16 softmax of each row."""

    def lookup(table: Array, v: Array) -> Array:
        i = 256 + (v >> 7)
        return np.clip(table[i] + (((table[i + 1] - table[i]) * (v & 127) + 64) >> 7), 0, 32767)

    exp_values, inverse_values = exp_table16().astype(np.int64), inverse_table16().astype(np.int64)
    d = requantize(x - x.max(axis=1, keepdims=True), np.array(multiplier), np.array(shift)) + 32767
    exps = lookup(exp_values, np.clip(d, -32768, 32767))
    zeros = np.array([32 - int(s).bit_length() for s in exps.sum(axis=1)])[:, None]
    unit = ((exps.sum(axis=1, keepdims=True) << (zeros - 1)) + (1 << 13)) >> 14
    inverse = lookup(inverse_values, np.clip(unit - (1 << 15) - (1 << 16), -32768, 32767))
    return np.clip((exps * inverse + (np.int64(1) << (30 - zeros))) >> (31 - zeros), 0, 32767).astype(np.int16)


@register
class Softmax(support.ElementwiseOperator):
    """y = softmax(beta * x) over the last axis."""

    name = "softmax"
    tflite = ("SOFTMAX",)
    onnx = ("Softmax",)
    types = ("int8", "int16")
    fixed_result = (1 / 256, -128)
    kernels = ("softmax_ref_s8", "softmax_ref_s8_s16", "softmax_ref_s16")

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        dtype = support.activation_type(graph, node)
        most = MAX_DEPTH_S16 if dtype is DType.INT16 else MAX_DEPTH
        if not x.shape or not 1 <= x.shape[-1] <= most:
            raise GraphError(f"softmax '{node.name}': the last axis of {list(x.shape)} must have 1 to {most} values")
        if dtype is DType.FLOAT32:
            return [TensorType(x.shape, dtype)]
        wide = DType.INT16 in (dtype, y.dtype)
        scale, zero = RESULTS[dtype, DType.INT16 if wide else DType.INT8]
        if y.q.z != zero or abs(y.q.s / scale - 1) > 0.2 / 256:
            raise GraphError(
                f"softmax '{node.name}': the result must have scale 1/{round(1 / scale)} and zero point {zero}, it has {y.q.s} and {y.q.z}"
            )
        if dtype is DType.INT16:
            scaling16(x.q.s, node.attrs["beta"])
        else:
            exp_table(x.q.s, node.attrs["beta"])
        return [TensorType(x.shape, DType.INT16 if wide else DType.INT8, y.quant)]

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = np.asarray(inputs[0]) * node.attrs["beta"]
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return [e / e.sum(axis=-1, keepdims=True)]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "fixed"

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        rows = np.asarray(inputs[0], np.int64).reshape(-1, x.shape[-1])
        if x.dtype is DType.INT16:
            return [rows16(rows, *scaling16(x.q.s, node.attrs["beta"])).reshape(x.shape)]
        bits = 8 * y.dtype.numpy.itemsize
        half, table = 1 << (bits - 1), exp_table(x.q.s, node.attrs["beta"]).astype(np.int64)
        exps = table[rows.max(axis=1, keepdims=True) - rows]
        out = np.empty(rows.shape, y.dtype.numpy)
        for i, total in enumerate(rounding_shr(exps, np.array(SUM_BITS)).sum(axis=1)):
            scale, above = reciprocal(int(total))
            shift = above + 31 - bits
            product = doubling_high_mul(np.array(scale, np.int64), exps[i])
            p = rounding_shr(product, np.array(shift)) if shift <= 31 else np.zeros_like(product)
            out[i] = np.clip(p - half, -half, half - 1)
        return [out.reshape(x.shape)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y, beta = graph[node.inputs[0]], graph[node.outputs[0]], node.attrs["beta"]
        operands: dict[str, FieldValue] = {"x": Operand(x.name), "y": Operand(y.name)}
        rows: dict[str, FieldValue] = {"rows": x.size // x.shape[-1], "depth": x.shape[-1]}
        if x.dtype is DType.INT16:
            multiplier, shift = scaling16(x.q.s, beta)
            tables: dict[str, FieldValue] = {"exp_table": Blob(exp_table16()), "inverse_table": Blob(inverse_table16())}
            return KernelCall("softmax_ref_s16", {**operands, **tables, "multiplier": multiplier, "shift": shift, **rows})
        kernel = "softmax_ref_s8" if y.dtype is DType.INT8 else "softmax_ref_s8_s16"
        return KernelCall(kernel, {**operands, "table": Blob(exp_table(x.q.s, beta)), **rows})

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)] if graph[node.inputs[0]].dtype is graph[node.outputs[0]].dtype else []

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        x, beta = node.inputs[0], node.attrs["beta"]
        if builder.wants(x):
            lut.need_int8_errors(builder.graph, node)
            lut.need_int8_result(builder.graph, node)
            gy = builder.error_of(node)
            gx = builder.new_error(x, node)
            builder.emit("softmax_grad", [gy, builder.saved(node.outputs[0], node)], [gx], {"beta": beta}, node)


@register
class SoftmaxGrad(support.GradientOperator):
    """Error of the input: operands gy, saved result y; gx = beta * p * (gy - sum p gy) with p = (y + 128) / 256.

    Attribute: beta, a power of two.
    """

    name = "softmax_grad"
    kernels = ("softmax_grad_ref_s8",)

    @staticmethod
    def _unit(node: Node) -> int:
        mantissa, exponent = math.frexp(node.attrs.get("beta", 1.0))
        if mantissa != 0.5:
            raise GraphError(f"softmax_grad '{node.name}': beta {node.attrs['beta']} is no power of two. Fold it into the layer before.")
        return exponent - 1 - 16

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        self._unit(node)
        return super().infer(graph, node)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, gx = np.asarray(inputs[0], np.int64), graph[node.outputs[0]]
        p = np.asarray(inputs[1], np.int64) + 128
        acc = np.clip(p * (256 * gy - (p * gy).sum(axis=-1, keepdims=True)), -(2**31), I32_MAX)
        e = support.error_exponent(graph, state, node.inputs[0])
        return [support.put_error(graph, state, gx.name, acc, e + self._unit(node))]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy = graph[node.inputs[0]]
        return KernelCall(
            "softmax_grad_ref_s8",
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                "y": Operand(node.inputs[1]),
                **fields.error_out("gx", node.outputs[0]),
                "rows": gy.size // gy.shape[-1],
                "depth": gy.shape[-1],
                "unit": self._unit(node),
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

"""Softmax over the last axis: int8 in, int8 with scale 1/256 and zero point -128 out.

Operand: x. Attribute: beta. The arithmetic is that of TensorFlow Lite's reference kernel (gemmlowp fixed point): the exponential of a
difference of two int8 has 256 possible arguments, so it is a table (int32, Q0.31); the reciprocal of the sum is computed. The kernel for
unsigned models gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import fields, support
from kilograd.ops.base import Blob, ExponentOf, KernelCall, Operand, Reference, RunState, TensorType, register
from kilograd.ops.fixed_point import I32_MAX, doubling_high_mul, quantize_multiplier, rounding_shr

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

INTEGER_BITS = 5  # scaled differences are Q5.26
SUM_BITS = 12  # sums of exponentials are Q12.19
MAX_DEPTH = 4095
#: exp(-2^k) as Q0.31 for k = -2 .. 4
EXP_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def _mul(a: int, b: int) -> int:
    return int(doubling_high_mul(np.array(a, np.int64), np.array(b, np.int64)))


def _shr(a: int, shift: int) -> int:
    return int(rounding_shr(np.array(a, np.int64), np.array(shift, np.int64)))


def _shl(a: int, shift: int) -> int:
    return max(-(2**31), min(I32_MAX, a << shift))


def _exp_small(a: int) -> int:
    """exp(a) for a in [-1/4, 0), Q0.31: Taylor series around -1/8."""
    x = a + (1 << 28)
    x2 = _mul(x, x)
    x3, x4 = _mul(x2, x), _mul(x2, x2)
    tail = _shr(_mul(_shr(x4, 2) + x3, 715827883) + x2, 1)  # x^4/24 + x^3/6 + x^2/2
    return 1895147668 + _mul(1895147668, x + tail)


def exp_negative(a: int) -> int:
    """exp(a) for a <= 0 in Q5.26, as Q0.31: the part below 1/4 by a series, the rest by a product of powers."""
    if a == 0:
        return I32_MAX
    quarter = 1 << 24
    below = (a & (quarter - 1)) - quarter
    result, rest = _exp_small(_shl(below, INTEGER_BITS)), below - a
    for k, power in enumerate(EXP_POWERS):
        if rest & (1 << (24 + k)):
            result = _mul(result, power)
    return result


@lru_cache(maxsize=64)
def exp_table(scale: float, beta: float) -> Array:
    """int32 [256]: exp(-d * scale * beta) for d = 0..255, 0 where the difference is out of range."""
    real = min(float(np.float32(beta)) * float(np.float32(scale)) * (1 << (31 - INTEGER_BITS)), 2.0**31 - 1.0)
    if not real > 1.0:
        raise GraphError(f"softmax: scale {scale} times beta {beta} is too small (all probabilities would be equal)")
    multiplier, shift = quantize_multiplier(real)
    radius = math.floor((2**INTEGER_BITS - 1) * 2.0 ** (31 - INTEGER_BITS) / 2.0**shift)
    table = np.array([exp_negative(_mul(-d << shift, multiplier)) if d <= radius else 0 for d in range(256)], np.int32)
    table.flags.writeable = False  # shared by all who ask
    return table


def reciprocal(total: int) -> tuple[int, int]:
    """(r, bits) with 1 / total = r * 2^-(31 + bits), total in Q12.19 and r in Q0.31; bits is what the total has above the unit."""
    zeros = 32 - total.bit_length()
    half = ((total << zeros) - 2**31 + 2**31) // 2
    x = 1515870810 + _mul(half, -1010580540)
    for _ in range(3):
        x += _shl(_mul(x, (1 << 29) - _mul(half, x)), 2)
    return _shl(x, 1), SUM_BITS - zeros


@register
class Softmax(support.ElementwiseOperator):
    """y = softmax(beta * x) over the last axis."""

    name = "softmax"
    tflite = ("SOFTMAX",)
    fixed_result = (1 / 256, -128)
    kernels = ("softmax_ref_s8",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        dtype = support.activation_type(graph, node)
        if not x.shape or not 1 <= x.shape[-1] <= MAX_DEPTH:
            raise GraphError(f"softmax '{node.name}': the last axis of {list(x.shape)} must have 1 to {MAX_DEPTH} values")
        if dtype is DType.FLOAT32:
            return [TensorType(x.shape, dtype)]
        if y.q.z != -128 or abs(y.q.s * 256 - 1) > 1e-3:
            raise GraphError(f"softmax '{node.name}': the result must have scale 1/256 and zero point -128, it has {y.q.s} and {y.q.z}")
        exp_table(x.q.s, node.attrs["beta"])
        return [TensorType(x.shape, DType.INT8, y.quant)]

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = np.asarray(inputs[0]) * node.attrs["beta"]
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return [e / e.sum(axis=-1, keepdims=True)]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "fixed"

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x = np.asarray(inputs[0], np.int64)
        table = exp_table(graph[node.inputs[0]].q.s, node.attrs["beta"]).astype(np.int64)
        rows = x.reshape(-1, x.shape[-1])
        exps = table[rows.max(axis=1, keepdims=True) - rows]
        y = np.empty(rows.shape, np.int8)
        for i, total in enumerate(rounding_shr(exps, np.array(SUM_BITS)).sum(axis=1)):
            scale, bits = reciprocal(int(total))
            shift = bits + 31 - 8
            product = doubling_high_mul(np.array(scale, np.int64), exps[i])
            p = rounding_shr(product, np.array(shift)) if shift <= 31 else np.zeros_like(product)
            y[i] = np.clip(p - 128, -128, 127)
        return [y.reshape(x.shape)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x = graph[node.inputs[0]]
        return KernelCall(
            "softmax_ref_s8",
            {
                "x": Operand(x.name),
                "y": Operand(node.outputs[0]),
                "table": Blob(exp_table(x.q.s, node.attrs["beta"])),
                "rows": x.size // x.shape[-1],
                "depth": x.shape[-1],
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        x, beta = node.inputs[0], node.attrs["beta"]
        if builder.wants(x):
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

"""Element-wise quotient x1 / x2 of two int8 tensors with a fused clamp; either operand may be repeated along axes.

Operands: x1, x2. Results: y, clamp mask ('' when no backward pass needs it). Attribute: activation. The reciprocal of the divisor is found
by Newton's iteration in fixed point. A divisor of zero gives the end of the range on the dividend's side, 0 / 0 gives 0
(LiteRT refuses zero divisors). The bits are LiteRT's except for quotients below about one half of the result's unit, which are 0 here:
LiteRT shifts these by more than 31 bits, which C leaves undefined.

Both derivatives, 1 / x2 and -x1 / x2^2, are functions of one int8 times what mul_grad can do: div_grad multiplies by a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from kilograd.ir.graph import Array, Graph, Kind, Node
from kilograd.ops import broadcast, fields, support
from kilograd.ops.base import Blob, ExponentOf, KernelCall, Operand, Reference, RunState, prod, register
from kilograd.ops.fixed_point import doubling_high_mul, quantize_multiplier, rounding_shr, wrap32
from kilograd.ops.softmax import reciprocal

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

LIMIT = 2**30  # of quotients, before the zero point is added
TABLE_BITS = 23


@lru_cache(maxsize=1)
def _inverses() -> tuple[Array, Array]:
    """1 / v as Q0.31 and the bits of v above its first, for v = 1..255 (index 0 unused)."""
    pairs = [(0, 0), *((reciprocal(v)[0], v.bit_length() - 1) for v in range(1, 256))]
    return np.array([r for r, _ in pairs], np.int64), np.array([b for _, b in pairs], np.int64)


def quotients(a: Array, b: Array, multiplier: int, shift: int) -> Array:
    """Quotients a / b * multiplier * 2^(shift - 31) for differences of int8, as LiteRT's reference kernel computes it."""
    a, b = np.broadcast_arrays(np.where(b < 0, -a, a), np.abs(b))
    inverse, bits = (t[b] for t in _inverses())
    magnitude = np.where(a >= 0, a, 2 * -a - 1)  # its sign bits are free for use
    room = np.where(a >= 0, 31, 32) - np.frexp(np.maximum(magnitude, 1).astype(np.float64))[1]
    unscaled = doubling_high_mul(doubling_high_mul(wrap32(a << room), inverse), np.array(multiplier, np.int64))
    right = bits + room - shift
    down = rounding_shr(unscaled, np.clip(right, 0, 31))
    up = np.clip(unscaled << np.clip(-right, 0, 30), -LIMIT, LIMIT)
    value = np.where(right > 31, 0, np.where(right >= 0, down, up))
    return np.where(b == 0, np.sign(a) * 255, np.where(a == 0, 0, np.clip(value, -LIMIT, LIMIT)))


@register
class Div(broadcast.BinaryOperator):
    """y = clamp(requantize((x1 - z1) / (x2 - z2)) + zy)."""

    name = "div"
    tflite = ("DIV",)
    onnx = ("Div",)
    types = ("int8",)
    kernels = ("div_ref_s8",)

    def factor(self, graph: Graph, node: Node) -> tuple[int, int]:
        """(multiplier, shift) of the quotient: s1 / (s2 sy) in float32, as LiteRT computes it."""
        a, b, y = (np.float32(graph[t].q.s) for t in (*node.inputs[:2], node.outputs[0]))
        return quantize_multiplier(float(a / (b * y)))

    def function(self, a: Array, b: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num(np.asarray(a / b))

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        a, b = self.centred(graph, node, inputs)
        return self.results(graph, node, quotients(a, b, *self.factor(graph, node)))

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        multiplier, shift = self.factor(graph, node)
        return self.call(graph, node, {"multiplier": multiplier, "shift": shift})

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        graph, gy = builder.graph, builder.error_of(node)
        x1, x2 = (graph[x] for x in node.inputs[:2])
        divisor = x2.name if x2.kind is Kind.CONST else builder.saved(x2.name, node)
        table = {"other_zero": x2.q.z, "other_scale": x2.q.s}
        if builder.wants(x1.name):
            broadcast.emit_gradient(builder, node, x1.name, "div_grad", [gy, divisor], {**table, "power": 1})
        if builder.wants(x2.name):
            dividend = x1.name if x1.kind is Kind.CONST else builder.saved(x1.name, node)
            product = broadcast.inner_error(builder, node.outputs[0])
            builder.emit("mul_grad", [gy, dividend], [product], {"other_zero": x1.q.z, "other_scale": x1.q.s}, node)
            broadcast.emit_gradient(builder, node, x2.name, "div_grad", [product, divisor], {**table, "power": 2})

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape)


@register
class DivGrad(support.GradientOperator):
    """gx = gy / x2 (power 1) or -gy / x2^2 (power 2), 0 where x2 is 0: operands gy, x2. Attributes: other_zero, other_scale, power."""

    name = "div_grad"
    kernels = ("div_grad_ref_s8",)

    @staticmethod
    def _table(node: Node) -> tuple[Array, int]:
        """(table, exponent): the factor of each int8 is table * 2^-exponent."""
        x2 = (np.arange(-128, 128) - node.attrs["other_zero"]) * float(node.attrs["other_scale"])
        factor = np.divide(1.0, x2, out=np.zeros(256), where=x2 != 0)
        factor = factor if node.attrs["power"] == 1 else -(factor**2)
        exponent = TABLE_BITS - int(np.ceil(np.log2(np.abs(factor).max())))
        return np.rint(np.ldexp(factor, exponent)).astype(np.int32), exponent

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, other = (np.asarray(v, np.int64) for v in inputs)
        table, exponent = self._table(node)
        e = support.error_exponent(graph, state, node.inputs[0]) - exponent
        return [support.put_error(graph, state, node.outputs[0], gy * table.astype(np.int64)[other + 128], e)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, other = graph[node.inputs[0]], graph[node.inputs[1]]
        table, exponent = self._table(node)
        return KernelCall(
            "div_grad_ref_s8",
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                "other": Operand(other.name),
                "table": Blob(table),
                **fields.error_out("gx", node.outputs[0]),
                **broadcast.broadcast_fields(node, gy.shape, gy.shape, other.shape),
                "table_exponent": exponent,
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape)

"""Element-wise product of two tensors with a fused clamp: int8 or int16; either operand may be repeated along axes.

Operands: two tensors. Results: y, clamp mask ('' when no backward pass needs it). Attribute: activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.ir.graph import Array, Graph, Kind, Node
from kilograd.ops import broadcast, fields, support
from kilograd.ops.base import ExponentOf, KernelCall, Operand, Reference, RunState, prod, register
from kilograd.ops.fixed_point import quantize_multiplier, requantize

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


def multiplier(graph: Graph, node: Node) -> tuple[int, int]:
    """(multiplier, shift) of the product: s1 s2 / sy in float32, as LiteRT's kernels/mul.cc computes it."""
    a, b, y = (np.float32(graph[t].q.s) for t in (*node.inputs[:2], node.outputs[0]))
    return quantize_multiplier(float(a * b / y))


@register
class Mul(broadcast.BinaryOperator):
    """y = clamp(requantize((x1 - z1) (x2 - z2)) + zy), rounded twice."""

    name = "mul"
    tflite = ("MUL",)
    onnx = ("Mul",)
    kernels = ("mul_ref_s8", "mul_ref_s16")

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        a, b = self.centred(graph, node, inputs)
        m, shift = multiplier(graph, node)
        return self.results(graph, node, requantize(a * b, np.array(m), np.array(shift)))

    def function(self, a: Array, b: Array) -> Array:
        return np.asarray(a * b)

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        m, shift = multiplier(graph, node)
        return self.call(graph, node, {"multiplier": m, "shift": shift})

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        support.need_int8_gradient(builder.graph, node)
        graph, gy = builder.graph, builder.error_of(node)
        for x, other in (node.inputs[:2], node.inputs[1::-1]):
            if builder.wants(x):
                saved = other if graph[other].kind is Kind.CONST else builder.saved(other, node)
                attrs = {"other_zero": graph[other].q.z, "other_scale": graph[other].q.s}
                broadcast.emit_gradient(builder, node, x, "mul_grad", [gy, saved], attrs)

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape)


@register
class MulGrad(support.GradientOperator):
    """gx = gy (other - other_zero) other_scale: operands gy, the other factor. Attributes: other_zero, other_scale."""

    name = "mul_grad"
    kernels = ("mul_grad_ref_s8",)
    whole_input = "shapes differ in leading axes of size one"

    @staticmethod
    def _fold(node: Node) -> tuple[int, int]:
        fold, exponent, _ = fields.fold_scales(np.array([node.attrs["other_scale"]]), 1)
        return int(fold[0]), exponent

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, other = (np.asarray(v, np.int64) for v in inputs)
        fold, exponent = self._fold(node)
        e = support.error_exponent(graph, state, node.inputs[0]) - exponent
        return [support.put_error(graph, state, node.outputs[0], gy * (other - node.attrs["other_zero"]) * fold, e)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, other, gx = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        fold, exponent = self._fold(node)
        return KernelCall(
            "mul_grad_ref_s8",
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                "other": Operand(other.name),
                **fields.error_out("gx", gx.name),
                **broadcast.broadcast_fields(node, gy.shape, gy.shape, other.shape),
                "other_zero": node.attrs["other_zero"],
                "fold": fold,
                "fold_exponent": exponent,
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape)

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        return broadcast.rows(graph, node, first, last)

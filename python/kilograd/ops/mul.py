"""Element-wise product of two int8 tensors with a fused clamp; either operand may be repeated along axes.

Operands: two tensors. Results: y, clamp mask ('' when no backward pass needs it). Attribute: activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Kind, Node
from kilograd.ops import broadcast, fields
from kilograd.ops.base import ExponentOf, KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register
from kilograd.ops.fixed_point import exponent_view, key, quantize_multiplier, requantize, write_error

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


def multiplier(graph: Graph, node: Node) -> tuple[int, int]:
    """(multiplier, shift) of the product: s1 s2 / sy in float32, as LiteRT's kernels/mul.cc computes it."""
    a, b, y = (np.float32(graph[t].q.s) for t in (*node.inputs[:2], node.outputs[0]))
    return quantize_multiplier(float(a * b / y))


@register
class Mul(Operator):
    """y = clamp(requantize((x1 - z1) (x2 - z2)) + zy), rounded twice."""

    name = "mul"
    tflite = ("MUL",)
    kernels = ("mul_ref_s8",)
    whole_input = "its first operand is repeated"
    clamps = True

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        return broadcast.infer(graph, node)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        a, b, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        assert inputs[0] is not None and inputs[1] is not None
        product = (inputs[0].astype(np.int64) - a.q.z) * (inputs[1].astype(np.int64) - b.q.z)
        m, shift = multiplier(graph, node)
        v = requantize(product, np.array(m), np.array(shift)) + y.q.z
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        q = np.clip(v, lo, hi)
        return [q.astype(np.int8).reshape(y.shape), np.packbits((q == v).reshape(-1), bitorder="little")][: len(node.outputs)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        a, b, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        m, shift = multiplier(graph, node)
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        return KernelCall(
            "mul_ref_s8",
            {
                "x1": Operand(a.name),
                "x2": Operand(b.name),
                "y": Operand(y.name),
                "mask": fields.operand(node.outputs[1] if len(node.outputs) > 1 else ""),
                **broadcast.broadcast_fields(node, y.shape, a.shape, b.shape),
                "x1_zero": a.q.z,
                "x2_zero": b.q.z,
                "y_zero": y.q.z,
                "multiplier": m,
                "shift": shift,
                "y_min": lo,
                "y_max": hi,
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        graph, gy = builder.graph, builder.error_of(node)
        for x, other in (node.inputs[:2], node.inputs[1::-1]):
            if not builder.wants(x):
                continue
            broadcast.require_whole(graph, node, x)
            saved = other if graph[other].kind is Kind.CONST else builder.saved(other, node)
            attrs = {"other_zero": graph[other].q.z, "other_scale": graph[other].q.s}
            builder.emit("mul_grad", [gy, saved], [builder.new_error(x, node)], attrs, node)

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return broadcast.inplace(graph, node)

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape)

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        return broadcast.rows(graph, node, first, last)


@register
class MulGrad(Operator):
    """gx = gy (other - other_zero) other_scale: operands gy, the other factor. Attributes: other_zero, other_scale."""

    name = "mul_grad"
    internal = True
    no_gradient = "it is itself part of a backward pass"
    kernels = ("mul_grad_ref_s8",)
    whole_input = "shapes differ in leading axes of size one"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        return [TensorType(graph[node.outputs[0]].shape, DType.INT8)]

    @staticmethod
    def _fold(node: Node) -> tuple[int, int]:
        fold, exponent, _ = fields.fold_scales(np.array([node.attrs["other_scale"]]), 1)
        return int(fold[0]), exponent

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, gx = graph[node.inputs[0]], graph[node.outputs[0]]
        assert inputs[0] is not None and inputs[1] is not None
        fold, exponent = self._fold(node)
        acc = inputs[0].astype(np.int64) * (inputs[1].astype(np.int64) - node.attrs["other_zero"]) * fold
        e = int(exponent_view(state.tensors[gy.exponent])["e"][0])  # type: ignore[index]
        return [write_error(acc.reshape(gx.shape), e - exponent, state.tensors[gx.exponent], state.tensors[fields.TRAIN], key(gx.name))]  # type: ignore[index]

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

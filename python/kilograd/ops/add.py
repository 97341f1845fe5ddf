"""Element-wise sum of two int8 tensors with a fused clamp; either operand may be repeated along axes.

Operands: two tensors. Results: y, clamp mask ('' when no backward pass needs it). Attribute: activation.
The gradient with respect to real values passes to both operands unchanged, so they share the error tensor of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.ir.graph import Array, Graph, Node
from kilograd.ops import broadcast, fields
from kilograd.ops.base import KernelCall, Operand, Operator, Reference, RunState, TensorType, register
from kilograd.ops.fixed_point import quantize_multiplier, requantize, wrap32

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

LEFT_SHIFT = 20


def multipliers(graph: Graph, node: Node) -> list[tuple[int, int]]:
    """(multiplier, shift) of both operands and of the sum, as LiteRT's kernels/add.cc computes them (float32 scales)."""
    a, b, y = (np.float32(graph[t].q.s) for t in (*node.inputs[:2], node.outputs[0]))
    twice = np.float32(2) * np.maximum(a, b)
    raised = np.float32(1 << LEFT_SHIFT) * y
    ratios = ((a, twice), (b, twice), (twice, raised))
    return [quantize_multiplier(float(np.float64(p) / np.float64(q))) for p, q in ratios]


@register
class Add(Operator):
    """y = clamp(requantize(requantize((x1 - z1) << 20) + requantize((x2 - z2) << 20)) + zy)."""

    name = "add"
    tflite = ("ADD",)
    kernels = ("add_ref_s8",)
    whole_input = "its first operand is repeated"
    clamps = True

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        return broadcast.infer(graph, node)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        y = graph[node.outputs[0]]
        total: Array = np.zeros(1, np.int64)
        *operand_scales, scale = multipliers(graph, node)
        for name, value, (multiplier, shift) in zip(node.inputs, inputs, operand_scales, strict=True):
            assert value is not None
            raised = (value.astype(np.int64) - graph[name].q.z) << LEFT_SHIFT
            total = wrap32(total + requantize(raised, np.array(multiplier), np.array(shift)))
        v = requantize(total, np.array(scale[0]), np.array(scale[1])) + y.q.z
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        q = np.clip(v, lo, hi)
        return [q.astype(np.int8).reshape(y.shape), np.packbits((q == v).reshape(-1), bitorder="little")][: len(node.outputs)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        a, b, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        (a_multiplier, a_shift), (b_multiplier, b_shift), (y_multiplier, y_shift) = multipliers(graph, node)
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        return KernelCall(
            "add_ref_s8",
            {
                "x1": Operand(a.name),
                "x2": Operand(b.name),
                "y": Operand(y.name),
                "mask": fields.operand(node.outputs[1] if len(node.outputs) > 1 else ""),
                **broadcast.broadcast_fields(node, y.shape, a.shape, b.shape),
                "x1_zero": a.q.z,
                "x2_zero": b.q.z,
                "y_zero": y.q.z,
                "x1_multiplier": a_multiplier,
                "x1_shift": a_shift,
                "x2_multiplier": b_multiplier,
                "x2_shift": b_shift,
                "y_multiplier": y_multiplier,
                "y_shift": y_shift,
                "y_min": lo,
                "y_max": hi,
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        gy = builder.error_of(node)
        for x in node.inputs[:2]:
            if builder.wants(x):
                broadcast.require_whole(builder.graph, node, x)
                builder.share_error(x, gy, node)

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return broadcast.inplace(graph, node)

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        return broadcast.rows(graph, node, first, last)

"""Element-wise sum of two int8 tensors with a fused clamp; either operand may be repeated along axes.

Operands: two tensors. Results: y, clamp mask ('' when no backward pass needs it). Attribute: activation.
The gradient with respect to real values passes to both operands unchanged, so they share the error tensor of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.ir.graph import Array, Graph, Node
from kilograd.ops import broadcast, support
from kilograd.ops.base import FieldValue, KernelCall, Reference, RunState, register
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
class Add(broadcast.BinaryOperator):
    """y = clamp(requantize(requantize((x1 - z1) << 20) + requantize((x2 - z2) << 20)) + zy)."""

    name = "add"
    tflite = ("ADD",)
    kernels = ("add_ref_s8",)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        *operand_scales, (multiplier, shift) = multipliers(graph, node)
        a, b = (
            requantize(x << LEFT_SHIFT, np.array(m), np.array(s))
            for x, (m, s) in zip(self.centred(graph, node, inputs), operand_scales, strict=True)
        )
        return self.results(graph, node, requantize(wrap32(a + b), np.array(multiplier), np.array(shift)))

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        a, b = (np.asarray(v) for v in inputs[:2])
        return [support.apply_activation(node, a + b)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        scaling: dict[str, FieldValue] = {}
        for name, (multiplier, shift) in zip(("x1", "x2", "y"), multipliers(graph, node), strict=True):
            scaling |= {f"{name}_multiplier": multiplier, f"{name}_shift": shift}
        return self.call(graph, node, scaling)

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        gy = builder.error_of(node)
        for x in node.inputs[:2]:
            if builder.wants(x):
                broadcast.require_whole(builder.graph, node, x)
                builder.share_error(x, gy, node)

"""Element-wise sum of two tensors with a fused clamp: int8 or int16; either operand may be repeated along axes.

Operands: two tensors. Results: y, clamp mask ('' when no backward pass needs it). Attributes: activation; power_of_two (int16 only: scales
that are powers of two are handled by shifts, as the models of LSTM cells want it).
The gradient with respect to real values passes to both operands unchanged, so they share the error tensor of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import broadcast, support
from kilograd.ops.base import FieldValue, KernelCall, Reference, RunState, register
from kilograd.ops.fixed_point import quantize_multiplier, requantize, wrap32

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

SUM, DIFFERENCE, SQUARED_DIFFERENCE = range(3)  # combine of kg_add_args
Factors = list[tuple[int, int]]


def _power_of_two(graph: Graph, node: Node) -> Factors | None:
    """Factors where all scales are powers of two and the node asks for shifts: one operand is shifted down to the scale of the result."""
    scales = [np.log2(graph[t].q.s) for t in (*node.inputs[:2], node.outputs[0])]
    if not node.attrs.get("power_of_two", False) or any(abs(s - round(s)) >= 1e-3 for s in scales):
        return None
    a, b = (round(scales[2]) - round(s) for s in scales[:2])
    if min(a, b) != 0 or max(a, b) > 15:
        raise GraphError(
            f"{node.op} '{node.name}': with scales that are powers of two, one operand must have the scale of the result and the other at "
            "most that scale. Export the model again without the option pot_scale_int16."
        )
    # of a value shifted left by 15: half of it is exact, then it is shifted down with rounding; the sum passes unchanged
    return [(1 << 30, -14 - a), (1 << 30, -14 - b), (1 << 30, 1)]


class RescaledPair(broadcast.BinaryOperator):
    """Both operands are brought to one scale, combined, and brought to the scale of the result."""

    kernels: ClassVar[tuple[str, ...]] = ("add_ref_s8", "add_ref_s16")
    combine: ClassVar[int]

    def left_shift(self, graph: Graph, node: Node) -> int:
        """Bits that operands are shifted up before they are scaled."""
        return 15 if graph[node.inputs[0]].dtype is DType.INT16 else 20

    def factors(self, graph: Graph, node: Node) -> Factors:
        """(multiplier, shift) of both operands and of what they give, as LiteRT's kernels compute them (float32 scales)."""
        shifts = _power_of_two(graph, node) if graph[node.inputs[0]].dtype is DType.INT16 else None
        if shifts is not None:
            return shifts
        a, b, y = (np.float32(graph[t].q.s) for t in (*node.inputs[:2], node.outputs[0]))
        twice = np.float64(np.float32(2) * np.maximum(a, b))
        power = 2 if self.combine == SQUARED_DIFFERENCE else 1
        ratios = (np.float64(a) / twice, np.float64(b) / twice, twice**power / (2.0 ** (power * self.left_shift(graph, node)) * y))
        return [quantize_multiplier(float(r)) for r in ratios]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        left = self.left_shift(graph, node)
        *operands, (multiplier, shift) = self.factors(graph, node)
        a, b = (
            requantize(wrap32(x << left), np.array(m), np.array(s))
            for x, (m, s) in zip(self.centred(graph, node, inputs), operands, strict=True)
        )
        both = wrap32(a + b if self.combine == SUM else a - b)
        if self.combine == SQUARED_DIFFERENCE:
            both = wrap32(both * both)
        return self.results(graph, node, requantize(both, np.array(multiplier), np.array(shift)))

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        scaling: dict[str, FieldValue] = {"combine": self.combine, "left_shift": self.left_shift(graph, node)}
        for name, (multiplier, shift) in zip(("x1", "x2", "y"), self.factors(graph, node), strict=True):
            scaling |= {f"{name}_multiplier": multiplier, f"{name}_shift": shift}
        return self.call(graph, node, scaling)


@register
class Add(RescaledPair):
    """y = clamp(requantize(requantize((x1 - z1) << left) + requantize((x2 - z2) << left)) + zy)."""

    name = "add"
    tflite = ("ADD",)
    onnx = ("Add",)
    combine = SUM

    def function(self, a: Array, b: Array) -> Array:
        return np.asarray(a + b)

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        support.need_int8_gradient(builder.graph, node)
        gy = builder.error_of(node)
        for x in node.inputs[:2]:
            if builder.wants(x):
                broadcast.pass_on(builder, node, x, gy)

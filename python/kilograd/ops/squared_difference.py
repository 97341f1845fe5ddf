"""Element-wise (x1 - x2)^2: int8; either operand may be repeated along axes.

Operands: x1, x2. Results: y, clamp mask ('' when no backward pass needs it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.ir.graph import Array, Graph, Kind, Node
from kilograd.ops import add, broadcast, fields, support
from kilograd.ops.base import ExponentOf, KernelCall, Operand, Reference, RunState, prod, register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


@register
class SquaredDifference(add.RescaledPair):
    """y = clamp(requantize((requantize((x1 - z1) << 7) - requantize((x2 - z2) << 7))^2) + zy)."""

    name = "squared_difference"
    tflite = ("SQUARED_DIFFERENCE",)
    types = ("int8",)
    kernels = ("add_ref_s8",)
    combine = add.SQUARED_DIFFERENCE

    def left_shift(self, graph: Graph, node: Node) -> int:
        return 7

    def function(self, a: Array, b: Array) -> Array:
        return np.asarray((a - b) ** 2)

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        graph, gy = builder.graph, builder.error_of(node)
        pair = [graph[x] for x in node.inputs[:2]]
        saved = [x.name if x.kind is Kind.CONST else builder.saved(x.name, node) for x in pair]
        for x, sign in zip(pair, (1, -1), strict=True):
            if builder.wants(x.name):
                attrs = {"zeros": [p.q.z for p in pair], "factors": [2 * sign * p.q.s for p in pair]}
                broadcast.emit_gradient(builder, node, x.name, "squared_difference_grad", [gy, *saved], attrs)

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape)


@register
class SquaredDifferenceGrad(support.GradientOperator):
    """gx = gy ((x1 - zero1) factor1 - (x2 - zero2) factor2): operands gy, x1, x2. Attributes: zeros, factors (real, of one sign)."""

    name = "squared_difference_grad"
    kernels = ("squared_difference_grad_ref_s8",)

    @staticmethod
    def _folds(node: Node) -> tuple[list[int], int]:
        factors = np.asarray(node.attrs["factors"], np.float64)
        fold, exponent, _ = fields.fold_scales(np.abs(factors), 1)
        return [int(f) for f in fold * np.sign(factors).astype(np.int64)], exponent

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, x1, x2 = (np.asarray(v, np.int64) for v in inputs)
        (fold1, fold2), exponent = self._folds(node)
        zero1, zero2 = node.attrs["zeros"]
        acc = gy * ((x1 - zero1) * fold1 - (x2 - zero2) * fold2)
        e = support.error_exponent(graph, state, node.inputs[0]) - exponent
        return [support.put_error(graph, state, node.outputs[0], acc, e)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, x1, x2 = (graph[t] for t in node.inputs)
        (fold1, fold2), exponent = self._folds(node)
        return KernelCall(
            "squared_difference_grad_ref_s8",
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                "x1": Operand(x1.name),
                "x2": Operand(x2.name),
                **fields.error_out("gx", node.outputs[0]),
                **broadcast.broadcast_fields(node, gy.shape, x1.shape, x2.shape),
                "x1_zero": node.attrs["zeros"][0],
                "x2_zero": node.attrs["zeros"][1],
                "x1_fold": fold1,
                "x2_fold": fold2,
                "fold_exponent": exponent,
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

    def macs(self, graph: Graph, node: Node) -> int:
        return 2 * prod(graph[node.outputs[0]].shape)

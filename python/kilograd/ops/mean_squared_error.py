"""Mean squared error of an int8 output, for autoencoders.

Operands: y, target (int8, quantized as y), train state. Result: error of y, 2 s_y / N (y - target). Mutates the train state and the
error's exponent. Attribute: threshold, the largest real |y - target| below which the sample is not learned from (0: never).
The loss is mean (s_y (y - target))^2 in Q16.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import fields, support
from kilograd.ops.base import ExponentOf, KernelCall, Operand, Operator, Reference, RunState, TensorType, register
from kilograd.ops.fixed_point import I32_MAX, normalize, scale_pow2, train_view
from kilograd.ops.softmax_cross_entropy import loss_error, loss_exponent, loss_shift

MAX_SIZE = 1 << 15


@register
class MeanSquaredError(Operator):
    """loss = mean (y - target)^2 in real units; error = its gradient."""

    name = "mean_squared_error"
    internal = True
    no_gradient = "it is the loss, the backward pass begins with it"
    kernels = ("mean_squared_error_ref_s8",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        y, target = graph[node.inputs[0]], graph[node.inputs[1]]
        if y.dtype is not DType.INT8 or target.dtype is not DType.INT8 or y.shape != target.shape or not 1 <= y.size <= MAX_SIZE:
            raise GraphError(f"'{node.name}': mean squared error takes an int8 output of at most {MAX_SIZE} values and a target like it")
        return [TensorType(y.shape, DType.INT8)]

    @staticmethod
    def _fold(scale: float, size: int) -> tuple[int, int]:
        """2 scale / size as (fold in [2^13, 2^14], fold_exponent): fold * 2^-fold_exponent."""
        real = 2.0 * scale / size
        exponent = 14 - int(np.ceil(np.log2(real)))
        return round(float(np.ldexp(real, exponent))), exponent

    @staticmethod
    def _threshold(scale: float, node: Node) -> int:
        return min(int(np.ceil(float(node.attrs["threshold"]) / scale)), 256)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        y, target, raw = inputs[0], inputs[1], inputs[2]
        assert y is not None and target is not None and raw is not None
        train, scale = train_view(raw), graph[node.inputs[0]].q.s
        d = y.astype(np.int64) - target.astype(np.int64)
        fold, fold_exponent = self._fold(scale, d.size)
        peak = int(np.abs(d).max())
        shift = loss_shift(peak * fold)
        loss_exponent(support.exponent_state(graph, state, node.outputs[0]), shift - fold_exponent)
        mantissa, exponent = normalize(scale * scale / d.size * 65536)
        train["loss"] = min(scale_pow2(int((d * d).sum()) * mantissa, exponent), I32_MAX)
        train["predicted"] = -1
        train["skip"] = int(peak < self._threshold(scale, node))
        train["skipped"] += train["skip"]
        return [loss_error(d * fold, shift)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        y, target, _ = node.inputs
        scale, size = graph[y].q.s, graph[y].size
        fold, fold_exponent = self._fold(scale, size)
        mantissa, exponent = normalize(scale * scale / size * 65536)
        return KernelCall(
            "mean_squared_error_ref_s8",
            {
                "y": Operand(y),
                "target": Operand(target),
                "error": Operand(node.outputs[0]),
                "exponent": ExponentOf(node.outputs[0]),
                "train": Operand(fields.TRAIN),
                "size": size,
                "fold": fold,
                "fold_exponent": fold_exponent,
                "loss_mantissa": mantissa,
                "loss_exponent": exponent,
                "threshold": self._threshold(scale, node),
            },
        )

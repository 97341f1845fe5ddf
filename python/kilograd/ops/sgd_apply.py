"""Gradient accumulation: take the pending steps of one parameter and clear them.

Operands: parameter (int8 weights, int16 bias deltas or int32 biases), fraction ('' or int8, storage w8f8), pending (int32), train state.
No results; mutates parameter, fraction and pending. Attributes: rounding, lo, hi (range of the parameter).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import fields
from kilograd.ops.base import KernelCall, Operand, Operator, Reference, RunState, TensorType, register
from kilograd.ops.fixed_point import BIAS_FRACTION, key, random_at, random_start, train_view, update_round, update_weight

KERNEL = {DType.INT8: "sgd_apply_ref_s8", DType.INT16: "sgd_apply_ref_s16", DType.INT32: "sgd_apply_ref_s32"}


@register
class SgdApply(Operator):
    """parameter -= pending; pending = 0. The learning rate and 1/N are already in the pending steps."""

    name = "sgd_apply"
    internal = True
    no_gradient = "it is an optimizer step"
    kernels = tuple(KERNEL.values())

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        parameter, pending = graph[node.inputs[0]], graph[node.inputs[2]]
        if parameter.dtype not in KERNEL or pending.dtype is not DType.INT32 or pending.shape != parameter.shape:
            raise GraphError(f"'{node.name}': pending steps are int32 of the shape of the parameter")
        return []

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        parameter, fraction, pending, raw = inputs
        assert parameter is not None and pending is not None and raw is not None
        train = train_view(raw)
        start = random_start(int(train["seed"][0]), int(train["step"][0]), key(node.inputs[0]))
        index, step = np.arange(parameter.size), pending.reshape(-1).astype(np.int64)
        rounding, lo, hi = node.attrs["rounding"], node.attrs["lo"], node.attrs["hi"]
        if parameter.dtype == np.int8:
            update_weight(parameter, fraction, index, step, rounding, start, lo, hi)
        else:
            flat = parameter.reshape(-1)
            after = np.clip(update_round(flat, step, BIAS_FRACTION, rounding, random_at(start, index)), lo, hi)
            flat[:] = np.where(step == 0, flat, after)
        pending[...] = 0
        return []

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        parameter, fraction, pending, _ = node.inputs
        return KernelCall(
            KERNEL[graph[parameter].dtype],
            {
                "parameter": Operand(parameter),
                "fraction": fields.operand(fraction),
                "pending": Operand(pending),
                "train": Operand(fields.TRAIN),
                "tensor": key(parameter),
                "rounding": node.attrs["rounding"],
                "count": graph[parameter].size,
                "lo": node.attrs["lo"],
                "hi": node.attrs["hi"],
            },
        )

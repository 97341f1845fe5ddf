"""Softmax and cross-entropy of int8 logits, in integers.

Operands: logits, label (int32 [1]), train state. Result: error of the logits, p - y. Mutates the train state and the error's exponent.
Attribute: threshold, the largest |p - y| (0..1) below which the sample is not learned from.

2^-x comes from a table of 256 entries in Q15, p is a Q15 integer; p - y becomes an int8 by the smallest right shift that fits, to nearest.
The loss is in Q16 nats and within 0.01 of the exact loss of the same logits. A label out of range gives loss -1 and skips the sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import fields, support
from kilograd.ops.base import Blob, ExponentOf, KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register
from kilograd.ops.fixed_point import EXPONENT_MAX, EXPONENT_MIN, I32_MAX, exponent_view, round_shr, train_view

LN2_Q16 = 45426
ONE_Q15 = 1 << 15


def power_table() -> Array:
    """2^-(i/256) in Q15, uint16 [256]."""
    return np.rint(np.exp2(-np.arange(256) / 256) * ONE_Q15).astype(np.uint16)


def logit_scale(scale: float) -> int:
    """Logit scale times log2(e) in Q16, kept in the kernel's range."""
    return int(min(max(round(scale * float(np.log2(np.e)) * 65536), 1), 1 << 23))


def powers(below: Array, scale: int) -> Array:
    """2^-x in Q15 for x = below * scale (Q16)."""
    x = (below.astype(np.int64) * scale + 128) >> 8
    shift = x >> 8
    near = np.minimum(shift, 16)
    e = (power_table().astype(np.int64)[x & 255] + ((np.int64(1) << near) >> 1)) >> near
    return np.where(shift > 16, 0, e)


def log2_q15(total: int) -> int:
    """log2 of a Q15 number, in Q16."""
    top = total.bit_length() - 1
    m = total << (30 - top) if top <= 30 else total >> (top - 30)
    result = (top - 15) << 16
    for bit in range(15, -1, -1):
        m = (m * m) >> 30
        if m >= 1 << 31:
            m, result = m >> 1, result + (1 << bit)
    return result


def loss_shift(peak: int) -> int:
    """kg_loss_shift: the smallest right shift with which `peak`, rounded to nearest, becomes at most 127."""
    shift = 0
    while round_shr(peak, shift) > 127:
        shift += 1
    return shift


def loss_error(gradient: Array, shift: int) -> Array:
    """kg_loss_round for an array."""
    g = gradient.astype(np.int64)
    return np.clip(g if shift == 0 else (g + (1 << (shift - 1))) >> shift, -127, 127).astype(np.int8)


def loss_exponent(raw: Array, e: int) -> None:
    """kg_loss_exponent: the exponent of an error tensor that a loss has written."""
    record = exponent_view(raw)
    record["e"] = record["next"] = min(max(e, EXPONENT_MIN), EXPONENT_MAX)
    record["quiet"] = 0


@register
class SoftmaxCrossEntropy(Operator):
    """loss = -log softmax(logits)[label]; error = softmax(logits) - onehot(label)."""

    name = "softmax_cross_entropy"
    internal = True
    no_gradient = "it is the loss, the backward pass begins with it"
    kernels = ("softmax_cross_entropy_ref_s8",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        logits, label = graph[node.inputs[0]], graph[node.inputs[1]]
        if logits.dtype is not DType.INT8 or not 1 <= logits.size <= 65536 or label.dtype is not DType.INT32 or label.size != 1:
            raise GraphError(f"'{node.name}': cross-entropy takes int8 logits of at most 65536 classes and one int32 label")
        return [TensorType(logits.shape, DType.INT8)]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        logits, label, raw = inputs[0], inputs[1], inputs[2]
        assert logits is not None and label is not None and raw is not None
        train, scale = train_view(raw), logit_scale(graph[node.inputs[0]].q.s)
        exponent = support.exponent_state(graph, state, node.outputs[0])
        x, y = logits.reshape(-1).astype(np.int64), int(label.reshape(-1)[0])
        below = int(x.max()) - x
        e = powers(below, scale)
        total = int(e.sum())
        train["predicted"] = int(np.argmax(x))
        if not 0 <= y < x.size:
            loss_exponent(exponent, -15)
            train["loss"], train["skip"] = -1, 1
            return [np.zeros(logits.shape, np.int8)]
        train["loss"] = min(((log2_q15(total) + int(below[y]) * scale) * LN2_Q16) >> 16, I32_MAX)
        gradient = (e * ONE_Q15 + total // 2) // total
        gradient[y] -= ONE_Q15
        peak = int(np.abs(gradient).max())
        shift = loss_shift(peak)
        loss_exponent(exponent, shift - 15)
        train["skip"] = int(peak < self._threshold(node))
        train["skipped"] += train["skip"]
        return [loss_error(gradient, shift).reshape(logits.shape)]

    @staticmethod
    def _threshold(node: Node) -> int:
        return min(max(round(float(node.attrs["threshold"]) * ONE_Q15), 0), ONE_Q15)

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        logits, label, train = node.inputs
        return KernelCall(
            "softmax_cross_entropy_ref_s8",
            {
                "logits": Operand(logits),
                "label": Operand(label),
                "error": Operand(node.outputs[0]),
                "exponent": ExponentOf(node.outputs[0]),
                "train": Operand(fields.TRAIN),
                "table": Blob(power_table()),
                "classes": prod(graph[logits].shape),
                "scale": logit_scale(graph[logits].q.s),
                "threshold": self._threshold(node),
            },
        )

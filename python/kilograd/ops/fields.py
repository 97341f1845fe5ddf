"""Pieces of argument structs that several operators share (the C twins are in csrc/common)."""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, Graph, Node
from kilograd.ops.base import Blob, ExponentOf, FieldValue, Operand
from kilograd.ops.fixed_point import key, normalize, quantize_multipliers

#: name of the STATE tensor that holds kg_train_state (int32[12])
TRAIN = "train"


def operand(name: str) -> Operand | None:
    """Reference to a tensor, None for an absent operand."""
    return Operand(name) if name else None


def optional(node: Node, index: int) -> str:
    """Operand `index` of a node, the empty string when it is absent."""
    return node.inputs[index] if index < len(node.inputs) else ""


def requantization(real: Array) -> dict[str, FieldValue]:
    """`multiplier` (int32) and `shift` (int8) tables of real multipliers, one a channel."""
    multiplier, shift = quantize_multipliers(real)
    return {"multiplier": Blob(multiplier), "shift": Blob(shift)}


def error_out(prefix: str, tensor: str) -> dict[str, FieldValue]:
    """kg_error_out for the error tensor `tensor`."""
    return {
        f"{prefix}.data": Operand(tensor),
        f"{prefix}.exponent": ExponentOf(tensor),
        f"{prefix}.train": Operand(TRAIN),
        f"{prefix}.tensor": key(tensor),
    }


def update(parameter: str, fraction: str, pending: str, factor: Array, rounding: int) -> dict[str, FieldValue]:
    """kg_update: `factor` is the real factor per channel between a gradient sum and a step of the stored integer, without
    learning rate and error exponent; 0 freezes the channel."""
    pairs = [normalize(float(f)) for f in np.asarray(factor, np.float64).reshape(-1)]
    return {
        "update.train": Operand(TRAIN),
        "update.mantissa": Blob(np.array([m for m, _ in pairs], np.int32)),
        "update.exponent": Blob(np.array([e for _, e in pairs], np.int8)),
        "update.fraction": operand(fraction),
        "update.pending": operand(pending),
        "update.tensor": key(parameter),
        "update.rounding": rounding,
    }


def fold_scales(scales: Array, fan: int, weight_limit: int = 128) -> tuple[Array, int, int]:
    """Per-channel weight scales as 14-bit integers for the input gradient: (fold int32 [channels], fold_exponent, fold_shift).

    fold = round(scale * 2^fold_exponent), largest in (2^13, 2^14]. fold_shift is the smallest from 7 on with which a sum of `fan` products
    of the folded error with weights of at most `weight_limit` cannot leave int32.
    """
    scales = np.asarray(scales, np.float64)
    exponent = 14 - int(np.ceil(np.log2(scales.max())))
    fold = np.minimum(np.rint(np.ldexp(scales, exponent)), 1 << 14).astype(np.int32)
    shift = 7
    while fan * (((128 << 14) >> shift) + 1) * weight_limit > 2**31 - 1:
        shift += 1
    return fold, exponent, shift


def activation_range(graph: Graph, tensor: str, activation: str) -> tuple[int, int]:
    """Clamp range of a fused activation in the integers of `tensor` (TensorFlow Lite's CalculateActivationRangeQuantized)."""
    q, info = graph[tensor].q, np.iinfo(graph[tensor].dtype.numpy)

    def quantize(real: float) -> int:
        v = np.float32(real) / np.float32(q.s)
        return q.z + int(np.floor(np.abs(v) + 0.5) * np.sign(v))  # std::round, half away from zero

    lo, hi = int(info.min), int(info.max)
    if activation in ("relu", "relu6"):
        lo = max(lo, quantize(0.0))
    if activation == "relu6":
        hi = min(hi, quantize(6.0))
    if activation == "relu_n1_to_1":
        lo, hi = max(lo, quantize(-1.0)), min(hi, quantize(1.0))
    return lo, hi

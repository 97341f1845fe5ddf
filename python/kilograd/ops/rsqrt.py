"""Reciprocal square root, int8, with the fixed-point arithmetic of TensorFlow Lite's reference kernel. Zero and negative numbers give 127.

Operand: x. Backward: the slope as a table over the saved operand (lut_grad), 0 at zero and below.
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, Node, QuantParams
from kilograd.ops import lut
from kilograd.ops.base import register
from kilograd.ops.fixed_point import I32_MAX, high_mul, quantize_multiplier, requantize, shl_saturated, shr_rounded

EXTRA_BITS = 20  # of the reciprocal root before it is scaled


def inverse_sqrt(value: int) -> tuple[int, int]:
    """(multiplier, shift) with 1 / sqrt(value) = multiplier * 2^(shift-31), value >= 1: Newton's iteration, all in Q3.28 from 1 on."""
    if value <= 1:
        return I32_MAX, 0
    right = 11
    while value >= 1 << 29:
        value //= 4
        right += 1
    pairs = (32 - value.bit_length() - 1) // 2 - 1
    right -= pairs
    a = (value << 2 * pairs) >> 1
    half, x = shr_rounded(a, 1), 1 << 28
    for _ in range(5):
        cube = shl_saturated(high_mul(high_mul(x, x), x), 6)  # Q9.22 to Q3.28
        x = shl_saturated(high_mul((1 << 28) + (1 << 27), x) - high_mul(half, cube), 3)
    root = high_mul(x, 1518500250)  # times sqrt(1/2)
    return (root << -right, 0) if right < 0 else (root, -right)


@register
class Rsqrt(lut.FunctionOperator):
    """y = 1 / sqrt(x)."""

    name = "rsqrt"
    tflite = ("RSQRT",)

    def function(self, node: Node, x: Array) -> Array:
        return np.where(x > 0, 1 / np.sqrt(np.where(x > 0, x, 1)), np.inf)

    def derivative(self, node: Node, x: Array) -> Array:
        return np.where(x > 0, -0.5 * np.where(x > 0, x, 1) ** -1.5, 0.0)

    def values(self, node: Node, x: QuantParams, y: QuantParams) -> Array:
        multiplier, shift = quantize_multiplier(1 / float(np.sqrt(np.float32(x.s)) * np.float32(y.s)))
        out = np.full(256, int(lut.LARGEST), np.int64)
        for i in np.flatnonzero(lut.INPUTS > x.z):
            m, s = inverse_sqrt(int(lut.INPUTS[i]) - x.z)
            root = requantize(np.array(1), np.array(m), np.array(s + EXTRA_BITS))
            out[i] = requantize(root, np.array(multiplier), np.array(shift - EXTRA_BITS)) + y.z
        return out

"""Hard swish, int8, with the 16-bit fixed-point arithmetic of TensorFlow Lite's reference kernel (as a table).

Operand: x. Backward: the slope as a table over the saved operand (lut_grad).
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, Node, QuantParams
from kilograd.ops import lut
from kilograd.ops.base import register
from kilograd.ops.fixed_point import quantize_multiplier, rounding_shr

HIGH_BITS = 7  # differences of int8 are computed with as many bits more


def _saturate(v: Array) -> Array:
    return np.clip(v, -32768, 32767)


def _high_mul(a: Array, b: int) -> Array:
    """High 16 bits of 2ab, rounded to nearest (gemmlowp, int16)."""
    ab = a * b
    nudged = ab + np.where(ab >= 0, 1 << 14, 1 - (1 << 14))
    return _saturate(np.sign(nudged) * (np.abs(nudged) >> 15))


def _multiplier16(real: float) -> tuple[int, int]:
    """quantize_multiplier with 16 bits."""
    multiplier, shift = quantize_multiplier(real)
    return min((multiplier + (1 << 15)) >> 16, 32767), shift


@register
class HardSwish(lut.FunctionOperator):
    """y = x * min(max(x + 3, 0), 6) / 6."""

    name = "hard_swish"
    tflite = ("HARD_SWISH",)
    onnx = ("HardSwish",)

    def function(self, node: Node, x: Array) -> Array:
        return x * np.clip(x + 3, 0, 6) / 6

    def derivative(self, node: Node, x: Array) -> Array:
        return np.where(x <= -3, 0.0, np.where(x >= 3, 1.0, (2 * x + 3) / 6))

    def values(self, node: Node, x: QuantParams, y: QuantParams) -> Array:
        high = np.float32(1 / (1 << HIGH_BITS)) * np.float32(x.s)
        out_multiplier, out_shift = _multiplier16(float(high / np.float32(y.s)))
        gate_multiplier, gate_shift = _multiplier16(float(high / (np.float32(3) / np.float32(32768))))
        v = (lut.INPUTS - x.z) << HIGH_BITS
        gate = v if gate_shift <= 0 else _saturate(v << (gate_shift - 1))  # min(max(x / 3, -1), 1) as Q0.15
        gate = _high_mul(gate, gate_multiplier)
        gate = _saturate(gate << 1) if gate_shift > 0 else rounding_shr(gate, np.array(-gate_shift))
        gate = (gate + (1 << 15)) >> 1
        product = gate * _high_mul(v, out_multiplier)
        product = np.sign(product) * (np.abs(product) >> 15)
        return rounding_shr(product, np.array(-out_shift)) + y.z if out_shift <= 0 else (product << out_shift) + y.z

"""Negation, own quantization of the result. Operand: x. Backward: -1 as a table over the saved operand (lut_grad).

TensorFlow Lite's int8 kernel negates the stored integers whatever their quantization, and leaves -128 as it is; that agrees with this for
equal scales and zero points 0, but for -128, which becomes 127 here.
"""

from __future__ import annotations

from kilograd.ir.graph import Node
from kilograd.ops.base import register
from kilograd.ops.rescale import Factors, PiecewiseLinear


@register
class Neg(PiecewiseLinear):
    """y = -x."""

    name = "neg"
    tflite = ("NEG",)
    onnx = ("Neg",)

    def slope_pair(self, node: Node) -> Factors:
        return -1.0, -1.0

"""Negation, own quantization of the result. Operand: x. Backward: -1 as a table over the saved operand (lut_grad)."""

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

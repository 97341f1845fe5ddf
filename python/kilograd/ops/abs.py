"""Absolute value, own quantization of the result. Operand: x. Backward: the sign as a table over the saved operand (lut_grad)."""

from __future__ import annotations

from kilograd.ir.graph import Node
from kilograd.ops.base import register
from kilograd.ops.rescale import Factors, PiecewiseLinear


@register
class Abs(PiecewiseLinear):
    """y = |x|."""

    name = "abs"
    tflite = ("ABS",)
    onnx = ("Abs",)

    def slope_pair(self, node: Node) -> Factors:
        return -1.0, 1.0

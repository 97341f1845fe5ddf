"""Square, int8.

Operand: x. Backward: the slope as a table over the saved operand (lut_grad).
"""

from __future__ import annotations

from kilograd.ir.graph import Array, Node
from kilograd.ops import lut
from kilograd.ops.base import register


@register
class Square(lut.FunctionOperator):
    """y = x * x."""

    name = "square"
    tflite = ("SQUARE",)

    def function(self, node: Node, x: Array) -> Array:
        return x * x

    def derivative(self, node: Node, x: Array) -> Array:
        return 2 * x

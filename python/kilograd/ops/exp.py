"""Exponential function, int8.

Operand: x. Backward: the slope as a table over the saved operand (lut_grad).
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, Node
from kilograd.ops import lut
from kilograd.ops.base import register


@register
class Exp(lut.FunctionOperator):
    """y = exp(x)."""

    name = "exp"
    tflite = ("EXP",)
    onnx = ("Exp",)

    def function(self, node: Node, x: Array) -> Array:
        return np.exp(x)

    def derivative(self, node: Node, x: Array) -> Array:
        return np.exp(np.minimum(x, 80))

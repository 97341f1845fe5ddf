"""Exponential linear unit, int8.

Operand: x. Backward: the slope as a table over the saved operand (lut_grad).
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, Node
from kilograd.ops import lut
from kilograd.ops.base import register


@register
class Elu(lut.FunctionOperator):
    """x above zero, exp(x) - 1 below."""

    name = "elu"
    tflite = ("ELU",)
    onnx = ("Elu",)

    def function(self, node: Node, x: Array) -> Array:
        return np.where(x < 0, np.expm1(np.minimum(x, 0)), x)

    def derivative(self, node: Node, x: Array) -> Array:
        return np.where(x < 0, np.exp(np.minimum(x, 0)), 1.0)

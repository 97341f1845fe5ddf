"""Gaussian error linear unit, int8.

Operand: x. Attribute: approximate (by tanh instead of the error function). Backward: the slope as a table over the saved operand
(lut_grad).
"""

from __future__ import annotations

import math

import numpy as np

from kilograd.ir.graph import Array, Node
from kilograd.ops import lut
from kilograd.ops.base import register

CUBIC, FACTOR = 0.044715, math.sqrt(2 / math.pi)
_erf = np.vectorize(math.erf, otypes=[np.float64])


@register
class Gelu(lut.FunctionOperator):
    """y = x * P(standard normal <= x)."""

    name = "gelu"
    tflite = ("GELU",)
    onnx = ("Gelu",)

    def function(self, node: Node, x: Array) -> Array:
        if node.attrs["approximate"]:
            return 0.5 * x * (1 + np.tanh(FACTOR * (x + CUBIC * x**3)))
        return 0.5 * x * (1 + _erf(x * math.sqrt(0.5)))

    def derivative(self, node: Node, x: Array) -> Array:
        if node.attrs["approximate"]:
            t = np.tanh(FACTOR * (x + CUBIC * x**3))
            return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * FACTOR * (1 + 3 * CUBIC * x * x)
        return 0.5 * (1 + _erf(x * math.sqrt(0.5))) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)

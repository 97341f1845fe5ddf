"""Natural logarithm, int8. Numbers that have none give the lowest result.

Operand: x. Backward: the slope as a table over the saved operand (lut_grad), 0 where there is no logarithm.
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, Node
from kilograd.ops import lut
from kilograd.ops.base import register


@register
class Log(lut.FunctionOperator):
    """y = log(x)."""

    name = "log"
    tflite = ("LOG",)
    onnx = ("Log",)

    def function(self, node: Node, x: Array) -> Array:
        return np.where(x < 0, -np.inf, np.log(np.maximum(x, 0)))

    def derivative(self, node: Node, x: Array) -> Array:
        return np.where(x > 0, 1 / np.where(x > 0, x, 1), 0.0)

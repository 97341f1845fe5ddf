"""Square root, int8, cut to the integer below as TensorFlow Lite does it. Negative numbers give 0.

Operand: x. Backward: the slope as a table over the saved operand (lut_grad), 0 at zero and below.
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, Node, QuantParams
from kilograd.ops import lut
from kilograd.ops.base import register


@register
class Sqrt(lut.FunctionOperator):
    """y = sqrt(x)."""

    name = "sqrt"
    tflite = ("SQRT",)
    onnx = ("Sqrt",)

    def function(self, node: Node, x: Array) -> Array:
        return np.sqrt(np.maximum(x, 0))

    def values(self, node: Node, x: QuantParams, y: QuantParams) -> Array:
        real = np.float32(x.s) * np.maximum(lut.INPUTS - x.z, 0).astype(np.float32)
        steps = (np.sqrt(real.astype(np.float64)).astype(np.float32) / np.float32(y.s)).astype(np.float64)
        return np.floor(np.minimum(steps, lut.LARGEST)).astype(np.int64) + y.z

    def derivative(self, node: Node, x: Array) -> Array:
        return np.where(x > 0, 0.5 / np.sqrt(np.where(x > 0, x, 1)), 0.0)

"""Hyperbolic tangent: int8 by a table built as TensorFlow Lite builds it (float32), int16 by interpolation in the table of logistic.

Operand: x. Results: int8 with scale 1/128 and zero point 0 (others are possible), int16 with 1/32768 and 0. Backward: the derivative
1 - y^2 as a table over the saved result (lut_grad).
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, Node, QuantParams
from kilograd.ops.base import register
from kilograd.ops.logistic import Sigmoid


@register
class Tanh(Sigmoid):
    """y = tanh(x)."""

    name = "tanh"
    tflite = ("TANH",)
    onnx = ("Tanh",)
    fixed_result = (1 / 128, 0)
    is_tanh = True

    def function(self, node: Node, x: Array) -> Array:
        return np.tanh(x)

    def derivative_of_result(self, y: QuantParams, p: Array) -> Array:
        return 1 - np.clip(p, -1, 1) ** 2

"""Leaky ReLU, own quantization of the result.

Operand: x. Attribute: alpha, the slope below zero. Backward: the slope as a table over the saved operand (lut_grad).
"""

from __future__ import annotations

from kilograd.ir.graph import Node
from kilograd.ops.base import register
from kilograd.ops.rescale import Factors, PiecewiseLinear


@register
class LeakyRelu(PiecewiseLinear):
    """x above zero, alpha x below."""

    name = "leaky_relu"
    tflite = ("LEAKY_RELU",)
    onnx = ("LeakyRelu",)

    def slope_pair(self, node: Node) -> Factors:
        return float(node.attrs["alpha"]), 1.0

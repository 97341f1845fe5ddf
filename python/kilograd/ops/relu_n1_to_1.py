"""Clamp to -1..1, own quantization of the result. Operand: x. Results: y, clamp mask (optional)."""

from __future__ import annotations

from kilograd.ops.base import register
from kilograd.ops.rescale import Rectifier


@register
class ReluN1To1(Rectifier):
    """min(max(x, -1), 1)."""

    name = "relu_n1_to_1"
    tflite = ("RELU_N1_TO_1",)
    onnx = ("Clip",)
    floor = -1.0
    ceiling = 1.0

"""Clamp to 0..1, own quantization of the result. Operand: x. Results: y, clamp mask (optional)."""

from __future__ import annotations

from kilograd.ops.base import register
from kilograd.ops.rescale import Rectifier


@register
class Relu0To1(Rectifier):
    """min(max(x, 0), 1)."""

    name = "relu_0_to_1"
    tflite = ("RELU_0_TO_1",)
    onnx = ("Clip",)
    ceiling = 1.0

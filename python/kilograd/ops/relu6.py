"""ReLU6 as an operator of its own, own quantization of the result. Operand: x. Results: y, clamp mask (optional)."""

from __future__ import annotations

from kilograd.ops.base import register
from kilograd.ops.rescale import Rectifier


@register
class Relu6(Rectifier):
    """min(max(x, 0), 6)."""

    name = "relu6"
    tflite = ("RELU6",)
    onnx = ("Clip",)
    ceiling = 6.0

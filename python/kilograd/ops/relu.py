"""ReLU as an operator of its own (mostly it is fused into the layer before), own quantization of the result.

Operand: x. Results: y, clamp mask (optional). Negative values and values beyond the range of the result are clamped.
"""

from __future__ import annotations

from kilograd.ops.base import register
from kilograd.ops.rescale import Rectifier


@register
class Relu(Rectifier):
    """max(x, 0)."""

    name = "relu"
    tflite = ("RELU",)
    onnx = ("Relu",)

"""Element-wise smaller of two tensors: operands, results and gradient as those of maximum."""

from __future__ import annotations

from kilograd.ops import maximum
from kilograd.ops.base import register


@register
class Minimum(maximum.Selection):
    """y = min(x1, x2)."""

    name = "minimum"
    tflite = ("MINIMUM",)
    onnx = ("Min",)
    smaller = True

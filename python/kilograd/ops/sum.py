"""Sum over any axes: int8, up to four axes, own quantization of the result.

Operand: x. Results: y, clamp mask (optional). Attributes: axes (counted from the front), keep_dims. It is a mean that does not divide.
"""

from __future__ import annotations

from kilograd.ops import mean
from kilograd.ops.base import register


@register
class Sum(mean.ScaledSum):
    """y = clamp(requantize(sum (x - zx)) + zy)."""

    name = "sum"
    tflite = ("SUM",)
    onnx = ("ReduceSum",)
    divides = False

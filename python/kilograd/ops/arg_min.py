"""Where along one axis the smallest value stands: operand, result and attributes as those of arg_max."""

from __future__ import annotations

from kilograd.ops import arg_max
from kilograd.ops.base import register


@register
class ArgMin(arg_max.Position):
    """y = first k with the smallest x along an axis."""

    name = "arg_min"
    tflite = ("ARG_MIN",)
    onnx = ("ArgMin",)
    smallest = True

"""Smallest value over any axes: operand, results, attributes and gradient as those of reduce_max."""

from __future__ import annotations

from kilograd.ops import reduce_max
from kilograd.ops.base import register


@register
class ReduceMin(reduce_max.Extreme):
    """y = min of x over axes."""

    name = "reduce_min"
    tflite = ("REDUCE_MIN",)
    onnx = ("ReduceMin",)
    smallest = True

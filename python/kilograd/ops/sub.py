"""Element-wise difference of two tensors with a fused clamp: int8 or int16; either operand may be repeated along axes.

Operands: x1, x2. Results: y, clamp mask ('' when no backward pass needs it). Attributes: activation, power_of_two (see add.py).
The error of the result is the error of x1; that of x2 is its negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.ir.graph import Array, Node
from kilograd.ops import add, broadcast, support
from kilograd.ops.base import register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


@register
class Sub(add.RescaledPair):
    """y = clamp(requantize(requantize((x1 - z1) << left) - requantize((x2 - z2) << left)) + zy)."""

    name = "sub"
    tflite = ("SUB",)
    onnx = ("Sub",)
    combine = add.DIFFERENCE

    def function(self, a: Array, b: Array) -> Array:
        return np.asarray(a - b)

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        support.need_int8_gradient(builder.graph, node)
        gy = builder.error_of(node)
        for x, negative in zip(node.inputs[:2], (False, True), strict=True):
            if builder.wants(x):
                broadcast.pass_on(builder, node, x, gy, negative)

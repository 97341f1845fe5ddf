"""ReLU as an operator of its own (mostly it is fused into the layer before): int8, own quantization of the result.

Operand: x. Results: y, clamp mask (optional). Negative values and values beyond the range of the result are clamped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from kilograd.ir.graph import Array, Graph, Node, QuantParams
from kilograd.ops import lut
from kilograd.ops.base import register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


class Rectifier(lut.TableOperator):
    """y = clamp(requantize(x - zx) + zy) between real 0 and `ceiling`."""

    clamps = True
    ceiling: ClassVar[float | None] = None

    def values(self, x: QuantParams, y: QuantParams) -> Array:
        return lut.rescaled(float(np.float32(x.s) / np.float32(y.s)), x.z, y.z)

    def limits(self, y: QuantParams) -> tuple[int, int]:
        if self.ceiling is None:
            return max(-128, y.z), 127
        steps = np.float32(self.ceiling) / np.float32(y.s)
        return max(-128, y.z), min(127, y.z + int(np.floor(steps + np.float32(0.5))))

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.clip(np.asarray(inputs[0]), 0, self.ceiling)]

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        if builder.wants(node.inputs[0]):
            builder.share_error(node.inputs[0], builder.error_of(node), node)


@register
class Relu(Rectifier):
    """max(x, 0)."""

    name = "relu"
    tflite = ("RELU",)

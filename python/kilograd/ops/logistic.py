"""Logistic function: int8 by a table built as TensorFlow Lite builds it (float32), int16 by a table with linear interpolation.

Operand: x. Results: int8 with scale 1/256 and zero point -128, int16 with 1/32768 and 0. Backward: the derivative y (1 - y) as a table over
the saved result (lut_grad).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams
from kilograd.ops import lut
from kilograd.ops.base import Blob, KernelCall, Operand, Reference, RunState, TensorType, register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

UNITS = 3 * 4096.0  # units of 1 / 12288 in one: 24 table entries of 512


@cache
def table16() -> Array:
    """uint16 [256]: the logistic function of i / 24 as Q0.16, each value moved by half the error of linear interpolation behind it."""

    def at(i: Array) -> Array:
        return 65536 / (1 + np.exp(-i / 24))

    i = np.arange(256.0)
    table = np.floor(at(i) + (at(i + 0.5) - (at(i) + at(i + 1)) / 2) / 2 + 0.5).astype(np.uint16)
    table[255] = 65535  # where it saturates
    table.flags.writeable = False  # shared by all who ask
    return table


def input_scaling(scale: float) -> tuple[int, int]:
    """(multiplier of 15 bits, shift): int16 of that scale in units of 1 / 12288."""
    real, shift = float(np.float32(scale)) * UNITS, 0
    while real <= 32767 / 2 and shift <= 30:
        real, shift = real * 2, shift + 1
    return int(real), shift


class Sigmoid(lut.FunctionOperator):
    """What logistic and tanh share: a fixed quantization of the result, derivatives by the result, and the int16 kernel."""

    kernels: ClassVar[tuple[str, ...]] = ("lut_ref_s8", "logistic_ref_s16")
    types: ClassVar[tuple[str, ...]] = ("int8", "int16")
    is_tanh: ClassVar[bool]

    @abstractmethod
    def derivative_of_result(self, y: QuantParams, p: Array) -> Array:
        """The derivative where the result is p."""

    def derivative(self, node: Node, x: Array) -> Array:
        p = self.function(node, x)
        return 1 - p * p if self.is_tanh else p * (1 - p)

    def quantize(self, graph: Graph, node: Node) -> str:
        return "fixed"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        types = super().infer(graph, node)
        if x.dtype is DType.INT16:
            if (y.q.s, y.q.z, x.q.z) != (1 / 32768, 0, 0):
                raise GraphError(
                    f"{node.op} '{node.name}': int16 needs zero points 0 and a result with scale 1/32768, it has scale {y.q.s}, "
                    f"zero points {x.q.z} and {y.q.z}"
                )
            if input_scaling(x.q.s)[1] > 30 or input_scaling(x.q.s)[0] > 32767:
                raise GraphError(f"{node.op} '{node.name}': scale {x.q.s} of an int16 input must lie in 1e-9 to 2.6")
        return types

    def _apply16(self, graph: Graph, node: Node, x: Array) -> Array:
        multiplier, shift = input_scaling(graph[node.inputs[0]].q.s)
        u = (x * multiplier + ((1 << shift) >> 1)) >> shift
        bits = 8 if self.is_tanh else 9
        i, table = np.abs(u) >> bits, table16().astype(np.int64)
        a, b = table[np.minimum(i, 255)], table[np.minimum(i + 1, 255)]
        r = (a << bits) + (np.abs(u) & ((1 << bits) - 1)) * (b - a)
        if self.is_tanh:
            r = np.where(i >= 255, 0xFFFF << 8, r) - (1 << 23)
            return np.where(u >= 0, r + (1 << 7), -r + (1 << 7) - 1) >> 8
        r = np.where(i >= 255, 0x7FFF << 10, r)
        return np.where(u >= 0, r + (1 << 9), (1 << 25) - r + (1 << 9) - 1) >> 10

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        if graph[node.inputs[0]].dtype is DType.INT8:
            return super().reference(graph, node, inputs, state)
        return [np.clip(self._apply16(graph, node, np.asarray(inputs[0], np.int64)), -32768, 32767).astype(np.int16)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x = graph[node.inputs[0]]
        if x.dtype is DType.INT8:
            return super().lower(graph, node)
        multiplier, shift = input_scaling(x.q.s)
        return KernelCall(
            "logistic_ref_s16",
            {
                "x": Operand(x.name),
                "y": Operand(node.outputs[0]),
                "table": Blob(table16()),
                "multiplier": multiplier,
                "shift": shift,
                "tanh": int(self.is_tanh),
                "count": x.size,
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        y = node.outputs[0]
        if builder.wants(node.inputs[0]):
            lut.need_int8_errors(builder.graph, node)
            q = builder.graph[y].q
            self.slope_from(builder, node, y, self.derivative_of_result(q, (lut.INPUTS - q.z) * np.float64(q.s)))


@register
class Logistic(Sigmoid):
    """y = 1 / (1 + exp(-x))."""

    name = "logistic"
    tflite = ("LOGISTIC",)
    onnx = ("Sigmoid",)
    fixed_result = (1 / 256, -128)
    is_tanh = False

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        y = graph[node.outputs[0]]
        if graph[node.inputs[0]].dtype is DType.INT8 and y.q.s != 1 / 256:
            raise GraphError(f"logistic '{node.name}': the result must have scale 1/256, it has {y.q.s}")
        return super().infer(graph, node)

    def function(self, node: Node, x: Array) -> Array:
        return 1 / (1 + np.exp(-np.clip(x, -700, 700)))

    def values(self, node: Node, x: QuantParams, y: QuantParams) -> Array:
        """As TensorFlow Lite: the exponential and the sum are rounded to float32."""
        real = np.float32(x.s) * (lut.INPUTS - x.z).astype(np.float32)
        with np.errstate(over="ignore"):  # exp of a large number may be infinite: the result is 0 then
            power = np.exp(-real.astype(np.float64)).astype(np.float32)
        return lut.from_real(np.float32(1) / (np.float32(1) + power), y)

    def derivative_of_result(self, y: QuantParams, p: Array) -> Array:
        return np.clip(p * (1 - p), 0, 0.25)

"""Piecewise linear functions with a kink at zero: relu and its kin, absolute value, negation, changes of quantization.

int8 to int8 goes through a table (lut_ref_s8); int16, int32 and changes of width through rescale_ref, which requantizes with one factor
below zero and one from zero on. Not an operator itself.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams
from kilograd.ops import lut
from kilograd.ops.base import KernelCall, Operand, Reference, RunState
from kilograd.ops.fixed_point import quantize_multiplier, requantize, wrap32

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

Factors = tuple[float, float]  # below zero, from zero on


class PiecewiseLinear(lut.TableOperator):
    """y = clamp(requantize(x - zx) + zy), two factors. Operand: x. Results: y, clamp mask (optional, int8 only)."""

    kernels: ClassVar[tuple[str, ...]] = ("lut_ref_s8", "rescale_ref")
    types: ClassVar[tuple[str, ...]] = ("int8", "int16")

    @abstractmethod
    def slope_pair(self, node: Node) -> Factors:
        """Real slopes below zero and from zero on."""

    def factors(self, node: Node, x: QuantParams, y: QuantParams) -> Factors:
        """Multipliers of the integers, in float32 as TensorFlow Lite has them."""
        below, above = (np.float32(s) for s in self.slope_pair(node))
        scale = np.float32(x.s)
        return float(scale * below / np.float32(y.s)), float(scale * above / np.float32(y.s))

    def range(self, y: QuantParams, dtype: DType) -> tuple[int, int]:
        """Clamp range of a result of that type."""
        info = np.iinfo(dtype.numpy)
        return int(info.min), int(info.max)

    def limits(self, y: QuantParams) -> tuple[int, int]:
        return self.range(y, DType.INT8)

    def values(self, node: Node, x: QuantParams, y: QuantParams) -> Array:
        return self._apply(node, lut.INPUTS, x, y)

    def _apply(self, node: Node, value: Array, x: QuantParams, y: QuantParams) -> Array:
        d = wrap32(value.astype(np.int64) - x.z)
        parts = [requantize(d, np.array(m, np.int64), np.array(s)) for m, s in map(quantize_multiplier, self.factors(node, x, y))]
        return wrap32(np.where(d < 0, parts[0], parts[1]) + y.z)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        if x.dtype is DType.INT8 and y.dtype is DType.INT8:
            return super().reference(graph, node, inputs, state)
        value = self._apply(node, np.asarray(inputs[0]), x.q, y.q)
        return [np.clip(value, *self.range(y.q, y.dtype)).astype(y.dtype.numpy)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        if x.dtype is DType.INT8 and y.dtype is DType.INT8:
            return super().lower(graph, node)
        below, above = map(quantize_multiplier, self.factors(node, x.q, y.q))
        lo, hi = self.range(y.q, y.dtype)
        return KernelCall(
            "rescale_ref",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "x_bytes": x.dtype.numpy.itemsize,
                "y_bytes": y.dtype.numpy.itemsize,
                "x_zero": x.q.z,
                "y_zero": y.q.z,
                "below_multiplier": below[0],
                "below_shift": below[1],
                "above_multiplier": above[0],
                "above_shift": above[1],
                "lo": lo,
                "hi": hi,
                "count": x.size,
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)] if graph[node.inputs[0]].dtype is graph[node.outputs[0]].dtype else []

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = np.asarray(inputs[0])
        below, above = self.slope_pair(node)
        return [np.where(x < 0, x * x.dtype.type(below), x * x.dtype.type(above))]

    def slopes(self, graph: Graph, node: Node) -> Array:
        x, y = graph[node.inputs[0]].q, graph[node.outputs[0]].q
        values, (lo, hi), (below, above) = self.values(node, x, y), self.limits(y), self.slope_pair(node)
        return np.where((values >= lo) & (values <= hi), np.where(lut.INPUTS < x.z, below, above), 0.0)


class Rectifier(PiecewiseLinear):
    """y = clamp(requantize(x - zx) + zy) between the real numbers `floor` and `ceiling`."""

    clamps = True
    floor: ClassVar[float] = 0.0
    ceiling: ClassVar[float | None] = None

    def slope_pair(self, node: Node) -> Factors:
        return 1.0, 1.0

    def range(self, y: QuantParams, dtype: DType) -> tuple[int, int]:
        lo, hi = super().range(y, dtype)
        lo = max(lo, y.z + self._steps(self.floor, y))
        return (lo, hi) if self.ceiling is None else (lo, min(hi, y.z + self._steps(self.ceiling, y)))

    @staticmethod
    def _steps(real: float, y: QuantParams) -> int:
        return int(lut.round_away(np.asarray(np.float32(real) / np.float32(y.s), np.float64)))

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.clip(np.asarray(inputs[0]), self.floor, self.ceiling)]

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        """The error of the result, masked by its reader, is the error of the operand."""
        if builder.wants(node.inputs[0]):
            lut.need_int8_errors(builder.graph, node)
            builder.share_error(node.inputs[0], builder.error_of(node), node)

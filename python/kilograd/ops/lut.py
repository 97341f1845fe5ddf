"""Functions of one int8 as a table of 256, which all operators of one operand share, and their backward pass (lut_grad).

A table is built as TensorFlow Lite builds it: in float32 for functions of real numbers, by requantization for piecewise linear ones (which
have int16 kernels too, see rescale.py). Kernels: lut_ref_s8, lut_grad_ref_s8.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams
from kilograd.ops import fields, support
from kilograd.ops.base import Blob, ExponentOf, KernelCall, Operand, Reference, RunState, TensorType, register
from kilograd.ops.fixed_point import quantize_multiplier, requantize

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

INPUTS = np.arange(-128, 128, dtype=np.int64)
LARGEST = 2.0**30  # of a table entry before it is clamped


def round_away(v: Array) -> Array:
    """Nearest integers as int64, halves away from zero."""
    return (np.sign(v) * np.floor(np.abs(v) + 0.5)).astype(np.int64)


def rescaled(real: float, x_zero: int, y_zero: int) -> Array:
    """int64 [256]: every int8 requantized by the real multiplier, not clamped."""
    multiplier, shift = quantize_multiplier(real)
    return requantize(INPUTS - x_zero, np.array(multiplier, np.int64), np.array(shift)) + y_zero


def from_real(result: Array, y: QuantParams) -> Array:
    """int64: float32 values of a function in the integers of y, not clamped; a value that is no number is the lowest."""
    with np.errstate(over="ignore", invalid="ignore"):
        steps = (result.astype(np.float32) * (np.float32(1) / np.float32(y.s))).astype(np.float64)
    return round_away(np.clip(np.where(np.isnan(steps), -LARGEST, steps), -LARGEST, LARGEST)) + y.z


def table_call(graph: Graph, node: Node, values: Array, lo: int, hi: int) -> KernelCall:
    """The kernel call for y = clamp(values[x + 128], lo, hi)."""
    mask, q = support.mask_name(node), np.clip(values, lo, hi)
    return KernelCall(
        "lut_ref_s8",
        {
            "x": Operand(node.inputs[0]),
            "y": Operand(node.outputs[0]),
            "table": Blob(q.astype(np.int8)),
            "inside": Blob(np.packbits(q == values, bitorder="little")) if mask else None,
            "mask": fields.operand(mask),
            "count": graph[node.inputs[0]].size,
        },
    )


class TableOperator(support.ElementwiseOperator):
    """y = clamp(table[x + 128]). Operand: x. Results: y, clamp mask (optional)."""

    kernels: ClassVar[tuple[str, ...]] = ("lut_ref_s8",)

    @abstractmethod
    def values(self, node: Node, x: QuantParams, y: QuantParams) -> Array:
        """int64 [256]: results before clamping for x = -128..127."""

    def limits(self, y: QuantParams) -> tuple[int, int]:
        """Clamp range."""
        return -128, 127

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        dtype = support.activation_type(graph, node)
        if dtype is not DType.FLOAT32 and (x.q.scale.size != 1 or y.q.scale.size != 1):
            raise GraphError(f"{node.op} '{node.name}': input and result need per-tensor quantization")
        return support.with_mask(node, TensorType(x.shape, dtype, y.quant))

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        value = self.values(node, x.q, y.q)[np.asarray(inputs[0], np.int64) + 128]
        return support.clamp_results(node, value, *self.limits(y.q))

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        return table_call(graph, node, self.values(node, x.q, y.q), *self.limits(y.q))

    def can_clamp(self, graph: Graph, node: Node) -> bool:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        if not self.clamps or x.dtype is not DType.INT8:
            return False
        values, (lo, hi) = self.values(node, x.q, y.q), self.limits(y.q)
        return bool((values < lo).any() or (values > hi).any())

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        """The error times the slope at x, which is 0 where the result is clamped, so that no mask is needed."""
        x = node.inputs[0]
        if builder.wants(x):
            need_int8_errors(builder.graph, node)
            self.slope_from(builder, node, x, self.slopes(builder.graph, node))

    def slopes(self, graph: Graph, node: Node) -> Array:
        """float64 [256]: the derivative for x = -128..127."""
        raise GraphError(f"operator '{self.name}' has no table of slopes")

    @staticmethod
    def slope_from(builder: GradientBuilder, node: Node, saved: str, slopes: Array) -> None:
        """Emit the backward pass with slopes by the integers of a saved tensor."""
        table, unit = slope_table(slopes)
        gy = builder.error_of(node)
        gx = builder.new_error(node.inputs[0], node)
        builder.emit("lut_grad", [gy, builder.saved(saved, node)], [gx], {"table": table, "unit": unit}, node)


class FunctionOperator(TableOperator):
    """A function of real numbers: float32 arithmetic where TensorFlow Lite has it, each value correctly rounded."""

    @abstractmethod
    def function(self, node: Node, x: Array) -> Array:
        """The function of float64 numbers."""

    @abstractmethod
    def derivative(self, node: Node, x: Array) -> Array:
        """Its derivative at float64 numbers; finite everywhere."""

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = np.asarray(inputs[0])
        with np.errstate(all="ignore"):
            return [self.function(node, x.astype(np.float64)).astype(x.dtype)]

    def values(self, node: Node, x: QuantParams, y: QuantParams) -> Array:
        real = np.float32(x.s) * (INPUTS - x.z).astype(np.float32)
        with np.errstate(all="ignore"):
            return from_real(self.function(node, real.astype(np.float64)).astype(np.float32), y)

    def slopes(self, graph: Graph, node: Node) -> Array:
        x, y = graph[node.inputs[0]].q, graph[node.outputs[0]].q
        values, (lo, hi) = self.values(node, x, y), self.limits(y)
        with np.errstate(all="ignore"):
            slope = self.derivative(node, (INPUTS - x.z) * np.float64(x.s))
        return np.where((values >= lo) & (values <= hi), slope, 0.0)


def need_int8_errors(graph: Graph, node: Node) -> None:
    """Raise NoBackwardRule unless the activations of a node are int8."""
    x = graph[node.inputs[0]]
    if x.dtype is not DType.INT8:
        raise NoBackwardRule(
            f"no gradient can pass through {node.op} '{node.name}': its input '{x.name}' is {x.dtype.value} and errors are int8 beside "
            "int8 activations. Let only layers after it learn, or quantize the model to int8."
        )


def need_int8_result(graph: Graph, node: Node) -> None:
    """Raise NoBackwardRule unless the result of a node is int8."""
    y = graph[node.outputs[0]]
    if y.dtype is not DType.INT8:
        raise NoBackwardRule(
            f"no gradient can pass through {node.op} '{node.name}': its result '{y.name}' is {y.dtype.value} and errors are int8 beside "
            "int8 activations. Let only layers after it learn."
        )


def slope_table(slopes: Array) -> tuple[Array, int]:
    """(int16 [n], unit): real numbers as integers times 2^unit, with as many bits as the largest leaves."""
    peak = float(np.abs(slopes).max(initial=0.0))
    unit = -15 if peak == 0.0 else max(-64, min(64, int(np.frexp(peak)[1]) - 15))
    return np.clip(round_away(np.ldexp(slopes, -unit)), -32767, 32767).astype(np.int16), unit


@register
class LutGrad(support.GradientOperator):
    """Error of the input: operands gy, saved; gx = gy * table[saved + 128] * 2^unit. Attributes: table (int16 [256], derivative), unit."""

    name = "lut_grad"
    kernels = ("lut_grad_ref_s8",)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        slope = np.asarray(node.attrs["table"], np.int64)[np.asarray(inputs[1], np.int64) + 128]
        e = support.error_exponent(graph, state, node.inputs[0]) + node.attrs["unit"]
        return [support.put_error(graph, state, node.outputs[0], np.asarray(inputs[0], np.int64) * slope, e)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, saved = node.inputs
        return KernelCall(
            "lut_grad_ref_s8",
            {
                "gy": Operand(gy),
                "gy_exponent": ExponentOf(gy),
                "saved": Operand(saved),
                "table": Blob(np.asarray(node.attrs["table"], np.int16)),
                **fields.error_out("gx", node.outputs[0]),
                "count": graph[gy].size,
                "unit": node.attrs["unit"],
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

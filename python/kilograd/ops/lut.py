"""Functions of one int8 as a table of 256: what logistic, relu, relu6 and quantize (int8 to int8) share. Kernel: lut_ref_s8."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams
from kilograd.ops import fields, support
from kilograd.ops.base import Blob, KernelCall, Operand, Reference, RunState, TensorType
from kilograd.ops.fixed_point import quantize_multiplier, requantize

INPUTS = np.arange(-128, 128, dtype=np.int64)


def rescaled(real: float, x_zero: int, y_zero: int) -> Array:
    """int64 [256]: every int8 requantized by the real multiplier, not clamped."""
    multiplier, shift = quantize_multiplier(real)
    return requantize(INPUTS - x_zero, np.array(multiplier, np.int64), np.array(shift)) + y_zero


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
    def values(self, x: QuantParams, y: QuantParams) -> Array:
        """int64 [256]: results before clamping for x = -128..127."""

    @abstractmethod
    def limits(self, y: QuantParams) -> tuple[int, int]:
        """Clamp range."""

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        dtype = support.activation_type(graph, node)
        if dtype is not DType.FLOAT32 and (x.q.scale.size != 1 or y.q.scale.size != 1):
            raise GraphError(f"{node.op} '{node.name}': input and result need per-tensor quantization")
        return support.with_mask(node, TensorType(x.shape, dtype, y.quant))

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        value = self.values(x.q, y.q)[np.asarray(inputs[0], np.int64) + 128]
        return support.clamp_results(node, value, *self.limits(y.q))

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        return table_call(graph, node, self.values(x.q, y.q), *self.limits(y.q))

    def can_clamp(self, graph: Graph, node: Node) -> bool:
        values = self.values(graph[node.inputs[0]].q, graph[node.outputs[0]].q)
        lo, hi = self.limits(graph[node.outputs[0]].q)
        return self.clamps and bool((values < lo).any() or (values > hi).any())

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

"""Concatenation along one axis: int8.

Operands: one or more. Attribute: axis. An operand with another quantization than the result goes through
a table, computed in float32 as TensorFlow Lite's uint8 kernel does (its int8 kernel allows only equal ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Node, QuantParams
from kilograd.ops import lut, support
from kilograd.ops.base import Blob, KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register
from kilograd.ops.logistic import round_away

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


def rescale_table(x: QuantParams, y: QuantParams) -> Array:
    """int8 [256] from the quantization of an operand to that of the result (zero points and values as unsigned numbers)."""
    scale = np.float32(x.s) * (np.float32(1) / np.float32(y.s))
    bias = np.float32(-(x.z + 128)) * scale
    value = (lut.INPUTS + 128).astype(np.float32) * scale + bias
    table: Array = np.clip(round_away(value) + y.z, -128, 127).astype(np.int8)
    return table


@register
class Concatenation(Operator):
    """y = operands one after another along an axis."""

    name = "concatenation"
    tflite = ("CONCATENATION",)
    kernels = ("concatenation_ref_s8",)
    whole_input = "it may join rows"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        tensors, axis = [graph[t] for t in node.inputs], int(node.attrs["axis"])
        dtype = support.need_activations(graph, node, *node.inputs)
        first = tensors[0].shape
        if node.attrs.get("activation", "none") != "none":
            raise GraphError(f"concatenation '{node.name}': a fused activation ({node.attrs['activation']}) is not possible here")
        if not 0 <= axis < len(first):
            raise GraphError(f"concatenation '{node.name}': axis {axis} is no axis of {list(first)}")
        for t in tensors:
            if len(t.shape) != len(first) or any(a != b for i, (a, b) in enumerate(zip(t.shape, first, strict=True)) if i != axis):
                raise GraphError(f"concatenation '{node.name}': {list(t.shape)} and {list(first)} differ on another axis than {axis}")
        shape = tuple(sum(t.shape[axis] for t in tensors) if i == axis else d for i, d in enumerate(first))
        return [TensorType(shape, dtype, graph[node.outputs[0]].quant)]

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.concatenate([np.asarray(v) for v in inputs], axis=node.attrs["axis"])]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "same"

    def _table(self, graph: Graph, node: Node, operand: str) -> Array | None:
        x, y = graph[operand].q, graph[node.outputs[0]].q
        return None if x.same_as(y) else rescale_table(x, y)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        parts = []
        for name, x in zip(node.inputs, inputs, strict=True):
            table = self._table(graph, node, name)
            parts.append(np.asarray(x) if table is None else table[np.asarray(x, np.int64) + 128])
        return [np.concatenate(parts, axis=node.attrs["axis"])]

    def lower(self, graph: Graph, node: Node) -> list[KernelCall]:
        y, axis = graph[node.outputs[0]], int(node.attrs["axis"])
        inner, calls, offset = prod(y.shape[axis + 1 :]), [], 0
        for name in node.inputs:
            table, chunk = self._table(graph, node, name), graph[name].shape[axis] * inner
            sizes = {"outer": prod(y.shape[:axis]), "chunk": chunk, "stride": y.shape[axis] * inner, "offset": offset}
            operands = {"x": Operand(name), "y": Operand(y.name), "table": None if table is None else Blob(table)}
            calls.append(KernelCall("concatenation_ref_s8", {**operands, **sizes}))
            offset += chunk
        return calls

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        wanted = [builder.wants(t) for t in node.inputs]
        if not any(wanted):
            return
        gy, axis, start = builder.error_of(node), int(node.attrs["axis"]), 0
        for name, wants in zip(node.inputs, wanted, strict=True):
            if wants:
                gx = support.copied_error(builder, name, gy, node)
                builder.emit("slice", [gy], [gx], {"axis": axis, "start": start}, node)
            start += builder.graph[name].shape[axis]

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        return (first, last) if len(graph[node.outputs[0]].shape) == 4 and node.attrs["axis"] != 1 else None

"""Padding with a constant: int8, up to four axes.

Operand: x. Attributes: padding, one (before, after) an axis; value, the stored constant (default: the zero point, real 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node, Shape
from kilograd.ops import support
from kilograd.ops.base import FieldValue, KernelCall, Operand, Operator, Reference, RunState, TensorType, register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


def shape_fields(node: Node, inner: Shape, whole: Shape) -> dict[str, FieldValue]:
    """kg_pad_shape."""
    where = f"{node.op} '{node.name}'"
    before = (0,) * (4 - len(inner)) + tuple(int(b) for b, _ in node.attrs["padding"])
    sizes = {"d": support.rank4(where, inner), "n": support.rank4(where, whole), "b": before}
    return {f"shape.{n}{i}": v[i] for n, v in sizes.items() for i in range(4)}


@register
class Pad(Operator):
    """y = x inside, a constant around it."""

    name = "pad"
    tflite = ("PAD", "PADV2")
    kernels = ("pad_ref_s8",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, padding = graph[node.inputs[0]], node.attrs["padding"]
        dtype = support.activation_type(graph, node)
        support.rank4(f"pad '{node.name}'", x.shape)
        if len(padding) != len(x.shape) or any(b < 0 or a < 0 for b, a in padding):
            raise GraphError(f"pad '{node.name}': padding {padding} does not fit shape {list(x.shape)} (two counts from 0 for each axis)")
        if dtype is DType.INT8 and not -128 <= self._value(graph, node) <= 127:
            raise GraphError(f"pad '{node.name}': constant {self._value(graph, node)} is no int8")
        if not support.same_quant(x, graph[node.outputs[0]]):
            raise GraphError(f"pad '{node.name}': input and result need the same quantization")
        return [TensorType(tuple(d + b + a for d, (b, a) in zip(x.shape, padding, strict=True)), dtype, x.quant)]

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        value = node.attrs.get("real_value", 0.0)
        return [np.pad(np.asarray(inputs[0]), node.attrs["padding"], constant_values=value)]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "same"

    @staticmethod
    def _value(graph: Graph, node: Node) -> int:
        value = node.attrs.get("value")
        return graph[node.inputs[0]].q.z if value is None else int(value)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        return [np.pad(np.asarray(inputs[0]), node.attrs["padding"], constant_values=self._value(graph, node))]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        values: dict[str, FieldValue] = {"x": Operand(x.name), "y": Operand(y.name), **shape_fields(node, x.shape, y.shape)}
        return KernelCall("pad_ref_s8", {**values, "value": self._value(graph, node)})

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        if builder.wants(node.inputs[0]):
            gy = builder.error_of(node)
            gx = support.copied_error(builder, node.inputs[0], gy, node)
            builder.emit("pad_grad", [gy], [gx], {"padding": node.attrs["padding"]}, node)

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        x = graph[node.inputs[0]]
        if len(x.shape) != 4:
            return None
        top = node.attrs["padding"][1][0]
        return max(0, first - top), min(x.shape[1] - 1, last - top)


@register
class PadGrad(support.GradientOperator):
    """Error of the input: operand gy, gx = its inner part (same exponent). Attribute: padding."""

    name = "pad_grad"
    kernels = ("pad_grad_ref_s8",)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        shape = graph[node.outputs[0]].shape
        inner = tuple(slice(b, b + d) for (b, _), d in zip(node.attrs["padding"], shape, strict=True))
        return [np.ascontiguousarray(np.asarray(inputs[0])[inner])]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, gx = graph[node.inputs[0]], graph[node.outputs[0]]
        values: dict[str, FieldValue] = {"gy": Operand(gy.name), "gx": Operand(gx.name), **shape_fields(node, gx.shape, gy.shape)}
        return KernelCall("pad_grad_ref_s8", values)

"""Slices of a tensor picked by constant indices along one axis.

Operand: x. Attributes: axis; indices; index_shape, the axes that take the place of `axis` (default: one).
gather_grad (also of resizing to the nearest pixel): operand gy; attributes sizes (outer, rows, columns, inner of gx), rows and columns,
from which row and column of x each one of y was taken. An element of gx is the sum of what was taken from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Node, Shape
from kilograd.ops import fields, support
from kilograd.ops.base import Blob, ExponentOf, FieldValue, KernelCall, Operand, Reference, RunState, TensorType, prod, register
from kilograd.ops.strided_copy import ElementOperator, need_int8

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

Sizes = tuple[int, int, int, int]  # outer, rows, columns, inner of x


def shape_fields(sizes: Sizes, rows: Array, columns: Array, width: int = 1) -> dict[str, FieldValue]:
    """kg_gather_shape; `width` bytes an element."""
    outer, h, w, inner = sizes
    words: dict[str, FieldValue] = {"shape.outer": outer, "shape.rows": h, "shape.columns": w, "shape.inner": inner * width}
    return words | {"shape.result_rows": rows.size, "shape.result_columns": columns.size}


class PickOperator(ElementOperator):
    """An operator that takes rows and columns of its operand, seen as [outer][rows][columns][inner]."""

    kernels = ("gather_ref_any",)

    def picked(self, graph: Graph, node: Node) -> tuple[Sizes, Array, Array]:
        """How the operand is seen, and which of its rows and columns are taken, int32."""
        raise NotImplementedError

    def compute(self, graph: Graph, node: Node, inputs: list[Array]) -> Array:
        sizes, rows, columns = self.picked(graph, node)
        return inputs[0].reshape(sizes)[:, rows][:, :, columns].reshape(graph[node.outputs[0]].shape)

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y, (sizes, rows, columns) = graph[node.inputs[0]], graph[node.outputs[0]], self.picked(graph, node)
        words: dict[str, FieldValue] = {"x": Operand(x.name), "y": Operand(y.name), "row": Blob(rows), "column": Blob(columns)}
        return KernelCall("gather_ref_any", words | shape_fields(sizes, rows, columns, x.dtype.numpy.itemsize))

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        if builder.wants(node.inputs[0]):
            need_int8(builder.graph, node)
            sizes, rows, columns = self.picked(builder.graph, node)
            gy, gx = builder.error_of(node), builder.new_error(node.inputs[0], node)
            builder.emit("gather_grad", [gy], [gx], {"sizes": sizes, "rows": rows, "columns": columns}, node)


@register
class Gather(PickOperator):
    """y[.., i, ..] = x[.., indices[i], ..]."""

    name = "gather"
    tflite = ("GATHER",)
    onnx = ("Gather",)
    whole_input = "rows of the result may come from anywhere"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, axis, indices = graph[node.inputs[0]], int(node.attrs["axis"]), node.attrs["indices"]
        if not 0 <= axis < len(x.shape):
            raise GraphError(f"gather '{node.name}': axis {axis} is no axis of {list(x.shape)}")
        if not indices or any(not 0 <= i < x.shape[axis] for i in indices):
            raise GraphError(f"gather '{node.name}': indices {list(indices)[:8]} are not all in an axis of {x.shape[axis]}")
        kept: Shape = tuple(node.attrs.get("index_shape", (len(indices),)))
        if prod(kept) != len(indices):
            raise GraphError(f"gather '{node.name}': {len(indices)} indices do not make the shape {list(kept)}")
        return self.moved(graph, node, (*x.shape[:axis], *kept, *x.shape[axis + 1 :]))

    def picked(self, graph: Graph, node: Node) -> tuple[Sizes, Array, Array]:
        shape, axis = graph[node.inputs[0]].shape, int(node.attrs["axis"])
        sizes = (prod(shape[:axis]), shape[axis], 1, prod(shape[axis + 1 :]))
        return sizes, np.array(node.attrs["indices"], np.int32), np.zeros(1, np.int32)


@register
class GatherGrad(support.GradientOperator):
    """gx = sums of what was taken from each row and column. Attributes: sizes, rows, columns."""

    name = "gather_grad"
    kernels = ("gather_grad_ref_s8",)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        (outer, h, w, inner), rows, columns = (node.attrs[a] for a in ("sizes", "rows", "columns"))
        gy = np.asarray(inputs[0], np.int64).reshape(outer, rows.size, columns.size, inner)
        took_row = (rows == np.arange(h)[:, None]).astype(np.int64)
        took_column = (columns == np.arange(w)[:, None]).astype(np.int64)
        acc = np.einsum("ri,qj,oijk->orqk", took_row, took_column, gy, optimize=True)
        return [support.put_error(graph, state, node.outputs[0], acc, support.error_exponent(graph, state, node.inputs[0]))]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, gx, sizes = node.inputs[0], node.outputs[0], node.attrs["sizes"]
        words: dict[str, FieldValue] = {"gy": Operand(gy), "gy_exponent": ExponentOf(gy), **fields.error_out("gx", gx)}
        for name, count, picked in (("row", sizes[1], node.attrs["rows"]), ("column", sizes[2], node.attrs["columns"])):
            first = np.searchsorted(np.sort(picked), np.arange(count + 1)).astype(np.int32)
            words |= {f"{name}_first": Blob(first), f"{name}_list": Blob(np.argsort(picked, kind="stable").astype(np.int32))}
        return KernelCall("gather_grad_ref_s8", words | shape_fields(sizes, node.attrs["rows"], node.attrs["columns"]))

"""Resizing of images: operand x [batch][height][width][channels]; attributes height and width of the result, align_corners,
half_pixel_centers.

resize_nearest_neighbor takes the nearest pixel, for every type. resize_bilinear mixes four: int8 and int16 in integers with 10 fraction
bits, as TensorFlow Lite does; with the attribute `unsigned` (uint8 models) in float32, as its uint8 kernel does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import fields, support
from kilograd.ops.base import ExponentOf, FieldValue, KernelCall, Operand, Operator, Reference, RunState, TensorType, register
from kilograd.ops.gather import PickOperator, Sizes
from kilograd.ops.strided_copy import need_int8

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

ONE = 1024  # a pixel in the integer form
LONGEST = 1 << 19  # rows or columns
LARGEST_SCALE = 2048  # of the float form, as its kernel checks it


def check_sizes(graph: Graph, node: Node) -> tuple[int, int, int, int]:
    """Shape of the result."""
    x, size = graph[node.inputs[0]].shape, (int(node.attrs["height"]), int(node.attrs["width"]))
    if len(x) != 4 or not all(1 <= d <= LONGEST for d in (*size, *x[1:3])):
        raise GraphError(f"{node.op} '{node.name}': {list(x)} cannot be resized to {size[0]} x {size[1]} (rank 4, sizes 1 to {LONGEST})")
    return (x[0], *size, x[3])


def flags(node: Node) -> tuple[bool, bool]:
    """align_corners, half_pixel_centers."""
    align, half = bool(node.attrs.get("align_corners", False)), bool(node.attrs.get("half_pixel_centers", False))
    if align and half:
        raise GraphError(f"{node.op} '{node.name}': align_corners and half_pixel_centers exclude each other")
    return align, half


def real_scale(size: int, results: int, align: bool) -> np.float32:
    """Pixels from one result to the next, float32."""
    return np.float32(size - 1) / np.float32(results - 1) if align and results > 1 else np.float32(size) / np.float32(results)


def nearest(node: Node, size: int, results: int) -> Array:
    """Which pixel each result takes, int32."""
    align, half = flags(node)
    at = (np.arange(results).astype(np.float32) + np.float32(0.5 if half else 0.0)) * real_scale(size, results, align)
    index = np.floor(at + np.float32(0.5)) if align else np.floor(at)
    return np.clip(index, 0, size - 1).astype(np.int32)


@register
class ResizeNearestNeighbor(PickOperator):
    """y[b, i, j] = x[b, nearest row, nearest column]."""

    name = "resize_nearest_neighbor"
    tflite = ("RESIZE_NEAREST_NEIGHBOR",)
    onnx = ("Resize",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        flags(node)
        return self.moved(graph, node, check_sizes(graph, node))

    def picked(self, graph: Graph, node: Node) -> tuple[Sizes, Array, Array]:
        n, h, w, c = graph[node.inputs[0]].shape
        return (n, h, w, c), nearest(node, h, int(node.attrs["height"])), nearest(node, w, int(node.attrs["width"]))

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        picked = nearest(node, graph[node.inputs[0]].shape[1], int(node.attrs["height"]))
        return int(picked[first]), int(picked[last])


Points = tuple[Array, Array, Array]  # lower pixel, upper pixel, weight of the upper one


def integer_places(node: Node, size: int, results: int) -> tuple[int, int]:
    """(scale, offset): result i lies at i * scale + offset in 1/1024 of a pixel."""
    align, half = flags(node)
    scale = (ONE * size + results // 2) // results
    if align and results > 1:
        scale = (ONE * (size - 1) + (results - 1) // 2) // (results - 1)
    return scale, (scale // 2 - ONE // 2 if half else 0)


def integer_points(node: Node, size: int, results: int) -> Points:
    """Neighbours of each result, weights in 1/1024."""
    scale, offset = integer_places(node, size, results)
    at = np.arange(results, dtype=np.int64) * scale + offset
    lower, upper = (np.clip(v >> 10, 0, size - 1) for v in (at, at + ONE - 1))
    return lower, upper, np.where(lower == upper, 0, at - ONE * lower)


def real_points(node: Node, size: int, results: int, dtype: Any) -> Points:
    """Neighbours of each result and the distance from the lower one."""
    align, half = flags(node)
    scale, shift = real_scale(size, results, align).astype(dtype), dtype(0.5 if half else 0.0)
    at = (np.arange(results).astype(dtype) + shift) * scale - shift
    lower, upper = (np.clip(v, 0, size - 1).astype(np.int64) for v in (np.floor(at), np.ceil(at)))
    return lower, upper, (at - lower.astype(dtype)).astype(dtype)


def mixed(x: Array, rows: Points, columns: Points, one: Any) -> Array:
    """Sum of the four neighbours with their weights, in the order in which TensorFlow Lite adds them."""
    (r0, r1, dr), (c0, c1, dc) = rows, columns
    dr, dc = dr[None, :, None, None], dc[None, None, :, None]
    parts = [(r0, c0, one - dr, one - dc), (r1, c0, dr, one - dc), (r0, c1, one - dr, dc), (r1, c1, dr, dc)]
    terms = [x[:, r][:, :, c] * wr * wc for r, c, wr, wc in parts]
    return terms[0] + terms[1] + terms[2] + terms[3]


@register
class ResizeBilinear(Operator):
    """y = the four neighbours of each place, weighted by their distances."""

    name = "resize_bilinear"
    tflite = ("RESIZE_BILINEAR",)
    onnx = ("Resize",)
    types = ("int8", "int16")
    kernels = ("resize_bilinear_ref_s8", "resize_bilinear_ref_s16", "resize_bilinear_ref_u8")

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, dtype, shape = graph[node.inputs[0]], support.activation_type(graph, node), check_sizes(graph, node)
        flags(node)
        if not support.same_quant(x, graph[node.outputs[0]]):
            raise GraphError(f"resize_bilinear '{node.name}': input and result need the same quantization")
        if node.attrs.get("unsigned") and max(x.shape[1] / shape[1], x.shape[2] / shape[2]) > LARGEST_SCALE:
            raise GraphError(f"resize_bilinear '{node.name}': {list(x.shape)} is reduced more than {LARGEST_SCALE} times")
        return [TensorType(shape, dtype, x.quant)]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "same"

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x, shape = np.asarray(inputs[0]), check_sizes(graph, node)
        rows, columns = (real_points(node, x.shape[i], shape[i], x.dtype.type) for i in (1, 2))
        return [mixed(x, rows, columns, x.dtype.type(1))]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, shape = np.asarray(inputs[0]), check_sizes(graph, node)
        if node.attrs.get("unsigned"):
            (value,) = self.real(graph, node, [x.astype(np.float32) + np.float32(128)])
            return [(np.clip(np.trunc(value + np.float32(0.5)), 0, 255) - 128).astype(np.int8)]
        rows, columns = (integer_points(node, x.shape[i], shape[i]) for i in (1, 2))
        value = mixed(x.astype(np.int64), rows, columns, ONE)
        half = np.where(value > 0, 1 << 19, -(1 << 19))
        return [((np.abs(value + half) >> 20) * np.sign(value + half)).astype(x.dtype)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        words: dict[str, FieldValue] = {"x": Operand(x.name), "y": Operand(y.name)}
        if node.attrs.get("unsigned"):
            align, half = flags(node)
            scales = [int(real_scale(x.shape[i], y.shape[i], align).view(np.uint32)) for i in (1, 2)]
            names = ("batch", "rows", "columns", "channels", "result_rows", "result_columns")
            words |= dict(zip(names, (*x.shape, *y.shape[1:3]), strict=True))
            words |= {"row_scale": scales[0], "column_scale": scales[1], "half_pixels": int(half)}
            return KernelCall("resize_bilinear_ref_u8", words)
        suffix = "s16" if x.dtype is DType.INT16 else "s8"
        return KernelCall(f"resize_bilinear_ref_{suffix}", words | shape_fields(node, x.shape, y.shape))

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        if builder.wants(node.inputs[0]):
            need_int8(builder.graph, node)
            gy, gx = builder.error_of(node), builder.new_error(node.inputs[0], node)
            attrs: dict[str, Any] = {k: node.attrs[k] for k in ("align_corners", "half_pixel_centers") if k in node.attrs}
            builder.emit("resize_bilinear_grad", [gy], [gx], attrs, node)

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        h, results = graph[node.inputs[0]].shape[1], int(node.attrs["height"])
        points = real_points(node, h, results, np.float32) if node.attrs.get("unsigned") else integer_points(node, h, results)
        return int(points[0][first]), int(points[1][last])


def shape_fields(node: Node, x: tuple[int, ...], y: tuple[int, ...]) -> dict[str, FieldValue]:
    """kg_resize_shape."""
    rows, columns = integer_places(node, x[1], y[1]), integer_places(node, x[2], y[2])
    values = (*x, y[1], y[2], *rows, *columns)
    names = ("batch", "rows", "columns", "channels", "result_rows", "result_columns")
    return dict(zip((f"shape.{n}" for n in (*names, "row_scale", "row_offset", "column_scale", "column_offset")), values, strict=True))


@register
class ResizeBilinearGrad(support.GradientOperator):
    """gx = sums of gy with the weights of the integer form. Attributes: align_corners, half_pixel_centers."""

    name = "resize_bilinear_grad"
    kernels = ("resize_bilinear_grad_ref_s8",)

    @staticmethod
    def _weights(node: Node, size: int, results: int) -> Array:
        """What each result (second axis) took of each pixel, in 1/1024."""
        lower, upper, weight = integer_points(node, size, results)
        w = np.zeros((size, results), np.int64)
        np.add.at(w, (lower, np.arange(results)), ONE - weight)
        np.add.at(w, (upper, np.arange(results)), weight)
        return w

    def _both(self, graph: Graph, node: Node) -> tuple[Array, Array, int]:
        """Weights of rows and columns, and the shift with which no sum can leave 31 bits."""
        x, y = graph[node.outputs[0]].shape, graph[node.inputs[0]].shape
        rows, columns = self._weights(node, x[1], y[1]), self._weights(node, x[2], y[2])
        largest = 128 * int(rows.sum(axis=1).max()) * int(columns.sum(axis=1).max())
        return rows, columns, max(0, largest.bit_length() - 30)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        rows, columns, shift = self._both(graph, node)
        acc = np.einsum("ri,qj,bijc->brqc", rows, columns, np.asarray(inputs[0], np.int64), optimize=True)
        acc = (acc + (1 << shift >> 1)) >> shift
        return [support.put_error(graph, state, node.outputs[0], acc, support.error_exponent(graph, state, node.inputs[0]) + shift - 20)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, gx = graph[node.inputs[0]], graph[node.outputs[0]]
        words: dict[str, FieldValue] = {"gy": Operand(gy.name), "gy_exponent": ExponentOf(gy.name), **fields.error_out("gx", gx.name)}
        return KernelCall(
            "resize_bilinear_grad_ref_s8", words | shape_fields(node, gx.shape, gy.shape) | {"shift": self._both(graph, node)[2]}
        )

"""What average_pool2d and max_pool2d share: geometry, argument struct, windows.

Operand: x int8 or int16 [1, h, w, c]; only int8 has a backward pass. Attributes: filter, stride (h, w); padding (top,
bottom, left, right) in pixels that do not count; activation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import DType, Graph, Node, Shape
from kilograd.ops import fields, support
from kilograd.ops.base import FieldValue

GEOMETRY = ("filter", "stride", "padding")


def geometry(node: Node) -> dict[str, Any]:
    """The attributes that fix which input pixels an output pixel sees."""
    return {k: node.attrs[k] for k in GEOMETRY}


def axis_size(where: str, size: int, k: int, stride: int, before: int, after: int) -> int:
    """Windows along one axis; each must see at least one pixel."""
    if min(size, k, stride) < 1 or not (0 <= before < k and 0 <= after < k):
        raise GraphError(
            f"{where}: filter {k}, stride {stride} and padding {before}, {after} on {size} pixels do not fit "
            "(sizes from 1, padding smaller than the filter)"
        )
    out = (size + before + after - k) // stride + 1
    if out < 1 or (out - 1) * stride - before >= size:
        raise GraphError(f"{where}: filter {k}, stride {stride}, padding {before}, {after} leave no pixel of {size} in some window")
    return out


def infer_shape(graph: Graph, node: Node) -> Shape:
    """Shape of the result."""
    x, where = graph[node.inputs[0]], f"{node.op} '{node.name}'"
    support.activation_type(graph, node)
    check_int16(graph, node)
    if len(x.shape) != 4 or x.shape[0] != 1:
        raise GraphError(f"{where}: the input must be [1, h, w, c], it is {x.dtype.value}{list(x.shape)}")
    (kh, kw), (sh, sw), (pt, pb, pl, pr) = (node.attrs[k] for k in GEOMETRY)
    if not support.same_quant(x, graph[node.outputs[0]]):
        raise GraphError(f"{where}: input and result need the same quantization (pooling does not rescale)")
    return (1, axis_size(where, x.shape[1], kh, sh, pt, pb), axis_size(where, x.shape[2], kw, sw, pl, pr), x.shape[3])


def shape_fields(attrs: dict[str, Any], x: Shape, y: Shape) -> dict[str, FieldValue]:
    """kg_pool2d_shape."""
    values = (*x[1:], *y[1:3], *attrs["filter"], *attrs["stride"], attrs["padding"][0], attrs["padding"][2])
    names = ("in_h", "in_w", "channels", "out_h", "out_w", "k_h", "k_w", "stride_h", "stride_w", "pad_top", "pad_left")
    return {f"shape.{n}": int(v) for n, v in zip(names, values, strict=True)}


def windows(attrs: dict[str, Any], x: Shape, y: Shape) -> Iterator[tuple[int, int, slice, slice]]:
    """(oy, ox, input rows, input columns) of every window."""
    (kh, kw), (sh, sw), (pt, _, pl, _) = (attrs[k] for k in GEOMETRY)
    for oy in range(y[1]):
        rows = slice(max(0, oy * sh - pt), min(x[1], oy * sh - pt + kh))
        for ox in range(y[2]):
            yield oy, ox, rows, slice(max(0, ox * sw - pl), min(x[2], ox * sw - pl + kw))


def overlap(attrs: dict[str, Any]) -> int:
    """Most windows that see one pixel."""
    (kh, kw), (sh, sw) = attrs["filter"], attrs["stride"]
    return int(((kh - 1) // sh + 1) * ((kw - 1) // sw + 1))


def narrows(graph: Graph, node: Node) -> bool:
    """True when the fused activation cuts off part of the range of an element."""
    info = np.iinfo(graph[node.outputs[0]].dtype.numpy)
    return fields.activation_range(graph, node.outputs[0], node.attrs["activation"]) != (info.min, info.max)


def check_int16(graph: Graph, node: Node) -> None:
    """Raise when a pool of int16 activations has results that only a backward pass asks for, or a rounding that only uint8 has."""
    if graph[node.inputs[0]].dtype is DType.INT16:
        if len(node.outputs) > 1:
            raise GraphError(f"{node.op} '{node.name}': a pool of int16 activations has no mask and no winner, because no gradient passes")
        if node.attrs.get("rounding", "half_away") != "half_away":
            raise GraphError(f"{node.op} '{node.name}': int16 averages are rounded half away from zero, not '{node.attrs['rounding']}'")


def kernel(graph: Graph, node: Node) -> str:
    """Name of the forward kernel for the element type."""
    return f"{node.op}_ref_{'s16' if graph[node.inputs[0]].dtype is DType.INT16 else 's8'}"


def rows(graph: Graph, node: Node, first: int, last: int) -> tuple[int, int]:
    """Input rows that output rows [first, last] see."""
    top, stride, k = node.attrs["padding"][0], node.attrs["stride"][0], node.attrs["filter"][0]
    return max(0, first * stride - top), min(graph[node.inputs[0]].shape[1] - 1, last * stride - top + k - 1)

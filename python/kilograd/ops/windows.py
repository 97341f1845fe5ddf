"""What conv2d and depthwise_conv2d share: which input pixels an output pixel sees.

Attributes: stride, dilation (h, w); padding (top, bottom, left, right) in pixels of the input's zero point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kilograd.ir.graph import Array, Graph, Node, Shape
from kilograd.ops.base import FieldValue, Operator

GEOMETRY = ("stride", "dilation", "padding")


def geometry(node: Node) -> dict[str, Any]:
    """The attributes that fix which input pixels an output pixel sees."""
    return {k: node.attrs[k] for k in GEOMETRY}


def output_size(size: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Pixels that a window gives along one axis."""
    return (size + before + after - (kernel - 1) * dilation - 1) // stride + 1


def output_hw(in_hw: Sequence[int], kernel: Sequence[int], attrs: dict[str, Any]) -> tuple[int, int]:
    """Height and width of the result."""
    (sh, sw), (dh, dw), (top, bottom, left, right) = (attrs[k] for k in GEOMETRY)
    return output_size(in_hw[0], kernel[0], sh, dh, top, bottom), output_size(in_hw[1], kernel[1], sw, dw, left, right)


def shape_fields(
    in_shape: Shape, out_hw: Sequence[int], channels: dict[str, int], kernel: Sequence[int], attrs: dict[str, Any], live: int
) -> dict[str, FieldValue]:
    """kg_conv2d_shape, kg_depthwise_shape: they differ in the name of `channels` (out_c; multiplier)."""
    (name, count), *_ = channels.items()
    values = (*in_shape[1:], *out_hw, count, *kernel, *attrs["stride"], *attrs["dilation"], attrs["padding"][0], attrs["padding"][2], live)
    names = (
        "in_h", "in_w", "in_c", "out_h", "out_w", name, "k_h", "k_w", "stride_h", "stride_w", "dilation_h", "dilation_w",
        "pad_top", "pad_left", "live_c",
    )  # fmt: skip
    return {f"shape.{n}": int(v) for n, v in zip(names, values, strict=True)}


def windows(x: Array, kernel: Sequence[int], out_hw: Sequence[int], attrs: dict[str, Any]) -> Array:
    """Windows of a zero-padded [h, w, c] array: [out_h, out_w, k_h, k_w, c] (im2col)."""
    (sh, sw), (dh, dw), (top, bottom, left, right) = (attrs[k] for k in GEOMETRY)
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0)))
    rows = np.arange(out_hw[0])[:, None] * sh + np.arange(kernel[0])[None] * dh
    cols = np.arange(out_hw[1])[:, None] * sw + np.arange(kernel[1])[None] * dw
    found: Array = padded[rows[:, None, :, None], cols[None, :, None, :]]
    return found


def scatter(tap: Callable[[int, int], Array], kernel: Sequence[int], in_shape: Sequence[int], attrs: dict[str, Any]) -> Array:
    """The transpose of `windows`: int64 [h, w, c] = in_shape, to each pixel the sum of what the taps that saw it give back.

    tap(ky, kx) gives [out_h, out_w, c]: for every window, what its tap (ky, kx) sends to the pixel that it saw.
    """
    (sh, sw), (dh, dw), (top, bottom, left, right) = (attrs[k] for k in GEOMETRY)
    h, w, c = in_shape
    total = np.zeros((h + top + bottom, w + left + right, c), np.int64)
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            part = tap(ky, kx)
            total[ky * dh : ky * dh + part.shape[0] * sh : sh, kx * dw : kx * dw + part.shape[1] * sw : sw] += part
    return total[top : top + h, left : left + w]


class WindowRows(Operator):
    """Patch rule of an operator whose operand 1 is weights [_, k_h, k_w, _]."""

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int]:
        top, stride, dilation = node.attrs["padding"][0], node.attrs["stride"][0], node.attrs["dilation"][0]
        in_h, k_h = graph[node.inputs[0]].shape[1], graph[node.inputs[1]].shape[1]
        return max(0, first * stride - top), min(in_h - 1, last * stride - top + (k_h - 1) * dilation)

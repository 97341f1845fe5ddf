"""What convolutions share: which input pixels an output pixel sees, and the sums of products over them.

Attributes: stride, dilation (h, w); padding (top, bottom, left, right) in pixels of the input's zero point; transposed (False where it is
absent): stride, dilation and padding then relate the output to the input, and padding is cut off the output.

The sums take images [h, w, c] and weights [out, k_h, k_w, in / groups]; the number of groups follows from the channels.
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


def conv_fields(in_shape: Shape, out_shape: Shape, weights: Shape, attrs: dict[str, Any], live: int = 0) -> dict[str, FieldValue]:
    """kg_conv2d_shape; `weights` [out, k_h, k_w, in / groups] gives the groups."""
    found = shape_fields(in_shape, out_shape[1:3], {"out_c": out_shape[3]}, weights[1:3], attrs, live)
    groups, transposed = in_shape[3] // weights[3], int(attrs.get("transposed", False))
    return {**found, "shape.groups": groups, "shape.transposed": transposed}


def windows(x: Array, kernel: Sequence[int], out_hw: Sequence[int], attrs: dict[str, Any]) -> Array:
    """Windows of a zero-padded [h, w, c] array: [out_h, out_w, k_h, k_w, c] (im2col)."""
    (sh, sw), (dh, dw), (top, bottom, left, right) = (attrs[k] for k in GEOMETRY)
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0)))
    rows = np.arange(out_hw[0])[:, None] * sh + np.arange(kernel[0])[None] * dh
    cols = np.arange(out_hw[1])[:, None] * sw + np.arange(kernel[1])[None] * dw
    found: Array = padded[rows[:, None, :, None], cols[None, :, None, :]]
    return found


def scatter(tap: Callable[[int, int], Array], kernel: Sequence[int], hw: Sequence[int], attrs: dict[str, Any]) -> Array:
    """The transpose of `windows`: [h, w, c], to each pixel the sum of what the taps that saw it give back.

    tap(ky, kx) gives [out_h, out_w, c]: for every window, what its tap (ky, kx) sends to the pixel that it saw.
    """
    (sh, sw), (dh, dw), (top, bottom, left, right) = (attrs[k] for k in GEOMETRY)
    total: Array | None = None
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            part = tap(ky, kx)
            if total is None:
                total = np.zeros((hw[0] + top + bottom, hw[1] + left + right, part.shape[2]), part.dtype)
            total[ky * dh : ky * dh + part.shape[0] * sh : sh, kx * dw : kx * dw + part.shape[1] * sw : sw] += part
    assert total is not None
    return total[top : top + hw[0], left : left + hw[1]]


def _groups(in_c: int, w: Array) -> list[tuple[slice, slice]]:
    """(input channels, output channels) of each group."""
    count = in_c // w.shape[3]
    out = w.shape[0] // count
    return [(slice(g * w.shape[3], (g + 1) * w.shape[3]), slice(g * out, (g + 1) * out)) for g in range(count)]


def convolve(x: Array, w: Array, out_hw: Sequence[int], attrs: dict[str, Any]) -> Array:
    """Product sums [out_h, out_w, out] of a convolution, or of a transposed one."""
    groups = _groups(x.shape[2], w)
    if attrs.get("transposed", False):

        def tap(ky: int, kx: int) -> Array:
            return np.concatenate([x[..., i] @ w[o, ky, kx].T for i, o in groups], axis=-1)

        return scatter(tap, w.shape[1:3], out_hw, attrs)
    seen = windows(x, w.shape[1:3], out_hw, attrs)
    return np.concatenate([np.tensordot(seen[..., i], w[o], axes=([2, 3, 4], [1, 2, 3])) for i, o in groups], axis=-1)


def convolve_back(gy: Array, w: Array, in_shape: Sequence[int], attrs: dict[str, Any]) -> Array:
    """What the results of `convolve` send back to its input of shape [in_h, in_w, in]."""
    groups = _groups(in_shape[2], w)
    if attrs.get("transposed", False):
        seen = windows(gy, w.shape[1:3], in_shape[:2], attrs)
        return np.concatenate([np.tensordot(seen[..., o], w[o], axes=([2, 3, 4], [1, 2, 0])) for _, o in groups], axis=-1)

    def tap(ky: int, kx: int) -> Array:
        return np.concatenate([gy[..., o] @ w[o, ky, kx] for _, o in groups], axis=-1)

    return scatter(tap, w.shape[1:3], in_shape[:2], attrs)


def convolve_weights(gy: Array, x: Array, w: Array, attrs: dict[str, Any]) -> Array:
    """Gradient of the weights of `convolve`, shaped like `w`."""
    groups = _groups(x.shape[2], w)
    if attrs.get("transposed", False):
        seen = windows(gy, w.shape[1:3], x.shape[:2], attrs)
        parts = [np.tensordot(seen[..., o], x[..., i], axes=([0, 1], [0, 1])).transpose(2, 0, 1, 3) for i, o in groups]
    else:
        seen = windows(x, w.shape[1:3], gy.shape[:2], attrs)
        parts = [np.tensordot(gy[..., o], seen[..., i], axes=([0, 1], [0, 1])) for i, o in groups]
    return np.concatenate(parts, axis=0)


class WindowRows(Operator):
    """Patch rule of an operator whose operand 1 is weights [_, k_h, k_w, _]."""

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int]:
        top, stride, dilation = node.attrs["padding"][0], node.attrs["stride"][0], node.attrs["dilation"][0]
        in_h, k_h = graph[node.inputs[0]].shape[1], graph[node.inputs[1]].shape[1]
        return max(0, first * stride - top), min(in_h - 1, last * stride - top + (k_h - 1) * dilation)

"""Transposed 2-D convolution: int8 or int16, batch 1, NHWC activations and int8 weights [out, k_h, k_w, in], one scale or one a channel.

Every input pixel is multiplied with the weights and added to the output pixels of its window: the backward pass of a convolution used
forward, and the other way round, so that the kernels of conv2d run it and its gradients (attribute transposed).

Operands: x, weights, bias ('' for none), live weights ('' for none). When live weights are present they hold input channels [0, k), which
learn, and `weights` holds the others (see linear.py). Results: y, clamp mask ('' when no backward pass needs it).
Attributes: stride, dilation (h, w): of output pixels; padding (top, bottom, left, right): output pixels that are cut off; output (h, w):
size of the result, which stride leaves open; transposed: True; activation.
"""

from __future__ import annotations

from typing import Any, ClassVar

from kilograd.errors import GraphError
from kilograd.ir.graph import Graph, Node
from kilograd.ops import windows
from kilograd.ops.base import prod, register
from kilograd.ops.conv2d import Conv2D


def reach(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Output pixels that `size` input pixels reach along one axis, before padding is cut off."""
    return (size - 1) * stride + (kernel - 1) * dilation + 1


def padding(size: int, kernel: int, stride: int, dilation: int, output: int, before: int) -> int:
    """Pixels that are cut off behind, when `before` are cut off in front and `output` remain; 0 where it is longer than its reach."""
    return max(reach(size, kernel, stride, dilation) - before - output, 0)


@register
class TransposeConv(Conv2D):
    """y = clamp(requantize(sum of (x - zx)(w - zw) over all windows that hold the pixel + bias) + zy), rounded twice."""

    name = "transpose_conv"
    tflite = ("TRANSPOSE_CONV",)
    onnx: ClassVar[tuple[str, ...]] = ("ConvTranspose",)

    def geometry(self, node: Node) -> dict[str, Any]:
        return {**windows.geometry(node), "transposed": True}

    def output_hw(self, graph: Graph, node: Node) -> tuple[int, int]:
        x, w = graph[node.inputs[0]].shape[1:3], graph[node.inputs[1]].shape[1:3]
        if not node.attrs.get("transposed", False):
            raise GraphError(f"transpose_conv '{node.name}': the attribute transposed must be True")
        stride, dilation, pads = node.attrs["stride"], node.attrs["dilation"], node.attrs["padding"]
        for i, axis in enumerate(("height", "width")):
            size, slack = node.attrs["output"][i], max(stride[i], dilation[i])
            least = reach(x[i], w[i], stride[i], dilation[i]) - pads[2 * i] - pads[2 * i + 1]
            if not max(least, 1) <= size < least + slack:
                raise GraphError(
                    f"transpose_conv '{node.name}': {axis} {size} of the result does not fit {x[i]} pixels, filter {w[i]}, "
                    f"stride {stride[i]} and padding {pads[2 * i]}, {pads[2 * i + 1]}, which give {least} to {least + slack - 1}"
                )
        height, width = node.attrs["output"]
        return height, width

    def macs(self, graph: Graph, node: Node) -> int:
        w = self.weight_shape(graph, node)
        return prod(graph[node.inputs[0]].shape[:3]) * prod(w)

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int]:
        top, stride, dilation = node.attrs["padding"][0], node.attrs["stride"][0], node.attrs["dilation"][0]
        in_h, k_h = graph[node.inputs[0]].shape[1], graph[node.inputs[1]].shape[1]
        return max(0, -((-(first + top - (k_h - 1) * dilation)) // stride)), min(in_h - 1, (last + top) // stride)

"""2-D convolution: int8 or int16, batch 1, NHWC activations and int8 OHWI weights, per-channel or per-tensor scales.

Operands: x, weights, bias ('' for none), live weights ('' for none). When live weights are present they hold input channels [0, k), which
learn, and `weights` holds the other in_c - k (see linear.py). Results: y, clamp mask ('' when no backward pass needs it).
Attributes: stride, dilation (h, w); padding (top, bottom, left, right) in pixels of the input's zero point; activation.

Weights with fewer input channels than x make a grouped convolution: groups = channels of x / channels of the weights, and group g of the
output channels sees group g of the input channels.

Both gradients also serve fully_connected, which is a 1x1 convolution over its rows, and transpose_conv (attribute transposed).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from kilograd.errors import GraphError, SchemeError
from kilograd.ir.graph import Array, DType, Graph, Node, Shape
from kilograd.ops import fields, support
from kilograd.ops.base import KernelCall, Reference, RunState, TensorType, prod, register
from kilograd.ops.linear import GradInput, GradWeights, Linear, layer_parts, parts, weight_zero, whole_real
from kilograd.ops.windows import WindowRows, conv_fields, convolve, convolve_back, convolve_weights, output_hw

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


def as_ohwi(shape: Shape) -> Shape:
    """Weights as [out, h, w, in]: those of a fully connected layer, [out, in], are those of a 1x1 convolution."""
    return (shape[0], 1, 1, shape[1]) if len(shape) == 2 else shape


def as_nhwc(shape: Shape, channels: int, weights: Shape) -> Shape:
    """An activation or error as [1, h, w, channels]: the rows of a fully connected layer (2-D weights) are pixels one below the other."""
    return (1, prod(shape) // channels, 1, channels) if len(weights) == 2 else shape


@register
class Conv2D(WindowRows, Linear):
    """y = clamp(requantize(sum (x - zx)(w - zw) + bias) + zy), rounded twice as LiteRT's reference kernel does."""

    name = "conv2d"
    tflite = ("CONV_2D",)
    onnx: ClassVar[tuple[str, ...]] = ("Conv", "QLinearConv")
    kernels = ("conv2d_ref_s8", "conv2d_ref_s16")
    gradient = "conv2d"

    def weight_shape(self, graph: Graph, node: Node) -> Shape:
        """Shape of the whole weights, [out, k_h, k_w, in / groups], after a check against x."""
        x, w, live = graph[node.inputs[0]], graph[node.inputs[1]], fields.optional(node, 3)
        in_c = w.shape[-1] + (graph[live].shape[-1] if live else 0) if w.shape else 0
        if len(x.shape) != 4 or len(w.shape) != 4 or x.shape[0] != 1 or x.shape[3] % in_c or w.shape[0] % (x.shape[3] // in_c):
            raise GraphError(f"{node.op} '{node.name}': input {x.shape} and weights {w.shape} do not fit (batch 1)")
        return (*w.shape[:3], in_c)

    def fan_in(self, graph: Graph, node: Node) -> int:
        return prod(self.weight_shape(graph, node)[1:])

    def output_hw(self, graph: Graph, node: Node) -> tuple[int, int]:
        """Height and width of the result."""
        return output_hw(graph[node.inputs[0]].shape[1:3], graph[node.inputs[1]].shape[1:3], node.attrs)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        w = self.weight_shape(graph, node)
        return self.result_type(graph, node, (1, *self.output_hw(graph, node), w[0]))

    def saved(self, builder: GradientBuilder, node: Node, live: int) -> str:
        x, w = builder.graph[node.inputs[0]], self.weight_shape(builder.graph, node)
        if x.shape[3] == w[3]:
            return builder.saved(x.name, node, live)
        if live < w[3]:
            raise SchemeError(
                f"{node.op} '{node.name}' has {x.shape[3] // w[3]} groups; a part of its input channels cannot learn. Let the whole weight "
                "learn, or none of it."
            )
        return builder.saved(x.name, node)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, w = self.operands(graph, node, inputs)
        return self.results(graph, node, convolve(x[0], w, graph[node.outputs[0]].shape[1:3], node.attrs), inputs[2])

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x, y = np.asarray(inputs[0]), graph[node.outputs[0]].shape
        found = convolve(x[0], whole_real(inputs), y[1:3], node.attrs).reshape(y)
        return [support.apply_activation(node, found if inputs[2] is None else found + inputs[2])]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y, w = graph[node.inputs[0]], graph[node.outputs[0]].shape, self.weight_shape(graph, node)
        live = layer_parts(graph, node).live_count(graph)
        if x.dtype is DType.INT16:
            return self.wide_call(graph, node, conv_fields(x.shape, y, w, node.attrs))
        return self.call(graph, node, conv_fields(x.shape, y, w, node.attrs, live))

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape) * prod(self.weight_shape(graph, node)[1:])


@register
class Conv2DGradInput(GradInput):
    """gx = transposed convolution of gy with the weights. Operands: gy, weights, live weights. Attributes: geometry."""

    name = "conv2d_grad_input"
    kernels = ("conv2d_grad_input_ref_s8",)

    @staticmethod
    def _shapes(graph: Graph, node: Node) -> tuple[Shape, Shape, Shape]:
        """Error of the input and of the output as images, and the whole weight as [out, h, w, in]."""
        gy, w, gx = (graph[t].shape for t in (*node.inputs[:2], node.outputs[0]))
        in_c = w[-1] + (graph[node.inputs[2]].shape[-1] if node.inputs[2] else 0)
        return as_nhwc(gx, in_c, w), as_nhwc(gy, w[0], w), (*as_ohwi(w)[:3], in_c)

    def fold(self, graph: Graph, node: Node) -> tuple[Array, int, int]:
        w, (gx, _, shape) = graph[node.inputs[1]], self._shapes(graph, node)
        scales = np.broadcast_to(w.q.scale, (w.shape[0],))
        return fields.fold_scales(scales, prod(shape[:3]) * shape[3] // gx[3], 255 if weight_zero(graph, w.name) else 128)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        in_shape, out_shape, w_shape = self._shapes(graph, node)
        w = self.weights(graph, node, inputs).reshape(w_shape)
        errors = self.folded(graph, node, np.reshape(np.asarray(inputs[0]), out_shape[1:]))
        return self.result(graph, node, state, convolve_back(errors, w, in_shape[1:], node.attrs))

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        live = parts(graph, node.inputs[1], node.inputs[2]).live_count(graph)
        return self.call(graph, node, conv_fields(*self._shapes(graph, node), node.attrs, live))

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        return 4 * self._shapes(graph, node)[0][3]  # the sums of one pixel

    def macs(self, graph: Graph, node: Node) -> int:
        gx, gy, w = self._shapes(graph, node)
        return prod(gx) * prod(w[:3]) * w[3] // gx[3] if node.attrs.get("transposed", False) else prod(gy) * prod(w[1:])


@register
class Conv2DGradWeights(GradWeights):
    """Gradient of the live weights, and their update. Operands: gy, saved x (live channels), live weights, fraction, pending, train.

    Attributes: geometry, factor (real, per channel), rounding, x_zero. Mutates the weights (and fraction), or the pending sum.
    """

    name = "conv2d_grad_weights"
    kernels = ("conv2d_grad_weights_ref_s8",)
    channel_axis = 0

    @staticmethod
    def _shapes(graph: Graph, node: Node) -> tuple[Shape, Shape, Shape]:
        """Saved input and error as images, and the live weight as [out, h, w, in].

        A single row of a fully connected layer may be saved whole: its live features come first.
        """
        gy, x, w = (graph[t].shape for t in node.inputs[:3])
        out = as_nhwc(gy, w[0], w)
        return ((1, out[1], 1, w[1]) if len(w) == 2 else x), out, as_ohwi(w)

    def gradient(self, graph: Graph, node: Node, gy: Array, x: Array) -> Array:
        in_shape, out_shape, w_shape = self._shapes(graph, node)
        image = x.reshape(*in_shape[1:3], -1)[:, :, : in_shape[3]]
        return convolve_weights(gy.reshape(out_shape[1:]), image, np.empty(w_shape, np.int8), node.attrs)

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        in_shape, out_shape, w_shape = self._shapes(graph, node)
        return self.call(graph, node, conv_fields(in_shape, out_shape, w_shape, node.attrs, w_shape[3]))

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        return 4 * graph[node.inputs[2]].shape[-1]  # the gradient of one output channel at one tap

    def macs(self, graph: Graph, node: Node) -> int:
        pixels, w = graph[node.inputs[1 if node.attrs.get("transposed", False) else 0]].shape[:-1], graph[node.inputs[2]].shape
        return prod(pixels) * prod(w)

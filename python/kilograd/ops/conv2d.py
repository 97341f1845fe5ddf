"""2-D convolution: int8, batch 1, NHWC activations and OHWI weights, per-channel or per-tensor scales.

Operands: x, weights, bias ('' for none), live weights ('' for none). When live weights are present they hold input channels [0, k), which
learn, and `weights` holds the other in_c - k (see linear.py). Results: y, clamp mask ('' when no backward pass needs it).
Attributes: stride, dilation (h, w); padding (top, bottom, left, right) in pixels of the input's zero point; activation.

Both gradients also serve fully_connected, which is a 1x1 convolution over its rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Node, Shape
from kilograd.ops import fields, support
from kilograd.ops.base import FieldValue, KernelCall, Reference, RunState, TensorType, prod, register
from kilograd.ops.linear import GradInput, GradWeights, Linear, layer_parts, parts, weight_zero, whole_real
from kilograd.ops.windows import WindowRows, output_hw, scatter, shape_fields, windows


def as_ohwi(shape: Shape) -> Shape:
    """Weights as [out, h, w, in]: those of a fully connected layer, [out, in], are those of a 1x1 convolution."""
    return (shape[0], 1, 1, shape[1]) if len(shape) == 2 else shape


def as_nhwc(shape: Shape, channels: int, weights: Shape) -> Shape:
    """An activation or error as [1, h, w, channels]: the rows of a fully connected layer (2-D weights) are pixels one below the other."""
    return (1, prod(shape) // channels, 1, channels) if len(weights) == 2 else shape


def gradient_fields(node: Node, in_shape: Shape, out_shape: Shape, weights: Shape, live: int) -> dict[str, FieldValue]:
    """kg_conv2d_shape of a gradient node."""
    return shape_fields(in_shape, out_shape[1:3], {"out_c": out_shape[3]}, weights[1:3], node.attrs, live)


@register
class Conv2D(WindowRows, Linear):
    """y = clamp(requantize(sum (x - zx)(w - zw) + bias) + zy), rounded twice as LiteRT's reference kernel does."""

    name = "conv2d"
    tflite = ("CONV_2D",)
    kernels = ("conv2d_ref_s8",)
    gradient = "conv2d"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, w = graph[node.inputs[0]], graph[node.inputs[1]]
        live = fields.optional(node, 3)
        in_c = w.shape[-1] + (graph[live].shape[-1] if live else 0)
        if len(x.shape) != 4 or len(w.shape) != 4 or x.shape[0] != 1 or x.shape[3] != in_c:
            raise GraphError(f"conv2d '{node.name}': input {x.shape} and weights {w.shape} do not fit (batch 1, groups 1)")
        shape = (1, *output_hw(x.shape[1:3], w.shape[1:3], node.attrs), w.shape[0])
        return support.with_mask(node, TensorType(shape, support.activation_type(graph, node), graph[node.outputs[0]].quant))

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, w = self.operands(graph, node, inputs)
        seen = windows(x[0], w.shape[1:3], graph[node.outputs[0]].shape[1:3], node.attrs)
        return self.results(graph, node, np.tensordot(seen, w, axes=([2, 3, 4], [1, 2, 3])), inputs[2])

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x, w = np.asarray(inputs[0]), whole_real(inputs)
        seen = windows(x[0], w.shape[1:3], graph[node.outputs[0]].shape[1:3], node.attrs)
        y = np.tensordot(seen, w, axes=([2, 3, 4], [1, 2, 3]))
        return [support.apply_activation(node, y.reshape(graph[node.outputs[0]].shape) + (0 if inputs[2] is None else inputs[2]))]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, w, y = (graph[t].shape for t in (*node.inputs[:2], node.outputs[0]))
        live = layer_parts(graph, node).live_count(graph)
        return self.call(graph, node, shape_fields(x, y[1:3], {"out_c": y[3]}, w[1:3], node.attrs, live))

    def macs(self, graph: Graph, node: Node) -> int:
        x, w, y = (graph[t].shape for t in (*node.inputs[:2], node.outputs[0]))
        return prod(y) * w[1] * w[2] * x[3]


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
        w = graph[node.inputs[1]]
        scales = np.broadcast_to(w.q.scale, (w.shape[0],))
        return fields.fold_scales(scales, prod(as_ohwi(w.shape)[:3]), 255 if weight_zero(graph, w.name) else 128)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        in_shape, out_shape, w_shape = self._shapes(graph, node)
        w = self.weights(graph, node, inputs).reshape(w_shape)
        errors = self.folded(graph, node, np.reshape(np.asarray(inputs[0]), out_shape[1:]))
        acc = scatter(lambda ky, kx: np.tensordot(errors, w[:, ky, kx], axes=([2], [0])), w_shape[1:3], in_shape[1:], node.attrs)
        return self.result(graph, node, state, acc)

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        live = parts(graph, node.inputs[1], node.inputs[2]).live_count(graph)
        return self.call(graph, node, gradient_fields(node, *self._shapes(graph, node), live))

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        return 4 * self._shapes(graph, node)[2][3]  # the sums of one pixel

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.inputs[0]].shape) * prod(self._shapes(graph, node)[2][1:])


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
        image = x.reshape(*in_shape[1:3], -1)[:, :, : w_shape[3]]
        seen = windows(image, w_shape[1:3], out_shape[1:3], node.attrs)
        return np.tensordot(gy.reshape(out_shape[1:]), seen, axes=([0, 1], [0, 1]))

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        in_shape, out_shape, w_shape = self._shapes(graph, node)
        return self.call(graph, node, gradient_fields(node, in_shape, out_shape, w_shape, w_shape[3]))

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        return 4 * graph[node.inputs[2]].shape[-1]  # the gradient of one output channel at one tap

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.inputs[0]].shape) * prod(graph[node.inputs[2]].shape[1:])

"""Depthwise 2-D convolution: int8 or int16, batch 1, NHWC activations, int8 weights [1, k_h, k_w, in_c * multiplier].

Output channel c sees input channel c // multiplier. Operands: x, weights, bias ('' for none), live weights ('' for none). When live weights
are present they hold output channels [0, k), which learn, k a multiple of the multiplier, and `weights` holds the other channels; scales
stand in each part for its own channels (see linear.py). Results: y, clamp mask ('' when no backward pass needs it).
Attributes: stride, dilation (h, w); padding (top, bottom, left, right) in pixels of the input's zero point; activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError, SchemeError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import fields, support
from kilograd.ops.base import KernelCall, Reference, RunState, TensorType, prod, register
from kilograd.ops.linear import GradInput, GradWeights, Linear, Reals, layer_parts, parts, weight_zero, whole_real
from kilograd.ops.windows import WindowRows, conv_fields, output_hw, scatter, shape_fields, windows

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


def channel_scales(graph: Graph, weights: str, live: str) -> Reals:
    """Weight scale of each output channel, the live ones first."""
    found = [graph[t] for t in (live, weights) if t]
    total = sum(p.shape[3] for p in found)
    if found[-1].q.scale.size == total:  # the frozen part may carry the scales of the whole weight
        return found[-1].q.scale.astype(np.float64)
    return np.concatenate([np.broadcast_to(p.q.scale.astype(np.float64), (p.shape[3],)) for p in found])


@register
class DepthwiseConv2D(WindowRows, Linear):
    """y = clamp(requantize(sum (x - zx)(w - zw) + bias) + zy), rounded twice as LiteRT's reference kernel does."""

    name = "depthwise_conv2d"
    tflite = ("DEPTHWISE_CONV_2D",)
    onnx = ("Conv", "QLinearConv")
    kernels = ("depthwise_conv2d_ref_s8", "conv2d_ref_s16")
    gradient = "depthwise_conv2d"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, w = graph[node.inputs[0]], graph[node.inputs[1]]
        live = fields.optional(node, 3)
        live_c = graph[live].shape[-1] if live else 0
        out_c = w.shape[-1] + live_c
        if len(x.shape) != 4 or len(w.shape) != 4 or x.shape[0] != 1 or w.shape[0] != 1 or out_c % x.shape[3]:
            raise GraphError(f"depthwise_conv2d '{node.name}': input {x.shape} and weights {w.shape} do not fit (batch 1)")
        if live_c % (out_c // x.shape[3]):
            raise GraphError(f"depthwise_conv2d '{node.name}': {live_c} live channels are no multiple of {out_c // x.shape[3]} a channel")
        shape = (1, *output_hw(x.shape[1:3], w.shape[1:3], node.attrs), out_c)
        return self.result_type(graph, node, shape)

    def fan_in(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.inputs[1]].shape[1:3])

    def bias_types(self, dtype: DType) -> tuple[DType, ...]:
        return (DType.INT64,) if dtype is DType.INT16 else super().bias_types(dtype)

    @staticmethod
    def _multiplier(graph: Graph, node: Node) -> int:
        """Output channels that see one input channel."""
        return graph[node.outputs[0]].shape[3] // graph[node.inputs[0]].shape[3]

    def scales(self, graph: Graph, node: Node) -> Reals:
        return channel_scales(graph, node.inputs[1], fields.optional(node, 3))

    def learned_channels(self, graph: Graph, node: Node, live: str) -> int:
        return graph[live].shape[3]

    def saved(self, builder: GradientBuilder, node: Node, live: int) -> str:
        multiplier = self._multiplier(builder.graph, node)
        if live % multiplier:
            raise SchemeError(
                f"depthwise_conv2d '{node.name}': {live} of its output channels are to learn; that must be a multiple of {multiplier}, "
                "the number of output channels that see one input channel."
            )
        return builder.saved(node.inputs[0], node, live // multiplier)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, w = self.operands(graph, node, inputs)
        image = np.repeat(x[0], self._multiplier(graph, node), axis=2)
        seen = windows(image, w.shape[1:3], graph[node.outputs[0]].shape[1:3], node.attrs)
        return self.results(graph, node, np.einsum("hwijc,ijc->hwc", seen, w[0]), inputs[2])

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x, w = np.asarray(inputs[0]), whole_real(inputs)
        image = np.repeat(x[0], self._multiplier(graph, node), axis=2)
        seen = windows(image, w.shape[1:3], graph[node.outputs[0]].shape[1:3], node.attrs)
        y = np.einsum("hwijc,ijc->hwc", seen, w[0])
        return [support.apply_activation(node, y.reshape(graph[node.outputs[0]].shape) + (0 if inputs[2] is None else inputs[2]))]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, w, y = (graph[t].shape for t in (*node.inputs[:2], node.outputs[0]))
        if graph[node.inputs[0]].dtype is DType.INT16:
            return self.wide_call(graph, node, conv_fields(x, y, (y[3], *w[1:3], 1), node.attrs), channels_last=True)
        channels, live = {"multiplier": self._multiplier(graph, node)}, layer_parts(graph, node).live_count(graph)
        return self.call(graph, node, shape_fields(x, y[1:3], channels, w[1:3], node.attrs, live))

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape) * prod(graph[node.inputs[1]].shape[1:3])


@register
class DepthwiseConv2DGradInput(GradInput):
    """gx = transposed depthwise convolution of gy with the weights. Operands: gy, weights, live weights. Attributes: geometry."""

    name = "depthwise_conv2d_grad_input"
    kernels = ("depthwise_conv2d_grad_input_ref_s8",)

    @staticmethod
    def _multiplier(graph: Graph, node: Node) -> int:
        return graph[node.inputs[0]].shape[3] // graph[node.outputs[0]].shape[3]

    def fold(self, graph: Graph, node: Node) -> tuple[Array, int, int]:
        w = graph[node.inputs[1]]
        fan = prod(w.shape[1:3]) * self._multiplier(graph, node)
        return fields.fold_scales(channel_scales(graph, w.name, node.inputs[2]), fan, 255 if weight_zero(graph, w.name) else 128)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        _, in_h, in_w, in_c = graph[node.outputs[0]].shape
        w = self.weights(graph, node, inputs)[0]
        errors = self.folded(graph, node, inputs[0])[0]
        acc = scatter(lambda ky, kx: errors * w[ky, kx], w.shape[:2], (in_h, in_w), node.attrs)
        return self.result(graph, node, state, acc.reshape(in_h, in_w, in_c, -1).sum(axis=3))

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, w, gx = (graph[t].shape for t in (*node.inputs[:2], node.outputs[0]))
        channels, live = {"multiplier": self._multiplier(graph, node)}, parts(graph, *node.inputs[1:3]).live_count(graph)
        return self.call(graph, node, shape_fields(gx, gy[1:3], channels, w[1:3], node.attrs, live))

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.inputs[0]].shape) * prod(graph[node.inputs[1]].shape[1:3])


@register
class DepthwiseConv2DGradWeights(GradWeights):
    """Gradient of the live weights, and their update.

    Operands: gy, saved x (only the channels that the live weights see), live weights, fraction, pending, train.
    Attributes: geometry, factor (real, per live channel), rounding, x_zero. Mutates the weights (and fraction), or the pending sum.
    """

    name = "depthwise_conv2d_grad_weights"
    kernels = ("depthwise_conv2d_grad_weights_ref_s8",)
    channel_axis = 3

    @staticmethod
    def _multiplier(graph: Graph, node: Node) -> int:
        return graph[node.inputs[2]].shape[3] // graph[node.inputs[1]].shape[3]

    def gradient(self, graph: Graph, node: Node, gy: Array, x: Array) -> Array:
        w = graph[node.inputs[2]].shape
        seen = windows(np.repeat(x[0], self._multiplier(graph, node), axis=2), w[1:3], gy.shape[1:3], node.attrs)
        found: Array = np.einsum("hwc,hwijc->ijc", gy[0, :, :, : w[3]], seen)
        return found

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, x, w = (graph[t].shape for t in node.inputs[:3])
        multiplier = self._multiplier(graph, node)
        whole_in = (*x[:3], gy[3] // multiplier)
        return self.call(graph, node, shape_fields(whole_in, gy[1:3], {"multiplier": multiplier}, w[1:3], node.attrs, w[3]))

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.inputs[0]].shape[:3]) * prod(graph[node.inputs[2]].shape)

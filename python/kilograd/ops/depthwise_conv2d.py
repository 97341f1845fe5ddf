"""Depthwise 2-D convolution: int8, batch 1, NHWC activations, weights [1, k_h, k_w, in_c * multiplier], per-channel or per-tensor scales.

Output channel c sees input channel c // multiplier. Operands: x, weights, bias ('' for none), live weights ('' for none). When live weights
are present they hold output channels [0, k), which learn, k a multiple of the multiplier, and `weights` holds the other channels; scales
stand in each part for its own channels. Results: y, clamp mask ('' when no backward pass needs it).
Attributes: stride, dilation (h, w); padding (top, bottom, left, right) in pixels of the input's zero point; activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kilograd.errors import GraphError, SchemeError
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Shape
from kilograd.ops import fields
from kilograd.ops.base import Blob, ExponentOf, FieldValue, KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register
from kilograd.ops.conv2d import apply_gradient, geometry, output_size, weight_range, whole_weights, window_rows, windows
from kilograd.ops.fixed_point import exponent_view, key, quantize_multipliers, requantize, write_error

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


def channel_scales(graph: Graph, weights: str, live: str) -> npt.NDArray[np.float64]:
    """Weight scale of each output channel, the live ones first."""
    parts = [graph[t] for t in (live, weights) if t]
    total = sum(p.shape[3] for p in parts)
    if parts[-1].q.scale.size == total:  # the frozen part may carry the scales of the whole weight
        return parts[-1].q.scale.astype(np.float64)
    return np.concatenate([np.broadcast_to(p.q.scale.astype(np.float64), (p.shape[3],)) for p in parts])


def shape_fields(in_shape: Shape, out_shape: Shape, kernel: Sequence[int], attrs: dict[str, Any], live: int) -> dict[str, FieldValue]:
    """kg_depthwise_shape."""
    values = (
        *in_shape[1:], *out_shape[1:3], out_shape[3] // in_shape[3], *kernel, *attrs["stride"], *attrs["dilation"],
        attrs["padding"][0], attrs["padding"][2], live,
    )  # fmt: skip
    names = (
        "in_h", "in_w", "in_c", "out_h", "out_w", "multiplier", "k_h", "k_w", "stride_h", "stride_w", "dilation_h", "dilation_w",
        "pad_top", "pad_left", "live_c",
    )  # fmt: skip
    return {f"shape.{n}": int(v) for n, v in zip(names, values, strict=True)}


@register
class DepthwiseConv2D(Operator):
    """y = clamp(requantize(sum (x - zx)(w - zw) + bias) + zy), rounded twice as LiteRT's reference kernel does."""

    name = "depthwise_conv2d"
    tflite = ("DEPTHWISE_CONV_2D",)
    kernels = ("depthwise_conv2d_ref_s8",)
    clamps = True

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, w = graph[node.inputs[0]], graph[node.inputs[1]]
        live = fields.optional(node, 3)
        live_c = graph[live].shape[3] if live else 0
        out_c = w.shape[-1] + live_c
        if len(x.shape) != 4 or len(w.shape) != 4 or x.shape[0] != 1 or w.shape[0] != 1 or out_c % x.shape[3]:
            raise GraphError(f"depthwise_conv2d '{node.name}': input {x.shape} and weights {w.shape} do not fit (batch 1)")
        if live_c % (out_c // x.shape[3]):
            raise GraphError(f"depthwise_conv2d '{node.name}': {live_c} live channels are no multiple of {out_c // x.shape[3]} a channel")
        (pt, pb, pl, pr), (sh, sw), (dh, dw) = node.attrs["padding"], node.attrs["stride"], node.attrs["dilation"]
        h = output_size(x.shape[1], w.shape[1], sh, dh, pt, pb)
        v = output_size(x.shape[2], w.shape[2], sw, dw, pl, pr)
        y = TensorType((1, h, v, out_c), DType.INT8, graph[node.outputs[0]].quant)
        return [y, TensorType(y.shape, DType.BITS)][: len(node.outputs)]

    def _multipliers(self, graph: Graph, node: Node) -> npt.NDArray[np.float64]:
        """s_x s_w / s_y per channel. With attribute legacy_scales (uint8 models, one scale) LiteRT multiplies s_x s_w in float32."""
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        if node.attrs.get("legacy_scales", False):
            product = (x.q.scale * w.q.scale).astype(np.float64)
        else:
            product = np.float64(x.q.s) * channel_scales(graph, w.name, fields.optional(node, 3))
        return np.broadcast_to(product / np.float64(y.q.s), (y.shape[3],))

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        weights = whole_weights(inputs[1], inputs[3] if len(inputs) > 3 else None)[0] - w.q.zero_point[0]  # type: ignore[arg-type]
        image = np.repeat(inputs[0][0].astype(np.int64) - x.q.z, y.shape[3] // x.shape[3], axis=2)  # type: ignore[index]
        acc = np.einsum("hwijc,ijc->hwc", windows(image, w.shape[1:3], y.shape[1:3], node.attrs), weights)
        if inputs[2] is not None:
            acc = acc + inputs[2].astype(np.int64)
        v = requantize(acc, *quantize_multipliers(self._multipliers(graph, node))) + y.q.z
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        q = np.clip(v, lo, hi)
        results = [q.astype(np.int8)[None], np.packbits((q == v).reshape(-1), bitorder="little")]
        return results[: len(node.outputs)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        live = fields.optional(node, 3)
        one_part = w.name if not live and w.kind is Kind.STATE else live
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        return KernelCall(
            "depthwise_conv2d_ref_s8",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "w_frozen": None if one_part == w.name else Operand(w.name),
                "w_live": fields.operand(one_part),
                "bias": fields.operand(node.inputs[2]),
                **fields.requantization(self._multipliers(graph, node)),
                "mask": fields.operand(node.outputs[1] if len(node.outputs) > 1 else ""),
                **shape_fields(x.shape, y.shape, w.shape[1:3], node.attrs, graph[one_part].shape[3] if one_part else 0),
                "x_zero": x.q.z,
                "w_zero": int(w.q.zero_point[0]),
                "y_zero": y.q.z,
                "y_min": lo,
                "y_max": hi,
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        graph = builder.graph
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        live = fields.optional(node, 3)
        learned = live or (w.name if w.kind is Kind.STATE else "")
        multiplier = y.shape[3] // x.shape[3]
        scales = channel_scales(graph, w.name, live)
        gy = builder.error_of(node)
        if builder.wants(x.name):
            gx = builder.new_error(x.name, node)
            builder.emit("depthwise_conv2d_grad_input", [gy, w.name, live], [gx], geometry(node), node)
        if learned:
            k = graph[learned].shape[3]
            if k % multiplier:
                raise SchemeError(
                    f"depthwise_conv2d '{node.name}': {k} of its output channels are to learn; that must be a multiple of {multiplier}, "
                    "the number of output channels that see one input channel."
                )
            u = builder.update(learned)
            saved = builder.saved(x.name, node, k // multiplier)
            factor = builder.factor(x.q.s / scales, scales, y.shape[3])[:k]
            attrs = {**geometry(node), "factor": factor, "rounding": u.rounding, "x_zero": x.q.z}
            inputs = [gy, saved, learned, u.fraction, u.pending, fields.TRAIN]
            builder.emit("depthwise_conv2d_grad_weights", inputs, [], attrs, node, u.mutates)
        builder.bias_gradient(gy, node.inputs[2], x.q.s * scales, scales, node)

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape) * prod(graph[node.inputs[1]].shape[1:3])

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int]:
        return window_rows(node.attrs, graph[node.inputs[1]].shape[1], graph[node.inputs[0]].shape[1], first, last)


@register
class DepthwiseConv2DGradInput(Operator):
    """Error of the input: operands gy, weights, live weights; result gx. Attributes: geometry."""

    name = "depthwise_conv2d_grad_input"
    internal = True
    no_gradient = "it is itself part of a backward pass"
    kernels = ("depthwise_conv2d_grad_input_ref_s8",)
    whole_input = "backward passes run on whole tensors"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        return [TensorType(graph[node.outputs[0]].shape, DType.INT8)]

    def _fold(self, graph: Graph, node: Node) -> tuple[Array, int, int]:
        gy, w, gx = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        fan = prod(w.shape[1:3]) * (gy.shape[3] // gx.shape[3])
        return fields.fold_scales(channel_scales(graph, w.name, node.inputs[2]), fan, 255 if w.q.zero_point[0] else 128)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, gx = graph[node.inputs[0]], graph[node.outputs[0]]
        w = whole_weights(inputs[1], inputs[2])[0] - graph[node.inputs[1]].q.zero_point[0]  # type: ignore[arg-type]
        fold, exponent, shift = self._fold(graph, node)
        folded = (inputs[0][0].astype(np.int64) * fold + (1 << (shift - 1))) >> shift  # type: ignore[index]
        out_h, out_w, channels = folded.shape
        (sh, sw), (dh, dw), (pt, pb, pl, pr) = (node.attrs[k] for k in ("stride", "dilation", "padding"))
        acc = np.zeros((gx.shape[1] + pt + pb, gx.shape[2] + pl + pr, channels), np.int64)
        for ky in range(w.shape[0]):
            for kx in range(w.shape[1]):
                acc[ky * dh : ky * dh + out_h * sh : sh, kx * dw : kx * dw + out_w * sw : sw] += folded * w[ky, kx]
        acc = acc[pt : pt + gx.shape[1], pl : pl + gx.shape[2]].reshape(*gx.shape[1:], -1).sum(axis=3)
        e = int(exponent_view(state.tensors[gy.exponent])["e"][0])  # type: ignore[index]
        q = write_error(acc, e - exponent + shift, state.tensors[gx.exponent], state.tensors[fields.TRAIN], key(gx.name))  # type: ignore[index]
        return [q[None]]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, w, gx = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        live = node.inputs[2]
        fold, exponent, shift = self._fold(graph, node)
        one_part = live or (w.name if w.kind is Kind.STATE else "")
        return KernelCall(
            "depthwise_conv2d_grad_input_ref_s8",
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                "w_frozen": None if one_part == w.name else Operand(w.name),
                "w_live": fields.operand(one_part),
                "fold": Blob(fold),
                **fields.error_out("gx", gx.name),
                **shape_fields(gx.shape, gy.shape, w.shape[1:3], node.attrs, graph[one_part].shape[3] if one_part else 0),
                "w_zero": int(w.q.zero_point[0]),
                "fold_exponent": exponent,
                "fold_shift": shift,
            },
        )

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.inputs[0]].shape) * prod(graph[node.inputs[1]].shape[1:3])


@register
class DepthwiseConv2DGradWeights(Operator):
    """Weight gradient, scaling and update in one.

    Operands: gy, saved x (only the channels that the live weights see), live weights, fraction, pending, train.
    Attributes: geometry, factor (real, per live channel), rounding, x_zero. Mutates the weights (and fraction), or the pending sum.
    """

    name = "depthwise_conv2d_grad_weights"
    internal = True
    no_gradient = "it is itself part of a backward pass"
    kernels = ("depthwise_conv2d_grad_weights_ref_s8",)
    whole_input = "it sums over all pixels"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        return []

    @staticmethod
    def _multiplier(graph: Graph, node: Node) -> int:
        return graph[node.inputs[2]].shape[3] // graph[node.inputs[1]].shape[3]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, x, w, fraction, pending, train = inputs
        assert gy is not None and x is not None and w is not None and train is not None
        image = np.repeat(x[0].astype(np.int64) - node.attrs["x_zero"], self._multiplier(graph, node), axis=2)
        cols = windows(image, w.shape[1:3], gy.shape[1:3], node.attrs)
        gradient = np.einsum("hwc,hwijc->ijc", gy[0, :, :, : w.shape[3]].astype(np.int64), cols)[None]
        e = int(exponent_view(state.tensors[graph[node.inputs[0]].exponent])["e"][0])  # type: ignore[index]
        apply_gradient(w, fraction, pending, train, gradient, 3, e, node.attrs, key(node.inputs[2]), *weight_range(graph, node.inputs[2]))
        return []

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, x, w, fraction, pending, _ = node.inputs
        lo, hi = weight_range(graph, w)
        whole_in = (*graph[x].shape[:3], graph[gy].shape[3] // self._multiplier(graph, node))
        return KernelCall(
            "depthwise_conv2d_grad_weights_ref_s8",
            {
                "gy": Operand(gy),
                "gy_exponent": ExponentOf(gy),
                "x": Operand(x),
                "w_live": Operand(w),
                **fields.update(w, fraction, pending, node.attrs["factor"], node.attrs["rounding"]),
                **shape_fields(whole_in, graph[gy].shape, graph[w].shape[1:3], node.attrs, graph[w].shape[3]),
                "x_zero": node.attrs["x_zero"],
                "w_min": lo,
                "w_max": hi,
            },
        )

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.inputs[0]].shape[:3]) * prod(graph[node.inputs[2]].shape)

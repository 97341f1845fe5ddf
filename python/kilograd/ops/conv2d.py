"""2-D convolution: int8, batch 1, NHWC activations and OHWI weights, per-channel or per-tensor scales.

Operands: x, weights, bias ('' for none), live weights ('' for none). When live weights are present they hold input channels [0, k), which
learn, and `weights` holds the other in_c - k. Results: y, clamp mask ('' when no backward pass needs it).
Attributes: stride, dilation (h, w); padding (top, bottom, left, right) in pixels of the input's zero point; activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Shape
from kilograd.ops import fields
from kilograd.ops.base import (
    Blob,
    ExponentOf,
    FieldValue,
    KernelCall,
    Operand,
    Operator,
    Reference,
    RunState,
    Scratch,
    TensorType,
    prod,
    register,
)
from kilograd.ops.fixed_point import (
    ROUND_STOCHASTIC,
    WEIGHT_FRACTION,
    exponent_view,
    key,
    normalize,
    quantize_multipliers,
    random_start,
    requantize,
    train_view,
    update_defer,
    update_rate,
    update_step,
    update_weight,
    write_error,
)

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


def as_ohwi(shape: Shape) -> Shape:
    """Weights as [out, h, w, in]: those of a fully connected layer, [out, in], are those of a 1x1 convolution."""
    return (shape[0], 1, 1, shape[1]) if len(shape) == 2 else shape


def as_nhwc(shape: Shape, channels: int, weights: Shape) -> Shape:
    """An activation or error as [1, h, w, channels]: the rows of a fully connected layer (2-D weights) are pixels one below the other."""
    return (1, prod(shape) // channels, 1, channels) if len(weights) == 2 else shape


def output_size(size: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Pixels that a window gives along one axis."""
    return (size + before + after - (kernel - 1) * dilation - 1) // stride + 1


def geometry(node: Node) -> dict[str, Any]:
    """The attributes that fix which input pixels an output pixel sees."""
    return {k: node.attrs[k] for k in ("stride", "dilation", "padding")}


def live_channels(graph: Graph, node: Node, x: str) -> int:
    """Input channels whose weights learn."""
    live = fields.optional(node, 3)
    if live:
        return graph[live].shape[3]
    return graph[x].shape[3] if graph[node.inputs[1]].kind is Kind.STATE else 0


def shape_fields(in_shape: Shape, out_shape: Shape, kernel: Shape, attrs: dict[str, Any], live: int) -> dict[str, FieldValue]:
    """kg_conv2d_shape."""
    values = (
        *in_shape[1:], *out_shape[1:], *kernel, *attrs["stride"], *attrs["dilation"], attrs["padding"][0], attrs["padding"][2], live,
    )  # fmt: skip
    names = (
        "in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "k_h", "k_w", "stride_h", "stride_w", "dilation_h", "dilation_w",
        "pad_top", "pad_left", "live_c",
    )  # fmt: skip
    return {f"shape.{n}": int(v) for n, v in zip(names, values, strict=True)}


def whole_weights(weights: Array, live: Array | None) -> Array:
    """Weights in one piece, int64; the live part comes first along the last axis."""
    parts = [weights] if live is None else [live, weights]
    return np.concatenate([p.astype(np.int64) for p in parts], axis=-1)


def real_multipliers(graph: Graph, node: Node, channels: int) -> npt.NDArray[np.float64]:
    """s_x s_w / s_y per output channel. With attribute legacy_scales (uint8 models, one scale) LiteRT multiplies s_x s_w in float32."""
    x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
    if node.attrs.get("legacy_scales", False):
        product = (x.q.scale * w.q.scale).astype(np.float64)
    else:
        product = np.float64(x.q.s) * w.q.scale.astype(np.float64)
    return np.broadcast_to(product / np.float64(y.q.s), (channels,))


def windows(x: Array, kernel: Sequence[int], out_hw: Sequence[int], attrs: dict[str, Any]) -> Array:
    """Windows of a zero-padded [h, w, c] array: [out_h, out_w, k_h, k_w, c] (im2col)."""
    (sh, sw), (dh, dw), (pt, pb, pl, pr) = attrs["stride"], attrs["dilation"], attrs["padding"]
    padded = np.pad(x, ((pt, pb), (pl, pr), (0, 0)))
    rows = np.arange(out_hw[0])[:, None] * sh + np.arange(kernel[0])[None] * dh
    cols = np.arange(out_hw[1])[:, None] * sw + np.arange(kernel[1])[None] * dw
    found: Array = padded[rows[:, None, :, None], cols[None, :, None, :]]
    return found


def window_rows(attrs: dict[str, Any], kernel_h: int, in_h: int, first: int, last: int) -> tuple[int, int]:
    """Input rows that output rows [first, last] see."""
    top, stride, dilation = attrs["padding"][0], attrs["stride"][0], attrs["dilation"][0]
    return max(0, first * stride - top), min(in_h - 1, last * stride - top + (kernel_h - 1) * dilation)


@register
class Conv2D(Operator):
    """y = clamp(requantize(sum (x - zx)(w - zw) + bias) + zy), rounded twice as LiteRT's reference kernel does."""

    name = "conv2d"
    tflite = ("CONV_2D",)
    kernels = ("conv2d_ref_s8",)
    clamps = True

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, w = graph[node.inputs[0]], graph[node.inputs[1]]
        live = fields.optional(node, 3)
        in_c = w.shape[3] + (graph[live].shape[3] if live else 0)
        if len(x.shape) != 4 or len(w.shape) != 4 or x.shape[0] != 1 or x.shape[3] != in_c:
            raise GraphError(f"conv2d '{node.name}': input {x.shape} and weights {w.shape} do not fit (batch 1, groups 1)")
        (pt, pb, pl, pr), (sh, sw), (dh, dw) = node.attrs["padding"], node.attrs["stride"], node.attrs["dilation"]
        h = output_size(x.shape[1], w.shape[1], sh, dh, pt, pb)
        v = output_size(x.shape[2], w.shape[2], sw, dw, pl, pr)
        y = TensorType((1, h, v, w.shape[0]), DType.INT8, graph[node.outputs[0]].quant)
        return [y, TensorType(y.shape, DType.BITS)][: len(node.outputs)]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        weights = whole_weights(inputs[1], inputs[3] if len(inputs) > 3 else None) - w.q.zero_point[0]  # type: ignore[arg-type]
        cols = windows(inputs[0][0].astype(np.int64) - x.q.z, w.shape[1:3], y.shape[1:3], node.attrs)  # type: ignore[index]
        acc = np.tensordot(cols, weights, axes=([2, 3, 4], [1, 2, 3]))
        if inputs[2] is not None:
            acc = acc + inputs[2].astype(np.int64)
        v = requantize(acc, *quantize_multipliers(real_multipliers(graph, node, w.shape[0]))) + y.q.z
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        q = np.clip(v, lo, hi)
        results = [q.astype(np.int8)[None], np.packbits((q == v).reshape(-1), bitorder="little")]
        return results[: len(node.outputs)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        live_c, live = live_channels(graph, node, x.name), fields.optional(node, 3)
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        one_part = w.name if not live and live_c else live
        return KernelCall(
            "conv2d_ref_s8",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "w_frozen": None if one_part == w.name else Operand(w.name),
                "w_live": fields.operand(one_part),
                "bias": fields.operand(node.inputs[2]),
                **fields.requantization(real_multipliers(graph, node, w.shape[0])),
                "mask": fields.operand(node.outputs[1] if len(node.outputs) > 1 else ""),
                **shape_fields(x.shape, y.shape, w.shape[1:3], node.attrs, live_c),
                "x_zero": x.q.z,
                "w_zero": int(w.q.zero_point[0]),
                "y_zero": y.q.z,
                "y_min": lo,
                "y_max": hi,
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        graph = builder.graph
        x, w = graph[node.inputs[0]], graph[node.inputs[1]]
        live = fields.optional(node, 3)
        learned = live or (w.name if w.kind is Kind.STATE else "")
        gy = builder.error_of(node)
        if builder.wants(x.name):
            gx = builder.new_error(x.name, node)
            builder.emit("conv2d_grad_input", [gy, w.name, live], [gx], geometry(node), node)
        if learned:
            u = builder.update(learned)
            saved = builder.saved(x.name, node, graph[learned].shape[3])
            factor = builder.factor(x.q.s / w.q.scale.astype(np.float64), w.q.scale, w.shape[0])
            attrs = {**geometry(node), "factor": factor, "rounding": u.rounding, "x_zero": x.q.z}
            builder.emit("conv2d_grad_weights", [gy, saved, learned, u.fraction, u.pending, fields.TRAIN], [], attrs, node, u.mutates)
        builder.bias_gradient(gy, node.inputs[2], x.q.s * w.q.scale.astype(np.float64), w.q.scale, node)

    def macs(self, graph: Graph, node: Node) -> int:
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        return prod(y.shape) * w.shape[1] * w.shape[2] * x.shape[3]

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int]:
        return window_rows(node.attrs, graph[node.inputs[1]].shape[1], graph[node.inputs[0]].shape[1], first, last)


@register
class Conv2DGradInput(Operator):
    """Error of the input: operands gy, weights, live weights; result gx. Attributes: geometry."""

    name = "conv2d_grad_input"
    internal = True
    no_gradient = "it is itself part of a backward pass"
    kernels = ("conv2d_grad_input_ref_s8",)
    whole_input = "backward passes run on whole tensors"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        return [TensorType(graph[node.outputs[0]].shape, DType.INT8)]

    def _fold(self, graph: Graph, node: Node) -> tuple[Array, int, int]:
        w = graph[node.inputs[1]]
        scales = np.broadcast_to(w.q.scale, (w.shape[0],))
        return fields.fold_scales(scales, prod(as_ohwi(w.shape)[:3]), 255 if w.q.zero_point[0] else 128)

    @staticmethod
    def _shapes(graph: Graph, node: Node) -> tuple[Shape, Shape, Shape]:
        """Error of the input and of the output as images, and the whole weight as [out, h, w, in]."""
        gy, w, gx = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        in_c = w.shape[-1] + (graph[node.inputs[2]].shape[-1] if node.inputs[2] else 0)
        return as_nhwc(gx.shape, in_c, w.shape), as_nhwc(gy.shape, w.shape[0], w.shape), (*as_ohwi(w.shape)[:3], in_c)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, gx = graph[node.inputs[0]], graph[node.outputs[0]]
        in_shape, out_shape, w_shape = self._shapes(graph, node)
        whole = whole_weights(inputs[1], inputs[2]).reshape(w_shape)  # type: ignore[arg-type]
        w = whole - graph[node.inputs[1]].q.zero_point[0]
        fold, exponent, shift = self._fold(graph, node)
        errors = inputs[0].reshape(out_shape)[0].astype(np.int64)  # type: ignore[union-attr]
        folded = (errors * fold + (1 << (shift - 1))) >> shift
        _, k_h, k_w, in_c = w.shape
        (sh, sw), (dh, dw), (pt, pb, pl, pr) = (node.attrs[k] for k in ("stride", "dilation", "padding"))
        acc = np.zeros((in_shape[1] + pt + pb, in_shape[2] + pl + pr, in_c), np.int64)
        for ky in range(k_h):
            for kx in range(k_w):
                part = np.tensordot(folded, w[:, ky, kx], axes=([2], [0]))
                acc[ky * dh : ky * dh + part.shape[0] * sh : sh, kx * dw : kx * dw + part.shape[1] * sw : sw] += part
        acc = acc[pt : pt + in_shape[1], pl : pl + in_shape[2]]
        e = int(exponent_view(state.tensors[gy.exponent])["e"][0])  # type: ignore[index]
        q = write_error(acc, e - exponent + shift, state.tensors[gx.exponent], state.tensors[fields.TRAIN], key(gx.name))  # type: ignore[index]
        return [q.reshape(gx.shape)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, w, gx = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        live = node.inputs[2]
        fold, exponent, shift = self._fold(graph, node)
        one_part = live or (w.name if w.kind is Kind.STATE else "")
        live_c = graph[one_part].shape[-1] if one_part else 0
        in_shape, out_shape, w_shape = self._shapes(graph, node)
        return KernelCall(
            "conv2d_grad_input_ref_s8",
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                "w_frozen": None if one_part == w.name else Operand(w.name),
                "w_live": fields.operand(one_part),
                "fold": Blob(fold),
                "scratch": Scratch(),
                **fields.error_out("gx", gx.name),
                **shape_fields(in_shape, out_shape, w_shape[1:3], node.attrs, live_c),
                "w_zero": int(w.q.zero_point[0]),
                "fold_exponent": exponent,
                "fold_shift": shift,
            },
        )

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        return 4 * self._shapes(graph, node)[2][3]

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.inputs[0]].shape) * prod(self._shapes(graph, node)[2][1:])


@register
class Conv2DGradWeights(Operator):
    """Weight gradient, scaling and update in one: operands gy, saved x (live channels), live weights, fraction, pending, train.

    Attributes: geometry, factor (real, per channel), rounding, x_zero. Mutates the weights (and fraction), or the pending sum.
    """

    name = "conv2d_grad_weights"
    internal = True
    no_gradient = "it is itself part of a backward pass"
    kernels = ("conv2d_grad_weights_ref_s8",)
    whole_input = "it sums over all pixels"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        return []

    @staticmethod
    def _shapes(graph: Graph, node: Node) -> tuple[Shape, Shape, Shape]:
        """Saved input and error as images, and the live weight as [out, h, w, in].

        A single row of a fully connected layer may be saved whole: its live features come first.
        """
        gy, x, w = (graph[t].shape for t in node.inputs[:3])
        out = as_nhwc(gy, w[0], w)
        return ((1, out[1], 1, w[1]) if len(w) == 2 else x), out, as_ohwi(w)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, x, w, fraction, pending, train = inputs
        assert gy is not None and x is not None and w is not None and train is not None
        in_shape, out_shape, w_shape = self._shapes(graph, node)
        image = x.reshape(*in_shape[:3], -1)[0, :, :, : w_shape[3]].astype(np.int64) - node.attrs["x_zero"]
        cols = windows(image, w_shape[1:3], out_shape[1:3], node.attrs)
        gradient = np.tensordot(gy.reshape(out_shape)[0].astype(np.int64), cols, axes=([0, 1], [0, 1])).reshape(w.shape)
        e = int(exponent_view(state.tensors[graph[node.inputs[0]].exponent])["e"][0])  # type: ignore[index]
        apply_gradient(w, fraction, pending, train, gradient, 0, e, node.attrs, key(node.inputs[2]), *weight_range(graph, node.inputs[2]))
        return []

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, x, w, fraction, pending, _ = node.inputs
        lo, hi = weight_range(graph, w)
        in_shape, out_shape, w_shape = self._shapes(graph, node)
        return KernelCall(
            "conv2d_grad_weights_ref_s8",
            {
                "gy": Operand(gy),
                "gy_exponent": ExponentOf(gy),
                "x": Operand(x),
                "w_live": Operand(w),
                "scratch": Scratch(),
                **fields.update(w, fraction, pending, node.attrs["factor"], node.attrs["rounding"]),
                **shape_fields(in_shape, out_shape, w_shape[1:3], node.attrs, w_shape[3]),
                "x_zero": node.attrs["x_zero"],
                "w_min": lo,
                "w_max": hi,
            },
        )

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        return 4 * graph[node.inputs[2]].shape[-1]

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.inputs[0]].shape) * prod(graph[node.inputs[2]].shape[1:])


def weight_range(graph: Graph, weights: str) -> tuple[int, int]:
    """Range of learned int8 weights: symmetric, but for weights that came with a zero point."""
    return (-128, 127) if graph[weights].q.zero_point[0] else (-127, 127)


def apply_gradient(
    w: Array, fraction: Array | None, pending: Array | None, train: Array, gradient: Array, axis: int, error_exponent: int,
    attrs: dict[str, Any], tensor: int, lo: int, hi: int,
) -> None:  # fmt: skip
    """Take the step of int8 weights w from `gradient` (shaped as w, channels along `axis`), in place (kg_update_put)."""
    st = train_view(train)
    start = random_start(int(st["seed"][0]), int(st["step"][0]), tensor)
    place = np.moveaxis(np.arange(w.size).reshape(w.shape), axis, 0)
    for c, factor in enumerate(attrs["factor"]):
        mantissa, exponent = normalize(float(factor))
        rate = update_rate(train, mantissa, exponent, error_exponent)
        if rate.mantissa == 0:
            continue
        index = place[c].reshape(-1)
        step = update_step(gradient.reshape(-1)[index], rate, WEIGHT_FRACTION)
        if pending is not None:
            update_defer(pending, index, step)
        else:
            update_weight(w, fraction, index, step, attrs.get("rounding", ROUND_STOCHASTIC), start, lo, hi)

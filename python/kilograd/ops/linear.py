"""What operators with weights share (convolutions, fully_connected): two-part weights, rescaling, gradients, updates.

Activations are int8 or int16 (weights int8 in both); only int8 layers learn. With int16 activations sums have 64 bits and the bias is
int64, or 32 bits (they wrap) with an int32 bias, as in TensorFlow Lite; one kernel, conv2d_ref_s16, runs all of them.

Operands of the forward node: x, weights, bias ('' for none), live weights ('' for none). The live part of the weights learns and comes
first along their last axis; `weights` is then the frozen rest. Without live weights, `weights` is the whole: all of it learns when its kind
is STATE, none of it otherwise. Results: y, clamp mask ('' when no backward pass needs it).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Shape
from kilograd.ops import fields, support, windows
from kilograd.ops.base import Blob, ExponentOf, FieldValue, KernelCall, Operand, Operator, Reference, RunState, Scratch, TensorType
from kilograd.ops.fixed_point import (
    ROUND_STOCHASTIC,
    WEIGHT_FRACTION,
    key,
    normalize,
    quantize_multipliers,
    random_start,
    requantize,
    requantize_once,
    requantize_wide,
    requantize_wide_once,
    train_view,
    update_defer,
    update_rate,
    update_step,
    update_weight,
    wrap32,
)

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

Reals = npt.NDArray[np.float64]


#: how the sums of int16 activations become results: KG_CONV2D_*
WIDE, WIDE_ONCE, TWICE, ONCE = 0, 1, 2, 3
RESCALE = {WIDE: requantize_wide, WIDE_ONCE: requantize_wide_once, TWICE: requantize, ONCE: requantize_once}
MAX_WIDE_SHIFT = 7
#: products that a sum has room for, whatever their values; and the largest filter, stride or dilation
MAX_FAN_IN = {DType.INT8: 1 << 15, DType.INT16: 1 << 22}
MAX_STEP = 1 << 10


@dataclass(frozen=True)
class Parts:
    """The parts of a layer's weights by tensor name, '' for an absent one."""

    frozen: str
    live: str

    @property
    def fields(self) -> dict[str, FieldValue]:
        """Their fields of an argument struct."""
        return {"w_frozen": fields.operand(self.frozen), "w_live": fields.operand(self.live)}

    def live_count(self, graph: Graph) -> int:
        """Entries of the last axis of the weights that learn."""
        return graph[self.live].shape[-1] if self.live else 0


def parts(graph: Graph, weights: str, live: str) -> Parts:
    """Which tensors hold the frozen and the live part."""
    if live:
        return Parts(weights, live)
    return Parts("", weights) if graph[weights].kind is Kind.STATE else Parts(weights, "")


def layer_parts(graph: Graph, node: Node) -> Parts:
    """The parts of a forward node's weights."""
    return parts(graph, node.inputs[1], fields.optional(node, 3))


def whole_weights(weights: Array | None, live: Array | None, zero: int) -> Array:
    """Weights in one piece without their zero point, int64; the live part comes first along the last axis."""
    found = [p.astype(np.int64) for p in (live, weights) if p is not None]
    return np.concatenate(found, axis=-1) - zero


def whole_real(inputs: Sequence[Array | None]) -> Array:
    """Float weights in one piece, the live part first."""
    found = [np.asarray(p) for p in (inputs[3] if len(inputs) > 3 else None, inputs[1]) if p is not None]
    return np.concatenate(found, axis=-1)


def weight_zero(graph: Graph, weights: str) -> int:
    """Zero point of weights (not 0 in models that were uint8)."""
    return int(graph[weights].q.zero_point[0])


def weight_range(graph: Graph, weights: str) -> tuple[int, int]:
    """Range of learned int8 weights: symmetric, but for weights that came with a zero point."""
    return (-128, 127) if weight_zero(graph, weights) else (-127, 127)


class Linear(Operator):
    """A forward operator with weights. A subclass gives the product sum, the geometry and what of x its weight gradient reads."""

    types = ("int8", "int16")
    clamps = True
    #: operators of the backward pass are <gradient>_grad_input and <gradient>_grad_weights
    gradient: ClassVar[str]
    #: how 32-bit sums become results
    rounding: ClassVar[int] = TWICE
    #: how 64-bit sums become results
    wide_rounding: ClassVar[int] = WIDE

    def result_type(self, graph: Graph, node: Node, shape: Shape) -> list[TensorType]:
        """Types of the results, after a check that weights and bias have types that go with those of x."""
        dtype, where = support.activation_type(graph, node), f"{node.op} '{node.name}'"
        w, bias = graph[node.inputs[1]], fields.optional(node, 2)
        if w.dtype is not (DType.FLOAT32 if dtype is DType.FLOAT32 else DType.INT8):
            raise GraphError(f"{where}: weights '{w.name}' are {w.dtype.value}, with {dtype.value} activations they must be int8")
        allowed = self.bias_types(dtype)
        if bias and graph[bias].dtype not in allowed:
            names = " or ".join(t.value for t in allowed)
            raise GraphError(f"{where}: bias '{bias}' is {graph[bias].dtype.value}, with {dtype.value} activations it must be {names}")
        y = graph[node.outputs[0]]
        if dtype is not DType.FLOAT32:
            self._check_sizes(where, dtype, node, self.fan_in(graph, node), w.shape)
        if dtype is DType.INT16:
            self._check_wide(graph, node)
        return support.with_mask(node, TensorType(shape, dtype, y.quant))

    @abstractmethod
    def fan_in(self, graph: Graph, node: Node) -> int:
        """Products in one sum."""

    @staticmethod
    def _check_sizes(where: str, dtype: DType, node: Node, fan_in: int, w: Shape) -> None:
        """What the kernels' checks ask for."""
        limit = MAX_FAN_IN[dtype]
        if fan_in > limit:
            raise GraphError(f"{where}: each result sums {fan_in} products, more than the {limit} that its sums have room for")
        steps = (*w[1:3], *node.attrs["stride"], *node.attrs["dilation"]) if len(w) == 4 else (1,)
        if not 1 <= min(steps) <= max(steps) <= MAX_STEP:
            raise GraphError(f"{where}: filter, stride and dilation {steps[:2]}, {steps[2:4]}, {steps[4:]} must lie in 1 to {MAX_STEP}")

    def bias_types(self, dtype: DType) -> tuple[DType, ...]:
        """Element types that the bias may have beside activations of type `dtype`."""
        return {DType.INT8: (DType.INT32,), DType.INT16: (DType.INT32, DType.INT64)}.get(dtype, (dtype,))

    def _check_wide(self, graph: Graph, node: Node) -> None:
        """Zero points and scales with which the int16 kernel works."""
        x, y, where = graph[node.inputs[0]], graph[node.outputs[0]], f"{node.op} '{node.name}'"
        if x.q.z or y.q.z:
            raise GraphError(f"{where}: int16 activations have zero point 0, these have {x.q.z} and {y.q.z}")
        if fields.optional(node, 3) or len(node.outputs) > 1:
            raise GraphError(f"{where}: a layer with int16 activations does not learn; it has neither live weights nor a mask")
        product = float(np.max(np.float64(x.q.s) * graph[node.inputs[1]].q.scale.astype(np.float64))) / y.q.s
        if product >= 2.0**MAX_WIDE_SHIFT:
            raise GraphError(f"{where}: its result is {product:.0f} times finer than its sums; at most {2**MAX_WIDE_SHIFT - 1} is possible")

    def rescaling(self, graph: Graph, node: Node) -> int:
        """How the sums become results. Sums of int16 activations have 64 bits but with an int32 bias (without bias: attribute
        narrow_sums)."""
        bias = fields.optional(node, 2)
        narrow = graph[bias].dtype is DType.INT32 if bias else node.attrs.get("narrow_sums", False)
        return self.rounding if narrow or graph[node.inputs[0]].dtype is not DType.INT16 else self.wide_rounding

    def scales(self, graph: Graph, node: Node) -> Reals:
        """Weight scales: one an output channel, or one for all."""
        return graph[node.inputs[1]].q.scale.astype(np.float64)

    def geometry(self, node: Node) -> dict[str, Any]:
        """Attributes of the gradient nodes."""
        return windows.geometry(node)

    def saved(self, builder: GradientBuilder, node: Node, live: int) -> str:
        """The tensor that the weight gradient reads as x; `live` entries of the weights' last axis learn."""
        return builder.saved(node.inputs[0], node, live)

    def learned_channels(self, graph: Graph, node: Node, live: str) -> int:
        """How many output channels, from the first on, have weights in the live part."""
        return graph[node.outputs[0]].shape[-1]

    def multipliers(self, graph: Graph, node: Node) -> Reals:
        """s_x s_w / s_y per output channel. Attribute legacy_scales: one scale for all, and LiteRT multiplies s_x s_w in float32."""
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        if node.attrs.get("legacy_scales", False):
            product = (x.q.scale * w.q.scale).astype(np.float64)
        else:
            product = np.float64(x.q.s) * self.scales(graph, node)
        return np.broadcast_to(product / np.float64(y.q.s), y.shape[-1:])

    def operands(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, Array]:
        """X and the whole weights without their zero points, int64."""
        live = inputs[3] if len(inputs) > 3 else None
        x = np.asarray(inputs[0], np.int64) - graph[node.inputs[0]].q.z
        return x, whole_weights(inputs[1], live, weight_zero(graph, node.inputs[1]))

    def results(self, graph: Graph, node: Node, acc: Array, bias: Array | None) -> Reference:
        """Result and clamp mask from product sums with the output channels last."""
        y = graph[node.outputs[0]]
        total = acc if bias is None else acc + bias.astype(np.int64)
        how = self.rescaling(graph, node)
        sums = total if how in (WIDE, WIDE_ONCE) else wrap32(total)
        value = RESCALE[how](sums, *quantize_multipliers(self.multipliers(graph, node))) + y.q.z
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        return support.clamp_results(node, value.reshape(y.shape), lo, hi, y.dtype)

    def call(self, graph: Graph, node: Node, shape: dict[str, FieldValue]) -> KernelCall:
        """The kernel call; `shape` are the fields that differ from operator to operator."""
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        return KernelCall(
            self.kernels[0],
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                **layer_parts(graph, node).fields,
                "bias": fields.operand(node.inputs[2]),
                **fields.requantization(self.multipliers(graph, node)),
                "mask": fields.operand(support.mask_name(node)),
                **shape,
                "x_zero": x.q.z,
                "w_zero": weight_zero(graph, node.inputs[1]),
                "y_zero": y.q.z,
                "y_min": lo,
                "y_max": hi,
            },
        )

    def wide_call(self, graph: Graph, node: Node, shape: dict[str, FieldValue], channels_last: bool = False) -> KernelCall:
        """The call of the int16 kernel; `shape` is that of a convolution."""
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        return KernelCall(
            "conv2d_ref_s16",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "w": Operand(node.inputs[1]),
                "bias": fields.operand(fields.optional(node, 2)),
                **fields.requantization(self.multipliers(graph, node)),
                **shape,
                "channels_last": int(channels_last),
                "requantize": self.rescaling(graph, node),
                "w_zero": weight_zero(graph, node.inputs[1]),
                "y_min": lo,
                "y_max": hi,
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        support.need_int8_gradient(builder.graph, node)
        graph, scales = builder.graph, self.scales(builder.graph, node)
        x, live = graph[node.inputs[0]], layer_parts(graph, node).live
        gy = builder.error_of(node)
        if builder.wants(x.name):
            gx = builder.new_error(x.name, node)
            inputs = [gy, node.inputs[1], fields.optional(node, 3)]
            builder.emit(f"{self.gradient}_grad_input", inputs, [gx], self.geometry(node), node)
        if live:
            self._emit_update(builder, node, gy, live, scales)
        builder.bias_gradient(gy, node.inputs[2], x.q.s * scales, scales, node)

    def _emit_update(self, builder: GradientBuilder, node: Node, gy: str, live: str, scales: Reals) -> None:
        """The weight gradient, fused with the update of the live weights."""
        graph = builder.graph
        x, u = graph[node.inputs[0]].q, builder.update(live)
        saved = self.saved(builder, node, graph[live].shape[-1])
        factor = builder.factor(x.s / scales, scales, graph[node.outputs[0]].shape[-1])[: self.learned_channels(graph, node, live)]
        attrs = {**self.geometry(node), "factor": factor, "rounding": u.rounding, "x_zero": x.z}
        inputs = [gy, saved, live, u.fraction, u.pending, fields.TRAIN]
        builder.emit(f"{self.gradient}_grad_weights", inputs, [], attrs, node, u.mutates)


class GradInput(support.GradientOperator):
    """Error of the input: operands gy, weights, live weights; result gx. Attributes: geometry.

    The weight scales are folded into the errors as 14-bit integers, so that one integer sum serves all output channels.
    """

    whole_input = "backward passes run on whole tensors"

    @abstractmethod
    def fold(self, graph: Graph, node: Node) -> tuple[Array, int, int]:
        """(fold int32 [output channels], exponent, shift), see fields.fold_scales."""

    def folded(self, graph: Graph, node: Node, gy: Array | None) -> Array:
        """The error times the weight scales, int64 like gy."""
        fold, _, shift = self.fold(graph, node)
        return (np.asarray(gy, np.int64) * fold + (1 << (shift - 1))) >> shift

    def weights(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> Array:
        """The whole weights without their zero point, int64."""
        return whole_weights(inputs[1], inputs[2], weight_zero(graph, node.inputs[1]))

    def result(self, graph: Graph, node: Node, state: RunState, acc: Array) -> Reference:
        """The error tensor from the sums of folded errors times weights."""
        _, exponent, shift = self.fold(graph, node)
        e = support.error_exponent(graph, state, node.inputs[0]) - exponent + shift
        return [support.put_error(graph, state, node.outputs[0], acc, e)]

    def call(self, graph: Graph, node: Node, shape: dict[str, FieldValue]) -> KernelCall:
        """The kernel call; `shape` are the fields that differ from operator to operator."""
        gy, w, live = node.inputs
        fold, exponent, shift = self.fold(graph, node)
        return KernelCall(
            self.kernels[0],
            {
                "gy": Operand(gy),
                "gy_exponent": ExponentOf(gy),
                **parts(graph, w, live).fields,
                "fold": Blob(fold),
                **({"scratch": Scratch()} if self.scratch_bytes(graph, node) else {}),
                **fields.error_out("gx", node.outputs[0]),
                **shape,
                "w_zero": weight_zero(graph, w),
                "fold_exponent": exponent,
                "fold_shift": shift,
            },
        )


class GradWeights(Operator):
    """Weight gradient, scaling and update in one: operands gy, saved x, live weights, fraction, pending, train.

    Attributes: geometry, factor (real, per output channel of the live weights), rounding, x_zero. Mutates the weights (and fraction), or
    the pending sum.
    """

    internal = True
    no_gradient = "it is itself part of a backward pass"
    whole_input = "it sums over all pixels"
    #: axis of the output channels in the weights
    channel_axis: ClassVar[int]

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        return []

    @abstractmethod
    def gradient(self, graph: Graph, node: Node, gy: Array, x: Array) -> Array:
        """Sums of gy * x without scales, int64 shaped as the live weights; gy and x (without zero point) are int64."""

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, x, w, fraction, pending, train = inputs
        assert w is not None and train is not None
        gradient = self.gradient(graph, node, np.asarray(gy, np.int64), np.asarray(x, np.int64) - node.attrs["x_zero"])
        e = support.error_exponent(graph, state, node.inputs[0])
        channels = np.moveaxis(np.arange(w.size).reshape(w.shape), self.channel_axis, 0).reshape(w.shape[self.channel_axis], -1)
        apply_gradient(
            w, fraction, pending, train, gradient, channels, e, node.attrs, key(node.inputs[2]), weight_range(graph, node.inputs[2])
        )
        return []

    def call(self, graph: Graph, node: Node, shape: dict[str, FieldValue]) -> KernelCall:
        """The kernel call; `shape` are the fields that differ from operator to operator."""
        gy, x, w, fraction, pending, _ = node.inputs
        lo, hi = weight_range(graph, w)
        return KernelCall(
            self.kernels[0],
            {
                "gy": Operand(gy),
                "gy_exponent": ExponentOf(gy),
                "x": Operand(x),
                "w_live": Operand(w),
                **({"scratch": Scratch()} if self.scratch_bytes(graph, node) else {}),
                **fields.update(w, fraction, pending, node.attrs["factor"], node.attrs["rounding"]),
                **shape,
                "x_zero": node.attrs["x_zero"],
                "w_min": lo,
                "w_max": hi,
            },
        )


def apply_gradient(
    w: Array, fraction: Array | None, pending: Array | None, train: Array, gradient: Array, channels: Array, error_exponent: int,
    attrs: dict[str, Any], tensor: int, limits: tuple[int, int],
) -> None:  # fmt: skip
    """Take the step of int8 weights `w` in place (kg_update_put). Row c of `channels` holds the flat indices of output channel c."""
    st = train_view(train)
    start = random_start(int(st["seed"][0]), int(st["step"][0]), tensor)
    for index, factor in zip(channels, attrs["factor"], strict=True):
        rate = update_rate(train, *normalize(float(factor)), error_exponent)
        if rate.mantissa == 0:
            continue
        step = update_step(gradient.reshape(-1)[index], rate, WEIGHT_FRACTION)
        if pending is not None:
            update_defer(pending, index, step)
        else:
            update_weight(w, fraction, index, step, attrs.get("rounding", ROUND_STOCHASTIC), start, *limits)

"""SVDF: a fully connected layer over time, as low-rank filters with a memory of what they gave in earlier calls.

Operands: x [batch, in], feature weights [units * rank, in], bias [units] ('' for none), '' (no part of the weights is live alone), time
weights [units * rank, memory], state [batch, units * rank * memory] (STATE; the oldest first in each filter). Results: y [batch, units],
clamp mask ('' when no backward pass needs it). Attributes: rank, activation. x, feature weights and y are int8; time weights and state are
int16, or int8 in older models.

A call moves the state one place towards the past, puts what the filters give for x into the newest place, and weights the whole memory.
(LiteRT moves it at the end of a call; the results are the same, and the gradient of the time weights finds its window here.)

The gradient is truncated to what is in memory after the call: time weights see the whole window; feature weights and x see the newest
place, the only one that they filled in this call (svdf_grad_newest gives its error, the gradients of a 1x1 convolution do the rest).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Array, DType, Graph, Kind, Node
from kilograd.ops import fields, support
from kilograd.ops.base import ExponentOf, KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register
from kilograd.ops.fixed_point import (
    BIAS_FRACTION,
    key,
    normalize,
    quantize_multiplier,
    random_at,
    random_start,
    requantize,
    train_view,
    update_defer,
    update_rate,
    update_round,
    update_step,
    wrap32,
)
from kilograd.ops.fully_connected import POINTWISE

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

X, FEATURE, BIAS, TIME, STATE = 0, 1, 2, 4, 5
TIME_LIMIT = 32767  # of learned time weights
FOLD_SHIFT = 6  # of int8 errors times int16 weights times a 14-bit scale


def filter_sums(rank: int, values: Array) -> Array:
    """[batch, filters] summed over the `rank` filters of each unit."""
    return values.reshape(len(values), -1, rank).sum(axis=2)


@register
class Svdf(Operator):
    """y = clamp(requantize(bias + sum over the filters of a unit and over time of state time) + zy)."""

    name = "svdf"
    tflite = ("SVDF",)
    kernels = ("svdf_ref_s8_s16", "svdf_ref_s8_s8")
    clamps = True
    whole_input = "a result needs every feature"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, feature, time, state, y = (graph[t] for t in (*(node.inputs[i] for i in (X, FEATURE, TIME, STATE)), node.outputs[0]))
        dtype, rank = support.activation_type(graph, node), int(node.attrs["rank"])
        where = f"svdf '{node.name}'"
        if len(x.shape) != 2 or len(feature.shape) != 2 or len(time.shape) != 2 or rank < 1:
            raise GraphError(f"{where}: input {list(x.shape)}, feature weights {list(feature.shape)} and time weights {list(time.shape)}")
        filters, memory = time.shape
        if feature.shape != (filters, x.shape[1]) or filters % rank or prod(state.shape) != x.shape[0] * filters * memory:
            raise GraphError(
                f"{where}: input {list(x.shape)}, feature weights {list(feature.shape)}, time weights {list(time.shape)}, state "
                f"{list(state.shape)} and rank {rank} do not fit"
            )
        if state.kind is not Kind.STATE or tuple(node.mutates) != (state.name,):
            raise GraphError(f"{where}: '{state.name}' must be state that the node changes")
        if node.inputs[BIAS] and graph[node.inputs[BIAS]].shape != (filters // rank,):
            raise GraphError(f"{where}: bias {list(graph[node.inputs[BIAS]].shape)} for {filters // rank} units")
        if dtype is not DType.FLOAT32:
            self._check_integers(graph, node)
        return support.with_mask(node, TensorType((x.shape[0], filters // rank), dtype, y.quant))

    @staticmethod
    def _check_integers(graph: Graph, node: Node) -> None:
        where, tensors = f"svdf '{node.name}'", {i: graph[node.inputs[i]] for i in (X, FEATURE, TIME, STATE)}
        if any(t.q.scale.size != 1 for t in (*tensors.values(), graph[node.outputs[0]])):
            raise GraphError(f"{where}: every tensor needs one scale")
        kinds = (tensors[TIME].dtype, tensors[STATE].dtype)
        if tensors[FEATURE].dtype is not DType.INT8 or kinds not in ((DType.INT16,) * 2, (DType.INT8,) * 2):
            raise GraphError(f"{where}: time weights and state are {kinds[0].value} and {kinds[1].value}; both must be int16, or int8")
        if tensors[FEATURE].q.z or tensors[TIME].q.z or (tensors[STATE].q.z and tensors[STATE].dtype is DType.INT16):
            raise GraphError(f"{where}: weights, and an int16 state, need zero point 0")

    @staticmethod
    def multipliers(graph: Graph, node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
        """(multiplier, shift) of what enters the state and of the result: LiteRT's kernels/svdf.cc multiplies scales in float32."""
        x, feature, time, state, y = (
            np.float32(graph[t].q.s) for t in (*(node.inputs[i] for i in (X, FEATURE, TIME, STATE)), node.outputs[0])
        )
        return quantize_multiplier(float(x * feature / state)), quantize_multiplier(float(state * time / y))

    @staticmethod
    def limits(graph: Graph, node: Node) -> tuple[int, int]:
        """Clamp range of the result."""
        return fields.activation_range(graph, node.outputs[0], node.attrs["activation"])

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [self._real_step(node, inputs)[0]]

    def real_step(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> list[Array]:
        y, window = self._real_step(node, inputs)
        state.tensors[node.mutates[0]] = window.reshape(graph[node.mutates[0]].shape)
        return [y]

    @staticmethod
    def _real_step(node: Node, inputs: Sequence[Array | None]) -> tuple[Array, Array]:
        """Result and new state."""
        x, feature, time = (np.asarray(inputs[i]) for i in (X, FEATURE, TIME))
        old = np.asarray(inputs[STATE]).reshape(len(x), *time.shape)
        window = np.concatenate([old[:, :, 1:], (x @ feature.T)[:, :, None]], axis=2)
        y = filter_sums(node.attrs["rank"], (window * time).sum(axis=2))
        return support.apply_activation(node, y if inputs[BIAS] is None else y + inputs[BIAS]), window

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, feature, time = (np.asarray(inputs[i], np.int64) for i in (X, FEATURE, TIME))
        memory, y = graph[node.inputs[STATE]], graph[node.outputs[0]]
        (m1, s1), (m2, s2) = self.multipliers(graph, node)
        info = np.iinfo(memory.dtype.numpy)
        newest = requantize((x - graph[node.inputs[X]].q.z) @ feature.T, np.array(m1), np.array(s1)) + memory.q.z
        old = np.asarray(inputs[STATE], np.int64).reshape(len(x), *time.shape)
        window = np.concatenate([old[:, :, 1:], np.clip(newest, info.min, info.max)[:, :, None]], axis=2)
        state.tensors[memory.name] = window.astype(memory.dtype.numpy).reshape(memory.shape)
        acc = filter_sums(node.attrs["rank"], ((window - memory.q.z) * time).sum(axis=2))
        acc = wrap32(acc if inputs[BIAS] is None else acc + inputs[BIAS])
        return support.clamp_results(node, requantize(acc, np.array(m2), np.array(s2)) + y.q.z, *self.limits(graph, node))

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, feature, time, state = (graph[node.inputs[i]] for i in (X, FEATURE, TIME, STATE))
        (m1, s1), (m2, s2) = self.multipliers(graph, node)
        lo, hi = self.limits(graph, node)
        rank = node.attrs["rank"]
        return KernelCall(
            self.kernels[0] if state.dtype is DType.INT16 else self.kernels[1],
            {
                "x": Operand(x.name),
                "y": Operand(node.outputs[0]),
                "feature": Operand(feature.name),
                "time": Operand(time.name),
                "bias": fields.operand(node.inputs[BIAS]),
                "state": Operand(state.name),
                "mask": fields.operand(support.mask_name(node)),
                "batch": x.shape[0],
                "in": x.shape[1],
                "units": time.shape[0] // rank,
                "rank": rank,
                "memory": time.shape[1],
                "state_multiplier": m1,
                "state_shift": s1,
                "y_multiplier": m2,
                "y_shift": s2,
                "x_zero": x.q.z,
                "state_zero": state.q.z,
                "y_zero": graph[node.outputs[0]].q.z,
                "y_min": lo,
                "y_max": hi,
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        graph = builder.graph
        x, feature, time, memory = (graph[node.inputs[i]] for i in (X, FEATURE, TIME, STATE))
        if memory.dtype is not DType.INT16:
            raise NoBackwardRule(
                f"no gradient can pass through svdf '{node.name}' in its older form with an int8 state; convert the model again with a "
                "newer TensorFlow Lite, whose state is int16."
            )
        gy, rank = builder.error_of(node), node.attrs["rank"]
        learns = feature.kind is Kind.STATE
        if learns or builder.wants(x.name):
            newest = builder.inner_error(f"{node.outputs[0]}.newest", (x.shape[0], time.shape[0]))
            builder.emit("svdf_grad_newest", [gy, time.name, memory.name], [newest], {"rank": rank}, node)
            if builder.wants(x.name):
                builder.emit("conv2d_grad_input", [newest, feature.name, ""], [builder.new_error(x.name, node)], dict(POINTWISE), node)
        if learns:
            scales, u = feature.q.scale.astype(np.float64), builder.update(feature.name)
            attrs = {**POINTWISE, "factor": builder.factor(x.q.s / scales, scales, time.shape[0]), "rounding": u.rounding, "x_zero": x.q.z}
            inputs = [newest, builder.saved(x.name, node), feature.name, u.fraction, u.pending, fields.TRAIN]
            builder.emit("conv2d_grad_weights", inputs, [], attrs, node, u.mutates)
        scales = time.q.scale.astype(np.float64)
        if time.kind is Kind.STATE:
            u = builder.update(time.name)
            attrs = {"rank": rank, "factor": builder.factor(memory.q.s / scales, scales, time.shape[0]), "rounding": u.rounding}
            inputs = [gy, memory.name, time.name, u.pending, fields.TRAIN]
            builder.emit("svdf_grad_time", inputs, [], attrs, node, u.mutates)
        builder.bias_gradient(gy, node.inputs[BIAS], memory.q.s * scales, scales, node)

    def macs(self, graph: Graph, node: Node) -> int:
        return graph[node.inputs[FEATURE]].size * graph[node.inputs[X]].shape[0] + prod(graph[node.inputs[STATE]].shape)


@register
class SvdfGradNewest(support.GradientOperator):
    """Error of the newest places of the state: gy time[newest] s_time, 0 where the place is saturated.

    Operands: gy [batch, units], time weights (int16), state after the call; result [batch, units * rank]. Attribute: rank.
    """

    name = "svdf_grad_newest"
    kernels = ("svdf_grad_newest_ref_s16",)

    @staticmethod
    def _fold(graph: Graph, node: Node) -> tuple[int, int]:
        fold, exponent, _ = fields.fold_scales(graph[node.inputs[1]].q.scale, 1)
        return int(fold[0]), exponent

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, time = np.asarray(inputs[0], np.int64), np.asarray(inputs[1], np.int64)
        newest = np.asarray(inputs[2]).reshape(len(gy), *time.shape)[:, :, -1]
        fold, exponent = self._fold(graph, node)
        acc = (np.repeat(gy, node.attrs["rank"], axis=1) * time[:, -1] * fold + (1 << (FOLD_SHIFT - 1))) >> FOLD_SHIFT
        e = support.error_exponent(graph, state, node.inputs[0]) - exponent + FOLD_SHIFT
        return [support.put_error(graph, state, node.outputs[0], np.where(np.abs(newest.astype(np.int64)) >= 32767, 0, acc), e)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, time, memory = (graph[t] for t in node.inputs)
        fold, exponent = self._fold(graph, node)
        return KernelCall(
            self.kernels[0],
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                "time": Operand(time.name),
                "state": Operand(memory.name),
                **fields.error_out("gx", node.outputs[0]),
                "batch": gy.shape[0],
                "units": gy.shape[1],
                "rank": node.attrs["rank"],
                "memory": time.shape[1],
                "fold": fold,
                "fold_exponent": exponent,
            },
        )

    def macs(self, graph: Graph, node: Node) -> int:
        return graph[node.outputs[0]].size


@register
class SvdfGradTime(Operator):
    """Gradient of the time weights over the window in memory, scaled and applied. Steps have the fraction bits of biases.

    Operands: gy [batch, units], state after the call, time weights (STATE, int16), pending, train. Attributes: rank, factor (real, per
    filter), rounding. Mutates the weights, or the pending sum.
    """

    name = "svdf_grad_time"
    internal = True
    no_gradient = "it is itself part of a backward pass"
    kernels = ("svdf_grad_time_ref_s16",)
    whole_input = "it sums over the batch"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        support.need_int8(graph, node, node.inputs[0])
        if graph[node.inputs[2]].dtype is not DType.INT16 or graph[node.inputs[1]].dtype is not DType.INT16:
            raise GraphError(f"svdf_grad_time '{node.name}': time weights and state must be int16")
        return []

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, memory, time, pending, train = inputs
        assert gy is not None and memory is not None and time is not None and train is not None
        errors = np.repeat(gy.astype(np.int64), node.attrs["rank"], axis=1)
        gradient = (errors[:, :, None] * memory.astype(np.int64).reshape(len(gy), *time.shape)).sum(axis=0)
        e, st = support.error_exponent(graph, state, node.inputs[0]), train_view(train)
        start = random_start(int(st["seed"][0]), int(st["step"][0]), key(node.inputs[2]))
        flat, places = time.reshape(-1), np.arange(time.size).reshape(time.shape)
        for f, factor in enumerate(node.attrs["factor"]):
            rate = update_rate(train, *normalize(float(factor)), e)
            if rate.mantissa == 0:
                continue
            step = update_step(gradient[f], rate, BIAS_FRACTION)
            if pending is not None:
                update_defer(pending, places[f], step)
            else:
                value = update_round(flat[places[f]], step, BIAS_FRACTION, node.attrs["rounding"], random_at(start, places[f]))
                flat[places[f]] = np.clip(value, -TIME_LIMIT, TIME_LIMIT)
        return []

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, memory, time, pending, _ = node.inputs
        return KernelCall(
            self.kernels[0],
            {
                "gy": Operand(gy),
                "gy_exponent": ExponentOf(gy),
                "state": Operand(memory),
                "time": Operand(time),
                **fields.update(time, "", pending, node.attrs["factor"], node.attrs["rounding"]),
                "batch": graph[gy].shape[0],
                "units": graph[gy].shape[1],
                "rank": node.attrs["rank"],
                "memory": graph[time].shape[1],
            },
        )

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.inputs[1]].shape)

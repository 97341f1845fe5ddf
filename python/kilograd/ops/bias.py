"""Biases that learn: `bias_delta` adds an int16 delta to a constant bias in the forward pass, `bias_grad` takes the step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import fields, support
from kilograd.ops.base import ExponentOf, KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register
from kilograd.ops.fixed_point import (
    BIAS_FRACTION,
    key,
    normalize,
    random_at,
    random_start,
    train_view,
    update_defer,
    update_rate,
    update_round,
    update_step,
    wrap32,
)

INT16_MAX = 32767


@register
class BiasDelta(Operator):
    """b = b0 + delta * 2^u. Operands: b0 (const int32 [channels]), delta (state int16 [channels]); result int32. Attribute: u."""

    name = "bias_delta"
    internal = True
    no_gradient = "its gradient is taken by bias_grad"
    kernels = ("bias_delta_ref_s16",)
    whole_input = "it has no rows"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        b0, delta = graph[node.inputs[0]], graph[node.inputs[1]]
        if b0.dtype is not DType.INT32 or delta.dtype is not DType.INT16 or b0.shape != delta.shape:
            raise GraphError(f"bias_delta '{node.name}': int32 bias and int16 delta of the same shape are needed")
        return [TensorType(b0.shape, DType.INT32, b0.quant)]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        b0, delta = inputs
        assert b0 is not None and delta is not None
        return [wrap32(b0.astype(np.int64) + (delta.astype(np.int64) << node.attrs["u"])).astype(np.int32)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        b0, delta = node.inputs
        return KernelCall(
            "bias_delta_ref_s16",
            {
                "b0": Operand(b0),
                "delta": Operand(delta),
                "b": Operand(node.outputs[0]),
                "channels": prod(graph[b0].shape),
                "u": int(node.attrs["u"]),
            },
        )


@register
class BiasGrad(Operator):
    """Sum of the error over all pixels, scaled and applied: operands gy [.., channels], bias (state int32, or int16 delta), pending, train.

    Attributes: factor (real, per channel; for int16 with 2^-u), rounding, limit (the bias saturates to +-limit). Mutates the bias, or the
    pending sum.
    """

    name = "bias_grad"
    internal = True
    no_gradient = "it is itself part of a backward pass"
    kernels = ("bias_grad_ref_s32", "bias_grad_ref_s16")
    whole_input = "it sums over all pixels"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        gy, bias = graph[node.inputs[0]], graph[node.inputs[1]]
        if bias.dtype not in (DType.INT32, DType.INT16) or prod(bias.shape) != gy.shape[-1]:
            raise GraphError(f"bias_grad '{node.name}': bias {bias.dtype.value}{list(bias.shape)} does not fit error {list(gy.shape)}")
        return []

    @staticmethod
    def _limit(graph: Graph, node: Node) -> int:
        limit = int(node.attrs["limit"])
        return min(limit, INT16_MAX) if graph[node.inputs[1]].dtype is DType.INT16 else limit

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, bias, pending, train = inputs
        assert gy is not None and bias is not None and train is not None
        gradient = gy.astype(np.int64).reshape(-1, gy.shape[-1]).sum(axis=0)
        e = support.error_exponent(graph, state, node.inputs[0])
        st, limit = train_view(train), self._limit(graph, node)
        start = random_start(int(st["seed"][0]), int(st["step"][0]), key(node.inputs[1]))
        for c, factor in enumerate(node.attrs["factor"]):
            rate = update_rate(train, *normalize(float(factor)), e)
            if rate.mantissa == 0:
                continue
            index = np.array([c])
            step = update_step(gradient[index], rate, BIAS_FRACTION)
            if pending is not None:
                update_defer(pending, index, step)
            else:
                value = update_round(bias[index], step, BIAS_FRACTION, node.attrs["rounding"], random_at(start, index))
                bias[c] = np.clip(value, -limit, limit)[0]
        return []

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, bias, pending, _ = node.inputs
        return KernelCall(
            "bias_grad_ref_s16" if graph[bias].dtype is DType.INT16 else "bias_grad_ref_s32",
            {
                "gy": Operand(gy),
                "gy_exponent": ExponentOf(gy),
                "bias": Operand(bias),
                **fields.update(bias, "", pending, node.attrs["factor"], node.attrs["rounding"]),
                "pixels": prod(graph[gy].shape[:-1]),
                "channels": graph[gy].shape[-1],
                "limit": self._limit(graph, node),
            },
        )

"""Mean over any axes: int8, up to four axes, own quantization of the result.

Operand: x. Results: y, clamp mask (optional). Attributes: axes (counted from the front), keep_dims.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from kilograd.ir.graph import Array, Graph, Node
from kilograd.ops import fields, reduction, support
from kilograd.ops.base import ExponentOf, KernelCall, Operand, Reference, RunState, register
from kilograd.ops.fixed_point import quantize_multiplier, requantize

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


def scaled_multiplier(x_scale: float, y_scale: float, count: int) -> tuple[int, int]:
    """(multiplier, shift) of x_scale / y_scale / count, with the rounding of TensorFlow Lite's QuantizedMeanOrSum."""
    multiplier, shift = quantize_multiplier(float(np.float64(x_scale) / np.float64(y_scale)))
    extra = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << extra) // count, shift - extra


def reciprocal(count: int) -> tuple[int, int]:
    """(r, s) with 1 / count ~ r * 2^-s, r in 2^14..2^15."""
    shift = 15 + (count.bit_length() - 1)
    return ((1 << shift) + count // 2) // count, shift


class ScaledSum(reduction.Reduction):
    """y = clamp(requantize(sum (x - zx)) + zy), a divisor folded into the multiplier."""

    kernels = ("mean_ref_s8",)
    clamps = True
    divides: ClassVar[bool]  # by the number of elements

    def _divisor(self, graph: Graph, node: Node) -> int:
        return reduction.count(node, graph[node.inputs[0]].shape) if self.divides else 1

    def _multiplier(self, graph: Graph, node: Node) -> tuple[int, int]:
        return scaled_multiplier(graph[node.inputs[0]].q.s, graph[node.outputs[0]].q.s, self._divisor(graph, node))

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = np.asarray(inputs[0])
        total = x.sum(axis=reduction.reduced(node, x.shape), keepdims=bool(node.attrs.get("keep_dims", False)))
        return [(total / self._divisor(graph, node)).astype(x.dtype)]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        total = (np.asarray(inputs[0], np.int64) - x.q.z).sum(axis=reduction.reduced(node, x.shape)).reshape(y.shape)
        multiplier, shift = self._multiplier(graph, node)
        value = requantize(total, np.array(multiplier, np.int64), np.array(shift)) + y.q.z
        return support.clamp_results(node, value, -128, 127)

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        multiplier, shift = self._multiplier(graph, node)
        return KernelCall(
            "mean_ref_s8",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "mask": fields.operand(support.mask_name(node)),
                **reduction.shape_fields(node, x.shape),
                "multiplier": multiplier,
                "shift": shift,
                "x_zero": x.q.z,
                "y_zero": y.q.z,
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        if builder.wants(node.inputs[0]):
            gy = builder.error_of(node)
            gx = builder.new_error(node.inputs[0], node)
            builder.emit("mean_grad", [gy], [gx], {"axes": node.attrs["axes"], "divides": self.divides}, node)


@register
class Mean(ScaledSum):
    """y = clamp(requantize(sum (x - zx)) + zy), 1 / count folded into the multiplier."""

    name = "mean"
    tflite = ("MEAN",)
    onnx = ("ReduceMean", "GlobalAveragePool")
    divides = True

    def can_clamp(self, graph: Graph, node: Node) -> bool:
        return not graph[node.inputs[0]].q.same_as(graph[node.outputs[0]].quant)


@register
class MeanGrad(support.GradientOperator):
    """Error of the input: operand gy, gx = gy / count, or gy where `divides` is false. Attributes: axes, divides."""

    name = "mean_grad"
    kernels = ("mean_grad_ref_s8",)

    def _reciprocal(self, graph: Graph, node: Node) -> tuple[int, int]:
        return reciprocal(reduction.count(node, graph[node.outputs[0]].shape) if node.attrs["divides"] else 1)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gx = graph[node.outputs[0]]
        axes = reduction.reduced(node, gx.shape)
        kept = np.asarray(inputs[0], np.int64).reshape([1 if i in axes else d for i, d in enumerate(gx.shape)])
        r, shift = self._reciprocal(graph, node)
        acc = np.broadcast_to(kept * r, gx.shape)
        return [support.put_error(graph, state, gx.name, acc, support.error_exponent(graph, state, node.inputs[0]) - shift)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, gx = graph[node.inputs[0]], graph[node.outputs[0]]
        r, shift = self._reciprocal(graph, node)
        return KernelCall(
            "mean_grad_ref_s8",
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                **fields.error_out("gx", gx.name),
                **reduction.shape_fields(node, gx.shape),
                "reciprocal": r,
                "reciprocal_shift": shift,
            },
        )

"""Mean over any axes: int8, up to four axes, own quantization of the result.

Operand: x. Results: y, clamp mask (optional). Attributes: axes (counted from the front), keep_dims.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Node, Shape
from kilograd.ops import fields, support
from kilograd.ops.base import ExponentOf, FieldValue, KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register
from kilograd.ops.fixed_point import quantize_multiplier, requantize

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


def averaged(node: Node, shape: Shape) -> tuple[int, ...]:
    """The averaged axes, checked."""
    axes = tuple(sorted({int(a) for a in node.attrs["axes"]}))
    if any(not 0 <= a < len(shape) for a in axes):
        raise GraphError(f"mean '{node.name}': axes {list(axes)} are not all axes of shape {list(shape)}")
    return axes


def mean_multiplier(x_scale: float, y_scale: float, count: int) -> tuple[int, int]:
    """(multiplier, shift) of x_scale / y_scale / count, with the rounding of TensorFlow Lite's QuantizedMeanOrSum."""
    multiplier, shift = quantize_multiplier(float(np.float64(x_scale) / np.float64(y_scale)))
    extra = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << extra) // count, shift - extra


def reciprocal(count: int) -> tuple[int, int]:
    """(r, s) with 1 / count ~ r * 2^-s, r in 2^14..2^15."""
    shift = 15 + (count.bit_length() - 1)
    return ((1 << shift) + count // 2) // count, shift


def shape_fields(node: Node, shape: Shape) -> dict[str, FieldValue]:
    """kg_mean_shape."""
    full = support.rank4(f"{node.op} '{node.name}'", shape)
    axes = {a + 4 - len(shape) for a in averaged(node, shape)}
    values: dict[str, FieldValue] = {f"shape.d{i}": full[i] for i in range(4)}
    return {**values, **{f"shape.over{i}": int(i in axes) for i in range(4)}}


@register
class Mean(Operator):
    """y = clamp(requantize(sum (x - zx)) + zy), 1 / count folded into the multiplier."""

    name = "mean"
    tflite = ("MEAN",)
    kernels = ("mean_ref_s8",)
    clamps = True
    whole_input = "it may average over rows"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x = graph[node.inputs[0]]
        dtype = support.activation_type(graph, node)
        support.rank4(f"mean '{node.name}'", x.shape)
        axes = averaged(node, x.shape)
        count = prod([x.shape[a] for a in axes])
        if count > 1 << 23:
            raise GraphError(f"mean '{node.name}': it averages {count} values, at most {1 << 23} fit an int32 sum")
        if node.attrs.get("keep_dims", False):
            shape = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
        else:
            shape = tuple(d for i, d in enumerate(x.shape) if i not in axes)
        return support.with_mask(node, TensorType(shape, dtype, graph[node.outputs[0]].quant))

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = np.asarray(inputs[0])
        return [x.mean(axis=averaged(node, x.shape), keepdims=bool(node.attrs.get("keep_dims", False)))]

    def can_clamp(self, graph: Graph, node: Node) -> bool:
        return not graph[node.inputs[0]].q.same_as(graph[node.outputs[0]].quant)

    def _multiplier(self, graph: Graph, node: Node) -> tuple[int, int]:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        return mean_multiplier(x.q.s, y.q.s, prod([x.shape[a] for a in averaged(node, x.shape)]))

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        total = (np.asarray(inputs[0], np.int64) - x.q.z).sum(axis=averaged(node, x.shape)).reshape(y.shape)
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
                **shape_fields(node, x.shape),
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
            builder.emit("mean_grad", [gy], [gx], {"axes": node.attrs["axes"]}, node)


@register
class MeanGrad(support.GradientOperator):
    """Error of the input: operand gy, gx = gy / count. Attribute: axes."""

    name = "mean_grad"
    kernels = ("mean_grad_ref_s8",)

    def _reciprocal(self, graph: Graph, node: Node) -> tuple[int, int]:
        shape = graph[node.outputs[0]].shape
        return reciprocal(prod([shape[a] for a in averaged(node, shape)]))

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gx = graph[node.outputs[0]]
        axes = averaged(node, gx.shape)
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
                **shape_fields(node, gx.shape),
                "reciprocal": r,
                "reciprocal_shift": shift,
            },
        )

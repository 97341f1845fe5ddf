"""Average pooling: int8 or int16, batch 1, NHWC; padded pixels do not count.

Operand: x. Results: y, clamp mask (optional). Attributes: see pooling.py, and rounding: 'half_away' (halves away from zero, as the
int8 kernel of TensorFlow Lite) or 'half_up' (as its uint8 kernel, for models that were unsigned).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import fields, pooling, support
from kilograd.ops.base import ExponentOf, KernelCall, Operand, Operator, Reference, RunState, Scratch, TensorType, prod, register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

ROUNDINGS = ("half_away", "half_up")
MAX_TAPS_INT16 = 65535  # their sum and half their number fit an int32


def reciprocal_shift(overlap: int) -> int:
    """Largest shift with which a sum of `overlap` products of an int8 with round(2^shift / count) fits an int32, at most 23."""
    shift = 23
    while shift > 1 and overlap * (128 << shift) > 2**31 - 1:
        shift -= 1
    return shift


@register
class AveragePool2D(Operator):
    """y = clamp(round(sum / count)), count without padded pixels."""

    name = "average_pool2d"
    tflite = ("AVERAGE_POOL_2D",)
    onnx = ("AveragePool", "GlobalAveragePool")
    types = ("int8", "int16")
    kernels = ("average_pool2d_ref_s8", "average_pool2d_ref_s16")
    clamps = True

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        if node.attrs.get("rounding", "half_away") not in ROUNDINGS:
            raise GraphError(f"average_pool2d '{node.name}': rounding '{node.attrs['rounding']}' is none of {', '.join(ROUNDINGS)}")
        if graph[node.inputs[0]].dtype is DType.INT16 and prod(node.attrs["filter"]) > MAX_TAPS_INT16:
            raise GraphError(f"average_pool2d '{node.name}': a window of more than {MAX_TAPS_INT16} int16 values; pool in two steps")
        y = TensorType(pooling.infer_shape(graph, node), graph[node.inputs[0]].dtype, graph[node.inputs[0]].quant)
        return support.with_mask(node, y)

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        pool = pooling.windows(node.attrs, graph[node.inputs[0]].shape, graph[node.outputs[0]].shape)
        x, y = np.asarray(inputs[0]), np.zeros(graph[node.outputs[0]].shape, np.asarray(inputs[0]).dtype)
        for oy, ox, rows, cols in pool:
            y[0, oy, ox] = x[0, rows, cols].mean(axis=(0, 1))
        return [support.apply_activation(node, y)]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "same"

    def can_clamp(self, graph: Graph, node: Node) -> bool:
        return pooling.narrows(graph, node)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, y = np.asarray(inputs[0], np.int64), graph[node.outputs[0]]
        value = np.zeros(y.shape, np.int64)
        for oy, ox, rows, cols in pooling.windows(node.attrs, x.shape, y.shape):
            window = x[0, rows, cols]
            total, count = window.sum(axis=(0, 1)), window.shape[0] * window.shape[1]
            if node.attrs.get("rounding", "half_away") == "half_up":
                value[0, oy, ox] = (total + count // 2) // count
            else:
                value[0, oy, ox] = np.sign(total) * ((np.abs(total) + count // 2) // count)
        return support.clamp_results(node, value, *fields.activation_range(graph, y.name, node.attrs["activation"]), y.dtype)

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        return KernelCall(
            pooling.kernel(graph, node),
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "mask": fields.operand(support.mask_name(node)),
                **pooling.shape_fields(node.attrs, x.shape, y.shape),
                "half_up": int(node.attrs.get("rounding", "half_away") == "half_up"),
                "y_min": lo,
                "y_max": hi,
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        if builder.wants(node.inputs[0]):
            support.need_int8_gradient(builder.graph, node)
            gy = builder.error_of(node)
            gx = builder.new_error(node.inputs[0], node)
            builder.emit("average_pool2d_grad", [gy], [gx], pooling.geometry(node), node)

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int]:
        return pooling.rows(graph, node, first, last)


@register
class AveragePool2DGrad(support.GradientOperator):
    """Error of the input: operand gy, result gx = sum over the windows that see a pixel of gy / count. Attributes: geometry."""

    name = "average_pool2d_grad"
    kernels = ("average_pool2d_grad_ref_s8",)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, gx = np.asarray(inputs[0], np.int64), graph[node.outputs[0]]
        shift = reciprocal_shift(pooling.overlap(node.attrs))
        acc = np.zeros(gx.shape, np.int64)
        for oy, ox, rows, cols in pooling.windows(node.attrs, gx.shape, gy.shape):
            count = (rows.stop - rows.start) * (cols.stop - cols.start)
            acc[0, rows, cols] += gy[0, oy, ox] * (((1 << shift) + count // 2) // count)
        return [support.put_error(graph, state, gx.name, acc, support.error_exponent(graph, state, node.inputs[0]) - shift)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, gx = graph[node.inputs[0]], graph[node.outputs[0]]
        return KernelCall(
            "average_pool2d_grad_ref_s8",
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                "scratch": Scratch(),
                **fields.error_out("gx", gx.name),
                **pooling.shape_fields(node.attrs, gx.shape, gy.shape),
                "shift": reciprocal_shift(pooling.overlap(node.attrs)),
            },
        )

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        return 4 * graph[node.outputs[0]].shape[3]

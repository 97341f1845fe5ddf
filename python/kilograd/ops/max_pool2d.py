"""Maximum pooling: int8 or int16, batch 1, NHWC.

Operand: x. Results: y, clamp mask (optional), winner (optional, uint8 like y: tap ky * filter_w + kx of the first maximum of the
window, row by row). Attributes: see pooling.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Array, DType, Graph, Node, Tensor
from kilograd.ops import fields, pooling, support
from kilograd.ops.base import ExponentOf, KernelCall, Operand, Operator, Reference, RunState, TensorType, register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

MAX_TAPS = 255


@register
class MaxPool2D(Operator):
    """y = clamp(max of the window)."""

    name = "max_pool2d"
    tflite = ("MAX_POOL_2D",)
    onnx = ("MaxPool", "GlobalMaxPool")
    types = ("int8", "int16")
    kernels = ("max_pool2d_ref_s8", "max_pool2d_ref_s16")
    clamps = True

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        y = TensorType(pooling.infer_shape(graph, node), graph[node.inputs[0]].dtype, graph[node.inputs[0]].quant)
        taps = node.attrs["filter"][0] * node.attrs["filter"][1]
        if winner_name(node) and taps > MAX_TAPS:
            raise GraphError(f"max_pool2d '{node.name}': a window of {taps} taps is too large for a backward pass (at most {MAX_TAPS})")
        return [y, TensorType(y.shape, DType.BITS), TensorType(y.shape, DType.UINT8)][: len(node.outputs)]

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        pool = pooling.windows(node.attrs, graph[node.inputs[0]].shape, graph[node.outputs[0]].shape)
        x, y = np.asarray(inputs[0]), np.zeros(graph[node.outputs[0]].shape, np.asarray(inputs[0]).dtype)
        for oy, ox, rows, cols in pool:
            y[0, oy, ox] = x[0, rows, cols].max(axis=(0, 1))
        return [support.apply_activation(node, y)]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "same"

    def can_clamp(self, graph: Graph, node: Node) -> bool:
        return pooling.narrows(graph, node)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, y = np.asarray(inputs[0], np.int64), graph[node.outputs[0]]
        value, winner = np.zeros(y.shape, np.int64), np.zeros(y.shape, np.uint8)
        (sh, sw), (pt, _, pl, _), kw = node.attrs["stride"], node.attrs["padding"], node.attrs["filter"][1]
        for oy, ox, rows, cols in pooling.windows(node.attrs, x.shape, y.shape):
            window = x[0, rows, cols]
            value[0, oy, ox] = window.max(axis=(0, 1))
            first = window.reshape(-1, x.shape[3]).argmax(axis=0)
            iy, ix = rows.start + first // window.shape[1], cols.start + first % window.shape[1]
            winner[0, oy, ox] = ((iy - (oy * sh - pt)) * kw + ix - (ox * sw - pl)) & 255
        results = support.clamp_results(node, value, *fields.activation_range(graph, y.name, node.attrs["activation"]), y.dtype)
        return [*results, winner][: len(node.outputs)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        return KernelCall(
            pooling.kernel(graph, node),
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "mask": fields.operand(support.mask_name(node)),
                "winner": fields.operand(winner_name(node)),
                **pooling.shape_fields(node.attrs, x.shape, y.shape),
                "y_min": lo,
                "y_max": hi,
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        x, y, graph = node.inputs[0], node.outputs[0], builder.graph
        if not builder.wants(x):
            return
        support.need_int8_gradient(graph, node)
        taps = node.attrs["filter"][0] * node.attrs["filter"][1]
        if taps > MAX_TAPS:
            raise NoBackwardRule(
                f"max_pool2d '{node.name}' has a window of {taps} taps, a backward pass takes at most {MAX_TAPS}. "
                "Let only layers after it learn, or pool in two steps."
            )
        gy = builder.error_of(node)
        if not winner_name(node):
            node.outputs += [""] * (2 - len(node.outputs))
            node.outputs.append(graph.add(Tensor(graph.fresh(f"{y}.winner"), graph[y].shape, DType.UINT8)).name)
        gx = builder.new_error(x, node)
        builder.emit("max_pool2d_grad", [gy, winner_name(node)], [gx], pooling.geometry(node), node)

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int]:
        return pooling.rows(graph, node, first, last)


def winner_name(node: Node) -> str:
    """Name of the third result, the empty string when there is none."""
    return node.outputs[2] if len(node.outputs) > 2 else ""


@register
class MaxPool2DGrad(support.GradientOperator):
    """Error of the input: operands gy, winner; gx = sum of gy over the windows that this pixel won. Attributes: geometry."""

    name = "max_pool2d_grad"
    kernels = ("max_pool2d_grad_ref_s8",)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, winner, gx = np.asarray(inputs[0], np.int64), np.asarray(inputs[1], np.int64), graph[node.outputs[0]]
        (kh, kw), (sh, sw), (pt, _, pl, _) = (node.attrs[k] for k in pooling.GEOMETRY)
        acc = np.zeros(gx.shape, np.int64)
        oy, ox, c = (np.asarray(i) for i in np.indices(gy.shape[1:]))
        iy, ix = oy * sh - pt + winner[0] // kw, ox * sw - pl + winner[0] % kw
        inside = (iy >= 0) & (iy < gx.shape[1]) & (ix >= 0) & (ix < gx.shape[2]) & (winner[0] < kh * kw)
        np.add.at(acc[0], (iy[inside], ix[inside], c[inside]), gy[0][inside])
        return [support.put_error(graph, state, gx.name, acc, support.error_exponent(graph, state, node.inputs[0]))]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, gx = graph[node.inputs[0]], graph[node.outputs[0]]
        return KernelCall(
            "max_pool2d_grad_ref_s8",
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                "winner": Operand(node.inputs[1]),
                **fields.error_out("gx", gx.name),
                **pooling.shape_fields(node.attrs, gx.shape, gy.shape),
            },
        )

"""Fully connected layer: int8 rows [n, in], weights [out, in], per-tensor or per-channel scales.

Operands: x of any shape (seen as rows of `in` features), weights, bias ('' for none), live weights ('' for none). When live weights are
present they hold input features [0, k), which learn, and `weights` holds the other in - k. Results: y, clamp mask ('' when no backward pass
needs it). Attributes: activation, keep_num_dims. The backward pass is that of a 1x1 convolution over n pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kilograd.errors import GraphError, SchemeError
from kilograd.ir.graph import Array, DType, Graph, Kind, Node
from kilograd.ops import fields
from kilograd.ops.base import KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register
from kilograd.ops.conv2d import whole_weights
from kilograd.ops.fixed_point import quantize_multipliers, requantize_once

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

#: geometry of the convolution whose gradients these are
POINTWISE: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}


@register
class FullyConnected(Operator):
    """y = clamp(requantize(sum (x - zx)(w - zw) + bias) + zy), rounded once as LiteRT's reference kernel does."""

    name = "fully_connected"
    tflite = ("FULLY_CONNECTED",)
    kernels = ("fully_connected_ref_s8",)
    clamps = True
    whole_input = "a result needs every feature of its row"

    @staticmethod
    def _features(graph: Graph, node: Node) -> int:
        live = fields.optional(node, 3)
        return graph[node.inputs[1]].shape[1] + (graph[live].shape[1] if live else 0)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, w = graph[node.inputs[0]], graph[node.inputs[1]]
        if len(w.shape) != 2 or prod(x.shape) % self._features(graph, node):
            raise GraphError(f"fully_connected '{node.name}': input {x.shape} and weights {w.shape} do not fit")
        features = self._features(graph, node)
        keep = node.attrs.get("keep_num_dims", False)
        if keep and x.shape[-1] != features:
            raise GraphError(f"fully_connected '{node.name}': last axis of input {x.shape} must have {features} features")
        shape = (*x.shape[:-1], w.shape[0]) if keep else (prod(x.shape) // features, w.shape[0])
        return [TensorType(shape, DType.INT8, graph[node.outputs[0]].quant), TensorType(shape, DType.BITS)][: len(node.outputs)]

    def _multipliers(self, graph: Graph, node: Node) -> npt.NDArray[np.float64]:
        """s_x s_w / s_y per output."""
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        return np.broadcast_to(np.float64(x.q.s) * w.q.scale.astype(np.float64) / np.float64(y.q.s), (w.shape[0],))

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        weights = whole_weights(inputs[1], inputs[3] if len(inputs) > 3 else None) - w.q.zero_point[0]  # type: ignore[arg-type]
        rows = inputs[0].reshape(-1, weights.shape[1]).astype(np.int64) - x.q.z  # type: ignore[union-attr]
        acc = rows @ weights.T
        if inputs[2] is not None:
            acc = acc + inputs[2].astype(np.int64)
        v = requantize_once(acc, *quantize_multipliers(self._multipliers(graph, node))) + y.q.z
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        q = np.clip(v, lo, hi)
        results = [q.astype(np.int8).reshape(y.shape), np.packbits((q == v).reshape(-1), bitorder="little")]
        return results[: len(node.outputs)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        live = fields.optional(node, 3)
        one_part = w.name if not live and w.kind is Kind.STATE else live
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        features = self._features(graph, node)
        return KernelCall(
            "fully_connected_ref_s8",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "w_frozen": None if one_part == w.name else Operand(w.name),
                "w_live": fields.operand(one_part),
                "bias": fields.operand(node.inputs[2]),
                **fields.requantization(self._multipliers(graph, node)),
                "mask": fields.operand(node.outputs[1] if len(node.outputs) > 1 else ""),
                "rows": prod(x.shape) // features,
                "in": features,
                "out": w.shape[0],
                "live": graph[one_part].shape[1] if one_part else 0,
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
            builder.emit("conv2d_grad_input", [gy, w.name, live], [gx], dict(POINTWISE), node)
        if learned:
            u = builder.update(learned)
            factor = builder.factor(x.q.s / w.q.scale.astype(np.float64), w.q.scale, w.shape[0])
            attrs = {**POINTWISE, "factor": factor, "rounding": u.rounding, "x_zero": x.q.z}
            inputs = [gy, self._saved(builder, node, learned), learned, u.fraction, u.pending, fields.TRAIN]
            builder.emit("conv2d_grad_weights", inputs, [], attrs, node, u.mutates)
        builder.bias_gradient(gy, node.inputs[2], x.q.s * w.q.scale.astype(np.float64), w.q.scale, node)

    def _saved(self, builder: GradientBuilder, node: Node, learned: str) -> str:
        """What of x the backward pass reads: the live features, where they are a slice of the last axis or the start of the only row."""
        graph, x = builder.graph, builder.graph[node.inputs[0]]
        k, features = graph[learned].shape[1], self._features(graph, node)
        if x.shape[-1] == features and k < features:
            return builder.saved(x.name, node, k)
        if k < features and prod(x.shape) != features:
            raise SchemeError(
                f"fully_connected '{node.name}' sees {list(x.shape)} as rows of {features} features; a part of its input features cannot "
                "learn in that form. Let the whole weight learn, or none of it."
            )
        return builder.saved(x.name, node)

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape) * self._features(graph, node)

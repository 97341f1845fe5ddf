"""Fully connected layer: int8 or int16 rows [n, in], int8 weights [out, in], per-tensor or per-channel scales.

Operands: x of any shape (seen as rows of `in` features), weights, bias ('' for none), live weights ('' for none). When live weights are
present they hold input features [0, k), which learn, and `weights` holds the other in - k (see linear.py). Results: y, clamp mask ('' when
no backward pass needs it). Attributes: activation, keep_num_dims. The backward pass is that of a 1x1 convolution over n pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.errors import GraphError, SchemeError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import fields, support
from kilograd.ops.base import KernelCall, Reference, RunState, TensorType, prod, register
from kilograd.ops.linear import ONCE, WIDE_ONCE, Linear, layer_parts, whole_real
from kilograd.ops.windows import conv_fields

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

#: geometry of the convolution whose gradients these are
POINTWISE: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}


@register
class FullyConnected(Linear):
    """y = clamp(requantize(sum (x - zx)(w - zw) + bias) + zy), rounded once as LiteRT's reference kernel does."""

    name = "fully_connected"
    tflite = ("FULLY_CONNECTED",)
    onnx = ("Gemm", "MatMul", "QLinearMatMul")
    kernels = ("fully_connected_ref_s8", "conv2d_ref_s16")
    whole_input = "a result needs every feature of its row"
    gradient = "conv2d"
    rounding = ONCE
    wide_rounding = WIDE_ONCE

    @staticmethod
    def _features(graph: Graph, node: Node) -> int:
        live = fields.optional(node, 3)
        return graph[node.inputs[1]].shape[-1] + (graph[live].shape[-1] if live else 0)

    def fan_in(self, graph: Graph, node: Node) -> int:
        return self._features(graph, node)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, w, features = graph[node.inputs[0]], graph[node.inputs[1]], self._features(graph, node)
        if len(w.shape) != 2 or prod(x.shape) % features:
            raise GraphError(f"fully_connected '{node.name}': input {x.shape} and weights {w.shape} do not fit")
        keep = node.attrs.get("keep_num_dims", False)
        if keep and x.shape[-1] != features:
            raise GraphError(f"fully_connected '{node.name}': last axis of input {x.shape} must have {features} features")
        shape = (*x.shape[:-1], w.shape[0]) if keep else (prod(x.shape) // features, w.shape[0])
        return self.result_type(graph, node, shape)

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x, w = np.asarray(inputs[0]), whole_real(inputs)
        y = x.reshape(-1, w.shape[1]) @ w.T
        return [support.apply_activation(node, y.reshape(graph[node.outputs[0]].shape) + (0 if inputs[2] is None else inputs[2]))]

    def geometry(self, node: Node) -> dict[str, Any]:
        return dict(POINTWISE)

    def saved(self, builder: GradientBuilder, node: Node, live: int) -> str:
        """The live features, where they are a slice of the last axis or the start of the only row."""
        x, features = builder.graph[node.inputs[0]], self._features(builder.graph, node)
        if x.shape[-1] == features and live < features:
            return builder.saved(x.name, node, live)
        if live < features and prod(x.shape) != features:
            raise SchemeError(
                f"fully_connected '{node.name}' sees {list(x.shape)} as rows of {features} features; a part of its input features cannot "
                "learn in that form. Let the whole weight learn, or none of it."
            )
        return builder.saved(x.name, node)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, w = self.operands(graph, node, inputs)
        return self.results(graph, node, x.reshape(-1, w.shape[1]) @ w.T, inputs[2])

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        features, live = self._features(graph, node), layer_parts(graph, node).live_count(graph)
        rows, out = prod(graph[node.inputs[0]].shape) // features, graph[node.inputs[1]].shape[0]
        if graph[node.inputs[0]].dtype is DType.INT16:
            return self.wide_call(graph, node, conv_fields((1, rows, 1, features), (1, rows, 1, out), (out, 1, 1, features), POINTWISE))
        return self.call(graph, node, {"rows": rows, "in": features, "out": out, "live": live})

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape) * self._features(graph, node)

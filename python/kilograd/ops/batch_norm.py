"""Batch normalization of a float model, with the statistics of training: y = (x - mean) / sqrt(variance + epsilon) * gamma + beta.

Operands: x [.., channels], gamma, beta, mean, variance (constants [channels]). Attribute: epsilon (default 1e-5).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import support
from kilograd.ops.base import TensorType, register


@register
class BatchNorm(support.FloatOnlyOperator):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta."""

    name = "batch_norm"
    onnx = ("BatchNormalization",)
    float_only = "the quantizer folds it into the layer before it"
    no_gradient = "it exists in float models only, and the quantizer folds it into the layer before it"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, *parameters = (graph[t] for t in node.inputs)
        self.need_float(graph, node)
        if not x.shape or len(parameters) != 4 or any(p.shape != x.shape[-1:] or p.dtype is not DType.FLOAT32 for p in parameters):
            found = ", ".join(f"{p.dtype.value}{list(p.shape)}" for p in parameters)
            raise GraphError(f"batch_norm '{node.name}': input {list(x.shape)} needs four float32 operands of its channels, not {found}")
        if not node.attrs.get("epsilon", 1e-5) >= 0:
            raise GraphError(f"batch_norm '{node.name}': epsilon {node.attrs['epsilon']} is negative")
        return [TensorType(x.shape, DType.FLOAT32)]

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x, gamma, beta, mean, variance = (np.asarray(v) for v in inputs)
        factor = gamma / np.sqrt(variance + x.dtype.type(node.attrs.get("epsilon", 1e-5)))
        return [(x - mean) * factor + beta]

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        return first, last

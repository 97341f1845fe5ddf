"""Error behind a clamp: operands gy, clamp mask; the result is gy where the mask is 1, else 0. It shares the exponent of gy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import support
from kilograd.ops.base import KernelCall, Operand, Reference, RunState, TensorType, register


@register
class ClampGrad(support.GradientOperator):
    """gx = mask ? gy : 0."""

    name = "clamp_grad"
    kernels = ("clamp_grad_ref_s8",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        gy, mask = graph[node.inputs[0]], graph[node.inputs[1]]
        support.need_int8(graph, node, gy.name)
        if mask.dtype is not DType.BITS or mask.size != gy.size:
            raise GraphError(f"clamp_grad '{node.name}': mask '{mask.name}' must hold one bit for each element of {list(gy.shape)}")
        return [TensorType(gy.shape, DType.INT8)]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy = np.asarray(inputs[0])
        bits = np.unpackbits(np.asarray(inputs[1], np.uint8), count=gy.size, bitorder="little").reshape(gy.shape)
        return [np.where(bits == 1, gy, 0).astype(np.int8)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, mask = node.inputs
        operands = {"gy": Operand(gy), "mask": Operand(mask), "gx": Operand(node.outputs[0])}
        return KernelCall("clamp_grad_ref_s8", {**operands, "count": graph[gy].size})

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

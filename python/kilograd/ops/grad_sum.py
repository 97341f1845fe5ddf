"""Sum of two error tensors with their own exponents into one with its own (a tensor that several layers read).

Operands: a, b. The sum is taken in units of 2^(E - 20), E the larger exponent: exact while the exponents differ by at most 20; beyond
that the smaller operand is rounded half up. Then it is rounded stochastically like every error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import fields, support
from kilograd.ops.base import ExponentOf, KernelCall, Operand, Reference, RunState, TensorType, register
from kilograd.ops.fixed_point import scale_pow2

HEADROOM = 20


@register
class GradSum(support.GradientOperator):
    """sum = a + b."""

    name = "grad_sum"
    kernels = ("grad_sum_ref_s8",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        a, b = (graph[t] for t in node.inputs)
        support.need_int8(graph, node, a.name, b.name)
        if a.shape != b.shape:
            raise GraphError(f"grad_sum '{node.name}': {list(a.shape)} and {list(b.shape)} differ")
        if graph[node.outputs[0]].exponent in (a.exponent, b.exponent):
            raise GraphError(f"grad_sum '{node.name}': the sum needs an exponent of its own")
        return [TensorType(a.shape, DType.INT8)]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        exponents = [support.error_exponent(graph, state, t) for t in node.inputs]
        unit = max(exponents) - HEADROOM
        total = np.zeros(graph[node.outputs[0]].shape, np.int64)
        for x, e in zip(inputs, exponents, strict=True):
            scaled = np.array([scale_pow2(q, e - unit) for q in range(-128, 128)], np.int64)
            total += scaled[np.asarray(x, np.int64) + 128]
        return [support.put_error(graph, state, node.outputs[0], total, unit)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        a, b = node.inputs
        return KernelCall(
            "grad_sum_ref_s8",
            {
                "a": Operand(a),
                "a_exponent": ExponentOf(a),
                "b": Operand(b),
                "b_exponent": ExponentOf(b),
                **fields.error_out("sum", node.outputs[0]),
                "count": graph[a].size,
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0), (0, 1)]

"""Element-wise larger of two tensors: int8 or int16, all of one quantization; either operand may be repeated along axes.

Operands: x1, x2. Results: y, bits where x1 is the result, bits where x2 is (both '' when no backward pass needs them; x1 wins a tie). The
error of the result goes to the winner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node, Tensor
from kilograd.ops import broadcast, fields, support
from kilograd.ops.base import KernelCall, Operand, Reference, RunState, TensorType, register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


class Selection(broadcast.PairOperator):
    """One of two elements, by comparison."""

    kernels = ("maximum_ref_s8", "maximum_ref_s16")
    smaller: ClassVar[bool]

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        a, b, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        dtype = support.need_activations(graph, node, a.name, b.name)
        if not (support.same_quant(a, b) and support.same_quant(a, y)):
            raise GraphError(f"{node.op} '{node.name}': operands and result need the same quantization (it does not rescale)")
        shape = broadcast.result_shape(graph, node)
        wins = [TensorType(shape, DType.BITS)] * 2
        return [TensorType(shape, dtype, a.quant), *wins][: len(node.outputs)]

    def function(self, a: Array, b: Array) -> Array:
        return np.asarray(np.minimum(a, b) if self.smaller else np.maximum(a, b))

    def quantize(self, graph: Graph, node: Node) -> str:
        return "same"

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        a, b = np.broadcast_arrays(*(np.asarray(v) for v in inputs))
        first = a <= b if self.smaller else a >= b
        y = np.where(first, a, b).reshape(graph[node.outputs[0]].shape)
        wins = [np.packbits(w.reshape(-1), bitorder="little") for w in (first, ~first)]
        return [y, *wins][: len(node.outputs)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        a, b, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        wins = [*node.outputs[1:], "", ""]
        return KernelCall(
            self.kernels[y.dtype is DType.INT16],
            {
                "x1": Operand(a.name),
                "x2": Operand(b.name),
                "y": Operand(y.name),
                "x1_wins": fields.operand(wins[0]),
                "x2_wins": fields.operand(wins[1]),
                **broadcast.broadcast_fields(node, y.shape, a.shape, b.shape),
                "minimum": int(self.smaller),
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        support.need_int8_gradient(builder.graph, node)
        graph, y, gy = builder.graph, node.outputs[0], builder.error_of(node)
        node.outputs += [""] * (3 - len(node.outputs))
        for i, x in enumerate(node.inputs[:2], 1):
            if not builder.wants(x):
                continue
            if not node.outputs[i]:
                node.outputs[i] = graph.add(Tensor(graph.fresh(f"{y}.wins{i}"), graph[y].shape, DType.BITS)).name
            won = broadcast.inner_error(builder, y)
            graph.set(won, exponent=graph[gy].exponent)
            builder.emit("clamp_grad", [gy, node.outputs[i]], [won], {}, node)
            broadcast.pass_on(builder, node, x, won)


@register
class Maximum(Selection):
    """y = max(x1, x2)."""

    name = "maximum"
    tflite = ("MAXIMUM",)
    onnx = ("Max",)
    smaller = False

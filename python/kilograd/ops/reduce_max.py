"""Largest value over any axes: int8 or int16, up to four axes; the result has the quantization of the input.

Operand: x. Results: y, winner bits shaped as x ('' when no backward pass needs them; the first of equals wins). Attributes: axes (counted
from the front), keep_dims. The error of the result goes to the winner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node, Tensor
from kilograd.ops import fields, reduction, support
from kilograd.ops.base import KernelCall, Operand, Reference, RunState, TensorType, prod, register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


class Extreme(reduction.Reduction):
    """The best of each group."""

    types = ("int8", "int16")
    kernels = ("reduce_max_ref_s8", "reduce_max_ref_s16")
    smallest: ClassVar[bool]

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, (shape, dtype) = graph[node.inputs[0]], self.result(graph, node)
        if not support.same_quant(x, graph[node.outputs[0]]):
            raise GraphError(f"{node.op} '{node.name}': input and result need the same quantization (it does not rescale)")
        return [TensorType(shape, dtype, x.quant), TensorType(x.shape, DType.BITS)][: len(node.outputs)]

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = np.asarray(inputs[0])
        best = np.min if self.smallest else np.max
        return [np.asarray(best(x, axis=reduction.reduced(node, x.shape), keepdims=bool(node.attrs.get("keep_dims", False))))]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "same"

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, axes = np.asarray(inputs[0]), reduction.reduced(node, graph[node.inputs[0]].shape)
        order = [*(a for a in range(x.ndim) if a not in axes), *axes]
        groups = np.transpose(x, order).reshape(-1, prod([x.shape[a] for a in axes]))
        first = groups.argmin(axis=1) if self.smallest else groups.argmax(axis=1)
        y = groups[np.arange(len(groups)), first].reshape(graph[node.outputs[0]].shape)
        won = np.zeros(groups.shape, np.uint8)
        won[np.arange(len(groups)), first] = 1
        won = np.transpose(won.reshape([x.shape[a] for a in order]), np.argsort(order))
        return [y, np.packbits(won.reshape(-1), bitorder="little")][: len(node.outputs)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        return KernelCall(
            self.kernels[x.dtype is DType.INT16],
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "winner": fields.operand(support.mask_name(node)),
                **reduction.shape_fields(node, x.shape),
                "minimum": int(self.smallest),
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        x, graph = node.inputs[0], builder.graph
        support.need_int8_gradient(builder.graph, node)
        if not builder.wants(x):
            return
        gy = builder.error_of(node)
        if not support.mask_name(node):
            winner = graph.add(Tensor(graph.fresh(f"{node.outputs[0]}.winner"), graph[x].shape, DType.BITS))
            node.outputs = [node.outputs[0], winner.name]
        spread = builder.inner_error(f"{x}.spread", graph[x].shape)
        builder.emit("mean_grad", [gy], [spread], {"axes": node.attrs["axes"], "divides": False}, node)
        builder.emit("clamp_grad", [spread, node.outputs[1]], [support.copied_error(builder, x, spread, node)], {}, node)


@register
class ReduceMax(Extreme):
    """y = max of x over axes."""

    name = "reduce_max"
    tflite = ("REDUCE_MAX",)
    onnx = ("ReduceMax",)
    smallest = False

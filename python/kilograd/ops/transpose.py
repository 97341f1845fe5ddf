"""Permutation of axes: int8, up to four axes. Operand: x. Attribute: permutation (axis i of the result is axis permutation[i] of x)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Node
from kilograd.ops import support
from kilograd.ops.base import KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


@register
class Transpose(Operator):
    """y[i0, i1, ..] = x[..], axes permuted. Also its own backward pass, with the inverse permutation (the exponent is shared)."""

    name = "transpose"
    tflite = ("TRANSPOSE",)
    kernels = ("transpose_ref_s8",)
    whole_input = "rows of the result are not rows of the input"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, y, order = graph[node.inputs[0]], graph[node.outputs[0]], tuple(node.attrs["permutation"])
        dtype = support.activation_type(graph, node)
        support.rank4(f"transpose '{node.name}'", x.shape)
        if sorted(order) != list(range(len(x.shape))):
            raise GraphError(f"transpose '{node.name}': {list(order)} is no permutation of the axes of {list(x.shape)}")
        if x.quant is not None and not x.quant.same_as(y.quant):
            raise GraphError(f"transpose '{node.name}': input and result need the same quantization")
        return [TensorType(tuple(x.shape[a] for a in order), dtype, x.quant)]

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.transpose(np.asarray(inputs[0]), node.attrs["permutation"])]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "same"

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        return [np.ascontiguousarray(np.transpose(np.asarray(inputs[0]), node.attrs["permutation"]))]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        strides = [prod(x.shape[a + 1 :]) for a in node.attrs["permutation"]]
        dims, strides = support.rank4(node.op, y.shape), [0] * (4 - len(strides)) + strides
        sizes = {f"d{i}": d for i, d in enumerate(dims)} | {f"s{i}": s for i, s in enumerate(strides)}
        return KernelCall("transpose_ref_s8", {"x": Operand(x.name), "y": Operand(y.name), **sizes})

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        if builder.wants(node.inputs[0]):
            gy = builder.error_of(node)
            gx = support.copied_error(builder, node.inputs[0], gy, node)
            inverse = tuple(int(i) for i in np.argsort(node.attrs["permutation"]))
            builder.emit("transpose", [gy], [gx], {"permutation": inverse}, node)

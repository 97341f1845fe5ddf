"""What element-wise operators on two operands share: shapes, clamp, argument struct, and the error of operands that are repeated.

The node broadcast_grad (operand: an error; attribute: negative) sums the errors of all copies of a repeated operand.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node, Shape
from kilograd.ops import fields, support
from kilograd.ops.base import ExponentOf, FieldValue, KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

AXES = 4


def _merge(shapes: Sequence[Shape]) -> list[tuple[int, ...]]:
    """Sizes per axis of shapes of one rank, result first; axes side by side are merged where each operand repeats both or walks both."""
    merged: list[tuple[int, ...]] = []
    for sizes in zip(*shapes, strict=True):
        if sizes[0] == 1:
            continue
        if merged and all((m == 1) == (s == 1) for m, s in zip(merged[-1], sizes, strict=True)):
            merged[-1] = tuple(m * s for m, s in zip(merged[-1], sizes, strict=True))
        else:
            merged.append(sizes)
    return merged


def broadcast_fields(node: Node, result: Shape, a: Shape, b: Shape, prefix: str = "shape") -> dict[str, FieldValue]:
    """kg_broadcast: at most four axes after merging."""
    rank = len(result)
    shapes = [result, (1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b)]
    axes = _merge(shapes)
    if len(axes) > AXES:
        raise GraphError(f"{node.op} '{node.name}': {a} and {b} repeat along too many axes; at most {AXES} groups of axes are supported")
    axes = [(1, 1, 1)] * (AXES - len(axes)) + axes
    words: dict[str, FieldValue] = {f"{prefix}.size_{i}": axis[0] for i, axis in enumerate(axes)}
    for operand, side in ((1, "a"), (2, "b")):
        for i in range(AXES):
            walked = axes[i][operand] > 1
            words[f"{prefix}.{side}_{i}"] = prod([axis[operand] for axis in axes[i + 1 :]]) if walked else 0
    return words


def rows(graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
    """Row by row where the first operand is not repeated."""
    return (first, last) if graph[node.inputs[0]].shape == graph[node.outputs[0]].shape else None


def is_whole(graph: Graph, node: Node, tensor: str) -> bool:
    """True when an operand is not repeated."""
    return graph[tensor].size == graph[node.outputs[0]].size


def pass_on(builder: GradientBuilder, node: Node, tensor: str, error: str, negative: bool = False) -> None:
    """`error`, shaped as the result, is what all copies of operand `tensor` get (its negative): their sum is a part of its error."""
    if is_whole(builder.graph, node, tensor) and not negative:
        builder.share_error(tensor, error, node)
    else:
        builder.emit("broadcast_grad", [error], [builder.new_error(tensor, node)], {"negative": negative}, node)


def inner_error(builder: GradientBuilder, like: str) -> str:
    """An error shaped as tensor `like` that passes only between nodes of one layer's backward pass."""
    return builder.inner_error(f"{like}.inner", builder.graph[like].shape)


def emit_gradient(builder: GradientBuilder, node: Node, tensor: str, op: str, inputs: list[str], attrs: dict[str, Any]) -> None:
    """Append a gradient node `op` that walks the whole result; operand `tensor` gets its error, summed where it is repeated."""
    if is_whole(builder.graph, node, tensor):
        builder.emit(op, inputs, [builder.new_error(tensor, node)], attrs, node)
    else:
        error = inner_error(builder, node.outputs[0])
        builder.emit(op, inputs, [error], attrs, node)
        pass_on(builder, node, tensor, error)


def result_shape(graph: Graph, node: Node) -> Shape:
    """Shape of an element-wise result of two operands."""
    a, b = (graph[t].shape for t in node.inputs[:2])
    try:
        return tuple(np.broadcast_shapes(a, b))
    except ValueError:
        raise GraphError(f"{node.op} '{node.name}': shapes {a} and {b} do not fit") from None


class PairOperator(Operator):
    """An element-wise operator on two tensors; either may be repeated along axes."""

    whole_input = "its first operand is repeated"
    types: ClassVar[tuple[str, ...]] = ("int8", "int16")

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        a, b = (np.asarray(v) for v in inputs[:2])
        return [support.apply_activation(node, np.asarray(self.function(a, b)))]

    @abstractmethod
    def function(self, a: Array, b: Array) -> Array:
        """What it computes over real numbers."""

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        size = graph[node.outputs[0]].size
        return [(0, i) for i in (0, 1) if graph[node.inputs[i]].size == size]

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        return rows(graph, node, first, last)


class BinaryOperator(PairOperator):
    """One whose result has a quantization of its own and a fused clamp. Results: y, clamp mask (optional). Attribute: activation."""

    clamps = True

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        names = (*node.inputs[:2], node.outputs[0])
        dtype = support.need_activations(graph, node, *names[:2])
        if dtype is DType.INT16 and any(graph[t].quant is not None and graph[t].q.z != 0 for t in names):
            raise GraphError(f"{node.op} '{node.name}': int16 tensors must have zero points of 0")
        return support.with_mask(node, TensorType(result_shape(graph, node), dtype, graph[node.outputs[0]].quant))

    def centred(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, Array]:
        """Both operands without their zero points, int64."""
        a, b = (np.asarray(v, np.int64) - graph[t].q.z for t, v in zip(node.inputs, inputs, strict=True))
        return a, b

    def limits(self, graph: Graph, node: Node) -> tuple[int, int]:
        """Range of the fused clamp."""
        return fields.activation_range(graph, node.outputs[0], node.attrs.get("activation", "none"))

    def results(self, graph: Graph, node: Node, value: Array) -> Reference:
        """Result and clamp mask from values in the integers of the result without its zero point."""
        y = graph[node.outputs[0]]
        full = value.reshape(y.shape) + y.q.z
        if y.dtype is DType.INT16:
            return [np.clip(full, *self.limits(graph, node)).astype(np.int16)]
        return support.clamp_results(node, full, *self.limits(graph, node))

    def call(self, graph: Graph, node: Node, scaling: dict[str, FieldValue]) -> KernelCall:
        """The kernel call; `scaling` is what follows kg_binary."""
        a, b, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        lo, hi = self.limits(graph, node)
        return KernelCall(
            self.kernels[y.dtype is DType.INT16],
            {
                "of.x1": Operand(a.name),
                "of.x2": Operand(b.name),
                "of.y": Operand(y.name),
                "of.mask": fields.operand(support.mask_name(node)),
                **broadcast_fields(node, y.shape, a.shape, b.shape, "of.shape"),
                "of.x1_zero": a.q.z,
                "of.x2_zero": b.q.z,
                "of.y_zero": y.q.z,
                "of.y_min": lo,
                "of.y_max": hi,
                **scaling,
            },
        )


@register
class BroadcastGrad(support.GradientOperator):
    """Error of a repeated operand: operand gy; gx = sum of gy over what repeats it, or its negative. Attribute: negative."""

    name = "broadcast_grad"
    kernels = ("broadcast_grad_ref_s8",)

    @staticmethod
    def _groups(graph: Graph, node: Node) -> list[tuple[int, ...]]:
        """(size of gy, size of gx) of merged axes, at most four."""
        gy, gx = graph[node.inputs[0]].shape, graph[node.outputs[0]].shape
        axes = _merge([gy, (1,) * (len(gy) - len(gx)) + gx[-len(gy) :] if gy else ()])
        if len(axes) > AXES:
            raise GraphError(f"{node.op} '{node.name}': {gx} repeats along too many axes of {gy}; at most {AXES} groups are supported")
        return [(1, 1)] * (AXES - len(axes)) + axes

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        groups = self._groups(graph, node)
        gy = np.asarray(inputs[0], np.int64).reshape([g[0] for g in groups])
        total = gy.sum(axis=tuple(i for i, g in enumerate(groups) if g[0] != g[1])) * (-1 if node.attrs["negative"] else 1)
        return [support.put_error(graph, state, node.outputs[0], total, support.error_exponent(graph, state, node.inputs[0]))]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, gx, groups = node.inputs[0], node.outputs[0], self._groups(graph, node)
        return KernelCall(
            "broadcast_grad_ref_s8",
            {
                "gy": Operand(gy),
                "gy_exponent": ExponentOf(gy),
                **fields.error_out("gx", gx),
                **{f"shape.d{i}": g[0] for i, g in enumerate(groups)},
                **{f"shape.over{i}": int(g[0] != g[1]) for i, g in enumerate(groups)},
                "sign": -1 if node.attrs["negative"] else 1,
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)] if graph[node.inputs[0]].size == graph[node.outputs[0]].size else []

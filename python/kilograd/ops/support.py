"""Small pieces that many operators share: error tensors in NumPy, clamp masks, shapes of rank four, base classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Array, DType, Graph, Node, Shape, Tensor
from kilograd.ops import fields
from kilograd.ops.base import KernelCall, Operator, Reference, RunState, TensorType
from kilograd.ops.fixed_point import exponent_view, key, write_error

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


#: real ranges of fused activations
ACTIVATION_RANGES: dict[str, tuple[float | None, float | None]] = {
    "none": (None, None),
    "relu": (0.0, None),
    "relu6": (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
}


def exponent_state(graph: Graph, state: RunState, error: str) -> Array:
    """The kg_exponent of an error tensor, int32 [2]."""
    name = graph[error].exponent
    if name is None:
        raise GraphError(f"tensor '{error}' is used as an error tensor but has no exponent")
    return state.tensors[name]


def error_exponent(graph: Graph, state: RunState, error: str) -> int:
    """Exponent e of what the error tensor holds now."""
    return int(exponent_view(exponent_state(graph, state, error))["e"][0])


def put_error(graph: Graph, state: RunState, error: str, acc: Array, acc_exponent: int) -> Array:
    """Quantize accumulators (value acc * 2^acc_exponent) into the error tensor `error`; int8 of its shape."""
    q = write_error(acc, acc_exponent, exponent_state(graph, state, error), state.tensors[fields.TRAIN], key(error))
    return q.reshape(graph[error].shape)


def clamp_results(node: Node, value: Array, lo: int, hi: int, dtype: DType = DType.INT8) -> Reference:
    """Result and, where the node has a second result, its clamp mask: 1 where `value` lies in lo..hi."""
    q = np.clip(value, lo, hi)
    results: Reference = [q.astype(dtype.numpy)]
    if len(node.outputs) > 1:
        results.append(np.packbits((q == value).reshape(-1), bitorder="little"))
    return results


def with_mask(node: Node, y: TensorType) -> list[TensorType]:
    """Types of a result and its optional mask."""
    return [y, TensorType(y.shape, DType.BITS)][: len(node.outputs)]


def mask_name(node: Node) -> str:
    """Name of the clamp mask, the empty string when there is none."""
    return node.outputs[1] if len(node.outputs) > 1 else ""


def rank4(where: str, shape: Shape) -> Shape:
    """The shape with leading ones added up to four axes."""
    if len(shape) > 4:
        raise GraphError(f"{where}: {len(shape)} axes {list(shape)}, kernels take at most 4. Reshape the tensor to fewer axes first.")
    return (1,) * (4 - len(shape)) + shape


def activation_type(graph: Graph, node: Node) -> DType:
    """Element type of a node's activations, that of its first operand; GraphError when the operator has no such form."""
    from kilograd.ops.base import operator  # here: base is complete only after this module

    x = graph[node.inputs[0]]
    op = operator(node.op)
    if x.dtype is not DType.FLOAT32 and x.dtype.value not in op.types:
        raise GraphError(f"{node.op} '{node.name}': operand '{x.name}' must be {' or '.join(op.types)}, it is {x.dtype.value}")
    return x.dtype


def need_activations(graph: Graph, node: Node, *names: str) -> DType:
    """Element type of a node's activations, which all `names` must have."""
    dtype = activation_type(graph, node)
    for name in names:
        if graph[name].dtype is not dtype:
            raise GraphError(f"{node.op} '{node.name}': operand '{name}' must be {dtype.value}, it is {graph[name].dtype.value}")
    return dtype


def same_quant(x: Tensor, y: Tensor) -> bool:
    """True when two tensors mean the same numbers by the same integers (or are both real numbers)."""
    return x.quant.same_as(y.quant) if x.quant is not None else y.quant is None


def apply_activation(node: Node, value: Array) -> Array:
    """A fused activation over real numbers."""
    lo, hi = ACTIVATION_RANGES[node.attrs.get("activation", "none")]
    return value if lo is None and hi is None else np.clip(value, lo, hi)


def need_int8(graph: Graph, node: Node, *names: str) -> None:
    """Raise unless the tensors are int8."""
    for name in names:
        if graph[name].dtype is not DType.INT8:
            raise GraphError(f"{node.op} '{node.name}': operand '{name}' must be int8, it is {graph[name].dtype.value}")


def need_int8_gradient(graph: Graph, node: Node) -> None:
    """Raise NoBackwardRule for a node whose activations are not int8: errors are int8, and only int8 layers have gradient kernels."""
    x = graph[node.inputs[0]]
    if x.dtype is not DType.INT8:
        raise NoBackwardRule(
            f"no gradient can pass through operator '{node.op}' (layer '{node.name}'): its activations are {x.dtype.value}, and learning "
            "needs int8 activations. Quantize that layer to int8, let only layers after it learn, or freeze it."
        )


def copied_error(builder: GradientBuilder, tensor: str, error: str, node: Node) -> str:
    """A contribution to the error of `tensor` that is a plain copy out of `error`: it shares the exponent of `error`."""
    name = builder.new_error(tensor, node)
    builder.graph.set(name, exponent=builder.graph[error].exponent)
    return name


class GradientOperator(Operator):
    """Node of a backward pass with one int8 error as result, whose shape is declared by whoever emits it."""

    internal = True
    no_gradient = "it is itself part of a backward pass"
    whole_input = "it runs on whole tensors"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        need_int8(graph, node, node.inputs[0])
        return [TensorType(graph[node.outputs[0]].shape, DType.INT8)]


class FloatOnlyOperator(Operator):
    """An operator of float models that quantization removes: it has neither kernel nor integer reference (`float_only` says why)."""

    types = ()

    def need_float(self, graph: Graph, node: Node) -> None:
        """Raise unless the first operand is float32."""
        x = graph[node.inputs[0]]
        if x.dtype is not DType.FLOAT32:
            raise GraphError(f"{node.op} '{node.name}' works on float32 only, its operand '{x.name}' is {x.dtype.value}: {self.float_only}")

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        return self.real(graph, node, inputs)

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        raise GraphError(f"{node.op} '{node.name}' has no kernel: {self.float_only}. Quantize the model first.")


class ElementwiseOperator(Operator):
    """One result element per input element: output rows need the same input rows."""

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        return first, last

"""Moves of elements, the mechanism of all operators that leave values as they are, and the nodes of their backward passes.

A move copies a box: its sizes, and for operand and result an offset and the distance between neighbours along each axis, in elements. What
an operator does is a few moves; its gradient is the same moves the other way round, and where an element was read more than once, a sum.

strided_copy: operand gy; attribute moves (of one operand to one result); what no move writes is 0. The exponent is shared.
strided_sum: operand gy; attributes sizes, strides, many, steps: gx[i] = sum over j of gy[i . strides + j . steps].
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Array, DType, Graph, Node, Shape
from kilograd.ops import fields, support
from kilograd.ops.base import (
    Blob,
    ExponentOf,
    FieldValue,
    KernelCall,
    Operand,
    Operator,
    Reference,
    RunState,
    TensorType,
    prod,
    register,
)  # fmt: skip

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

AXES = 6
MAX_MOVES = 128  # of one node
MAX_SUMS = 16  # contributions to one error


@dataclass(frozen=True)
class Move:
    """A box of `sizes` from operand `operand` to the result: offsets and distances in elements."""

    sizes: tuple[int, ...]
    x: tuple[int, ...]
    y: tuple[int, ...]
    x_offset: int = 0
    y_offset: int = 0
    operand: int = 0

    def turned(self) -> Move:
        """The same elements, from the result back to the operand."""
        return replace(self, x=self.y, y=self.x, x_offset=self.y_offset, y_offset=self.x_offset)

    def merged(self) -> Move:
        """The same move with axes of size 1 dropped and axes that are one run in both tensors joined."""
        axes: list[list[int]] = []
        for n, x, y in sorted((a for a in zip(self.sizes, self.x, self.y, strict=True) if a[0] > 1), key=lambda a: -abs(a[2])):
            if axes and axes[-1][1] == x * n and axes[-1][2] == y * n:
                axes[-1] = [axes[-1][0] * n, x, y]
            else:
                axes.append([n, x, y])
        sizes, xs, ys = zip(*axes, strict=True) if axes else ((), (), ())
        return replace(self, sizes=tuple(sizes), x=tuple(xs), y=tuple(ys))

    def stays(self) -> bool:
        """True when each element keeps its place."""
        merged = self.merged()
        return merged.x_offset == merged.y_offset == 0 and merged.x == merged.y and merged.x in ((), (1,))

    def places(self, offset: int, strides: tuple[int, ...]) -> Array:
        """Elements that a walk touches, in order."""
        at = np.full((), offset, np.int64)
        for n, stride in zip(self.sizes, strides, strict=True):
            at = at[..., None] + np.arange(n, dtype=np.int64) * stride
        return at.reshape(-1)


def strides(shape: Shape) -> tuple[int, ...]:
    """Distances between neighbours of a dense tensor."""
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def copy_call(node: Node, move: Move, x: FieldValue, y: str, width: int, table: Array | None = None) -> KernelCall:
    """The kernel call of one move."""
    m = move.merged()
    if len(m.sizes) > AXES:
        raise GraphError(f"{node.op} '{node.name}': it moves along {len(m.sizes)} separate axes, at most {AXES} are supported")
    missing = AXES - len(m.sizes)
    sizes, xs, ys = (1,) * missing + m.sizes, (0,) * missing + m.x, (0,) * missing + m.y
    words: dict[str, FieldValue] = {"x": x, "y": Operand(y), "table": None if table is None else Blob(table), "width": width}
    words |= {"x_offset": m.x_offset, "y_offset": m.y_offset}
    for prefix, values in (("size", sizes), ("x", xs), ("y", ys)):
        words |= {f"shape.{prefix}_{i}": v for i, v in enumerate(values)}
    return KernelCall("strided_copy_ref_any", words)


def fill_call(node: Node, y: str, count: int, value: Array) -> KernelCall:
    """The call that sets all `count` elements of `y` to `value`: a move that reads one element again and again."""
    return copy_call(node, Move((count,), (0,), (1,)), Blob(np.ascontiguousarray(value.reshape(1))), y, value.dtype.itemsize)


def need_int8(graph: Graph, node: Node) -> None:
    """Raise where an error is asked of activations that are not int8."""
    dtype = graph[node.outputs[0]].dtype
    if dtype is not DType.INT8:
        raise NoBackwardRule(f"{node.op} '{node.name}' moves {dtype.value}; only int8 activations learn. Let only layers after it learn.")


def covers(moves: Sequence[Move], count: int) -> bool:
    """True when the moves, which do not overlap, write `count` elements."""
    return sum(prod(m.sizes) for m in moves) == count


class ElementOperator(Operator):
    """An operator whose result is made of elements of its operands (and perhaps one constant), whatever their type."""

    types = ("int8", "int16", "int32", "int64")
    float_kernel = True

    @abstractmethod
    def compute(self, graph: Graph, node: Node, inputs: list[Array]) -> Array:
        """The result in NumPy, for integers as for real numbers."""

    def table(self, graph: Graph, node: Node, operand: int) -> Array | None:
        """int8 [256] where an operand has another quantization than the result."""
        return None

    def moved(self, graph: Graph, node: Node, shape: Shape) -> list[TensorType]:
        """Type of the result where it has the element type and the quantization of the first operand."""
        x, dtype = graph[node.inputs[0]], support.need_activations(graph, node, *node.inputs)
        if not support.same_quant(x, graph[node.outputs[0]]):
            raise GraphError(f"{node.op} '{node.name}': input and result need the same quantization")
        return [TensorType(tuple(int(d) for d in shape), dtype, x.quant)]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "same"

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.ascontiguousarray(self.compute(graph, node, [np.asarray(v) for v in inputs]))]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        values = []
        for i, v in enumerate(inputs):
            table = self.table(graph, node, i)
            values.append(np.asarray(v) if table is None else table[np.asarray(v, np.int64) + 128])
        return [np.ascontiguousarray(self.compute(graph, node, values))]


class MoveOperator(ElementOperator):
    """An operator that is a few moves."""

    kernels = ("strided_copy_ref_any",)

    @abstractmethod
    def moves(self, graph: Graph, node: Node) -> list[Move]:
        """The moves that make the result; no two write the same element."""

    def background(self, graph: Graph, node: Node) -> Array | None:
        """What elements hold that no move writes; None where there are none."""
        return None

    def lower(self, graph: Graph, node: Node) -> KernelCall | list[KernelCall]:
        y = graph[node.outputs[0]]
        width, calls = y.dtype.numpy.itemsize, []
        background = self.background(graph, node)
        if background is not None:
            calls.append(fill_call(node, y.name, y.size, background))
        tables = [self.table(graph, node, i) for i in range(len(node.inputs))]
        for move in self.moves(graph, node):
            calls.append(copy_call(node, move, Operand(node.inputs[move.operand]), y.name, width, tables[move.operand]))
        if len(calls) > MAX_MOVES:
            raise GraphError(f"{node.op} '{node.name}' takes {len(calls)} moves, at most {MAX_MOVES} are supported")
        return calls

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        wanted = [builder.wants(t) for t in node.inputs]
        if not any(wanted):
            return
        need_int8(builder.graph, node)
        gy, moves = builder.error_of(node), self.moves(builder.graph, node)
        for i, name in enumerate(node.inputs):
            if wanted[i]:
                give_back(builder, node, gy, name, [m for m in moves if m.operand == i])


def give_back(builder: GradientBuilder, node: Node, gy: str, name: str, moves: Sequence[Move]) -> None:
    """Contributions to the error of `name`: the moves turned round, those that meet in some element in separate contributions."""
    layers: list[tuple[Array, list[Move]]] = []
    for move in moves:
        places = move.places(move.x_offset, move.x)
        layer = next((entry for entry in layers if not entry[0][places].any()), None)
        if layer is None:
            if len(layers) == MAX_SUMS or np.unique(places).size != places.size:
                raise NoBackwardRule(
                    f"{node.op} '{node.name}' reads elements of '{name}' more than {MAX_SUMS} times, and so the sum of their errors is not "
                    "supported. Let only layers after it learn."
                )
            layer = (np.zeros(builder.graph[name].size, bool), [])
            layers.append(layer)
        layer[0][places] = True
        layer[1].append(replace(move.turned(), operand=0))
    for _, turned in layers:
        gx = support.copied_error(builder, name, gy, node)
        builder.emit("strided_copy", [gy], [gx], {"moves": turned}, node)


@register
class StridedCopy(support.GradientOperator):
    """gx = elements of gy, 0 where no move writes. Attribute: moves."""

    name = "strided_copy"
    kernels = ("strided_copy_ref_any",)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gx, gy = graph[node.outputs[0]], np.asarray(inputs[0]).reshape(-1)
        value = np.zeros(gx.size, gy.dtype)
        for move in node.attrs["moves"]:
            value[move.places(move.y_offset, move.y)] = gy[move.places(move.x_offset, move.x)]
        return [value.reshape(gx.shape)]

    def lower(self, graph: Graph, node: Node) -> list[KernelCall]:
        gx, moves = graph[node.outputs[0]], node.attrs["moves"]
        calls = [] if covers(moves, gx.size) else [fill_call(node, gx.name, gx.size, np.zeros(1, np.int8))]
        return calls + [copy_call(node, m, Operand(node.inputs[0]), gx.name, 1) for m in moves]


@register
class StridedSum(support.GradientOperator):
    """gx = sums of elements of gy. Attributes: sizes and strides (of gx, in gy), many and steps (of what is summed); four axes each."""

    name = "strided_sum"
    kernels = ("strided_sum_ref_s8",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        if any(len(node.attrs[a]) > 4 for a in ("sizes", "many")):
            raise GraphError(f"{node.op} '{node.name}': at most four axes are summed over four, not {node.attrs}")
        return super().infer(graph, node)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gx, a = graph[node.outputs[0]], node.attrs
        box = Move((*a["sizes"], *a["many"]), (*a["strides"], *a["steps"]), ())
        terms = np.asarray(inputs[0], np.int64).reshape(-1)[box.places(0, box.x)].reshape(gx.size, -1)
        return [support.put_error(graph, state, gx.name, terms.sum(axis=1), support.error_exponent(graph, state, node.inputs[0]))]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, gx = node.inputs[0], node.outputs[0]
        words: dict[str, FieldValue] = {"gy": Operand(gy), "gy_exponent": ExponentOf(gy), **fields.error_out("gx", gx)}
        for prefix, name, empty in (("size", "sizes", 1), ("y", "strides", 0), ("many", "many", 1), ("step", "steps", 0)):
            values = [empty] * (4 - len(node.attrs[name])) + list(node.attrs[name])
            words |= {f"shape.{prefix}_{i}": v for i, v in enumerate(values)}
        return KernelCall("strided_sum_ref_s8", words)

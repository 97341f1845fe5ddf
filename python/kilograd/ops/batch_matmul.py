"""Product of two matrices, or of batches of them: int8, two to four axes; operands may be transposed, and repeated over the batch.

Operands: a [.., m, k], b [.., k, n] (either may be a constant). Results: y [.., m, n], clamp mask (optional). Attributes: adj_x, adj_y (the
operand's last two axes are swapped in memory).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Kind, Node, Shape
from kilograd.ops import fields, support
from kilograd.ops.base import ExponentOf, FieldValue, KernelCall, Operand, Operator, Reference, RunState, TensorType, prod, register
from kilograd.ops.fixed_point import quantize_multiplier, requantize

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

MAX_TERMS = 1 << 15  # products in one sum
INDICES = ("batch_0", "batch_1", "row", "column", "sum_0", "sum_1", "inner")
SIZES = ("batch_0", "batch_1", "rows", "columns", "sum_0", "sum_1", "inner")


def _swapped(value: Array, adjoint: bool) -> Array:
    return np.swapaxes(value, -1, -2) if adjoint else value


@dataclass(frozen=True)
class Matrices:
    """An operand's sizes and distances: two batch axes, rows and columns as the product sees them."""

    batch: tuple[int, int]
    rows: int
    columns: int
    batch_step: tuple[int, int]  # 0 where there is only one
    row_step: int
    column_step: int

    @staticmethod
    def of(shape: Shape, adjoint: bool = False) -> Matrices:
        """The layout of a tensor of two to four axes."""
        b0, b1, m, n = (1,) * (4 - len(shape)) + tuple(shape)
        steps = (b1 * m * n if b0 > 1 else 0, m * n if b1 > 1 else 0)
        return Matrices((b0, b1), n, m, steps, 1, n) if adjoint else Matrices((b0, b1), m, n, steps, n, 1)


@register
class BatchMatmul(Operator):
    """y = clamp(requantize(sum (a - za)(b - zb)) + zy), rounded twice."""

    name = "batch_matmul"
    tflite = ("BATCH_MATMUL",)
    onnx = ("MatMul",)
    kernels = ("batch_matmul_ref_s8",)
    clamps = True
    whole_input = "batches may be repeated and operands transposed"

    @staticmethod
    def adjoints(node: Node) -> tuple[bool, bool]:
        """Which operands are transposed."""
        return bool(node.attrs.get("adj_x", False)), bool(node.attrs.get("adj_y", False))

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        a, b, where = graph[node.inputs[0]], graph[node.inputs[1]], f"batch_matmul '{node.name}'"
        dtype = support.need_activations(graph, node, a.name, b.name)
        if not (2 <= len(a.shape) <= 4 and 2 <= len(b.shape) <= 4):
            raise GraphError(f"{where}: operands {list(a.shape)} and {list(b.shape)} must have 2 to 4 axes. Reshape them first.")
        x, y = (Matrices.of(t.shape, adj) for t, adj in zip((a, b), self.adjoints(node), strict=True))
        try:
            batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise GraphError(f"{where}: the batches of {list(a.shape)} and {list(b.shape)} do not fit") from None
        if x.columns != y.rows:
            raise GraphError(f"{where}: {x.rows} x {x.columns} and {y.rows} x {y.columns} matrices cannot be multiplied")
        if x.columns > MAX_TERMS:
            raise GraphError(f"{where}: sums of {x.columns} products; at most {MAX_TERMS} fit an int32. Split the product.")
        return support.with_mask(node, TensorType((*batch, x.rows, y.columns), dtype, graph[node.outputs[0]].quant))

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        a, b = (_swapped(np.asarray(v), adj) for v, adj in zip(inputs, self.adjoints(node), strict=True))
        return [a @ b]

    def factor(self, graph: Graph, node: Node) -> tuple[int, int]:
        """(multiplier, shift): the product of the operands' scales in float32, by that of the result in float64, as LiteRT does."""
        a, b, y = (np.float32(graph[t].q.s) for t in (*node.inputs[:2], node.outputs[0]))
        return quantize_multiplier(float(np.float64(a * b) / np.float64(y)))

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        operands = zip(inputs, node.inputs, self.adjoints(node), strict=True)
        a, b = (_swapped(np.asarray(v, np.int64) - graph[t].q.z, adj) for v, t, adj in operands)
        multiplier, shift = self.factor(graph, node)
        value = requantize(a @ b, np.array(multiplier, np.int64), np.array(shift)) + graph[node.outputs[0]].q.z
        return support.clamp_results(node, value, -128, 127)

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        a, b, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        left, right = (Matrices.of(t.shape, adj) for t, adj in zip((a, b), self.adjoints(node), strict=True))
        whole = Matrices.of(y.shape)
        multiplier, shift = self.factor(graph, node)
        return KernelCall(
            "batch_matmul_ref_s8",
            {
                "a": Operand(a.name),
                "b": Operand(b.name),
                "y": Operand(y.name),
                "mask": fields.operand(support.mask_name(node)),
                **_shape_fields(
                    (*whole.batch, whole.rows, whole.columns, 1, 1, left.columns),
                    (*left.batch_step, left.row_step, 0, 0, 0, left.column_step),
                    (*right.batch_step, 0, right.column_step, 0, 0, right.row_step),
                ),
                "a_zero": a.q.z,
                "b_zero": b.q.z,
                "y_zero": y.q.z,
                "multiplier": multiplier,
                "shift": shift,
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        graph, gy = builder.graph, builder.error_of(node)
        for side, (x, other) in enumerate((node.inputs[:2], node.inputs[1::-1])):
            if builder.wants(x):
                saved = other if graph[other].kind is Kind.CONST else builder.saved(other, node)
                attrs = {"side": side, "adjoints": self.adjoints(node), "other_zero": graph[other].q.z, "other_scale": graph[other].q.s}
                builder.emit("batch_matmul_grad", [gy, saved], [builder.new_error(x, node)], attrs, node)

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape) * Matrices.of(graph[node.inputs[0]].shape, self.adjoints(node)[0]).columns


@register
class BatchMatmulGrad(support.GradientOperator):
    """Error of one operand: operands gy, the other factor. Attributes: side (0: of a, 1: of b), adjoints, other_zero, other_scale."""

    name = "batch_matmul_grad"
    kernels = ("batch_matmul_grad_ref_s8",)

    @staticmethod
    def _terms(graph: Graph, node: Node) -> int:
        gy, gx = Matrices.of(graph[node.inputs[0]].shape), Matrices.of(graph[node.outputs[0]].shape)
        repeats = prod(gy.batch) // prod(gx.batch)
        return repeats * (gy.rows if node.attrs["side"] else gy.columns)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        if self._terms(graph, node) > MAX_TERMS:
            raise GraphError(
                f"{node.op} '{node.name}': its sums have {self._terms(graph, node)} products; at most {MAX_TERMS} fit an int32. Freeze "
                "what leads to this operand."
            )
        return super().infer(graph, node)

    def _fold(self, graph: Graph, node: Node) -> tuple[int, int, int]:
        """(fold, its exponent, bits that sums times fold are shifted down)."""
        fold, exponent, _ = fields.fold_scales(np.array([node.attrs["other_scale"]]), 1)
        largest = self._terms(graph, node) * 128 * 255 * int(fold[0])
        return int(fold[0]), exponent, max(0, largest.bit_length() - 30)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, other = np.asarray(inputs[0], np.int64), np.asarray(inputs[1], np.int64) - node.attrs["other_zero"]
        side, adjoints, gx = node.attrs["side"], node.attrs["adjoints"], graph[node.outputs[0]]
        other = np.swapaxes(_swapped(other, adjoints[1 - side]), -1, -2)
        total = _swapped(other @ gy if side else gy @ other, adjoints[side])
        whole = Matrices.of(gx.shape).batch
        total = total.reshape((1,) * (4 - total.ndim) + total.shape)
        total = total.sum(axis=tuple(i for i in (0, 1) if whole[i] != total.shape[i]), keepdims=True)
        fold, exponent, shift = self._fold(graph, node)
        acc = (total * fold + (1 << shift >> 1)) >> shift
        e = support.error_exponent(graph, state, node.inputs[0]) - exponent + shift
        return [support.put_error(graph, state, gx.name, acc, e)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, other, gx = (graph[t] for t in (*node.inputs, node.outputs[0]))
        fold, exponent, shift = self._fold(graph, node)
        return KernelCall(
            "batch_matmul_grad_ref_s8",
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                "b": Operand(other.name),
                **fields.error_out("gx", gx.name),
                **self._shape(node, gy.shape, other.shape, gx.shape),
                "b_zero": node.attrs["other_zero"],
                "fold": fold,
                "fold_exponent": exponent,
                "fold_shift": shift,
            },
        )

    @staticmethod
    def _shape(node: Node, gy_shape: Shape, other_shape: Shape, gx_shape: Shape) -> dict[str, FieldValue]:
        side, adjoints = node.attrs["side"], node.attrs["adjoints"]
        gy, gx, other = Matrices.of(gy_shape), Matrices.of(gx_shape), Matrices.of(other_shape, adjoints[1 - side])
        # of a: gx[r, c] = sum over n of gy[r, n] other[c, n]; of b: gx[r, c] = sum over m of other[m, r] gy[m, c]
        steps = (
            ((0, gy.column_step, gy.row_step), (other.column_step, 0, other.row_step))
            if side
            else ((gy.row_step, 0, gy.column_step), (0, other.row_step, other.column_step))
        )
        swapped = [(c, r, k) if adjoints[side] else (r, c, k) for r, c, k in steps]
        kept = np.array([gx.batch[i] == gy.batch[i] for i in (0, 1)])  # else summed: the operand was repeated
        sums = np.where(kept, 1, gy.batch)
        distances = [
            [int(v) for v in (*np.where(kept, t.batch_step, 0), row, column, *np.where(kept, 0, t.batch_step), inner)]
            for t, (row, column, inner) in zip((gy, other), swapped, strict=True)
        ]
        sizes = (*gx.batch, gx.rows, gx.columns, *sums, gy.rows if side else gy.columns)
        return _shape_fields([int(v) for v in sizes], *distances)

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.outputs[0]].shape) * self._terms(graph, node)


def _shape_fields(sizes: Sequence[int], a: Sequence[int], b: Sequence[int]) -> dict[str, FieldValue]:
    """kg_batch_matmul_shape."""
    words: dict[str, FieldValue] = {f"shape.{n}": v for n, v in zip(SIZES, sizes, strict=True)}
    words |= {f"shape.a_{n}": v for n, v in zip(INDICES, a, strict=True)}
    return words | {f"shape.b_{n}": v for n, v in zip(INDICES, b, strict=True)}

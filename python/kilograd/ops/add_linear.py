"""add and sub of int8 without requantization of each operand: y = clamp((x1 f1 + x2 f2 + offset) / 2^fraction), rounded down.

The reference rounds four times, but over the 65,536 pairs of operands it mostly gives what one linear function gives. Factors are looked
for at compile time, and all pairs are compared with the reference. Where there are none (ties such as those of scales that are powers of
two), the variant `tables` looks both operands up, already scaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import operator, support
from kilograd.ops.add import DIFFERENCE, RescaledPair
from kilograd.ops.base import Blob, FieldValue, KernelCall
from kilograd.ops.fixed_point import requantize, wrap32
from kilograd.ops.variant import Variant, register_variant

FRACTIONS = (22, 20)  # KG_LINEAR2_FINE, KG_LINEAR2_STEEP
FACTOR_LIMIT = 1 << 23
RADIUS = 24  # of the search, in units of the factors
BYTES = np.arange(-128, 128, dtype=np.int64)


@dataclass(frozen=True)
class Problem:
    """Everything that the results of a node depend on."""

    zeros: tuple[int, int, int]  # of x1, x2, y
    factors: tuple[tuple[int, int], ...]  # (multiplier, shift) of x1, x2, y
    left_shift: int
    sign: int  # of the second operand
    limits: tuple[int, int]  # results beyond need not differ

    def operands(self) -> tuple[Array, Array]:
        """Both operands as the reference scales them, for all values; the second with the sign that it has in the sum."""
        a, b = (
            requantize(wrap32((BYTES - z) << self.left_shift), np.array(m), np.array(s))
            for z, (m, s) in zip(self.zeros, self.factors[:2], strict=False)
        )
        return a, self.sign * b

    def results(self) -> Array:
        """[256, 256] results, limited."""
        a, b = self.operands()
        multiplier, shift = self.factors[2]
        return np.clip(requantize(wrap32(a[:, None] + b), np.array(multiplier), np.array(shift)) + self.zeros[2], *self.limits)

    def slopes(self) -> tuple[float, float]:
        """What a step of each operand changes, in steps of the result."""
        (m1, s1), (m2, s2), (m, s) = self.factors
        common = m * 2.0 ** (s - 31 + self.left_shift)
        return m1 * 2.0 ** (s1 - 31) * common, self.sign * m2 * 2.0 ** (s2 - 31) * common


@dataclass(frozen=True)
class Linear:
    """The linear function."""

    factor1: int
    factor2: int
    offset: int
    fraction: int

    def fits(self) -> bool:
        """No sum leaves 32 bits."""
        f1, f2 = abs(self.factor1), abs(self.factor2)
        return max(f1, f2) < FACTOR_LIMIT and 128 * (f1 + f2) + abs(self.offset) < 2**31

    def results(self, limits: tuple[int, int]) -> Array:
        """[256, 256]."""
        return np.clip((self.factor1 * BYTES[:, None] + self.factor2 * BYTES + self.offset) >> self.fraction, *limits)


def _nearest(want: Array, f1: int, f2: int, fraction: int) -> Linear | None:
    """Factors near f1 and f2 with the widest range of offsets that give `want`.

    Each pair bounds the offset from below and from above; only pairs near the tightest bounds can matter in the neighbourhood.
    """
    x1, x2, r = np.repeat(BYTES, 256), np.tile(BYTES, 256), want.reshape(-1)
    total = f1 * x1 + f2 * x2
    below, above = r > r.min(), r < r.max()  # what is limited has no bound
    if not below.any():
        return Linear(0, 0, int(r[0]) << fraction, fraction)
    least, most = (r[below] << fraction) - total[below], ((r[above] + 1) << fraction) - 1 - total[above]
    if least.max() <= most.min():
        return Linear(f1, f2, int(least.max() + most.min()) >> 1, fraction)
    margin = 2 * 128 * 2 * RADIUS
    near_least, near_most = least >= least.max() - margin, most <= most.min() + margin
    step = np.arange(-RADIUS, RADIUS + 1)

    def moved(bound: Array, chosen: Array, which: Array) -> Array:
        """Bounds [d1, d2, pair] with factors moved by d1 and d2."""
        a, b = x1[which][chosen], x2[which][chosen]
        return np.asarray(bound[chosen] - step[:, None, None] * a - step[:, None] * b)

    low, high = moved(least, near_least, below).max(axis=2), moved(most, near_most, above).min(axis=2)
    i, j = (int(v) for v in np.unravel_index((high - low).argmax(), low.shape))
    middle = int(low[i, j] + high[i, j]) >> 1
    return Linear(f1 + i - RADIUS, f2 + j - RADIUS, middle, fraction) if low[i, j] <= high[i, j] else None


@lru_cache(maxsize=256)
def solve(problem: Problem) -> Linear | None:
    """The linear function with the results of the reference for all pairs of operands, None where none was found."""
    want = problem.results()
    for fraction in FRACTIONS:
        f1, f2 = (round(s * 2**fraction) for s in problem.slopes())
        found = _nearest(want, f1, f2, fraction) if max(abs(f1), abs(f2)) < FACTOR_LIMIT - RADIUS else None
        if found and found.fits() and np.array_equal(found.results(problem.limits), want):
            return found
    return None


def problem(graph: Graph, node: Node) -> Problem:
    """The problem that a node of int8 tensors poses. A clamp mask wants to know which results lie just outside the limits, too."""
    pair = operator(node.op)
    assert isinstance(pair, RescaledPair)
    lo, hi = pair.limits(graph, node)
    beyond = int(bool(support.mask_name(node)))
    z1, z2, zy = (graph[t].q.z for t in (*node.inputs[:2], node.outputs[0]))
    factors = tuple((int(m), int(s)) for m, s in pair.factors(graph, node))
    sign = -1 if pair.combine == DIFFERENCE else 1
    return Problem((z1, z2, zy), factors, pair.left_shift(graph, node), sign, (lo - beyond, hi + beyond))


def call(graph: Graph, node: Node, kernel: str, y_zero: int, scaling: dict[str, FieldValue]) -> KernelCall:
    """The call of `kernel`: operands' zero points are folded into `scaling`."""
    pair = operator(node.op)
    assert isinstance(pair, RescaledPair)
    return KernelCall(kernel, pair.call(graph, node, scaling).fields | {"of.x1_zero": 0, "of.x2_zero": 0, "of.y_zero": y_zero})


class Folded(Variant):
    """What both ways share."""

    needs = frozenset({"scalar"})

    def fits(self, graph: Graph, node: Node) -> bool:
        return graph[node.inputs[0]].dtype is DType.INT8

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return operator(node.op).inplace(graph, node)


class LinearPair(Folded):
    """One linear function of both operands."""

    name = "linear"
    kernels: ClassVar[tuple[str, ...]] = ("add_linear_s8",)
    preference = 2

    def fits(self, graph: Graph, node: Node) -> bool:
        return super().fits(graph, node) and solve(problem(graph, node)) is not None

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        found = solve(problem(graph, node))
        assert found is not None
        fields: dict[str, FieldValue] = {"x1_factor": found.factor1, "x2_factor": found.factor2, "offset": found.offset}
        return call(graph, node, "add_linear_s8", 0, fields | {"fraction": found.fraction})


class TablePair(Folded):
    """Two tables of scaled operands; the sum is scaled as in the reference."""

    name = "tables"
    kernels: ClassVar[tuple[str, ...]] = ("add_tables_s8",)

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        p = problem(graph, node)
        multiplier, shift = p.factors[2]
        tables = np.concatenate(p.operands()).astype(np.int32)
        return call(graph, node, "add_tables_s8", p.zeros[2], {"tables": Blob(tables), "multiplier": multiplier, "shift": shift})


@register_variant
class AddLinear(LinearPair):
    """Of a sum."""

    op = "add"


@register_variant
class SubLinear(LinearPair):
    """Of a difference."""

    op = "sub"


@register_variant
class AddTables(TablePair):
    """Of a sum."""

    op = "add"


@register_variant
class SubTables(TablePair):
    """Of a difference."""

    op = "sub"

"""What tests of element-wise operators on two tensors share: random cases, the judge, finite differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Shape
from kilograd.ops import operator
from tests.ops import finite_difference
from tests.ops.cases import unsigned
from tests.ops.litert_model import Options, Value, run_one
from tests.ops.nodes import Bench
from tests.ops.runner import assert_same

#: result, first and second operand
SHAPES: list[tuple[Shape, Shape, Shape]] = [
    ((1, 3, 4, 5), (1, 3, 4, 5), (1, 3, 4, 5)),
    ((1, 3, 4, 5), (1, 3, 4, 5), (1, 1, 1, 5)),
    ((1, 3, 4, 5), (5,), (1, 3, 4, 5)),
    ((1, 3, 4, 5), (1, 3, 1, 5), (1, 1, 4, 1)),
    ((2, 3, 4, 5), (2, 1, 4, 1), (1, 3, 1, 5)),
    ((3, 7), (3, 7), (1,)),
    ((1, 1), (1, 1), (1, 1)),
]
ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}
scales = st.floats(2**-12, 4.0)
zeros = st.integers(-128, 127)
kinds = st.sampled_from(["int8", "int8", "uint8", "int16"])


@dataclass
class Pair:
    """One drawn case: shapes, quantizations, values."""

    shapes: tuple[Shape, Shape, Shape]
    kind: str  # int8, uint8, int16
    scales: tuple[float, float, float]  # of x1, x2, y
    zeros: tuple[int, int, int]  # as int8
    activation: str
    extreme: bool
    seed: int
    operands: tuple[Array, Array] | None = None  # given, instead of random ones

    @property
    def dtype(self) -> DType:
        """Element type in the graph."""
        return DType.INT16 if self.kind == "int16" else DType.INT8


@st.composite
def pairs(draw: st.DrawFn, kinds: st.SearchStrategy[str] = kinds, same: bool = False) -> Pair:
    """A random case; `same`: one quantization for all tensors."""
    kind = draw(kinds)
    s, z = [draw(scales) for _ in range(3)], [0 if kind == "int16" else draw(zeros) for _ in range(3)]
    activation = draw(st.sampled_from(sorted(ACTIVATIONS)))
    s, z = ([s[0]] * 3, [z[0]] * 3) if same else (s, z)
    shapes, extreme, seed = draw(st.sampled_from(SHAPES)), draw(st.booleans()), draw(st.integers(0, 999))
    return Pair(shapes, kind, (s[0], s[1], s[2]), (z[0], z[1], z[2]), activation, extreme, seed)


def values(case: Pair) -> tuple[Array, Array]:
    """Operands: random, or the ends of the range only."""
    if case.operands is not None:
        return case.operands
    rng, info = np.random.default_rng(case.seed), np.iinfo(case.dtype.numpy)
    ends, limits = [info.min, info.max], (info.min, info.max + 1)
    made = [rng.choice(ends, s) if case.extreme else rng.integers(*limits, s) for s in case.shapes[1:]]
    a, b = (np.asarray(m).astype(case.dtype.numpy) for m in made)
    return a, b


def forward(op: str, case: Pair, attrs: dict[str, Any], results: int = 1) -> Array:
    """C equals NumPy on the case; gives the result."""
    b = Bench(case.seed)
    a1, a2 = values(case)
    quants = [QuantParams.per_tensor(s, z) for s, z in zip(case.scales, case.zeros, strict=True)]
    b.tensor("x1", a1, case.dtype, quant=quants[0])
    b.tensor("x2", a2, case.dtype, Kind.CONST if case.seed % 2 else Kind.ARENA, quants[1])
    outputs = [b.output("y", case.shapes[0]), *(b.mask(f"m{i}", case.shapes[0]) for i in range(results - 1))]
    b.graph.set("y", dtype=case.dtype, quant=quants[2])
    return assert_same(b.graph, b.node(op, ["x1", "x2"], outputs, attrs), b.values)["y"]


def judge(builtin: str, case: Pair, chosen: tuple[str, Options] | None) -> Array:
    """LiteRT's result, as int8 where the model is uint8."""
    shift = 128 if case.kind == "uint8" else 0
    described = zip((*case.shapes[1:], case.shapes[0]), case.scales, case.zeros, strict=True)
    tensors = [Value(s, case.kind, q, z + shift) for s, q, z in described]
    feeds = [unsigned(v) if shift else v for v in values(case)]
    got = run_one(builtin, tensors[:2], tensors[2], chosen, feeds)
    return (got.astype(np.int16) - 128).astype(np.int8) if shift else got


def node_of(
    op: str, shapes: tuple[Shape, Shape, Shape], scales: tuple[float, float, float], zeros: tuple[int, int, int] = (4, -9, 3)
) -> tuple[Graph, Node, dict[str, Array]]:
    """An int8 node for gradient checks."""
    b, quants = Bench(3), [QuantParams.per_tensor(s, z) for s, z in zip(scales, zeros, strict=True)]
    b.int8("x1", shapes[1], quant=quants[0])
    b.int8("x2", shapes[2], quant=quants[1])
    b.output("y", shapes[0])
    b.graph.set("y", quant=quants[2])
    return b.graph, b.node(op, ["x1", "x2"], ["y"], {"activation": "none"}), b.values


def check_gradients(
    op: str,
    shapes: tuple[Shape, Shape, Shape],
    function: Callable[[Array, Array], Array],
    scales: tuple[float, float, float],
    zeros: tuple[int, int, int] = (4, -9, 3),
) -> None:
    """The gradients of both operands agree with finite differences of `function`, and `real` computes it."""
    graph, node, given = node_of(op, shapes, scales, zeros)
    if op in ("maximum", "minimum"):  # no two equal, where there is no derivative
        given["x1"] = (given["x1"] | 1).astype(np.int8)
        given["x2"] = (given["x2"] & ~1).astype(np.int8)
    finite_difference.check_gradients(graph, node, given, lambda r: function(r["x1"], r["x2"]), ["x1", "x2"])
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, shapes[1]), rng.normal(0, 1, shapes[2])
    np.testing.assert_allclose(operator(op).real(graph, node, [a, b])[0], function(a, b))

"""transpose and its gradient: C equals NumPy equals LiteRT; the gradient agrees with finite differences."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Shape
from tests.ops import cases, moves
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import needs_litert, options


@st.composite
def permutations(draw: st.DrawFn) -> tuple[Shape, tuple[int, ...]]:
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=6)))
    return shape, tuple(draw(st.permutations(range(len(shape)))))


@settings(max_examples=60, deadline=None)
@given(permutations(), st.integers(0, 999))
def test_forward(case: Any, seed: int) -> None:
    shape, order = case
    graph, node = cases.forward("transpose", [cases.activation("x", shape)], {"permutation": order})
    cases.same(graph, node, {"x": cases.random_int8(seed, shape)})


@needs_litert
@settings(max_examples=40, deadline=None)
@given(permutations(), moves.types, st.integers(0, 999))
def test_forward_equals_litert(case: Any, dtype: str, seed: int) -> None:
    shape, order = case
    graph, node = moves.case("transpose", [shape], {"permutation": order}, dtype)
    moves.same_as_litert("TRANSPOSE", graph, node, [moves.ints(*order)], options("TransposeOptions"), seed)


@pytest.mark.parametrize("order", [(0, 3, 1, 2), (3, 2, 1, 0)])
def test_finite_differences(order: tuple[int, ...]) -> None:
    shape = (1, 2, 3, 4)
    graph, node = cases.forward("transpose", [cases.activation("x", shape)], {"permutation": order})
    check_gradients(graph, node, {"x": cases.random_int8(1, shape)}, lambda v: v["x"].transpose(order), ["x"])


def test_wrong_permutation() -> None:
    with pytest.raises(GraphError, match="no permutation"):
        cases.forward("transpose", [cases.activation("x", (2, 6))], {"permutation": (0, 0)})

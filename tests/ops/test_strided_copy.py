"""strided_copy and strided_sum: C equals NumPy; what is merged is the same move."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Shape
from kilograd.ops.strided_copy import Move, give_back, strides
from tests.ops import cases, moves
from tests.ops.finite_difference import check_gradients

small = st.lists(st.integers(1, 3), min_size=1, max_size=5).map(tuple)


@settings(max_examples=60, deadline=None)
@given(small, st.randoms(use_true_random=False), st.integers(0, 3))
def test_merged_moves_are_the_same(shape: Shape, random: Any, offset: int) -> None:
    order = list(range(len(shape)))
    random.shuffle(order)
    move = Move(tuple(shape[a] for a in order), tuple(strides(shape)[a] for a in order), strides(tuple(shape[a] for a in order)), offset)
    merged = move.merged()
    want = dict(zip(move.places(move.y_offset, move.y), move.places(move.x_offset, move.x), strict=True))
    assert want == dict(zip(merged.places(merged.y_offset, merged.y), merged.places(merged.x_offset, merged.x), strict=True))
    assert len(merged.sizes) <= sum(d > 1 for d in shape)
    assert all(n > 1 for n in merged.sizes)


@settings(max_examples=40, deadline=None)
@given(small, st.booleans(), st.integers(0, 99))
def test_strided_copy(shape: Shape, whole: bool, seed: int) -> None:
    """A box of the error goes to the start of a larger one, what is outside becomes 0."""
    larger = tuple(d if whole else d + 1 for d in shape)
    graph_moves = [Move(shape, strides(shape), strides(larger))]
    results = cases.backward("strided_copy", shape, larger, {"moves": graph_moves}, seed, copies=True)
    assert results["gx"].shape == larger


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_strided_sum(a: int, many: int, b: int, more: int, seed: int) -> None:
    attrs = {"sizes": (a, b), "strides": (many * b * more, 1), "many": (many, more), "steps": (b * more, b)}
    cases.backward("strided_sum", (a, many, more, b), (a, b), attrs, seed)


def test_strided_sum_over_too_many_axes() -> None:
    five = (1,) * 5
    with pytest.raises(GraphError, match="at most four axes"):
        cases.backward("strided_sum", (1,), (1,), {"sizes": five, "strides": five, "many": (), "steps": ()}, 0)


def test_gradients_of_overlapping_moves() -> None:
    """Elements that two moves read get two contributions (checked with a mirrored border); a move that reads one twice has no rule."""
    graph, node = moves.case("pad", [(1, 4, 5, 2)], {"padding": [[0, 0], [3, 2], [1, 4], [0, 0]], "mode": "reflect"})
    check_gradients(graph, node, moves.values(graph, node, 3), moves.real(graph, node), ["x0"])
    with pytest.raises(NoBackwardRule, match="more than"):
        give_back(None, node, "gy", "x0", [Move((2,), (0,), (1,))])  # type: ignore[arg-type]


def test_too_many_axes_or_moves() -> None:
    shape = (2,) * 7
    graph, node = moves.case("transpose", [shape], {"permutation": (6, 5, 4, 3, 2, 1, 0)})
    with pytest.raises(GraphError, match="at most 6"):
        cases.same(graph, node, moves.values(graph, node, 0))
    graph, node = moves.case("concatenation", [(1, 1)] * 200, {"axis": 1})
    with pytest.raises(GraphError, match="at most 128"):
        cases.same(graph, node, moves.values(graph, node, 0))


def test_other_types_do_not_learn() -> None:
    graph, node = moves.case("transpose", [(2, 3)], {"permutation": (1, 0)}, "int16")
    with pytest.raises(NoBackwardRule, match="only int8"):
        check_gradients(graph, node, moves.values(graph, node, 0), moves.real(graph, node), ["x0"])

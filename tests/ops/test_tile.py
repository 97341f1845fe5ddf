"""tile: C equals NumPy equals LiteRT; the gradient agrees with finite differences."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Shape
from tests.ops import cases, moves
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import needs_litert, options


@settings(max_examples=60, deadline=None)
@given(moves.shapes, st.data(), moves.types)
def test_forward(shape: Shape, data: st.DataObject, dtype: str) -> None:
    graph, node = moves.case("tile", [shape], {"multiples": [data.draw(st.integers(1, 3)) for _ in shape]}, dtype)
    if len(shape) < 4:
        cases.same(graph, node, moves.values(graph, node, 1))


@needs_litert
@settings(max_examples=30, deadline=None)
@given(moves.shapes, st.data(), st.sampled_from(["int8", "int32", "float32"]))
def test_forward_equals_litert(shape: Shape, data: st.DataObject, dtype: str) -> None:
    many = [data.draw(st.integers(1, 3)) if i < 3 else 1 for i in range(len(shape))]
    graph, node = moves.case("tile", [shape], {"multiples": many}, dtype)
    moves.same_as_litert("TILE", graph, node, [moves.ints(*many)], options("TileOptions"))


@pytest.mark.parametrize("many", [(1, 3, 1), (2, 1, 3), (2, 2, 2), (1, 1, 1)])
def test_finite_differences(many: tuple[int, ...]) -> None:
    graph, node = moves.case("tile", [(2, 3, 2)], {"multiples": many})
    check_gradients(graph, node, moves.values(graph, node, 1), moves.real(graph, node), ["x0"])


def test_wrong_multiples() -> None:
    with pytest.raises(GraphError, match="do not fit"):
        moves.case("tile", [(2, 3)], {"multiples": (1, 0)})


def test_too_many_repeated_axes() -> None:
    graph, node = moves.case("tile", [(2,) * 5], {"multiples": (2,) * 5})
    with pytest.raises(NoBackwardRule, match="more than four axes"):
        check_gradients(graph, node, moves.values(graph, node, 1), moves.real(graph, node), ["x0"])

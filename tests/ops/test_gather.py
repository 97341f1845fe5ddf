"""gather and its gradient: C equals NumPy equals LiteRT; the gradient agrees with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Shape
from tests.ops import cases, moves
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options


@needs_litert
@settings(max_examples=50, deadline=None)
@given(moves.shapes, st.data(), moves.types, st.booleans())
def test_forward_equals_litert(shape: Shape, data: st.DataObject, dtype: str, square: bool) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    count = 4 if square else data.draw(st.integers(1, 6))
    indices = [data.draw(st.integers(0, shape[axis] - 1)) for _ in range(count)]
    kept = (2, 2) if square else (count,)
    graph, node = moves.case("gather", [shape], {"axis": axis, "indices": indices, "index_shape": kept}, dtype)
    given_indices = Value(kept, "int32", data=np.array(indices, np.int32))
    moves.same_as_litert("GATHER", graph, node, [given_indices], options("GatherOptions", Axis=axis))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.data())
def test_gradient(outer: int, h: int, w: int, inner: int, data: st.DataObject) -> None:
    rows = np.array(data.draw(st.lists(st.integers(0, h - 1), min_size=1, max_size=5)), np.int32)
    columns = np.array(data.draw(st.lists(st.integers(0, w - 1), min_size=1, max_size=5)), np.int32)
    attrs = {"sizes": (outer, h, w, inner), "rows": rows, "columns": columns}
    cases.backward("gather_grad", (outer, rows.size, columns.size, inner), (outer, h, w, inner), attrs, data.draw(st.integers(0, 99)))


@pytest.mark.parametrize("indices", [[2, 0, 2, 2], [1]])
def test_finite_differences(indices: list[int]) -> None:
    graph, node = moves.case("gather", [(2, 4, 3)], {"axis": 1, "indices": indices})
    check_gradients(graph, node, moves.values(graph, node, 1), moves.real(graph, node), ["x0"])


@pytest.mark.parametrize(("attrs", "message"), [
    ({"axis": 2, "indices": [0]}, "no axis"),
    ({"axis": 1, "indices": [3]}, "not all in"),
    ({"axis": 1, "indices": [0, 1], "index_shape": (3,)}, "do not make"),
])  # fmt: skip
def test_wrong_indices(attrs: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        moves.case("gather", [(2, 3)], attrs)

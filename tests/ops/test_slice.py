"""slice and channel_slice: C equals NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import DType, Graph, Node, Shape, Tensor
from kilograd.ops import operator
from kilograd.ops.base import infer_outputs
from tests.ops import cases


def sliced(op: str, x: Shape, y: Shape, attrs: dict[str, Any], seed: int = 0) -> Any:
    graph = Graph("test")
    for name, shape in (("x", x), ("y", y)):
        graph.add(Tensor(name, shape, DType.INT8, quant=cases.QUANT))
    node = Node(op, ["x"], ["y"], attrs, name="layer")
    infer_outputs(graph, node)
    value = cases.random_int8(seed, x)
    return value, cases.same(graph, node, {"x": value})["y"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data(), st.integers(0, 999))
def test_slice(shape: list[int], data: st.DataObject, seed: int) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    start = data.draw(st.integers(0, shape[axis] - 1))
    size = data.draw(st.integers(1, shape[axis] - start))
    x, y = sliced("slice", tuple(shape), (*shape[:axis], size, *shape[axis + 1 :]), {"axis": axis, "start": start}, seed)
    np.testing.assert_array_equal(y, np.take(x, range(start, start + size), axis))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.data(), st.booleans())
def test_channel_slice(size: int, channels: int, data: st.DataObject, named: bool) -> None:
    k = data.draw(st.integers(1, channels))
    x, y = sliced("channel_slice", (1, size, size, channels), (1, size, size, k), {"channels": k} if named else {})
    np.testing.assert_array_equal(y, x[..., :k])


def test_channel_slice_needs_the_same_rows() -> None:
    assert operator("channel_slice").rows(Graph("test"), Node("channel_slice", ["x"], ["y"]), 1, 2) == (1, 2)


@pytest.mark.parametrize(("y", "attrs"), [((2, 4), {"axis": 1, "start": 0}), ((2, 2), {"axis": 1, "start": 2}), ((2, 2), {"axis": 2})])
def test_wrong_part(y: Shape, attrs: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match="not all in|does not fit"):
        sliced("slice", (2, 3), y, attrs)

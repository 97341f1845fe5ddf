"""slice and channel_slice: C equals NumPy equals LiteRT (SLICE, STRIDED_SLICE, REVERSE_V2); the gradient agrees with finite differences."""

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
from tests.ops import cases, moves
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import needs_litert, options


@st.composite
def parts(draw: st.DrawFn, backwards: bool = True) -> tuple[Shape, dict[str, list[int]]]:
    """A shape and a part of it."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    begin, step, size = [], [], []
    for d in shape:
        begin.append(draw(st.integers(0, d - 1)))
        step.append(draw(st.sampled_from([1, 1, 2, 3, -1, -2] if backwards else [1])))
        room = d - begin[-1] if step[-1] > 0 else begin[-1] + 1
        size.append(draw(st.integers(1, -(-room // abs(step[-1])))))
    return tuple(shape), {"begin": begin, "step": step, "size": size}


@settings(max_examples=80, deadline=None)
@given(parts(), moves.types, st.integers(0, 999))
def test_forward(case: Any, dtype: str, seed: int) -> None:
    shape, attrs = case
    graph, node = moves.case("slice", [shape], attrs, dtype)
    cases.same(graph, node, moves.values(graph, node, seed))


@needs_litert
@settings(max_examples=40, deadline=None)
@given(parts(), moves.types, st.integers(0, 999))
def test_strided_slice_equals_litert(case: Any, dtype: str, seed: int) -> None:
    shape, attrs = case
    graph, node = moves.case("slice", [shape], attrs, dtype)
    end = [b + n * s for b, s, n in zip(attrs["begin"], attrs["step"], attrs["size"], strict=True)]
    to_the_end = sum(1 << i for i, e in enumerate(end) if e < 0)
    extra = [moves.ints(*v) for v in (attrs["begin"], end, attrs["step"])]
    moves.same_as_litert("STRIDED_SLICE", graph, node, extra, options("StridedSliceOptions", EndMask=to_the_end), seed)


@needs_litert
@settings(max_examples=20, deadline=None)
@given(parts(backwards=False), moves.types)
def test_slice_equals_litert(case: Any, dtype: str) -> None:
    shape, attrs = case
    graph, node = moves.case("slice", [shape], attrs, dtype)
    moves.same_as_litert("SLICE", graph, node, [moves.ints(*attrs["begin"]), moves.ints(*attrs["size"])], options("SliceOptions"))


@needs_litert
@pytest.mark.parametrize("dtype", moves.TYPES)
def test_reverse_equals_litert(dtype: str) -> None:
    shape = (2, 3, 4)
    graph, node = moves.case("slice", [shape], {"begin": [0, 2, 0], "step": [1, -1, 1], "size": list(shape)}, dtype)
    moves.same_as_litert("REVERSE_V2", graph, node, [moves.ints(1)], options("ReverseV2Options"))


@pytest.mark.parametrize("attrs", [
    {"begin": [0, 1, 0, 2], "step": [1, 2, 1, -1], "size": [1, 2, 3, 3]},
    {"begin": [0, 3, 0, 0], "size": [1, 1, 3, 4], "shape": (3, 4)},
])  # fmt: skip
def test_finite_differences(attrs: dict[str, Any]) -> None:
    graph, node = moves.case("slice", [(1, 4, 3, 4)], attrs)
    check_gradients(graph, node, moves.values(graph, node, 1), moves.real(graph, node), ["x0"])


@pytest.mark.parametrize(("attrs", "message"), [
    ({"begin": [0], "size": [1]}, "do not fit"),
    ({"begin": [0, 3], "size": [1, 1]}, "not all in"),
    ({"begin": [0, 1], "step": [1, -1], "size": [1, 3]}, "not all in"),
    ({"begin": [0, 0], "step": [1, 0], "size": [1, 1]}, "not all in"),
    ({"begin": [0, 0], "size": [2, 3], "shape": (4,)}, "do not make"),
])  # fmt: skip
def test_wrong_part(attrs: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        moves.case("slice", [(2, 3)], attrs)


def test_rows() -> None:
    whole = {"begin": [0, 2, 0, 0], "step": [1, 2, 1, 1], "size": [1, 3, 2, 1]}
    assert operator("slice").rows(*moves.case("slice", [(1, 8, 2, 1)], whole), 0, 1) == (2, 4)
    assert operator("slice").rows(*moves.case("slice", [(8, 2)], {"begin": [0, 0], "size": [2, 2]}), 0, 1) is None


def channels(x: Shape, y: Shape, attrs: dict[str, Any]) -> Any:
    graph = Graph("test")
    for name, shape in (("x", x), ("y", y)):
        graph.add(Tensor(name, shape, DType.INT8, quant=cases.QUANT))
    node = Node("channel_slice", ["x"], ["y"], attrs, name="layer")
    infer_outputs(graph, node)
    value = cases.random_int8(0, x)
    return value, cases.same(graph, node, {"x": value})["y"]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.data(), st.booleans())
def test_channel_slice(size: int, count: int, data: st.DataObject, named: bool) -> None:
    k = data.draw(st.integers(1, count))
    x, y = channels((1, size, size, count), (1, size, size, k), {"channels": k} if named else {})
    np.testing.assert_array_equal(y, x[..., :k])


def test_channel_slice_contract() -> None:
    assert operator("channel_slice").rows(Graph("test"), Node("channel_slice", ["x"], ["y"]), 1, 2) == (1, 2)
    with pytest.raises(GraphError, match="channels are not in"):
        channels((2, 3), (2, 4), {})

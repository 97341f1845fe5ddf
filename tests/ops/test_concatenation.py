"""concatenation: C equals NumPy equals LiteRT; the gradient agrees with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import QuantParams, Shape
from kilograd.ops import operator
from tests.ops import cases, moves
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one

quants = st.builds(QuantParams.per_tensor, st.floats(0.005, 0.3), st.integers(-128, 127))


@st.composite
def operands(draw: st.DrawFn) -> tuple[list[Shape], int]:
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    axis = draw(st.integers(0, len(shape) - 1))
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    return [(*shape[:axis], n, *shape[axis + 1 :]) for n in sizes], axis


def concatenation(shapes: list[Shape], axis: int, xs: list[QuantParams], y: QuantParams) -> Any:
    tensors = [cases.activation(f"x{i}", s, q) for i, (s, q) in enumerate(zip(shapes, xs, strict=True))]
    return cases.forward("concatenation", tensors, {"axis": axis}, y)


def values(shapes: list[Shape], seed: int) -> dict[str, Any]:
    return {f"x{i}": cases.random_int8(seed + i, s) for i, s in enumerate(shapes)}


@settings(max_examples=60, deadline=None)
@given(operands(), st.data(), quants, st.integers(0, 999))
def test_forward(case: Any, data: st.DataObject, y: QuantParams, seed: int) -> None:
    shapes, axis = case
    xs = [data.draw(st.one_of(st.just(y), quants)) for _ in shapes]
    graph, node = concatenation(shapes, axis, xs, y)
    cases.same(graph, node, values(shapes, seed))


@needs_litert
@settings(max_examples=30, deadline=None)
@given(operands(), st.data(), quants, st.booleans(), st.integers(0, 999))
def test_forward_equals_litert(case: Any, data: st.DataObject, y: QuantParams, is_unsigned: bool, seed: int) -> None:
    shapes, axis = case
    xs = [data.draw(st.one_of(st.just(y), quants)) if is_unsigned else y for _ in shapes]
    graph, node = concatenation(shapes, axis, xs, y)
    feeds, (kind, shift) = values(shapes, seed), ("uint8", 128) if is_unsigned else ("int8", 0)
    inputs = [Value(s, kind, q.s, q.z + shift) for s, q in zip(shapes, xs, strict=True)]
    given_x = [cases.unsigned(v) if is_unsigned else v for v in feeds.values()]
    result = Value(graph["y"].shape, kind, y.s, y.z + shift)
    want = run_one("CONCATENATION", inputs, result, options("ConcatenationOptions", Axis=axis), given_x)
    np.testing.assert_array_equal(cases.same(graph, node, feeds)["y"], cases.signed(want) if is_unsigned else want)


@pytest.mark.parametrize("axis", [0, 2])
def test_finite_differences(axis: int) -> None:
    shapes: list[Shape] = [tuple(n if i == axis else d for i, d in enumerate((2, 3, 2))) for n in (1, 3, 2)]
    graph, node = concatenation(shapes, axis, [cases.QUANT] * 3, cases.QUANT)
    check_gradients(graph, node, values(shapes, 1), lambda v: np.concatenate(list(v.values()), axis=axis), ["x0", "x2"])


@needs_litert
@settings(max_examples=30, deadline=None)
@given(moves.shapes, st.integers(1, 4), st.data(), moves.types)
def test_pack_equals_litert(shape: Shape, count: int, data: st.DataObject, dtype: str) -> None:
    axis = data.draw(st.integers(0, len(shape)))
    graph, node = moves.case("concatenation", [shape] * count, {"axis": axis, "stack": True}, dtype)
    moves.same_as_litert("PACK", graph, node, [], options("PackOptions", Axis=axis, ValuesCount=count))


@needs_litert
@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_types_equal_litert(dtype: str) -> None:
    graph, node = moves.case("concatenation", [(2, 3), (2, 1)], {"axis": 1}, dtype)
    moves.same_as_litert("CONCATENATION", graph, node, [], options("ConcatenationOptions", Axis=1))


def test_stacked_finite_differences() -> None:
    graph, node = moves.case("concatenation", [(2, 3), (2, 3)], {"axis": 1, "stack": True})
    check_gradients(graph, node, moves.values(graph, node, 1), moves.real(graph, node), ["x0", "x1"])


def test_other_quantization() -> None:
    xs = [cases.activation("a", (2,), QuantParams.per_tensor(0.5, 1))]
    with pytest.raises(GraphError, match="another quantization"):
        cases.forward("concatenation", xs, {"axis": 0, "stack": True})


def test_rows() -> None:
    for axis, rows in ((3, (1, 2)), (1, None)):
        assert operator("concatenation").rows(*concatenation([(1, 4, 4, 2)] * 2, axis, [cases.QUANT] * 2, cases.QUANT), 1, 2) == rows


@pytest.mark.parametrize(("shapes", "axis", "message"), [([(2, 3), (3, 3)], 1, "differ on another axis"), ([(2, 3)], 2, "is no axis")])
def test_wrong_operands(shapes: list[Shape], axis: int, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        concatenation(shapes, axis, [cases.QUANT] * len(shapes), cases.QUANT)

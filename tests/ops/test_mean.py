"""mean and its gradient: C equals NumPy equals LiteRT; the gradient agrees with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import QuantParams, Shape
from kilograd.ops import operator
from kilograd.ops.mean import reciprocal
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one
from tests.ops.reduction_cases import reductions

scales = st.floats(0.005, 0.3)
zeros = st.integers(-128, 127)


def node(shape: Shape, axes: tuple[int, ...], keep: bool, x: QuantParams, y: QuantParams, results: tuple[str, ...] = ("y",)) -> Any:
    return cases.forward("mean", [cases.activation("x", shape, x)], {"axes": axes, "keep_dims": keep}, y, results)


@settings(max_examples=60, deadline=None)
@given(reductions(), st.booleans(), scales, zeros, scales, zeros, st.booleans(), st.integers(0, 999))
def test_forward(case: Any, keep: bool, sx: float, zx: int, sy: float, zy: int, extremes: bool, seed: int) -> None:
    graph, layer = node(*case, keep, QuantParams.per_tensor(sx, zx), QuantParams.per_tensor(sy, zy), ("y", "mask"))
    cases.same(graph, layer, {"x": cases.random_int8(seed, case[0], extremes)})


@needs_litert
@settings(max_examples=40, deadline=None)
@given(reductions(), st.booleans(), scales, zeros, scales, zeros, st.booleans(), st.integers(0, 999))
def test_forward_equals_litert(case: Any, keep: bool, sx: float, zx: int, sy: float, zy: int, is_unsigned: bool, seed: int) -> None:
    shape, axes = case
    graph, layer = node(shape, axes, keep, QuantParams.per_tensor(sx, zx), QuantParams.per_tensor(sy, zy))
    x, (kind, shift) = cases.random_int8(seed, shape), ("uint8", 128) if is_unsigned else ("int8", 0)
    inputs = [Value(shape, kind, sx, zx + shift), Value((len(axes),), "int32", data=np.array(axes, np.int32))]
    result = Value(graph["y"].shape, kind, sy, zy + shift)
    want = run_one("MEAN", inputs, result, options("ReducerOptions", KeepDims=keep), [cases.unsigned(x) if is_unsigned else x])
    np.testing.assert_array_equal(cases.same(graph, layer, {"x": x})["y"], cases.signed(want) if is_unsigned else want)


@settings(max_examples=60, deadline=None)
@given(reductions(), st.booleans(), st.booleans(), st.integers(-20, -5), st.integers(0, 999))
def test_gradient(case: Any, keep: bool, divides: bool, following: int, seed: int) -> None:
    shape, axes = case
    graph, _ = node(shape, axes, keep, cases.QUANT, cases.QUANT)
    cases.backward("mean_grad", graph["y"].shape, shape, {"axes": axes, "divides": divides}, seed, exponents=(-10, following))


@pytest.mark.parametrize("axes", [(1, 2), (0,), (3,), (0, 1, 2, 3)])
def test_finite_differences(axes: tuple[int, ...]) -> None:
    shape = (2, 3, 4, 3)
    graph, layer = node(shape, axes, False, cases.QUANT, QuantParams.per_tensor(0.02, 3))
    check_gradients(graph, layer, {"x": cases.random_int8(5, shape)}, lambda v: np.asarray(v["x"].mean(axis=axes)), ["x"])


@given(st.integers(1, 1 << 23))
def test_reciprocal(count: int) -> None:
    r, shift = reciprocal(count)
    assert 1 << 14 <= r <= 1 << 15
    assert abs(r * count / 2**shift - 1) < 2**-14


def test_clamps_only_with_another_quantization() -> None:
    for y, clamps in ((cases.QUANT, False), (QuantParams.per_tensor(0.01, 0), True)):
        assert operator("mean").can_clamp(*node((2, 3), (0,), False, cases.QUANT, y)) is clamps


@pytest.mark.parametrize(("shape", "axes", "message"), [((2, 3), (2,), "not all axes"), ((1,) * 5, (0,), "at most 4")])
def test_wrong_operands(shape: Shape, axes: tuple[int, ...], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        node(shape, axes, False, cases.QUANT, cases.QUANT)

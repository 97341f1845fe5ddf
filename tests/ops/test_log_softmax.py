"""log_softmax and its gradient: C equals NumPy equals LiteRT (float32: within 2e-6); the gradient agrees with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, QuantParams
from kilograd.ops import operator
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one

RESULT = QuantParams.per_tensor(1 / 16, 127)
scales = st.one_of(st.floats(0.001, 0.5), st.sampled_from([1e-4, 1.0, 4.0]))
CLOSE = 2e-6  # of a float32 result, relative where it is larger than 16


def log_softmax(shape: tuple[int, ...], scale: float) -> Any:
    return cases.forward("log_softmax", [cases.activation("x", shape, QuantParams.per_tensor(scale, 4))], {}, RESULT)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(1, 120), scales, st.booleans(), st.integers(0, 999))
def test_forward(rows: int, depth: int, scale: float, extremes: bool, seed: int) -> None:
    graph, node = log_softmax((rows, depth), scale)
    cases.same(graph, node, {"x": cases.random_int8(seed, (rows, depth), extremes)})


@pytest.mark.parametrize("depth", [511, 2048, 4095])
def test_many_equal_values(depth: int) -> None:
    graph, node = log_softmax((1, depth), 0.1)
    y = cases.same(graph, node, {"x": np.full((1, depth), 3, np.int8)})["y"]
    assert (y == round(127 - 16 * np.log(depth))).all()


@needs_litert
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 300), scales, st.booleans(), st.integers(0, 999))
def test_forward_equals_litert(rows: int, depth: int, scale: float, is_unsigned: bool, seed: int) -> None:
    shape = (rows, depth)
    graph, node = log_softmax(shape, scale)
    x, (kind, shift) = cases.random_int8(seed, shape), ("uint8", 128) if is_unsigned else ("int8", 0)
    feed = cases.unsigned(x) if is_unsigned else x
    operand, result = Value(shape, kind, scale, 4 + shift), Value(shape, kind, 1 / 16, 127 + shift)
    want = run_one("LOG_SOFTMAX", [operand], result, options("LogSoftmaxOptions"), [feed])
    np.testing.assert_array_equal(cases.same(graph, node, {"x": x})["y"], cases.signed(want) if is_unsigned else want)


def in_float(x: Array) -> Array:
    graph, node = cases.forward("log_softmax", [cases.activation("x", x.shape, None, DType.FLOAT32)], {}, None)
    return cases.same(graph, node, {"x": x})["y"]


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 3), st.integers(1, 300), st.sampled_from([1e-6, 0.01, 1.0, 5.0, 40.0, 1e4]), st.integers(0, 999))
def test_float_is_close(rows: int, depth: int, spread: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(0, spread, (rows, depth)).astype(np.float32)
    d = x.astype(np.float64) - x.max(axis=1, keepdims=True)
    want = d - np.log(np.exp(d).sum(axis=1, keepdims=True))
    assert (np.abs(in_float(x) - want) <= CLOSE * np.maximum(1, np.abs(want) / 16)).all()


@needs_litert
@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 300), st.sampled_from([0.01, 1.0, 5.0]), st.integers(0, 999))
def test_float_is_close_to_litert(rows: int, depth: int, spread: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(0, spread, (rows, depth)).astype(np.float32)
    want = run_one("LOG_SOFTMAX", [Value(x.shape, "float32")], Value(x.shape, "float32"), options("LogSoftmaxOptions"), [x])
    assert (np.abs(in_float(x) - want) <= CLOSE * np.maximum(1, np.abs(want) / 16)).all()


def test_float_extremes() -> None:
    big = np.finfo(np.float32).max
    y = in_float(np.array([[big, -big, 0.0], [0.0, -np.inf, 1e-45], [7.0, 7.0, -300.0]], np.float32))
    assert y[0, 0] == 0 and y[0, 1] == -np.inf and y[1, 1] == -np.inf
    np.testing.assert_allclose(y[2], [-np.log(2), -np.log(2), -307 - np.log(2)], rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 100), st.integers(-20, -5), st.booleans(), st.integers(0, 999))
def test_gradient(rows: int, depth: int, following: int, extremes: bool, seed: int) -> None:
    shape = (rows, depth)
    saved = (cases.activation("y", shape, RESULT), cases.random_int8(seed + 1, shape, extremes))
    cases.backward("log_softmax_grad", shape, shape, {}, seed, [saved], exponents=(-10, following))


def test_gradient_saturates() -> None:
    shape = (1, 4095)
    saved = (cases.activation("y", shape, RESULT), np.full(shape, 127, np.int8))
    cases.backward("log_softmax_grad", shape, shape, {}, 3, [saved])


def test_finite_differences() -> None:
    graph, node = log_softmax((2, 5), 0.02)
    x = cases.random_int8(1, (2, 5))
    values = {"x": x, "y": cases.same(graph, node, {"x": x})["y"]}
    check_gradients(graph, node, values, lambda v: operator("log_softmax").real(graph, node, [v["x"]])[0], ["x"], tolerance=0.03)


@pytest.mark.parametrize(("shape", "scale", "result", "message"), [
    ((1, 5000), 0.1, RESULT, "1 to 4095 values"),
    ((1, 5), 1e-9, RESULT, "too small"),
    ((1, 5), 0.1, QuantParams.per_tensor(0.01, 127), "scale 1/16"),
])  # fmt: skip
def test_wrong_operands(shape: tuple[int, ...], scale: float, result: QuantParams, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        cases.forward("log_softmax", [cases.activation("x", shape, QuantParams.per_tensor(scale, 0))], {}, result)

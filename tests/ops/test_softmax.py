"""softmax and its gradient: C equals NumPy equals LiteRT; the gradient agrees with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams
from kilograd.ops.base import infer_outputs
from kilograd.ops.softmax import exp_table
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one

RESULT = QuantParams.per_tensor(1 / 256, -128)
betas = st.sampled_from([1.0, 0.5, 2.0, 0.37])
scales = st.one_of(st.floats(0.0005, 0.5), st.sampled_from([1e-5, 4.0, 1000.0]))


def softmax(shape: tuple[int, ...], scale: float, beta: float) -> Any:
    return cases.forward("softmax", [cases.activation("x", shape, QuantParams.per_tensor(scale, 4))], {"beta": beta}, RESULT)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(1, 120), scales, betas, st.booleans(), st.integers(0, 999))
def test_forward(rows: int, depth: int, scale: float, beta: float, extremes: bool, seed: int) -> None:
    graph, node = softmax((rows, depth), scale, beta)
    cases.same(graph, node, {"x": cases.random_int8(seed, (rows, depth), extremes)})


@pytest.mark.parametrize("depth", [513, 2048, 4095])
def test_many_equal_values(depth: int) -> None:
    """The reciprocal has as many bits above the unit as the sum; LiteRT stops the program from 512 full exponentials on."""
    graph, node = softmax((1, depth), 0.1, 1.0)
    assert (cases.same(graph, node, {"x": np.full((1, depth), 3, np.int8)})["y"] == -128).all()


@needs_litert
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 300), scales, betas, st.booleans(), st.integers(0, 999))
def test_forward_equals_litert(rows: int, depth: int, scale: float, beta: float, is_unsigned: bool, seed: int) -> None:
    shape = (rows, depth)
    graph, node = softmax(shape, scale, beta)
    x, (kind, shift) = cases.random_int8(seed, shape), ("uint8", 128) if is_unsigned else ("int8", 0)
    given_x = cases.unsigned(x) if is_unsigned else x
    result = Value(shape, kind, 1 / 256, -128 + shift)
    want = run_one("SOFTMAX", [Value(shape, kind, scale, 4 + shift)], result, options("SoftmaxOptions", Beta=beta), [given_x])
    np.testing.assert_array_equal(cases.same(graph, node, {"x": x})["y"], cases.signed(want) if is_unsigned else want)


@needs_litert
@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 300), scales, betas, st.booleans(), st.integers(0, 999))
def test_int8_to_int16_equals_litert(rows: int, depth: int, scale: float, beta: float, is_unsigned: bool, seed: int) -> None:
    shape, q = (rows, depth), QuantParams.per_tensor(1 / 65536, -32768)
    x, (kind, shift) = cases.random_int8(seed, shape), ("uint8", 128) if is_unsigned else ("int8", 0)
    operand, result = Value(shape, kind, scale, 4 + shift), Value(shape, "int16", q.s, q.z)
    want = run_one("SOFTMAX", [operand], result, options("SoftmaxOptions", Beta=beta), [cases.unsigned(x) if is_unsigned else x])
    np.testing.assert_array_equal(to_int16(x, QuantParams.per_tensor(scale, 4), q, beta), want)


@needs_litert
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 300), st.floats(1e-6, 1e-2), betas, st.booleans(), st.integers(0, 999))
def test_int16_equals_litert(rows: int, depth: int, scale: float, beta: float, extremes: bool, seed: int) -> None:
    shape, y = (rows, depth), QuantParams.per_tensor(1 / 32768, 0)
    rng = np.random.default_rng(seed)
    x = rng.choice([-32768, 32767], shape) if extremes else rng.integers(-32768, 32768, shape)
    x = x.astype(np.int16)
    operand, result = Value(shape, "int16", scale, 0), Value(shape, "int16", y.s, y.z)
    want = run_one("SOFTMAX", [operand], result, options("SoftmaxOptions", Beta=beta), [x])
    np.testing.assert_array_equal(to_int16(x, QuantParams.per_tensor(scale, 0), y, beta), want)


def to_int16(x: Array, x_quant: QuantParams, y_quant: QuantParams, beta: float) -> Array:
    """C, which equals NumPy, for an int16 result."""
    graph, node = Graph("test"), Node("softmax", ["x"], ["y"], {"beta": beta}, "layer")
    graph.add(cases.activation("x", x.shape, x_quant, DType(x.dtype.name)))
    graph.add(cases.activation("y", x.shape, y_quant, DType.INT16))
    infer_outputs(graph, node)
    graph.nodes.append(node)
    return cases.same(graph, node, {"x": x})["y"]


def test_int16_depth() -> None:
    x = np.zeros((1, 65535), np.int16)
    assert (to_int16(x, QuantParams.per_tensor(1e-3, 0), QuantParams.per_tensor(1 / 32768, 0), 1.0) <= 1).all()


def test_table_is_the_exponential() -> None:
    np.testing.assert_allclose(exp_table(0.03, 1.0) / 2.0**31, np.exp(-0.03 * np.arange(256)), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(1, 100), st.sampled_from([1.0, 0.25, 4.0]), st.integers(-20, -5), st.booleans(), st.integers(0, 999))
def test_gradient(rows: int, depth: int, beta: float, following: int, extremes: bool, seed: int) -> None:
    shape = (rows, depth)
    saved = (cases.activation("y", shape, RESULT), cases.random_int8(seed + 1, shape, extremes))
    cases.backward("softmax_grad", shape, shape, {"beta": beta}, seed, [saved], exponents=(-10, following))


def test_gradient_saturates() -> None:
    shape = (1, 4095)
    saved = (cases.activation("y", shape, RESULT), np.full(shape, 127, np.int8))
    cases.backward("softmax_grad", shape, shape, {"beta": 1.0}, 3, [saved])


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_finite_differences(beta: float) -> None:
    shape, quant = (2, 5), QuantParams.per_tensor(0.02, 4)
    graph, node = cases.forward("softmax", [cases.activation("x", shape, quant)], {"beta": beta}, RESULT)
    x = cases.random_int8(1, shape)

    def real(values: dict[str, Any]) -> Any:
        e = np.exp(beta * values["x"])
        return e / e.sum(axis=-1, keepdims=True)

    check_gradients(graph, node, {"x": x, "y": cases.same(graph, node, {"x": x})["y"]}, real, ["x"], tolerance=0.03)


@pytest.mark.parametrize(("shape", "scale", "result", "message"), [
    ((1, 5000), 0.1, RESULT, "1 to 4095 values"),
    ((1, 5), 1e-9, RESULT, "too small"),
    ((1, 5), 0.1, QuantParams.per_tensor(0.01, -128), "scale 1/256"),
])  # fmt: skip
def test_wrong_operands(shape: tuple[int, ...], scale: float, result: QuantParams, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        cases.forward("softmax", [cases.activation("x", shape, QuantParams.per_tensor(scale, 0))], {"beta": 1.0}, result)


def test_gradient_needs_a_power_of_two() -> None:
    with pytest.raises(GraphError, match="no power of two"):
        saved = (cases.activation("y", (1, 4), RESULT), np.zeros((1, 4), np.int8))
        cases.backward("softmax_grad", (1, 4), (1, 4), {"beta": 0.3}, 0, [saved])

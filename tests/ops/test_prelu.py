"""prelu: C equals NumPy equals LiteRT; the gradient agrees with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Kind, QuantParams, Shape, Tensor
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, run_one
from tests.ops.table_cases import quants

SHAPE = (2, 3, 4, 5)
periods = st.sampled_from([(5,), (1, 1, 5), (1,), (4, 5), (3, 4, 5)])


def prelu(x: QuantParams, alpha: QuantParams, y: QuantParams, slopes: Array, results: tuple[str, ...] = ("y",)) -> Any:
    constant = Tensor("alpha", slopes.shape, DType.INT8, Kind.CONST, alpha, slopes)
    return cases.forward("prelu", [cases.activation("x", SHAPE, x), constant], {}, y, results)


@settings(max_examples=40, deadline=None)
@given(quants, quants, quants, periods, st.booleans(), st.integers(0, 999))
def test_forward(x: QuantParams, alpha: QuantParams, y: QuantParams, period: Shape, extremes: bool, seed: int) -> None:
    graph, node = prelu(x, alpha, y, cases.random_int8(seed, period, extremes), ("y", "mask"))
    cases.same(graph, node, {"x": cases.random_int8(seed + 1, SHAPE, extremes)})


@needs_litert
@settings(max_examples=40, deadline=None)
@given(quants, quants, quants, st.sampled_from([(1, 1, 5), (1, 4, 5), (3, 4, 5)]), st.booleans(), st.integers(0, 999))
def test_forward_equals_litert(x: QuantParams, alpha: QuantParams, y: QuantParams, period: Shape, is_unsigned: bool, seed: int) -> None:
    slopes, values = cases.random_int8(seed, period), cases.random_int8(seed + 1, SHAPE)
    graph, node = prelu(x, alpha, y, slopes)
    kind, shift = ("uint8", 128) if is_unsigned else ("int8", 0)
    content, feed = (cases.unsigned(slopes), cases.unsigned(values)) if is_unsigned else (slopes, values)
    operands = [Value(SHAPE, kind, x.s, x.z + shift), Value(period, kind, alpha.s, alpha.z + shift, content)]
    want = run_one("PRELU", operands, Value(SHAPE, kind, y.s, y.z + shift), None, [feed])
    np.testing.assert_array_equal(cases.same(graph, node, {"x": values})["y"], cases.signed(want) if is_unsigned else want)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([1, 3, 9]), st.integers(-20, 10), st.integers(-20, -5), st.booleans(), st.integers(0, 999))
def test_gradient(period: int, unit: int, following: int, extremes: bool, seed: int) -> None:
    rng, shape = np.random.default_rng(seed), (4, 9)
    attrs = {"slopes": rng.integers(-32767, 32768, period).astype(np.int16), "one": 1 << 14, "unit": unit, "x_zero": 3}
    saved = (cases.activation("x", shape), cases.random_int8(seed + 1, shape, extremes))
    cases.backward("prelu_grad", shape, shape, attrs, seed, [saved], exponents=(-10, following))


def test_finite_differences() -> None:
    slopes = np.array([-30, 0, 20, 60, 127], np.int8)
    graph, node = prelu(QuantParams.per_tensor(0.05, 4), QuantParams.per_tensor(0.02, 3), QuantParams.per_tensor(0.1, -20), slopes)
    x = (np.random.default_rng(1).integers(-31, 31, SHAPE) * 4 + 2).astype(np.int8)  # none at the kink
    x[x == 4] = 6
    check_gradients(graph, node, {"x": x, "alpha": slopes}, lambda v: np.where(v["x"] < 0, v["x"] * v["alpha"], v["x"]), ["x"])


@pytest.mark.parametrize("period", [(4,), (4, 1), (2, 2, 3, 4, 5)])
def test_alpha_must_repeat(period: Shape) -> None:
    with pytest.raises(GraphError, match="does not repeat"):
        prelu(cases.QUANT, cases.QUANT, cases.QUANT, np.zeros(period, np.int8))


def test_alpha_must_be_constant() -> None:
    with pytest.raises(GraphError, match="must be a constant"):
        cases.forward("prelu", [cases.activation("x", SHAPE), cases.activation("alpha", (5,))], {})

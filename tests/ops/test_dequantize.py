"""dequantize: C equals NumPy equals LiteRT; the error passes unchanged."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import DType, QuantParams
from kilograd.ops import operator
from kilograd.train.autodiff import GradientBuilder
from tests.ops import cases
from tests.ops.finite_difference import OneNodeBuilder, check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one
from tests.ops.table_cases import ALL, all16

quants = st.builds(QuantParams.per_tensor, st.one_of(st.floats(0.005, 0.3), st.sampled_from([2e-38, 3e38])), st.integers(-128, 127))


def dequantize(x: QuantParams) -> Any:
    return cases.forward("dequantize", [cases.activation("x", ALL.shape, x)], {}, None)


@settings(max_examples=60, deadline=None)
@given(quants)
def test_forward(x: QuantParams) -> None:
    with np.errstate(over="ignore"):
        cases.same(*dequantize(x), {"x": ALL})


@needs_litert
@settings(max_examples=30, deadline=None)
@given(st.floats(0.005, 0.3), st.integers(-128, 127), st.booleans())
def test_forward_equals_litert(scale: float, zero: int, is_unsigned: bool) -> None:
    kind, shift = ("uint8", 128) if is_unsigned else ("int8", 0)
    feed = cases.unsigned(ALL) if is_unsigned else ALL
    x, y = Value(ALL.shape, kind, scale, zero + shift), Value(ALL.shape, "float32")
    want = run_one("DEQUANTIZE", [x], y, options("DequantizeOptions"), [feed])
    np.testing.assert_array_equal(cases.same(*dequantize(QuantParams.per_tensor(scale, zero)), {"x": ALL})["y"], want)


@needs_litert
@settings(max_examples=10, deadline=None)
@given(st.floats(1e-5, 0.3))
def test_int16_equals_litert(scale: float) -> None:
    values = all16()
    graph, node = cases.forward(
        "dequantize", [cases.activation("x", values.shape, QuantParams.per_tensor(scale, 0), DType.INT16)], {}, None
    )
    operand, result = Value(values.shape, "int16", scale, 0), Value(values.shape, "float32")
    want = run_one("DEQUANTIZE", [operand], result, options("DequantizeOptions"), [values])
    np.testing.assert_array_equal(cases.same(graph, node, {"x": values})["y"], want)


def test_float_already() -> None:
    with pytest.raises(GraphError, match="float32 already"):
        cases.forward("dequantize", [cases.activation("x", (4,), None, DType.FLOAT32)], {}, None)


def test_the_error_is_shared() -> None:
    """Errors are in real units and the result is the real value: the derivative is 1."""
    graph, node = dequantize(cases.QUANT)
    cases.error(graph, "gy", ALL.shape)
    builder = OneNodeBuilder(graph, {}, "gy", ["x"])
    operator("dequantize").backward(cast(GradientBuilder, builder), node)
    assert builder.errors == {"x": ["gy"]} and not builder.nodes


def test_finite_differences() -> None:
    graph, node = dequantize(cases.QUANT)
    check_gradients(graph, node, {"x": ALL}, lambda v: v["x"], ["x"])


def test_wrong_scale() -> None:
    with pytest.raises(GraphError, match="positive normal"):
        dequantize(QuantParams.per_tensor(0.0, 0))

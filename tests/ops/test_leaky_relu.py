"""leaky_relu: C equals NumPy equals LiteRT for every int8; the gradient agrees with finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import NoBackwardRule
from kilograd.ir.graph import DType, QuantParams
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import needs_litert, options
from tests.ops.table_cases import check_forward, check_litert, check_litert16, check_table_gradient, quants, wide_quants


@settings(max_examples=40, deadline=None)
@given(quants, quants)
def test_forward(x: QuantParams, y: QuantParams) -> None:
    check_forward("leaky_relu", x, y, {"alpha": 0.1})


@needs_litert
@settings(max_examples=40, deadline=None)
@given(quants, quants, st.booleans())
def test_forward_equals_litert(x: QuantParams, y: QuantParams, is_unsigned: bool) -> None:
    check_litert("leaky_relu", "LEAKY_RELU", x, y, is_unsigned, options("LeakyReluOptions", Alpha=0.1), attrs={"alpha": 0.1})


@needs_litert
@settings(max_examples=10, deadline=None)
@given(wide_quants, wide_quants)
def test_int16_equals_litert(x: QuantParams, y: QuantParams) -> None:
    check_litert16("leaky_relu", "LEAKY_RELU", x, y, options("LeakyReluOptions", Alpha=0.1), attrs={"alpha": 0.1})


def test_finite_differences() -> None:
    check_table_gradient("leaky_relu", QuantParams.per_tensor(0.05, 4), QuantParams.per_tensor(0.04, -90), {"alpha": 0.1})


@needs_litert
@settings(max_examples=20, deadline=None)
@given(quants, quants, st.floats(-2, 2, width=32))
def test_any_alpha_equals_litert(x: QuantParams, y: QuantParams, alpha: float) -> None:
    check_litert("leaky_relu", "LEAKY_RELU", x, y, False, options("LeakyReluOptions", Alpha=alpha), attrs={"alpha": alpha})


def test_no_gradient_through_int16() -> None:
    graph, node = cases.forward("leaky_relu", [cases.activation("x", (4,), cases.QUANT, DType.INT16)], {"alpha": 0.1})
    values = {"x": np.zeros(4, np.int16)}
    with pytest.raises(NoBackwardRule, match="is int16 and errors are int8"):
        check_gradients(graph, node, values, lambda v: v["x"], ["x"])

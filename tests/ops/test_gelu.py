"""gelu: C equals NumPy equals LiteRT for every int8; the gradient agrees with finite differences."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import QuantParams
from tests.ops.litert_model import needs_litert, options
from tests.ops.table_cases import check_forward, check_litert, check_table_gradient, quants


@settings(max_examples=40, deadline=None)
@given(quants, quants)
def test_forward(x: QuantParams, y: QuantParams) -> None:
    check_forward("gelu", x, y, {"approximate": False})


@needs_litert
@settings(max_examples=40, deadline=None)
@given(quants, quants, st.booleans())
def test_forward_equals_litert(x: QuantParams, y: QuantParams, is_unsigned: bool) -> None:
    check_litert("gelu", "GELU", x, y, is_unsigned, options("GeluOptions", Approximate=False), attrs={"approximate": False})


def test_finite_differences() -> None:
    check_table_gradient("gelu", QuantParams.per_tensor(0.03, 4), QuantParams.per_tensor(0.03, -118), {"approximate": False})


@needs_litert
@settings(max_examples=20, deadline=None)
@given(quants, quants)
def test_approximate_equals_litert(x: QuantParams, y: QuantParams) -> None:
    check_litert("gelu", "GELU", x, y, False, options("GeluOptions", Approximate=True), attrs={"approximate": True})


def test_finite_differences_of_the_approximation() -> None:
    check_table_gradient("gelu", QuantParams.per_tensor(0.03, 4), QuantParams.per_tensor(0.03, -118), {"approximate": True})

"""abs: C equals NumPy equals LiteRT for every int8; the gradient agrees with finite differences."""

from __future__ import annotations

from hypothesis import given, settings

from kilograd.ir.graph import QuantParams
from tests.ops.litert_model import needs_litert
from tests.ops.table_cases import check_forward, check_litert, check_litert16, check_table_gradient, quants, wide_quants


@settings(max_examples=40, deadline=None)
@given(quants, quants)
def test_forward(x: QuantParams, y: QuantParams) -> None:
    check_forward("abs", x, y)


@needs_litert
@settings(max_examples=40, deadline=None)
@given(quants, quants)
def test_forward_equals_litert(x: QuantParams, y: QuantParams) -> None:
    check_litert("abs", "ABS", x, y, False)


@needs_litert
@settings(max_examples=10, deadline=None)
@given(wide_quants, wide_quants)
def test_int16_equals_litert(x: QuantParams, y: QuantParams) -> None:
    check_litert16("abs", "ABS", x, y)


def test_finite_differences() -> None:
    check_table_gradient("abs", QuantParams.per_tensor(0.05, 4), QuantParams.per_tensor(0.04, -128))

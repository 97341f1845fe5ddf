"""hard_swish: C equals NumPy equals LiteRT for every int8; the gradient agrees with finite differences."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import QuantParams
from tests.ops.litert_model import needs_litert
from tests.ops.table_cases import check_forward, check_litert, check_table_gradient, quants


@settings(max_examples=40, deadline=None)
@given(quants, quants)
def test_forward(x: QuantParams, y: QuantParams) -> None:
    check_forward("hard_swish", x, y)


@needs_litert
@settings(max_examples=40, deadline=None)
@given(quants, quants, st.booleans())
def test_forward_equals_litert(x: QuantParams, y: QuantParams, is_unsigned: bool) -> None:
    check_litert("hard_swish", "HARD_SWISH", x, y, is_unsigned)


def test_finite_differences() -> None:
    check_table_gradient("hard_swish", QuantParams.per_tensor(0.04, 4), QuantParams.per_tensor(0.04, -118))

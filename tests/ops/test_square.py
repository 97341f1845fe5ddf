"""square: C equals NumPy and is the nearest integer of the real function; the gradient agrees with finite differences."""

from __future__ import annotations

from hypothesis import given, settings

from kilograd.ir.graph import QuantParams
from tests.ops.table_cases import check_forward, check_rounded, check_table_gradient, quants


@settings(max_examples=40, deadline=None)
@given(quants, quants)
def test_forward(x: QuantParams, y: QuantParams) -> None:
    check_forward("square", x, y)


@settings(max_examples=40, deadline=None)
@given(quants, quants)
def test_forward_is_the_nearest_integer(x: QuantParams, y: QuantParams) -> None:
    check_rounded("square", x, y)


def test_finite_differences() -> None:
    check_table_gradient("square", QuantParams.per_tensor(0.02, 4), QuantParams.per_tensor(0.03, -128))

"""neg: C equals NumPy and is the nearest integer of the real function; the gradient agrees with finite differences."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import QuantParams
from tests.ops.litert_model import needs_litert
from tests.ops.table_cases import all16, check_forward, check_litert, check_rounded, check_table_gradient, quants, run16, wide_quants


@settings(max_examples=40, deadline=None)
@given(quants, quants)
def test_forward(x: QuantParams, y: QuantParams) -> None:
    check_forward("neg", x, y)


@settings(max_examples=40, deadline=None)
@given(quants, quants)
def test_forward_is_the_nearest_integer(x: QuantParams, y: QuantParams) -> None:
    check_rounded("neg", x, y, within=0.75)


def test_finite_differences() -> None:
    check_table_gradient("neg", QuantParams.per_tensor(0.05, 4), QuantParams.per_tensor(0.05, -3))


@needs_litert
@settings(max_examples=10, deadline=None)
@given(st.floats(0.005, 0.3))
def test_equals_litert_where_it_is_defined(scale: float) -> None:
    """LiteRT negates stored integers: the negation for equal scales and zero points 0, but for -128, which it leaves as it is."""
    q = QuantParams.per_tensor(scale, 0)
    check_litert("neg", "NEG", q, q, False, lowest=-127)


@settings(max_examples=10, deadline=None)
@given(wide_quants, wide_quants)
def test_int16(x: QuantParams, y: QuantParams) -> None:
    want = np.clip(-all16().astype(np.int64) * x.s / y.s, -32768, 32767)
    assert np.abs(run16("neg", x, y, all16()) - want).max() < 0.76

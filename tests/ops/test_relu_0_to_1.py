"""relu_0_to_1: C equals NumPy equals LiteRT for every int8; the gradient agrees with finite differences."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import QuantParams
from tests.ops.litert_model import needs_litert
from tests.ops.table_cases import all16, check_forward, check_litert, check_table_gradient, quants, run16


@settings(max_examples=40, deadline=None)
@given(quants, quants)
def test_forward(x: QuantParams, y: QuantParams) -> None:
    check_forward("relu_0_to_1", x, y)


@needs_litert
@settings(max_examples=40, deadline=None)
@given(quants, quants, st.booleans())
def test_forward_equals_litert(x: QuantParams, y: QuantParams, is_unsigned: bool) -> None:
    check_litert("relu_0_to_1", "RELU_0_TO_1", x, y, is_unsigned)


def test_finite_differences() -> None:
    check_table_gradient("relu_0_to_1", QuantParams.per_tensor(0.02, 3), QuantParams.per_tensor(0.01, -20))


def test_int16() -> None:
    x, y = QuantParams.per_tensor(1 / 16384, 0), QuantParams.per_tensor(1 / 20000, 0)
    want = np.clip(all16() / 16384, 0, 1) * 20000
    assert np.abs(run16("relu_0_to_1", x, y, all16()) - want).max() < 0.76

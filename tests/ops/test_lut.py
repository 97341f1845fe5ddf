"""lut_grad: C equals NumPy for tables of any size of slope; slope tables keep the bits that the largest leaves."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ops.lut import INPUTS, slope_table
from tests.ops import cases


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(-30, 20), st.integers(-20, -5), st.booleans(), st.integers(0, 999))
def test_gradient(count: int, unit: int, following: int, extremes: bool, seed: int) -> None:
    table = np.random.default_rng(seed).integers(-32767, 32768, 256).astype(np.int16)
    saved = (cases.activation("y", (count,)), cases.random_int8(seed + 1, (count,), extremes))
    cases.backward("lut_grad", (count,), (count,), {"table": table, "unit": unit}, seed, [saved], exponents=(-10, following))


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-9, 1e9), st.sampled_from([-1.0, 1.0]))
def test_slope_table(largest: float, sign: float) -> None:
    slopes = sign * largest * (INPUTS + 128) / 255
    table, unit = slope_table(slopes)
    assert 1 << 13 <= np.abs(table.astype(int)).max() <= 32767
    np.testing.assert_allclose(table * 2.0**unit, slopes, atol=2.0**unit)


def test_no_slope_at_all() -> None:
    table, unit = slope_table(np.zeros(256))
    assert not table.any() and -64 <= unit <= 64

"""Ranges found from histograms."""

from __future__ import annotations

import numpy as np
import pytest

from kilograd.quantize import QuantizeConfig
from kilograd.quantize.observe import BINS, Statistics, find_range, round_trip


def seen(values: np.ndarray) -> Statistics:
    low, high = float(values.min()), float(values.max())
    s = Statistics(low, high, np.array([low]), np.array([high]), np.array([values.sum()]), values.size)
    s.histogram += np.histogram(values, BINS, (low, high))[0]
    return s


def error(values: np.ndarray, low: float, high: float) -> float:
    return float(np.mean((round_trip(values, low, high) - values) ** 2))


@pytest.fixture
def tail() -> np.ndarray:
    """A rectified Gaussian with a few values far out."""
    rng = np.random.default_rng(0)
    return np.concatenate([np.maximum(rng.normal(0, 1, 200_000), 0), [40.0, 55.0]])


def test_minmax_keeps_everything_and_contains_zero(tail: np.ndarray) -> None:
    assert find_range(seen(tail), QuantizeConfig(method="minmax")) == (0.0, 55.0)
    assert find_range(seen(tail + 1), QuantizeConfig(method="minmax"))[0] == 0.0


def test_percentile_leaves_out_the_share_it_names(tail: np.ndarray) -> None:
    low, high = find_range(seen(tail), QuantizeConfig(method="percentile", percentile=99.9))
    assert low == 0.0 and abs(high - np.quantile(tail, 0.999)) < 2 * 55 / BINS


def test_least_squares_is_no_worse_than_minmax(tail: np.ndarray) -> None:
    for values in (tail, np.random.default_rng(1).standard_t(4, 100_000), np.random.default_rng(2).uniform(-3, 1, 50_000)):
        low, high = find_range(seen(values), QuantizeConfig(method="mse"))
        assert low <= 0 <= high and error(values, low, high) <= error(values, min(values.min(), 0), values.max()) * 1.01
    low, high = find_range(seen(tail), QuantizeConfig(method="mse"))
    assert high < 50 and error(tail, low, high) < 0.95 * error(tail, 0, 55)


def test_entropy_cuts_far_tails_and_keeps_uniform_values(tail: np.ndarray) -> None:
    assert find_range(seen(tail), QuantizeConfig(method="entropy"))[1] < 40
    low, high = find_range(seen(np.random.default_rng(2).uniform(0, 1, 50_000)), QuantizeConfig(method="entropy"))
    assert low == 0.0 and high > 0.85


def test_a_constant_tensor_has_a_range() -> None:
    for method in ("minmax", "percentile", "mse", "entropy"):
        assert find_range(seen(np.zeros(10)), QuantizeConfig(method=method)) == (0.0, 0.0)  # type: ignore[arg-type]

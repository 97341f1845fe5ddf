"""Calibration data: what stored numbers mean, and refusals that say what to give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kilograd.errors import DataError
from kilograd.quantize.data import DataRule, calibration_samples

SHAPE = (1, 4, 4, 3)


def write(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path / "d.npz", **arrays)  # type: ignore[arg-type]
    return path / "d.npz"


def test_integers_with_scale_and_zero_from_options_or_file(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(-128, 128, (6, 4, 4, 3), dtype=np.int8)
    got, note = calibration_samples(write(tmp_path, x=x), SHAPE, DataRule(scale=0.5, zero=-3))
    np.testing.assert_array_equal(got, (x.astype(np.float32) + 3) * 0.5)
    assert "0.5 * (stored - -3)" in note
    again, _ = calibration_samples(write(tmp_path, x=x, data_scale=np.float32(0.5), data_zero=np.int32(-3)), SHAPE, DataRule())
    np.testing.assert_array_equal(got, again)


def test_images_are_normalised_by_mean_and_deviation(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    got, _ = calibration_samples(write(tmp_path, x_train=x), SHAPE, DataRule(mean=(1.0, 2.0, 3.0), std=(127.5,)))
    np.testing.assert_allclose(got, (x - np.array([1, 2, 3], np.float32)) / np.float32(127.5), rtol=1e-6)


def test_images_of_another_size_are_resized(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    got, note = calibration_samples(write(tmp_path, x=np.full((2, 9, 9, 3), 51, np.uint8)), SHAPE, DataRule(std=(255.0,)))
    assert got.shape == (2, 4, 4, 3) and np.allclose(got, 0.2) and "resized" in note


def test_samples_that_are_tests_are_left_out(tmp_path: Path) -> None:
    x = np.arange(4 * 48, dtype=np.float32).reshape(4, 4, 4, 3)
    got, _ = calibration_samples(write(tmp_path, x=x, is_test=np.array([True, False, True, False])), SHAPE, DataRule())
    np.testing.assert_array_equal(got, x[1::2])


@pytest.mark.parametrize(
    ("arrays", "rule", "text"),
    [
        ({"x": np.zeros((2, 4, 4, 3), np.uint8)}, DataRule(), "--mean and --std"),
        ({"x": np.zeros((2, 4, 4, 3), np.int8)}, DataRule(), "--data-scale"),
        ({"x": np.zeros((2, 4, 4, 3), np.int8)}, DataRule(zero=3), "--data-zero needs --data-scale"),
        ({"x": np.zeros((2, 4, 4, 3), np.int8)}, DataRule(scale=0.0), "must be positive"),
        ({"x": np.zeros((2, 5, 4, 3), np.float32)}, DataRule(), r"shape \[5, 4, 3\], the model reads \[4, 4, 3\]"),
        ({"x": np.zeros((0, 4, 4, 3), np.float32)}, DataRule(), "no samples"),
        ({"x": np.full((2, 4, 4, 3), np.nan, np.float32)}, DataRule(), "NaN"),
        ({"x": np.zeros((2, 4, 4, 3), np.float32)}, DataRule(mean=(1.0, 2.0)), "--mean has 2 numbers"),
        ({"x": np.zeros((2, 4, 4, 3), np.float32)}, DataRule(std=(0.0,)), "--std must be positive"),
        ({"images": np.zeros((2, 4, 4, 3), np.float32)}, DataRule(), "calibration reads x_train"),
    ],
)
def test_refusals(tmp_path: Path, arrays: dict[str, np.ndarray], rule: DataRule, text: str) -> None:
    with pytest.raises(DataError, match=text):
        calibration_samples(write(tmp_path, **arrays), SHAPE, rule)

"""Data files: what is accepted, how it is converted, and that everything else is refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kilograd import data
from kilograd.data import InputSpec, byte_rule, convert, load_dataset
from kilograd.errors import DataError
from kilograd.ir.graph import DType, QuantParams

IMAGE = InputSpec((1, 4, 4, 3), DType.INT8, QuantParams.per_tensor(1 / 255, -128))
VECTOR = InputSpec((1, 6), DType.INT8, QuantParams.per_tensor(0.5, 3))


def write(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def plain(n: int = 4) -> dict[str, Any]:
    x = np.arange(n * 6, dtype=np.int8).reshape(n, 6)
    return {"x_train": x, "y_train": np.arange(n) % 3, "x_test": x, "y_test": np.arange(n) % 3}


def test_four_arrays(tmp_path: Path) -> None:
    found = load_dataset(write(tmp_path / "d.npz", **plain()), VECTOR, 3)
    assert found.x_train.dtype == np.int8 and found.y_train.dtype == np.int32 and found.classes == 3
    assert found.description == "4 samples to train, 4 to test: int8 values taken as they are"


def test_flag(tmp_path: Path) -> None:
    content = plain()
    path = write(tmp_path / "d.npz", x=content["x_train"], y=content["y_train"], is_test=np.array([0, 1, 0, 0], bool))
    found = load_dataset(path, VECTOR)
    assert len(found.x_train) == 3 and found.x_test.tolist() == [content["x_train"][1].tolist()]


def test_no_labels_needed(tmp_path: Path) -> None:
    content = {k: v for k, v in plain().items() if k.startswith("x")}
    assert load_dataset(write(tmp_path / "d.npz", **content), VECTOR, labels=False).y_train.size == 0
    with pytest.raises(DataError, match="missing"):
        load_dataset(tmp_path / "d.npz", VECTOR)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.full((4, 6), np.nan, np.float32)}, "24 values that are NaN"),
        ({"x_train": np.full((4, 6), np.inf, np.float32)}, "infinite"),
        ({"y_train": np.array([0, 1, 2, 3])}, r"labels 0..3.*--classes 4"),
        ({"y_test": np.array([0, -1, 2, 1])}, "labels -1..2"),
        ({"y_test": np.array([0.0, 1, 2, 1])}, "labels are integers"),
        ({"y_test": np.array([0, 1, 2])}, "one label a sample"),
        ({"x_train": np.zeros((4, 7), np.int8)}, "samples of shape .7., the model reads .6."),
        ({"x_train": np.zeros((0, 6), np.int8), "y_train": np.zeros(0, int)}, "train set is empty"),
        ({"x_test": np.zeros((4, 6), np.int64)}, "type int64"),
        ({"x_test": np.zeros((4, 5, 5, 3), np.uint8)}, "cannot be resized"),
        ({"x_test": np.array(["a"] * 24).reshape(4, 6)}, "type <U1"),
    ],
)
def test_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(write(tmp_path / "d.npz", **{**plain(), **change}), VECTOR, 3)


def test_files_that_are_no_data(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "pickle.npz", x_train=np.array([{}, 1], dtype=object))
    np.savez(tmp_path / "names.npz", images=np.zeros(3))
    whole = write(tmp_path / "whole.npz", **plain()).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("text.npz", "empty.npz", "one.npy", "pickle.npz", "names.npz", "cut.npz", "absent.npz"):
        with pytest.raises(DataError, match=name):
            load_dataset(tmp_path / name, VECTOR)
    with pytest.raises(DataError, match="different lengths"):
        load_dataset(write(tmp_path / "l.npz", x=np.zeros((4, 6), np.int8), y=np.zeros(4, int), is_test=np.zeros(3, bool)), VECTOR)


def test_bytes_are_shifted() -> None:
    x = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3) * 5
    q, note = convert(x, IMAGE, "x")
    assert np.array_equal(q, x.astype(np.int16) - 128) and "byte - 128" in note


def test_images_are_resized_and_coloured() -> None:
    x = np.full((2, 8, 8), 200, np.uint8)
    x[1, :, :4] = 0
    q, note = convert(x, IMAGE, "x")
    assert q.shape == (2, 4, 4, 3) and (q[0] == 72).all() and "8x8 to 4x4" in note and "three channels" in note
    assert q[1, 0, 0, 0] == -128 and q[1, 0, 3, 2] == 72
    gray, note = convert(np.full((1, 4, 4, 3), 77, np.uint8), InputSpec((1, 4, 4, 1), DType.INT8, IMAGE.quant), "x")
    assert (gray == 77 - 128).all() and "BT.601" in note


def test_shrinking_averages() -> None:
    stripes = np.zeros((1, 32, 32, 1), np.uint8)
    stripes[:, :, ::2] = 200
    assert abs(data.resize(stripes, 8, 8).astype(int) - 100).max() <= 8  # without antialiasing: 0 or 200


def test_equal_number_of_pixels_is_still_resized() -> None:
    q, note = convert(np.zeros((1, 2, 8, 3), np.uint8), IMAGE, "x")
    assert q.shape == (1, 4, 4, 3) and "resized from 2x8" in note
    with pytest.raises(DataError, match="the model reads"):
        convert(np.zeros((1, 2, 8, 3), np.int8), IMAGE, "x")


@pytest.mark.parametrize(
    ("scale", "zero", "rule"),
    [
        (1 / 255, -128, "shift"),
        (1 / 256, -128, "shift"),
        (1 / 127.5, -1, "shift"),
        (1 / 128, 0, "shift"),
        (1.0, -128, "shift"),
        (0.0186, -14, "shift"),
        (0.02, -128, "unit"),
        (1 / 510, -128, "unit"),
        (0.006, 0, "symmetric"),
    ],
)
def test_byte_rule(scale: float, zero: int, rule: str) -> None:
    assert byte_rule(QuantParams.per_tensor(scale, zero)) == rule


def test_unsigned_models_take_bytes_as_they_are() -> None:
    spec = InputSpec((1, 2), DType.INT8, QuantParams.per_tensor(0.02, -128), unsigned=True)
    assert convert(np.array([[0, 255]], np.uint8), spec, "x")[0].tolist() == [[-128, 127]]


def test_other_quantization_is_followed() -> None:
    spec = InputSpec((1, 2), DType.INT8, QuantParams.per_tensor(0.02, -128))
    q, note = convert(np.array([[0, 255]], np.uint8), spec, "x")
    assert q.tolist() == [[-128, -78]] and "byte / 255" in note


def test_floats_are_quantized_half_away_from_zero() -> None:
    q, _ = convert(np.array([[0.25, -0.25, 0.0, 100, -100, 0.5]], np.float32), VECTOR, "x")
    assert q.tolist() == [[4, 2, 3, 127, -128, 4]]


def test_float_models() -> None:
    spec = InputSpec((1, 2), DType.FLOAT32, QuantParams.per_tensor(1 / 255, -128))
    real, note = convert(np.array([[0, 255]], np.uint8), spec, "x")
    assert real.dtype == np.float32 and np.allclose(real, [[0, 1]]) and "real = scale" in note
    assert convert(np.array([[0.1, 9]]), spec, "x")[0].tolist() == [[np.float32(0.1), 9]]
    with pytest.raises(DataError, match="float32"):
        convert(np.zeros((1, 2), np.int8), spec, "x")

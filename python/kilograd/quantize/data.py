"""Calibration data: a .npz file to real values in the form of a float model's input.

The samples are `x_train`, or `x` without those that `is_test` marks, or `x`. What they are:

- float: real values as the model reads them;
- integers with the scale and zero point of the input they were quantized for (options, or arrays `data_scale` and `data_zero` in the file):
  real = scale * (q - zero);
- uint8 images: resized when their size is another, then (byte - mean) / std. There is no default for those two: models differ, and a wrong
  guess gives a bad model without a word.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from kilograd.data import fit_images, read_npz
from kilograd.errors import DataError
from kilograd.ir.graph import Array, Shape


@dataclass(frozen=True)
class DataRule:
    """How stored numbers become real ones: scale and zero point of stored integers; mean and deviation (one, or one a channel)."""

    scale: float | None = None
    zero: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def calibration_samples(path: str | os.PathLike[str], shape: Shape, rule: DataRule) -> tuple[Array, str]:
    """Real samples [n, *shape[1:]] and what was done, in words."""
    arrays = read_npz(path)
    x, where = _samples(arrays, str(path))
    if x.ndim == 0 or len(x) == 0:
        raise DataError(f"{where} holds no samples (shape {list(x.shape)})")
    scale, zero = _stored_scale(arrays, rule, where)
    notes = []
    if x.dtype == np.uint8 and len(shape) == 4 and scale is None:
        x, note = fit_images(x, shape, where)
        notes.append(note)
    elif int(np.prod(x.shape[1:])) != int(np.prod(shape[1:])):
        raise DataError(f"{where} has samples of shape {list(x.shape[1:])}, the model reads {list(shape[1:])}")
    x = x.reshape(len(x), *shape[1:])
    if scale is not None:
        real = (x.astype(np.float32) - np.float32(zero)) * np.float32(scale)
        notes.append(f"real = {scale:.6g} * (stored - {zero})")
    elif not np.issubdtype(x.dtype, np.floating) and not (rule.mean or rule.std):
        raise DataError(
            f"{where} holds {x.dtype} values. Say what they mean: --mean and --std for bytes of images (x = (byte - mean) / std: 0 and 255 "
            "for [0, 1], 127.5 and 127.5 for [-1, 1], 0 and 1 for bytes as they are), or --data-scale and --data-zero for data that is "
            "stored in the integers of a model's input"
        )
    else:
        real = x.astype(np.float32)
    if rule.mean or rule.std:
        real = _normalised(real, rule, where)
        notes.append(f"x = (value - {_text(rule.mean or (0.0,))}) / {_text(rule.std or (1.0,))}")
    if not np.isfinite(real).all():
        raise DataError(f"{where} holds {int((~np.isfinite(real)).sum())} values that are NaN or infinite: clean the data first")
    return real, f"{len(real)} samples" + "".join(f", {n}" for n in notes or ["real values as they are"])


def _samples(arrays: dict[str, Array], file: str) -> tuple[Array, str]:
    if "x_train" in arrays:
        return arrays["x_train"], f"'{file}', x_train"
    if "x" in arrays:
        x, test = arrays["x"], arrays.get("is_test")
        if test is not None and test.shape == x.shape[:1] and not test.astype(bool).all():
            return x[~test.astype(bool)], f"'{file}', x without is_test"
        return x, f"'{file}', x"
    raise DataError(f"'{file}' holds {sorted(arrays)}; calibration reads x_train, or x (with is_test, the samples that are not)")


def _stored_scale(arrays: dict[str, Array], rule: DataRule, where: str) -> tuple[float | None, int]:
    scale = rule.scale if rule.scale is not None else arrays.get("data_scale")
    zero = rule.zero if rule.zero is not None else arrays.get("data_zero", np.zeros(1))
    if scale is None:
        if rule.zero is not None:
            raise DataError(f"{where}: --data-zero needs --data-scale too")
        return None, 0
    value = float(np.asarray(scale).reshape(-1)[0])
    if not (np.isfinite(value) and value > 0):
        raise DataError(f"{where}: the scale of the stored integers is {value}; it must be positive")
    return value, int(np.asarray(zero).reshape(-1)[0])


def _normalised(real: Array, rule: DataRule, where: str) -> Array:
    mean, std = (np.array(v or (d,), np.float32) for v, d in ((rule.mean, 0.0), (rule.std, 1.0)))
    for name, v in (("mean", mean), ("std", std)):
        if v.size not in (1, real.shape[-1]):
            raise DataError(f"{where}: --{name} has {v.size} numbers; give one, or one for each of the {real.shape[-1]} channels")
    if not (std > 0).all():
        raise DataError(f"{where}: --std must be positive")
    normal: Array = (real - mean) / std
    return normal


def _text(values: tuple[float, ...]) -> str:
    return ", ".join(f"{v:g}" for v in values) if len(values) == 1 else f"[{', '.join(f'{v:g}' for v in values)}]"

"""Samples and labels from NumPy arrays to the bytes that a plan reads, with every mistake named."""

from __future__ import annotations

import numpy as np

from kilograd.errors import DataError
from kilograd.ir.graph import Array, DType
from kilograd.plan.plan import Plan, PlanTensor


def _batched(x: Array, tensor: PlanTensor) -> Array:
    """[samples, *shape of one sample]."""
    one = tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
    if x.shape == one:
        return x[None]
    if x.ndim != len(one) + 1 or x.shape[1:] != one:
        raise DataError(f"the model reads samples of shape {one} ('{tensor.name}'); given is an array of shape {x.shape}")
    if len(x) == 0:
        raise DataError(f"no samples are given: an array of shape {x.shape}")
    return x


def _integers(x: Array, tensor: PlanTensor, shifted: bool) -> Array:
    """Samples in the integers of an int8 tensor."""
    if x.dtype == np.int8:
        return x
    if x.dtype == np.uint8 and shifted:
        return (x.astype(np.int16) - 128).astype(np.int8)
    if x.dtype.kind == "f" and tensor.quant is not None:
        return np.clip(np.rint(x.astype(np.float64) / tensor.quant.s) + tensor.quant.z, -128, 127).astype(np.int8)
    if x.dtype.kind in "iu" and x.dtype != np.uint8:
        if x.size and (x.min() < -128 or x.max() > 127):
            raise DataError(f"the model reads int8 ('{tensor.name}'); the values given reach from {x.min()} to {x.max()}")
        return x.astype(np.int8)
    way = "subtract 128 from pixels (or load them with kilograd.data)" if x.dtype == np.uint8 else "convert them first"
    raise DataError(f"the model reads int8 ('{tensor.name}'); the samples are {x.dtype}: {way}")


def as_samples(x: Array, tensor: PlanTensor, shifted: bool) -> Array:
    """uint8 [samples, bytes] from samples of any accepted form. `shifted`: the model was uint8 when it was imported."""
    if x.dtype.kind not in "iuf":
        raise DataError(f"samples must be numbers, not {x.dtype}")
    x = _batched(x, tensor)
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))[0])
        raise DataError(f"sample {bad} has NaN or infinite values")
    if tensor.dtype is DType.INT8:
        values = _integers(x, tensor, shifted)
    elif tensor.dtype is DType.FLOAT32 and x.dtype.kind == "f":
        values = x.astype(np.float32)
    elif x.dtype == tensor.dtype.numpy:
        values = x
    else:
        raise DataError(f"the model reads {tensor.dtype.value} ('{tensor.name}'); the samples are {x.dtype}")
    return np.ascontiguousarray(values).reshape(len(x), -1).view(np.uint8)


def _classes(plan: Plan) -> int:
    return int(plan.tensors[plan.outputs[0]].shape[-1])


def as_labels(y: Array, samples: int, plan: Plan) -> Array:
    """uint8 [samples, bytes] from class numbers, or from targets like the model's output."""
    tensor = plan.tensors[plan.label]
    if tensor.dtype is not DType.INT32:
        shaped = _batched(y, tensor)
        if len(shaped) != samples:
            raise DataError(f"there are {samples} samples and {len(shaped)} targets")
        return as_samples(y, tensor, False)
    if y.dtype.kind not in "iu":
        if y.dtype.kind != "f" or not np.isfinite(y).all() or (y != np.floor(y)).any():
            raise DataError(f"labels must be whole numbers (class indices); given are {y.dtype}, some are NaN or have a fraction")
    labels = y.reshape(-1).astype(np.int64)
    if len(labels) != samples:
        raise DataError(f"there are {samples} samples and {len(labels)} labels")
    wrong = np.flatnonzero((labels < 0) | (labels >= _classes(plan)))
    if wrong.size:
        i = int(wrong[0])
        n = _classes(plan)
        raise DataError(f"label {labels[i]} of sample {i} is out of range: the model has {n} classes, 0 to {n - 1}")
    return labels.astype("<i4").reshape(samples, 1).view(np.uint8)

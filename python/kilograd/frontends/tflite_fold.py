"""Numbers that a model computes from shapes and constants, computed at import: SHAPE -> STRIDED_SLICE -> PACK -> RESHAPE and the like.

An operator whose operands are all known gives constants; what reads them sees nothing else. Work is bounded: few elements an operator, and
for the whole file no more bytes than a small multiple of its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kilograd.errors import ModelError
from kilograd.frontends.tflite_file import RawModel, RawOperator, RawTensor
from kilograd.frontends.tflite_rules.strided import strided
from kilograd.ir.graph import Array

TYPES = {"INT32": "<i4", "INT64": "<i8", "FLOAT32": "<f4", "FLOAT16": "<f2"}
MAX_ELEMENTS = 1 << 12  # of operands and results; a float16 constant that is widened may be of any size
BUDGET_FACTOR, BUDGET_MINIMUM = 4, 1 << 20  # bytes of results for the whole file

Fold = Callable[[RawOperator, list[Array]], list[Array]]


def _numbers(v: Array) -> list[int]:
    return [int(n) for n in v.reshape(-1)]


def _binary(function: Callable[[Array, Array], Array]) -> Fold:
    return lambda op, v: [function(v[0], v[1])]


def _reduce(function: Callable[..., Array]) -> Fold:
    return lambda op, v: [function(v[0], axis=tuple(_numbers(v[1])), keepdims=bool(op.options and op.options.KeepDims()))]


def _strided(op: RawOperator, v: list[Array]) -> list[Array]:
    taken = strided(op, v[0].shape, *(_numbers(n) for n in v[1:4]))
    ranges = [b + np.arange(n) * s for b, s, n in zip(taken.begin, taken.step, taken.size, strict=True)]
    return [(v[0][np.ix_(*ranges)] if ranges else v[0]).reshape(taken.shape)]


def _slice(op: RawOperator, v: list[Array]) -> list[Array]:
    ends = [None if n < 0 else b + n for b, n in zip(_numbers(v[1]), _numbers(v[2]), strict=True)]
    return [v[0][tuple(slice(b, e) for b, e in zip(_numbers(v[1]), ends, strict=True))]]


def _fill(op: RawOperator, v: list[Array]) -> list[Array]:
    _bounded(op, math.prod(_numbers(v[0])))
    return [np.full(_numbers(v[0]), v[1].reshape(-1)[0])]


def _range(op: RawOperator, v: list[Array]) -> list[Array]:
    first, last, step = (n.reshape(-1)[0].item() for n in v)
    _bounded(op, abs((last - first) / step))
    return [np.arange(first, last, step)]


def _tile(op: RawOperator, v: list[Array]) -> list[Array]:
    _bounded(op, v[0].size * math.prod(_numbers(v[1])))
    return [np.tile(v[0], _numbers(v[1]))]


def _bounded(op: RawOperator, elements: float) -> None:
    if not 0 <= elements <= MAX_ELEMENTS:
        raise ModelError(f"{op.where} computes {elements:.0f} numbers from constants; at most {MAX_ELEMENTS} are computed at import.")


FOLDS: dict[str, Fold] = {
    "CAST": lambda op, v: [v[0]],
    "ADD": _binary(np.add),
    "SUB": _binary(np.subtract),
    "MUL": _binary(np.multiply),
    "FLOOR_DIV": _binary(np.floor_divide),
    "FLOOR_MOD": _binary(np.mod),
    "MAXIMUM": _binary(np.maximum),
    "MINIMUM": _binary(np.minimum),
    "NEG": lambda op, v: [-v[0]],
    "REDUCE_PROD": _reduce(np.prod),
    "REDUCE_MAX": _reduce(np.max),
    "REDUCE_MIN": _reduce(np.min),
    "SUM": _reduce(np.sum),
    "GATHER": lambda op, v: [np.take(v[0], v[1].astype(np.int64), axis=int(op.options.Axis()) if op.options else 0)],
    "CONCATENATION": lambda op, v: [np.concatenate(v, axis=int(op.options.Axis()))],
    "PACK": lambda op, v: [np.stack(v, axis=int(op.options.Axis()))],
    "UNPACK": lambda op, v: [
        np.squeeze(p, int(op.options.Axis())) for p in np.split(v[0], v[0].shape[op.options.Axis()], op.options.Axis())
    ],
    "RESHAPE": lambda op, v: [v[0].reshape(_numbers(v[1]) if len(v) > 1 else op.options.NewShapeAsNumpy())],
    "SQUEEZE": lambda op, v: [np.squeeze(v[0])],
    "EXPAND_DIMS": lambda op, v: [np.expand_dims(v[0], _numbers(v[1])[0])],
    "STRIDED_SLICE": _strided,
    "SLICE": _slice,
    "RANGE": _range,
    "FILL": _fill,
    "TILE": _tile,
    "BROADCAST_TO": lambda op, v: [np.broadcast_to(v[0], _numbers(v[1]))],
}
#: operators that only exist at import: there is no kernel for them
ONLY_FOLDED = frozenset({"SHAPE", "RANK", "RANGE", "FILL", "REDUCE_PROD", "FLOOR_DIV", "FLOOR_MOD", "BROADCAST_TO"})


class Folder:
    """Computes what is known at import, and writes it into the records of the file."""

    def __init__(self, raw: RawModel, file_bytes: int, ready: set[int]) -> None:
        self.raw = raw
        self.ready = ready  # tensors that hold a value of a run
        self.budget = BUDGET_FACTOR * file_bytes + BUDGET_MINIMUM

    def fold(self, op: RawOperator) -> bool:
        """True when the results of the operator are known: they are constants from here on."""
        values = self._values(op)
        if values is None:
            return False
        for i, value in zip(op.outputs, values, strict=True):
            self._put(op, self.raw.tensors[i], value)
        return True

    def _values(self, op: RawOperator) -> list[Array] | None:
        tensors = [self.raw.tensors[i] for i in op.inputs if i >= 0]
        if any(self.raw.tensors[i].type not in TYPES for i in op.outputs) or not tensors:
            return None
        if op.name in ("SHAPE", "RANK"):
            shape = tuple(1 if i == 0 and d == -1 else d for i, d in enumerate(tensors[0].shape))
            return None if -1 in shape else [np.array(shape if op.name == "SHAPE" else len(shape), np.int64)]
        if any(t.data is None or t.variable for t in tensors):
            return None
        if op.name == "DEQUANTIZE" and tensors[0].type == "FLOAT16":
            return [_content(tensors[0])]
        fold = FOLDS.get(op.name)
        if fold is None or any(t.type not in TYPES or t.scale.size or math.prod(t.shape) > MAX_ELEMENTS for t in tensors):
            return None
        if getattr(op.options, "FusedActivationFunction", lambda: 0)():
            return None
        with np.errstate(all="ignore"):
            return fold(op, [_content(t) for t in tensors])

    def _put(self, op: RawOperator, t: RawTensor, value: Array) -> None:
        if t.data is not None or t.index in self.ready:
            raise ModelError(f"{op.where} writes {t.where}, which already has a value. The file is damaged: export it again.")
        dtype = np.dtype(TYPES[t.type])
        self.budget -= value.size * dtype.itemsize
        if self.budget < 0 or value.size > MAX_ELEMENTS and op.name != "DEQUANTIZE":
            raise ModelError(f"{op.where} computes more from constants than is done at import. Fold the constants before export.")
        declared = tuple(1 if i == 0 and d == -1 else d for i, d in enumerate(t.shape))
        if value.shape != declared and (-1 not in declared or len(declared) != value.ndim) and declared:
            raise ModelError(f"{op.where} gives shape {list(value.shape)}, its result is declared {list(t.shape)}. Export the model again.")
        raw = np.frombuffer(np.ascontiguousarray(value.astype(dtype)).tobytes(), np.uint8)
        self.raw.tensors[t.index] = replace(t, shape=value.shape, data=raw)


def _content(t: RawTensor) -> Array:
    assert t.data is not None
    return t.data.view(TYPES[t.type]).reshape(t.shape)

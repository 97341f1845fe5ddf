"""What an ONNX graph computes from constants and shapes, computed at import: Shape -> Gather -> Concat -> Reshape, transposed weights.

Work is bounded: for the whole file no more bytes than a small multiple of its size, and no operator makes much from little.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.onnx_file import TYPES, RawNode, type_name
from kilograd.frontends.onnx_value import Constant
from kilograd.ir.graph import Array, QuantParams

BUDGET_FACTOR, BUDGET_MINIMUM = 8, 1 << 20  # bytes of results for the whole file
MAX_GROWN = 1 << 16  # elements that an operator may make out of fewer

Fold = Callable[[RawNode, list[Array]], Array]


def _numbers(v: Array) -> list[int]:
    return [int(n) for n in v.reshape(-1)]


def grown(node: RawNode, elements: float) -> None:
    """Refuse a result that is much larger than what it is made of."""
    if not 0 <= elements <= MAX_GROWN:
        raise ModelError(f"{node.where} makes {elements:.0f} numbers out of constants; at most {MAX_GROWN} are made at import.")


def _axes(node: RawNode, v: list[Array]) -> list[int] | None:
    if len(v) > 1:
        return _numbers(v[1])
    axes = node.attrs.get("axes")
    return None if axes is None else [int(a) for a in axes]


def _unsqueeze(node: RawNode, v: list[Array]) -> Array:
    axes = _axes(node, v) or []
    return np.expand_dims(v[0], tuple(axes))


def _squeeze(node: RawNode, v: list[Array]) -> Array:
    axes = _axes(node, v)
    return np.squeeze(v[0], None if axes is None else tuple(axes))


def target_shape(node: RawNode, before: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Shape that Reshape asks for: 0 keeps an axis, -1 is what is left."""
    keep = not node.attrs.get("allowzero", 0)
    shape = [before[i] if d == 0 and keep and i < len(before) else d for i, d in enumerate(wanted)]
    if shape.count(-1) > 1 or any(d < -1 for d in shape):
        raise ModelError(f"{node.where} asks for the shape {list(wanted)[:9]}. The file is damaged: export it again.")
    if -1 in shape:
        known = math.prod(d for d in shape if d != -1)
        shape[shape.index(-1)] = math.prod(before) // known if known else 0
    if math.prod(shape) != math.prod(before):
        raise ModelError(
            f"{node.where} turns shape {list(before)} into {list(wanted)[:9]}, which has another number of elements. Where that shape "
            "holds a batch size, export the model with batch 1."
        )
    return shape


def _reshape(node: RawNode, v: list[Array]) -> Array:
    return v[0].reshape(target_shape(node, v[0].shape, _numbers(v[1])))


def _flatten(node: RawNode, v: list[Array]) -> Array:
    axis = int(node.attrs.get("axis", 1))
    axis += v[0].ndim if axis < 0 else 0
    return v[0].reshape(math.prod(v[0].shape[:axis]), -1)


def _cast(node: RawNode, v: list[Array]) -> Array:
    code = int(node.attrs.get("to", 0))
    if code not in TYPES:
        raise UnsupportedOperator(f"{node.where} casts a constant to {type_name(code)}, which kilograd does not read.")
    return v[0].astype(TYPES[code][1])


def _slice(node: RawNode, v: list[Array]) -> Array:
    starts, ends = (_numbers(n) for n in v[1:3])
    axes = _numbers(v[3]) if len(v) > 3 else list(range(len(starts)))
    steps = _numbers(v[4]) if len(v) > 4 else [1] * len(starts)
    where: list[slice] = [slice(None)] * v[0].ndim
    for a, s, e, p in zip(axes, starts, ends, steps, strict=True):
        where[a] = slice(s, None if p < 0 and e < -v[0].shape[a] else e, p)
    return v[0][tuple(where)]


def _constant_of_shape(node: RawNode, v: list[Array]) -> Array:
    shape, value = _numbers(v[0]), node.attrs.get("value", np.zeros(1, np.float32))
    grown(node, math.prod(shape))
    return np.full(shape, value.reshape(-1)[0])


def _expand(node: RawNode, v: list[Array]) -> Array:
    shape = np.broadcast_shapes(v[0].shape, tuple(_numbers(v[1])))
    grown(node, math.prod(shape))
    return np.broadcast_to(v[0], shape)


def _range(node: RawNode, v: list[Array]) -> Array:
    first, last, step = (n.reshape(-1)[0].item() for n in v)
    grown(node, abs((last - first) / step))
    return np.arange(first, last, step, dtype=v[0].dtype)


def _tile(node: RawNode, v: list[Array]) -> Array:
    grown(node, v[0].size * math.prod(_numbers(v[1])))
    return np.tile(v[0], _numbers(v[1]))


def _binary(function: Callable[[Array, Array], Any]) -> Fold:
    def fold(node: RawNode, v: list[Array]) -> Array:
        size = math.prod(np.broadcast_shapes(v[0].shape, v[1].shape))
        if size > max(v[0].size, v[1].size):
            grown(node, size)
        return np.asarray(function(v[0], v[1]))

    return fold


def _div(a: Array, b: Array) -> Any:
    return np.divide(a, b) if a.dtype.kind == "f" else (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)


def _reduce(function: Callable[..., Any]) -> Fold:
    def fold(node: RawNode, v: list[Array]) -> Array:
        axes = _axes(node, v)
        return np.asarray(function(v[0], axis=None if not axes else tuple(axes), keepdims=bool(node.attrs.get("keepdims", 1))))

    return fold


def _gather(node: RawNode, v: list[Array]) -> Array:
    axis = int(node.attrs.get("axis", 0))
    size = v[0].size // max(v[0].shape[axis], 1) * v[1].size
    if size > v[0].size:
        grown(node, size)
    return np.take(v[0], v[1].astype(np.int64), axis=axis)


def _where(node: RawNode, v: list[Array]) -> Array:
    grown(node, math.prod(np.broadcast_shapes(*(n.shape for n in v))))
    return np.where(v[0], v[1], v[2])


FOLDS: dict[str, Fold] = {
    "Identity": lambda node, v: v[0],
    "Cast": _cast,
    "Gather": _gather,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Concat": lambda node, v: np.concatenate(v, axis=int(node.attrs["axis"])),
    "ConstantOfShape": _constant_of_shape,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": lambda node, v: np.transpose(v[0], node.attrs.get("perm")),
    "Slice": _slice,
    "Expand": _expand,
    "Range": _range,
    "Tile": _tile,
    "Where": _where,
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_div),
    "Pow": _binary(np.power),
    "Max": _binary(np.maximum),
    "Min": _binary(np.minimum),
    "Equal": _binary(np.equal),
    "Greater": _binary(np.greater),
    "Less": _binary(np.less),
    "And": _binary(np.logical_and),
    "Or": _binary(np.logical_or),
    "Mod": _binary(np.mod),
    "Not": lambda node, v: np.logical_not(v[0]),
    "Neg": lambda node, v: -v[0],
    "Sqrt": lambda node, v: np.sqrt(v[0]),
    "Exp": lambda node, v: np.exp(v[0]),
    "Reciprocal": lambda node, v: 1 / v[0],
    "Floor": lambda node, v: np.floor(v[0]),
    "Ceil": lambda node, v: np.ceil(v[0]),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceMean": _reduce(np.mean),
}
#: operators that only exist at import: there is no kernel for them
ONLY_FOLDED = frozenset(
    {"Constant", "Shape", "Size", "ConstantOfShape", "Range", "Where", "Equal", "Greater", "Less", "And", "Or", "Not", "Mod", "ReduceProd"}
)
#: operators on constants that keep their integers and quantization
KEPT = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")


class Folder:
    """Computes what is known at import."""

    def __init__(self, file_bytes: int) -> None:
        self.budget = BUDGET_FACTOR * file_bytes + BUDGET_MINIMUM

    def charge(self, node: RawNode, bytes_made: int) -> None:
        """Refuse a file that makes much more constants than it holds."""
        self.budget -= bytes_made
        if self.budget < 0:
            raise ModelError(f"{node.where}: the file makes many more constants than it holds. Fold the constants before export (onnxsim).")

    def fold(self, node: RawNode, values: list[Constant]) -> Constant | None:
        """The result of a node all of whose operands are constants; None when it cannot be computed here."""
        if node.domain or node.op not in FOLDS or not values:
            return None
        if values[0].quant is not None and node.op in KEPT:
            return self._kept(node, values)
        with np.errstate(all="ignore"):
            found = np.asarray(FOLDS[node.op](node, [v.real for v in values]), order="C")
        self.charge(node, found.nbytes)
        return Constant(found)

    def _kept(self, node: RawNode, values: list[Constant]) -> Constant | None:
        """A quantized constant in another shape or order."""
        w = values[0]
        assert w.quant is not None
        data = np.ascontiguousarray(FOLDS[node.op](node, [w.data, *(v.data for v in values[1:])]))
        self.charge(node, data.nbytes)
        axis = w.quant.axis
        if axis is not None:
            if node.op == "Transpose":
                axis = list(node.attrs.get("perm", reversed(range(w.data.ndim)))).index(axis)
            elif data.shape != w.data.shape:
                return Constant(w.real.reshape(data.shape))
        return Constant(data, QuantParams(w.quant.scale, w.quant.zero_point, axis))

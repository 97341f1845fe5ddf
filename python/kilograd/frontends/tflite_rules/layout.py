"""Operators that move elements and leave their values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import MAX_WINDOW, Converted, Rule, activation
from kilograd.frontends.tflite_rules.strided import strided

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer

MAX_PARTS = 64  # results of a split
MAX_INDICES = 1 << 16


def padding_of(importer: Importer, op: RawOperator) -> list[list[int]]:
    """Operand 1, pairs of numbers."""
    rank = len(importer.shape(op, 0))
    flat = importer.integers(op, 1)
    if len(flat) != 2 * rank or any(not 0 <= v <= MAX_WINDOW for v in flat):
        raise ModelError(
            f"{op.where} pads by {flat[:16]}; for rank {rank} it needs {2 * rank} numbers from 0 to {MAX_WINDOW}. Export the model again."
        )
    return [[flat[2 * i], flat[2 * i + 1]] for i in range(rank)]


def pad(importer: Importer, op: RawOperator) -> Converted:
    """PAD with the zero point."""
    return Converted([importer.activation(op, 0)], {"padding": padding_of(importer, op)})


def padv2(importer: Importer, op: RawOperator) -> Converted:
    """PADV2 with a constant, stored as the elements are."""
    attrs: dict[str, Any] = {"padding": padding_of(importer, op)}
    x = importer.activation(op, 0)
    given = importer.graph[importer.activation(op, 2)]
    if given.data is None or given.size != 1:
        raise UnsupportedOperator(f"{op.where} pads with {given.size} values that the model may compute; one constant is needed here.")
    if not np.issubdtype(given.data.dtype, np.floating):
        attrs["value"] = int(given.data.reshape(-1)[0])
    else:
        attrs["real_value"] = float(given.data.reshape(-1)[0])
    if given.quant is not None and not given.quant.same_as(importer.graph[x].quant):
        raise UnsupportedOperator(f"{op.where} pads with a constant of another quantization than what it pads. Export the model again.")
    return Converted([x], attrs)


def mirror_pad(importer: Importer, op: RawOperator) -> Converted:
    """MIRROR_PAD, with or without the border element."""
    mode = int(op.options.Mode())
    if mode not in (0, 1):
        raise ModelError(f"{op.where} has mode {mode}; it must be 0 (REFLECT) or 1 (SYMMETRIC). The file is damaged: export it again.")
    return Converted([importer.activation(op, 0)], {"padding": padding_of(importer, op), "mode": ("reflect", "symmetric")[mode]})


def reshape(importer: Importer, op: RawOperator) -> Converted:
    """RESHAPE to the static shape of its result; a shape operand must be constant and agree."""
    before, after = importer.shape(op, 0), importer.result_shape(op)
    if math.prod(before) != math.prod(after):
        raise ModelError(f"{op.where} turns shape {list(before)} into {list(after)}, which has another number of elements.")
    if len(op.inputs) > 1 and op.inputs[1] >= 0:
        wanted = importer.integers(op, 1)
        fits = len(wanted) == len(after) and all(a in (-1, b) for a, b in zip(wanted, after, strict=True))
        # A leading batch may be written as a size although the model was exported with a dynamic one, and the other way round.
        if not fits:
            raise ModelError(f"{op.where} asks for shape {wanted} and its result is declared {list(after)}. Export the model again.")
    return Converted([importer.activation(op, 0)], {"shape": after})


def squeeze(importer: Importer, op: RawOperator) -> Converted:
    """SQUEEZE, EXPAND_DIMS: axes of size 1 go or come."""
    before, after = importer.shape(op, 0), importer.result_shape(op)
    if [d for d in before if d != 1] != [d for d in after if d != 1]:
        raise ModelError(f"{op.where} turns shape {list(before)} into {list(after)}, which differ by more than axes of 1. Export it again.")
    return Converted([importer.activation(op, 0)], {"shape": after})


def transpose(importer: Importer, op: RawOperator) -> Converted:
    """TRANSPOSE by a constant permutation."""
    rank = len(importer.shape(op, 0))
    order = tuple(importer.axis(op, a, rank) for a in importer.integers(op, 1))
    if sorted(order) != list(range(rank)):
        raise ModelError(f"{op.where} permutes by {list(order)}, which is no permutation of {rank} axes. Export the model again.")
    return Converted([importer.activation(op, 0)], {"permutation": order})


def concatenation(importer: Importer, op: RawOperator) -> Converted:
    """CONCATENATION along an axis counted from the front."""
    axis = importer.axis(op, int(op.options.Axis()), len(importer.shape(op, 0)))
    operands = [importer.activation(op, i) for i in range(len(op.inputs))]
    return Converted(operands, {"axis": axis, "activation": activation(op)})


def pack(importer: Importer, op: RawOperator) -> Converted:
    """PACK: operands become slices of a new axis."""
    axis = importer.axis(op, int(op.options.Axis()), len(importer.shape(op, 0)) + 1)
    return Converted([importer.activation(op, i) for i in range(len(op.inputs))], {"axis": axis, "stack": True})


def tile(importer: Importer, op: RawOperator) -> Converted:
    """TILE by constant multiples."""
    return Converted([importer.activation(op, 0)], {"multiples": tuple(importer.integers(op, 1))})


def slice_(importer: Importer, op: RawOperator) -> Converted:
    """SLICE: begin and size, -1 for all that is left."""
    shape, begin, size = importer.shape(op, 0), importer.integers(op, 1), importer.integers(op, 2)
    if not len(begin) == len(size) == len(shape):
        raise ModelError(f"{op.where} has begin {begin} and size {size} for shape {list(shape)}. The file is damaged: export it again.")
    size = [d - b if n == -1 else n for b, n, d in zip(begin, size, shape, strict=True)]
    return Converted([importer.activation(op, 0)], {"begin": begin, "size": size})


def strided_slice(importer: Importer, op: RawOperator) -> Converted:
    """STRIDED_SLICE with all masks."""
    shape = importer.shape(op, 0)
    taken = strided(op, shape, importer.integers(op, 1), importer.integers(op, 2), importer.integers(op, 3))
    attrs: dict[str, Any] = {"begin": taken.begin, "step": taken.step, "size": taken.size}
    if taken.shape != tuple(taken.size):
        attrs["shape"] = taken.shape
    return Converted([importer.activation(op, 0)], attrs)


def reverse(importer: Importer, op: RawOperator) -> Converted:
    """REVERSE_V2 along some axes."""
    shape = importer.shape(op, 0)
    axes = {importer.axis(op, a, len(shape)) for a in importer.integers(op, 1)}
    begin = [d - 1 if i in axes else 0 for i, d in enumerate(shape)]
    step = [-1 if i in axes else 1 for i in range(len(shape))]
    return Converted([importer.activation(op, 0)], {"begin": begin, "step": step, "size": list(shape)})


def _parts(importer: Importer, op: RawOperator, x: int, axis: int, sizes: list[int], drop: bool = False) -> list[Converted]:
    """One slice a result."""
    shape, name, parts, first = importer.shape(op, x), importer.activation(op, x), [], 0
    if len(sizes) != len(op.outputs) or any(n < 1 for n in sizes) or sum(sizes) != shape[axis]:
        raise ModelError(f"{op.where} parts an axis of {shape[axis]} into {sizes[:16]} for {len(op.outputs)} results. Export it again.")
    for n in sizes:
        begin, size = [0] * len(shape), list(shape)
        begin[axis], size[axis], first = first, n, first + n
        attrs: dict[str, Any] = {"begin": begin, "size": size}
        if drop:
            attrs["shape"] = shape[:axis] + shape[axis + 1 :]
        parts.append(Converted([name], attrs))
    return parts


def split(importer: Importer, op: RawOperator) -> list[Converted]:
    """SPLIT into equal parts."""
    shape, axis = importer.shape(op, 1), importer.integers(op, 0)
    if len(axis) != 1:
        raise ModelError(f"{op.where} needs one axis, it has {axis[:8]}. The file is damaged: export it again.")
    along = importer.axis(op, axis[0], len(shape))
    return _parts(importer, op, 1, along, [shape[along] // len(op.outputs)] * len(op.outputs))


def split_v(importer: Importer, op: RawOperator) -> list[Converted]:
    """SPLIT_V into parts of given sizes, one of which may be -1."""
    shape, sizes, axis = importer.shape(op, 0), importer.integers(op, 1), importer.integers(op, 2)
    if len(axis) != 1 or sizes.count(-1) > 1:
        raise ModelError(f"{op.where} parts along {axis[:8]} into {sizes[:16]}. The file is damaged: export it again.")
    along = importer.axis(op, axis[0], len(shape))
    left = shape[along] - sum(n for n in sizes if n != -1)
    return _parts(importer, op, 0, along, [left if n == -1 else n for n in sizes])


def unpack(importer: Importer, op: RawOperator) -> list[Converted]:
    """UNPACK: slices without their axis."""
    shape = importer.shape(op, 0)
    axis = importer.axis(op, int(op.options.Axis()), len(shape))
    return _parts(importer, op, 0, axis, [1] * shape[axis], drop=True)


def gather(importer: Importer, op: RawOperator) -> Converted:
    """GATHER with constant indices."""
    if op.options is not None and int(op.options.BatchDims()) != 0:
        raise UnsupportedOperator(f"{op.where} gathers with {int(op.options.BatchDims())} batch dimensions; only 0 is supported.")
    axis = importer.axis(op, int(op.options.Axis()) if op.options is not None else 0, len(importer.shape(op, 0)))
    attrs = {"axis": axis, "indices": importer.integers(op, 1, MAX_INDICES), "index_shape": importer.shape(op, 1)}
    return Converted([importer.activation(op, 0)], attrs)


def block(importer: Importer, op: RawOperator) -> Converted:
    """SPACE_TO_DEPTH, DEPTH_TO_SPACE."""
    importer.shape(op, 0, rank=4)
    size = int(op.options.BlockSize())
    if not 1 <= size <= MAX_WINDOW:
        raise ModelError(f"{op.where} has blocks of {size}; 1 to {MAX_WINDOW} are possible. The file is damaged: export it again.")
    return Converted([importer.activation(op, 0)], {"block": size})


RULES: dict[str, Rule] = {
    "PAD": Rule((2, 2), "", pad),
    "PADV2": Rule((3, 3), "", padv2),
    "MIRROR_PAD": Rule((2, 2), "MirrorPadOptions", mirror_pad),
    "RESHAPE": Rule((1, 2), "ReshapeOptions", reshape, optional=True),
    "SQUEEZE": Rule((1, 1), "SqueezeOptions", squeeze, optional=True),
    "EXPAND_DIMS": Rule((2, 2), "", squeeze),
    "TRANSPOSE": Rule((2, 2), "", transpose),
    "CONCATENATION": Rule((1, MAX_PARTS), "ConcatenationOptions", concatenation),
    "PACK": Rule((1, MAX_PARTS), "PackOptions", pack),
    "TILE": Rule((2, 2), "", tile),
    "SLICE": Rule((3, 3), "", slice_),
    "STRIDED_SLICE": Rule((4, 4), "StridedSliceOptions", strided_slice),
    "REVERSE_V2": Rule((2, 2), "", reverse),
    "SPLIT": Rule((2, 2), "", split, results=(1, MAX_PARTS)),
    "SPLIT_V": Rule((3, 3), "", split_v, results=(1, MAX_PARTS)),
    "UNPACK": Rule((1, 1), "UnpackOptions", unpack, results=(1, MAX_PARTS)),
    "GATHER": Rule((2, 2), "GatherOptions", gather, optional=True),
    "SPACE_TO_DEPTH": Rule((1, 1), "SpaceToDepthOptions", block),
    "DEPTH_TO_SPACE": Rule((1, 1), "DepthToSpaceOptions", block),
}

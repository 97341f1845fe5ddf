"""Operators that move elements and leave their values. Transpose and Reshape move none: they change how a value is seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.onnx_file import RawNode
from kilograd.frontends.onnx_fold import target_shape
from kilograd.frontends.onnx_rules.image import from_image, image
from kilograd.frontends.onnx_rules.rule import MAX_WINDOW, Handler, Rule
from kilograd.frontends.onnx_value import KEPT, REAL, Operand, Value, plain, stored
from kilograd.ir.graph import DType

if TYPE_CHECKING:
    from kilograd.frontends.onnx import Importer

MAX_PARTS = 64  # results of a split, operands of a concatenation
MAX_INDICES = 1 << 16


def reshaped(b: Importer, v: Value, shape: list[int]) -> Value:
    """The value under another shape; elements move only where the stored order cannot show it."""
    found = v.regrouped(tuple(shape))
    if found is None:
        tensor = b.view(b.arranged(v, range(len(v.axes)), REAL if b.type_of(v).dtype is DType.FLOAT32 else KEPT), shape)
        found = plain(tensor, shape)
    return Value(found.tensor, found.atoms, found.axes, v.image and len(shape) == len(v.axes), v.raw)


def reshape(b: Importer, node: RawNode) -> Value:
    """Reshape to a constant shape."""
    v = b.activation(node, 0)
    shape = target_shape(node, v.shape, b.integers(node, 1, "shape"))
    if min(shape, default=1) < 1:
        raise UnsupportedOperator(f"{node.where} makes an empty tensor {shape}. Remove it before export.")
    return reshaped(b, v, shape)


def flatten(b: Importer, node: RawNode) -> Value:
    """Flatten to a matrix."""
    v = b.activation(node, 0)
    rank = len(v.shape)
    axis = int(node.attrs.get("axis", 1))
    axis = axis if axis == rank else b.axis(node, axis, rank)
    return reshaped(b, v, [math.prod(v.shape[:axis]), math.prod(v.shape[axis:])])


def _axes(b: Importer, node: RawNode) -> list[int] | None:
    if b.has(node, 1):
        return b.integers(node, 1, "axes")
    found = node.attrs.get("axes")
    return None if found is None else [int(a) for a in found]


def squeeze(b: Importer, node: RawNode) -> Value:
    """Squeeze: axes of 1 go."""
    v, axes = b.activation(node, 0), _axes(b, node)
    rank = len(v.shape)
    gone = {b.axis(node, a, rank) for a in axes} if axes is not None else {i for i, d in enumerate(v.shape) if d == 1}
    if any(v.shape[a] != 1 for a in gone):
        raise ModelError(f"{node.where} drops axes {sorted(gone)} of {list(v.shape)}, which are not all 1. Export it again.")
    return reshaped(b, v, [d for i, d in enumerate(v.shape) if i not in gone])


def unsqueeze(b: Importer, node: RawNode) -> Value:
    """Unsqueeze: axes of 1 come."""
    v, axes = b.activation(node, 0), _axes(b, node) or []
    rank = len(v.shape) + len(axes)
    new = {b.axis(node, a, rank) for a in axes}
    if len(new) != len(axes) or rank > 8:
        raise ModelError(f"{node.where} adds the axes {axes[:9]} to {list(v.shape)}. The file is damaged: export it again.")
    left = iter(v.shape)
    return reshaped(b, v, [1 if i in new else next(left) for i in range(rank)])


def transpose(b: Importer, node: RawNode) -> Value:
    """Transpose: axes are counted in another order."""
    v = b.activation(node, 0)
    order = tuple(int(a) for a in node.attrs.get("perm", range(len(v.shape) - 1, -1, -1)))
    if sorted(order) != list(range(len(v.shape))):
        raise ModelError(f"{node.where} permutes {len(v.shape)} axes by {list(order)[:9]}. The file is damaged: export it again.")
    return v.transposed(order)


def _result(b: Importer, v: Value, tensor: str, order: tuple[int, ...]) -> Value:
    """The value of a tensor whose axes are those of v in that order."""
    return stored(tensor, b.graph[tensor].shape, order, v.image, v.raw)


def concat(b: Importer, node: RawNode) -> Operand:
    """Concat along an axis, in the order in which the first operand is stored."""
    operands = [b.value(node, i) for i in range(len(node.inputs))]
    first = next((v for v in operands if isinstance(v, Value)), None)
    if first is None or "axis" not in node.attrs:
        raise UnsupportedOperator(f"{node.where} joins constants only, or has no axis. Fold them before export (onnxsim).")
    if len(operands) == 1:
        return first
    rank = len(first.shape)
    axis = b.axis(node, int(node.attrs["axis"]), rank)
    if any(len(v.shape) != rank for v in operands):
        raise ModelError(f"{node.where} joins tensors of different rank. The file is damaged: export it again.")
    target = b.target(node, operands, same=True)
    order = first.natural() or tuple(range(rank))
    tensors = [b.arranged(v, order, target) for v in operands]
    return _result(b, first, b.emit(node, "concatenation", tensors, {"axis": order.index(axis)}, target), order)


def _part(b: Importer, node: RawNode, v: Value, begin: list[int], step: list[int], size: list[int], result: int) -> Value:
    """Some elements along each logical axis."""
    if begin == [0] * len(begin) and size == list(v.shape) and step == [1] * len(step):
        return v
    target = b.target(node, [v], same=True)
    tensor, order = b.natural(v, target)
    attrs: dict[str, Any] = {"begin": [begin[a] for a in order], "size": [size[a] for a in order]}
    if any(s != 1 for s in step):
        attrs["step"] = [step[a] for a in order]
    return _result(b, v, b.emit(node, "slice", [tensor], attrs, target, node.outputs[result] if result else ""), order)


def slice_(b: Importer, node: RawNode) -> Value:
    """Slice by constant bounds."""
    v = b.activation(node, 0)
    rank = len(v.shape)
    starts, ends = b.integers(node, 1, "starts"), b.integers(node, 2, "ends")
    axes = b.integers(node, 3, "axes") if b.has(node, 3) else list(range(len(starts)))
    steps = b.integers(node, 4, "steps") if b.has(node, 4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ModelError(f"{node.where} has {len(starts)} starts, {len(ends)} ends, {len(axes)} axes, {len(steps)} steps. Export it again.")
    begin, step, size = [0] * rank, [1] * rank, list(v.shape)
    for start, end, axis, s in zip(starts, ends, axes, steps, strict=True):
        a = b.axis(node, axis, rank)
        picked = range(*slice(start, end if s > 0 or end >= -v.shape[a] else None, s).indices(v.shape[a]))
        if not picked:
            raise UnsupportedOperator(f"{node.where} makes an empty tensor (axis {a} of {list(v.shape)}). Remove it before export.")
        begin[a], step[a], size[a] = picked.start, s if len(picked) > 1 else 1, len(picked)
    return _part(b, node, v, begin, step, size, 0)


def split(b: Importer, node: RawNode) -> list[Operand]:
    """Split: one slice a result."""
    v = b.activation(node, 0)
    rank, count = len(v.shape), len(node.outputs)
    axis = b.axis(node, int(node.attrs.get("axis", 0)), rank)
    if b.has(node, 1):
        parts = b.integers(node, 1, "split")
    elif "split" in node.attrs:
        parts = [int(n) for n in node.attrs["split"]]
    else:
        each = -(-v.shape[axis] // max(count, 1))
        parts = [min(each, v.shape[axis] - i * each) for i in range(count)]
    if count > MAX_PARTS or len(parts) != count or min(parts) < 1 or sum(parts) != v.shape[axis]:
        raise ModelError(f"{node.where} parts an axis of {v.shape[axis]} into {parts[:16]} for {count} results (at most {MAX_PARTS}).")
    found: list[Operand] = []
    first = 0
    for i, n in enumerate(parts):
        begin, size = [0] * rank, list(v.shape)
        begin[axis], size[axis], first = first, n, first + n
        found.append(_part(b, node, v, begin, [1] * rank, size, i))
    return found


def pad(b: Importer, node: RawNode) -> Value:
    """Pad with a constant or by mirroring; negative counts cut."""
    v = b.activation(node, 0)
    rank = len(v.shape)
    flat = b.integers(node, 1, "pads") if b.has(node, 1) else [int(p) for p in node.attrs.get("pads", [])]
    axes = [b.axis(node, a, rank) for a in (b.integers(node, 3, "axes") if b.has(node, 3) else range(rank))]
    mode = node.attrs.get("mode", "constant")
    if len(flat) != 2 * len(axes) or any(not 0 <= p <= MAX_WINDOW for p in flat) or len(set(axes)) != len(axes):
        raise UnsupportedOperator(f"{node.where} pads by {flat[:16]}; kilograd needs counts from 0 to {MAX_WINDOW}, two an axis.")
    if mode not in ("constant", "reflect"):
        raise UnsupportedOperator(f"{node.where} pads in mode '{mode}'; kilograd runs constant and reflect. Export it with one of these.")
    around = [[0, 0] for _ in range(rank)]
    for i, a in enumerate(axes):
        around[a] = [flat[i], flat[len(axes) + i]]
    target = b.target(node, [v], same=True)
    tensor, order = b.natural(v, target)
    attrs: dict[str, Any] = {"padding": [around[a] for a in order]}
    if mode == "reflect":
        attrs["mode"] = mode
    else:
        number = b.scalar(node, 2, "value") if b.has(node, 2) else float(node.attrs.get("value", 0.0))
        if target.real:
            attrs["real_value"] = number
        elif v.raw:
            attrs["value"] = int(number) - (128 if v.tensor in b.unsigned else 0)
        else:
            q, limits = b.graph[tensor].q, np.iinfo(b.graph[tensor].dtype.numpy)
            attrs["value"] = int(np.clip(np.rint(number / q.s) + q.z, limits.min, limits.max))
    return _result(b, v, b.emit(node, "pad", [tensor], attrs, target), order)


def gather(b: Importer, node: RawNode) -> Value:
    """Gather with constant indices."""
    v = b.activation(node, 0)
    rank = len(v.shape)
    axis = b.axis(node, int(node.attrs.get("axis", 0)), rank)
    given = b.constant(node, 1, "indices")
    indices = [i + v.shape[axis] if i < 0 else i for i in b.integers(node, 1, "indices", MAX_INDICES)]
    target = b.target(node, [v], same=True)
    if len(given.shape) == 1:
        tensor, order = b.natural(v, target)
        attrs = {"axis": order.index(axis), "indices": indices, "index_shape": given.shape}
        return _result(b, v, b.emit(node, "gather", [tensor], attrs, target), order)
    tensor = b.arranged(v, range(rank), target)
    made = b.emit(node, "gather", [tensor], {"axis": axis, "indices": indices, "index_shape": (len(indices),)}, target)
    return plain(made, (*v.shape[:axis], *given.shape, *v.shape[axis + 1 :]), v.raw)


def tile(b: Importer, node: RawNode) -> Value:
    """Tile by constant multiples."""
    v, many = b.activation(node, 0), b.integers(node, 1, "repeats")
    if len(many) != len(v.shape) or any(not 1 <= n <= MAX_WINDOW for n in many):
        raise ModelError(f"{node.where} repeats {list(v.shape)} by {many[:9]}; a number from 1 an axis is needed. Export it again.")
    return _tiled(b, node, v, many)


def _tiled(b: Importer, node: RawNode, v: Value, many: list[int]) -> Value:
    target = b.target(node, [v], same=True)
    tensor, order = b.natural(v, target)
    return _result(b, v, b.emit(node, "tile", [tensor], {"multiples": tuple(many[a] for a in order)}, target), order)


def expand(b: Importer, node: RawNode) -> Value:
    """Expand to a constant shape."""
    v, wanted = b.activation(node, 0), b.integers(node, 1, "shape")
    rank = max(len(wanted), len(v.shape))
    wide = reshaped(b, v, [1] * (rank - len(v.shape)) + list(v.shape))
    goal = [1] * (rank - len(wanted)) + wanted
    if any(d != 1 and g not in (1, d) or g < 1 for d, g in zip(wide.shape, goal, strict=True)):
        raise ModelError(f"{node.where} repeats {list(v.shape)} to {wanted[:9]}, which does not fit. Export it again.")
    return _tiled(b, node, wide, [g if d == 1 else 1 for d, g in zip(wide.shape, goal, strict=True)])


def block(op: str) -> Handler:
    """A handler of SpaceToDepth and DepthToSpace. kilograd's channels count blocks first (DCR)."""

    def handler(b: Importer, node: RawNode) -> Value:
        v, size = b.activation(node, 0), int(node.attrs.get("blocksize", 0))
        if len(v.shape) != 4 or not 1 <= size <= MAX_WINDOW:
            raise ModelError(f"{node.where} needs an image and a block size from 1 to {MAX_WINDOW}. The file is damaged: export it again.")
        if node.attrs.get("mode", "DCR") != "DCR":
            return _column_row(b, node, v, size)
        target = b.target(node, [v], same=True)
        return from_image(b, b.emit(node, op, [image(b, v, target)], {"block": size}, target), 4, target.raw)

    return handler


def _column_row(b: Importer, node: RawNode, v: Value, size: int) -> Value:
    """DepthToSpace in mode CRD (pixel shuffle): channels are put in the other order first."""
    n, c, h, w = v.shape
    depth = c // (size * size)
    if depth < 1 or depth * size * size != c:
        raise ModelError(f"{node.where}: {c} channels are no multiple of the {size} x {size} pixels of a block. Export it again.")
    picked = [d * size * size + k for k in range(size * size) for d in range(depth)]
    target = b.target(node, [v], same=True)
    attrs = {"axis": 3, "indices": picked, "index_shape": (c,)}
    shuffled = b.emit(node, "gather", [image(b, v, target)], attrs, target, f"{node.outputs[0]}/channels")
    return from_image(b, b.emit(node, "depth_to_space", [shuffled], {"block": size}, target), 4, target.raw)


RULES: dict[str, Rule] = {
    "Reshape": Rule((2, 2), reshape),
    "Flatten": Rule((1, 1), flatten),
    "Squeeze": Rule((1, 2), squeeze),
    "Unsqueeze": Rule((1, 2), unsqueeze),
    "Transpose": Rule((1, 1), transpose),
    "Concat": Rule((1, MAX_PARTS), concat),
    "Slice": Rule((3, 5), slice_),
    "Split": Rule((1, 2), split),
    "Pad": Rule((1, 4), pad),
    "Gather": Rule((2, 2), gather),
    "Tile": Rule((2, 2), tile),
    "Expand": Rule((2, 2), expand),
    "SpaceToDepth": Rule((1, 1), block("space_to_depth")),
    "DepthToSpace": Rule((1, 1), block("depth_to_space")),
}

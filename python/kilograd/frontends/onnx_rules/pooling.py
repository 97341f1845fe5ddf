"""Pooling and reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.onnx_file import RawNode
from kilograd.frontends.onnx_rules.elementwise import apply
from kilograd.frontends.onnx_rules.image import four, from_image, image, two
from kilograd.frontends.onnx_rules.rule import Handler, Rule, pads, sizes, spatial
from kilograd.frontends.onnx_value import KEPT, REAL, Value, stored
from kilograd.ir.graph import DType

if TYPE_CHECKING:
    from kilograd.frontends.onnx import Importer


def _windows(size: int, k: int, stride: int, before: int, after: int, ceil: bool) -> int:
    """Number of windows along one axis; with `ceil` a last one that hangs over, if it begins inside."""
    room = size + before + after - k
    count = -(-room // stride) + 1 if ceil else room // stride + 1
    return count - 1 if ceil and (count - 1) * stride >= size + before else count


def _pool(b: Importer, node: RawNode, op: str) -> Value:
    x = b.activation(node, 0)
    n = spatial(node, x.shape)
    if "kernel_shape" not in node.attrs:
        raise ModelError(f"{node.where} has no attribute kernel_shape. The file is damaged: export it again.")
    kernel, stride = sizes(node, "kernel_shape", n), sizes(node, "strides", n)
    if max(sizes(node, "dilations", n)) > 1:
        raise UnsupportedOperator(f"{node.where} has a dilation; kilograd pools without. Replace it before export.")
    padding, ceil = pads(node, x.shape[2:], kernel, stride, (1,) * n), bool(node.attrs.get("ceil_mode", 0))
    whole = bool(node.attrs.get("count_include_pad", 0)) and op == "average_pool2d"
    target = b.target(node, [x], same=True)
    tensor, reach = image(b, x, target), []
    for size, k, s, (before, after) in zip(x.shape[2:], kernel, stride, padding, strict=True):
        behind = (_windows(size, k, s, before, after, ceil) - 1) * s + k - size - before
        reach.append((before, max(behind, 0)))
        if whole and behind > after:
            raise UnsupportedOperator(
                f"{node.where} counts padded pixels and has windows that hang over (ceil_mode); kilograd cannot do both."
            )
    if whole and any(v for p in padding for v in p):
        top, bottom, left, right = four(padding)
        tensor = b.emit(
            node, "pad", [tensor], {"padding": [[0, 0], [top, bottom], [left, right], [0, 0]]}, target, f"{node.outputs[0]}/pad"
        )
        reach = [(0, 0)] * n
    attrs: dict[str, Any] = {"filter": two(kernel, 1), "stride": two(stride, 1), "padding": four(reach), "activation": "none"}
    return from_image(b, b.emit(node, op, [tensor], attrs, target), len(x.shape), target.raw)


def max_pool(b: Importer, node: RawNode) -> Value:
    """MaxPool."""
    return _pool(b, node, "max_pool2d")


def average_pool(b: Importer, node: RawNode) -> Value:
    """AveragePool."""
    return _pool(b, node, "average_pool2d")


def _global(b: Importer, node: RawNode, op: str) -> Value:
    x = b.activation(node, 0)
    n = spatial(node, x.shape)
    target = b.target(node, [x], same=True)
    window = two(x.shape[2:], 1)
    attrs: dict[str, Any] = {"filter": window, "stride": (1,) * 2, "padding": (0, 0, 0, 0), "activation": "none"}
    return from_image(b, b.emit(node, op, [image(b, x, target)], attrs, target), n + 2, target.raw)


def global_max_pool(b: Importer, node: RawNode) -> Value:
    """GlobalMaxPool: a window as large as the image."""
    return _global(b, node, "max_pool2d")


def global_average_pool(b: Importer, node: RawNode) -> Value:
    """GlobalAveragePool: a pool where the quantization stays, else a mean, which may have its own."""
    x = b.activation(node, 0)
    target = b.target(node, [x], same=True)
    t = b.type_of(x)
    if not target.real and t.q.same_as(target.quant) and t.dtype is target.dtype:
        return _global(b, node, "average_pool2d")
    spatial(node, x.shape)
    attrs = {"axes": (1, 2), "keep_dims": True}
    return from_image(b, b.emit(node, "mean", [image(b, x, target)], attrs, target), len(x.shape))


def _axes(b: Importer, node: RawNode, rank: int) -> list[int]:
    found = b.integers(node, 1, "axes") if b.has(node, 1) else [int(a) for a in node.attrs.get("axes", [])]
    if not found and not int(node.attrs.get("noop_with_empty_axes", 0)):
        found = list(range(rank))
    return sorted({b.axis(node, a, rank) for a in found})


def reduce(op: str, before: str = "") -> Handler:
    """A handler of a reduction; `before` is applied to each element first."""

    def handler(b: Importer, node: RawNode) -> Value:
        x = b.activation(node, 0)
        axes, keep = _axes(b, node, len(x.shape)), bool(node.attrs.get("keepdims", 1))
        if before:
            x = apply(b, node, before, b.real(x), target=b.target(node, [b.real(x)]))
        if not axes:
            return x
        target = b.target(node, [x], same=op.startswith("reduce"))
        return reduced(b, node, op, x, axes, keep, target)

    return handler


def reduced(b: Importer, node: RawNode, op: str, x: Value, axes: list[int], keep: bool, target: Any, stem: str = "") -> Value:
    """A reduction over logical axes, however the value is stored."""
    x = b.real(x) if target.real else x
    order = x.natural()
    gone = {a for axis in axes for a in x.axes[axis]}
    if order is not None and len(order) <= 4:
        tensor = b.arranged(x, order, target)
        places = tuple(i for i, a in enumerate(order) if a in axes)
        made = b.emit(node, op, [tensor], {"axes": places, "keep_dims": keep}, target, stem)
        shape = [1 if a in axes else x.shape[a] for a in order]
        result = stored(made, shape, order, x.image)
    else:  # runs of atoms that go or stay
        runs: list[tuple[bool, int]] = []
        for a, size in enumerate(x.atoms):
            if runs and runs[-1][0] == (a in gone):
                runs[-1] = (a in gone, runs[-1][1] * size)
            else:
                runs.append((a in gone, size))
        tensor = b.view(x.tensor, [size for _, size in runs])
        attrs = {"axes": tuple(i for i, (goes, _) in enumerate(runs) if goes), "keep_dims": False}
        made = b.emit(node, op, [tensor], attrs, target, stem)
        left = [a for a in range(len(x.atoms)) if a not in gone]
        result = Value(
            made, tuple(x.atoms[a] for a in left), tuple(tuple(left.index(a) for a in axis if a in left) for axis in x.axes), x.image
        )
    if keep:
        return result
    return Value(result.tensor, result.atoms, tuple(axis for i, axis in enumerate(result.axes) if i not in axes))


def arg(op: str) -> Handler:
    """A handler of ArgMax, ArgMin."""

    def handler(b: Importer, node: RawNode) -> Value:
        v = b.activation(node, 0)
        if int(node.attrs.get("select_last_index", 0)):
            raise UnsupportedOperator(f"{node.where} takes the last of equals; kilograd takes the first. Export it so.")
        axis, keep = b.axis(node, int(node.attrs.get("axis", 0)), len(v.shape)), bool(node.attrs.get("keepdims", 1))
        tensor, order = b.natural(v, REAL if b.type_of(v).dtype is DType.FLOAT32 else KEPT)
        attrs = {"axis": order.index(axis), "result": "int64", "keep_dims": True}
        made = b.append(op, [tensor], attrs, b.fresh(node.outputs[0]), DType.INT64, None)
        found = stored(made, [1 if a == axis else v.shape[a] for a in order], order, v.image, raw=True)
        return found if keep else Value(found.tensor, found.atoms, tuple(a for i, a in enumerate(found.axes) if i != axis), False, True)

    return handler


RULES: dict[str, Rule] = {
    "ArgMax": Rule((1, 1), arg("arg_max")),
    "ArgMin": Rule((1, 1), arg("arg_min")),
    "MaxPool": Rule((1, 1), max_pool),
    "AveragePool": Rule((1, 1), average_pool),
    "GlobalAveragePool": Rule((1, 1), global_average_pool),
    "GlobalMaxPool": Rule((1, 1), global_max_pool),
    "ReduceMean": Rule((1, 2), reduce("mean")),
    "ReduceSum": Rule((1, 2), reduce("sum")),
    "ReduceMax": Rule((1, 2), reduce("reduce_max")),
    "ReduceMin": Rule((1, 2), reduce("reduce_min")),
    "ReduceSumSquare": Rule((1, 2), reduce("sum", "square")),
}

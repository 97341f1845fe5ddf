"""Resize of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.onnx_file import RawNode
from kilograd.frontends.onnx_rules.image import from_image, image
from kilograd.frontends.onnx_rules.rule import MAX_WINDOW, Rule
from kilograd.frontends.onnx_value import Value
from kilograd.ir.graph import Array

if TYPE_CHECKING:
    from kilograd.frontends.onnx import Importer

ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _goal(b: Importer, node: RawNode, shape: tuple[int, ...]) -> tuple[list[int], list[float]]:
    """Height and width of the result, and the factors by which places are computed."""
    if "axes" in node.attrs or node.attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch" or int(node.attrs.get("antialias", 0)):
        raise UnsupportedOperator(
            f"{node.where} has axes, antialias or keep_aspect_ratio_policy; kilograd runs Resize without. Export it so."
        )
    first = 2 if b.opset >= 11 else 1
    if b.has(node, 3):
        sizes = b.integers(node, 3, "sizes")
        factors = [n / d for n, d in zip(sizes, shape, strict=False)]
    else:
        factors = b.numbers(node, first, "scales")
        if not all(np.isfinite(f) and 0 < f <= MAX_WINDOW for f in factors):
            raise ModelError(f"{node.where} has the scales {factors[:9]}; they must be positive. The file is damaged: export it again.")
        sizes = [int(np.floor(d * f)) for d, f in zip(shape, factors, strict=False)]
    if len(sizes) != 4 or len(factors) != 4 or tuple(sizes[:2]) != shape[:2] or any(not 1 <= n <= MAX_WINDOW for n in sizes):
        raise UnsupportedOperator(f"{node.where} makes {sizes[:9]} of {list(shape)}; kilograd resizes height and width only.")
    return sizes[2:], factors[2:]


def _places(node: RawNode, mode: str, size: int, goal: int, factor: float) -> Array:
    """Where in the operand each result lies."""
    i = np.arange(goal, dtype=np.float64)
    if mode == "align_corners":
        return i * (size - 1) / max(goal - 1, 1)
    if mode == "asymmetric":
        return i / factor
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and goal > 1):
        return (i + 0.5) / factor - 0.5
    if mode == "half_pixel_symmetric":
        return size / 2 * (1 - goal / (factor * size)) + (i + 0.5) / factor - 0.5
    if mode == "pytorch_half_pixel":
        return np.zeros(goal)
    raise UnsupportedOperator(
        f"{node.where} has coordinate_transformation_mode {mode!r}, which kilograd does not run. Export it with half_pixel."
    )


def resize(b: Importer, node: RawNode) -> Value:
    """Resize, nearest (by constant indices where no form of resize_nearest_neighbor takes the same pixels) or linear."""
    v = b.activation(node, 0)
    if len(v.shape) != 4:
        raise UnsupportedOperator(f"{node.where} resizes {list(v.shape)}; kilograd resizes images [batch, channels, height, width].")
    goal, factors = _goal(b, node, v.shape)
    mode = node.attrs.get("mode", "nearest")
    where = node.attrs.get("coordinate_transformation_mode", "half_pixel" if b.opset >= 11 else "asymmetric")
    places = [_places(node, where, d, n, f) for d, n, f in zip(v.shape[2:], goal, factors, strict=True)]
    target = b.target(node, [v], same=mode == "nearest")
    x = image(b, v, target)
    if mode == "nearest":
        rounding = ROUNDINGS.get(node.attrs.get("nearest_mode", "round_prefer_floor" if b.opset >= 11 else "floor"))
        if rounding is None:
            raise ModelError(f"{node.where} has nearest_mode {node.attrs['nearest_mode']!r}. The file is damaged: export it again.")
        picked = [np.clip(rounding(p), 0, d - 1).astype(int) for p, d in zip(places, v.shape[2:], strict=True)]
        return from_image(b, _nearest(b, node, x, picked, target), 4, target.raw)
    if mode != "linear":
        raise UnsupportedOperator(f"{node.where} interpolates by '{mode}'; kilograd runs nearest and linear. Export it with one of these.")
    return from_image(b, _linear(b, node, x, places, goal, target), 4)


def _nearest(b: Importer, node: RawNode, x: str, picked: list[Array], target: Any) -> str:
    height, width = len(picked[0]), len(picked[1])
    for align, half in ((False, False), (False, True), (True, False)):
        if all(np.array_equal(p, _taken(d, len(p), align, half)) for p, d in zip(picked, b.graph[x].shape[1:3], strict=True)):
            attrs = {"height": height, "width": width, "align_corners": align, "half_pixel_centers": half}
            return b.emit(node, "resize_nearest_neighbor", [x], attrs, target)
    for axis, indices in ((1, picked[0]), (2, picked[1])):
        where: dict[str, Any] = {"axis": axis, "indices": [int(i) for i in indices], "index_shape": (len(indices),)}
        x = b.emit(node, "gather", [x], where, target, "" if axis == 2 else f"{node.outputs[0]}/rows")
    return x


def _taken(size: int, goal: int, align: bool, half: bool) -> Array:
    """Pixels that resize_nearest_neighbor takes."""
    from kilograd.ir.graph import Node
    from kilograd.ops.resize import nearest

    attrs = {"align_corners": align, "half_pixel_centers": half}
    return nearest(Node("resize_nearest_neighbor", [], [], attrs), size, goal)


def _linear(b: Importer, node: RawNode, x: str, places: list[Array], goal: list[int], target: Any) -> str:
    sizes = b.graph[x].shape[1:3]
    for align, half in ((False, False), (False, True), (True, False)):
        fits = True
        for p, d, n in zip(places, sizes, goal, strict=True):
            i = np.arange(n, dtype=np.float64)
            scale = (d - 1) / (n - 1) if align and n > 1 else d / n
            own = (i + 0.5) * scale - 0.5 if half else i * scale
            fits &= bool(np.allclose(np.clip(own, 0, d - 1), np.clip(p, 0, d - 1), atol=1e-6))
        if fits:
            attrs = {"height": goal[0], "width": goal[1], "align_corners": align, "half_pixel_centers": half}
            return b.emit(node, "resize_bilinear", [x], attrs, target)
    raise UnsupportedOperator(
        f"{node.where} interpolates between places that kilograd does not run. Export it with half_pixel and with sizes."
    )


RULES: dict[str, Rule] = {"Resize": Rule((1, 4), resize)}

"""How operators that move elements are written in a .tflite file; the twin of tflite_rules/layout.py. FORMS as in tflite_forms.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from kilograd.errors import UnsupportedOperator
from kilograd.exports.form import Form, FormOf, integers, plain, version
from kilograd.ir.graph import DType, Graph, Node, Shape


def pad(graph: Graph, node: Node) -> Form:
    """PAD, PADV2 where the constant is not zero, MIRROR_PAD."""
    x, pads = graph[node.inputs[0]], integers(node.attrs["padding"])
    mode, value = node.attrs.get("mode", "constant"), node.attrs.get("value")
    if mode != "constant":
        return Form("MIRROR_PAD", version(graph, node, 1, 2), "MirrorPadOptions", {"Mode": int(mode == "symmetric")}, (x.name, pads))
    if x.dtype is DType.FLOAT32 and node.attrs.get("real_value", 0.0) != 0.0:
        return Form("PADV2", 1, "PadV2Options", {}, (x.name, pads, np.array([node.attrs["real_value"]], np.float32)))
    if x.quant is not None and value not in (None, x.q.z):
        return Form("PADV2", 2, "PadV2Options", {}, (x.name, pads, np.array([value], x.dtype.numpy)))
    return Form("PAD", version(graph, node, 1, 2), "PadOptions", {}, (x.name, pads))


def reshape(graph: Graph, node: Node) -> Form:
    """RESHAPE."""
    return Form("RESHAPE", 1, "ReshapeOptions", {}, (node.inputs[0], integers(graph[node.outputs[0]].shape)))


def transpose(graph: Graph, node: Node) -> Form:
    """TRANSPOSE."""
    order = integers(node.attrs["permutation"])
    return Form("TRANSPOSE", version(graph, node, 1, 2), "TransposeOptions", {}, (node.inputs[0], order))


def concatenation(graph: Graph, node: Node) -> Form:
    """CONCATENATION, or PACK where operands become slices of a new axis."""
    axis = int(node.attrs["axis"])
    if node.attrs.get("stack", False):
        return Form("PACK", version(graph, node, 1, 2), "PackOptions", {"Axis": axis, "ValuesCount": len(node.inputs)}, tuple(node.inputs))
    values = {"Axis": axis, "FusedActivationFunction": 0}
    return Form("CONCATENATION", version(graph, node, 1, 2), "ConcatenationOptions", values, tuple(node.inputs))


def tile(graph: Graph, node: Node) -> Form:
    """TILE."""
    return Form("TILE", version(graph, node, 1, 2), "TileOptions", {}, (node.inputs[0], integers(node.attrs["multiples"])))


def gather(graph: Graph, node: Node) -> Form:
    """GATHER."""
    indices = integers(node.attrs["indices"]).reshape(node.attrs.get("index_shape", (len(node.attrs["indices"]),)))
    return Form("GATHER", version(graph, node, 1, 2), "GatherOptions", {"Axis": int(node.attrs["axis"])}, (node.inputs[0], indices))


def block(builtin: str, options: str) -> FormOf:
    """SPACE_TO_DEPTH, DEPTH_TO_SPACE."""
    return lambda graph, node: Form(
        builtin, version(graph, node, 1, 2), options, {"BlockSize": int(node.attrs["block"])}, tuple(node.inputs)
    )


def dropped_axes(full: Shape, left: Shape) -> list[int] | None:
    """Axes of size 1 of `full` that are not in `left`, None when `left` is something else than `full` without them."""
    dropped, i = [], 0
    for axis, size in enumerate(full):
        if i < len(left) and left[i] == size and len(full) - axis >= len(left) - i and not (size == 1 and len(full) - axis > len(left) - i):
            i += 1
        elif size == 1:
            dropped.append(axis)
        else:
            return None
    return dropped if i == len(left) else None


def slice_(graph: Graph, node: Node) -> Form:
    """SLICE, or STRIDED_SLICE where there are steps or axes that go."""
    begin, size = [int(v) for v in node.attrs["begin"]], [int(v) for v in node.attrs["size"]]
    step = [int(v) for v in node.attrs.get("step", [1] * len(begin))]
    shape = tuple(node.attrs.get("shape", size))
    if shape == tuple(size) and all(s == 1 for s in step):
        return Form("SLICE", version(graph, node, 1, 2), "SliceOptions", {}, (node.inputs[0], integers(begin), integers(size)))
    dropped = dropped_axes(tuple(size), shape)
    if dropped is None:
        raise UnsupportedOperator(f"slice '{node.name}' makes the shape {list(shape)} of {size}: reshape its result instead")
    last = [b + n * s for b, n, s in zip(begin, size, step, strict=True)]
    step = [1 if i in dropped else s for i, s in enumerate(step)]
    values: dict[str, Any] = {
        "EndMask": sum(1 << i for i, v in enumerate(last) if v < 0), "ShrinkAxisMask": sum(1 << i for i in dropped)
    }  # fmt: skip
    operands = (node.inputs[0], integers(begin), integers(last), integers(step))
    return Form("STRIDED_SLICE", version(graph, node, 1, 2), "StridedSliceOptions", values, operands)


def resize(builtin: str, options: str) -> FormOf:
    """RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR."""

    def form(graph: Graph, node: Node) -> Form:
        flags = {"AlignCorners": bool(node.attrs["align_corners"]), "HalfPixelCenters": bool(node.attrs["half_pixel_centers"])}
        size = integers([node.attrs["height"], node.attrs["width"]])
        return Form(builtin, 3 if any(flags.values()) else version(graph, node, 1, 2), options, flags, (node.inputs[0], size))

    return form


FORMS: dict[str, FormOf] = {
    "pad": pad,
    "reshape": reshape,
    "transpose": transpose,
    "concatenation": concatenation,
    "tile": tile,
    "gather": gather,
    "slice": slice_,
    "space_to_depth": block("SPACE_TO_DEPTH", "SpaceToDepthOptions"),
    "depth_to_space": block("DEPTH_TO_SPACE", "DepthToSpaceOptions"),
    "resize_bilinear": resize("RESIZE_BILINEAR", "ResizeBilinearOptions"),
    "resize_nearest_neighbor": resize("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    "cast": plain("CAST", 1, 1),
}

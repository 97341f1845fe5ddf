"""Paddings in the words of TensorFlow Lite: SAME, VALID, or an operator of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kilograd.ir.graph import DType, Graph, Node, Tensor

SAME, VALID = 0, 1


def same_padding(in_hw: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Pixels that SAME adds to height and width, in front and behind together."""
    sizes = zip(in_hw, kernel, stride, dilation, strict=True)
    return [max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0) for size, k, s, d in sizes]


def padding_code(
    in_hw: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], padding: Sequence[int]
) -> int | None:
    """SAME, VALID, or None when explicit pixels (top, bottom, left, right) are neither."""
    if not any(padding):
        return VALID
    same = [part for total in same_padding(in_hw, kernel, stride, dilation) for part in (total // 2, total - total // 2)]
    return SAME if list(padding) == same else None


def explicit_pads(graph: Graph) -> Graph:
    """A layer whose padding is neither SAME nor VALID reads the result of a pad instead: the same numbers.

    Convolutions are padded with zero; a maximum with the lowest number, which is never the largest in a window.
    """
    out = graph.copy()
    for node in [n for n in out.nodes if n.op in ("conv2d", "depthwise_conv2d", "max_pool2d")]:
        x, pads = out[node.inputs[0]], node.attrs["padding"]
        kernel = node.attrs["filter"] if node.op == "max_pool2d" else out[node.inputs[1]].shape[1:3]
        if padding_code(x.shape[1:3], kernel, node.attrs["stride"], node.attrs.get("dilation", (1, 1)), pads) is not None:
            continue
        shape = (x.shape[0], x.shape[1] + pads[0] + pads[1], x.shape[2] + pads[2] + pads[3], x.shape[3])
        padded = out.fresh(f"{node.outputs[0]}.padded")
        out.add(Tensor(padded, shape, x.dtype, quant=x.quant))
        if x.name in out.meta.get("uint8", ()):
            out.meta["uint8"] = [*out.meta["uint8"], padded]
        attrs: dict[str, Any] = {"padding": [[0, 0], list(pads[:2]), list(pads[2:]), [0, 0]]}
        if node.op == "max_pool2d":
            real = x.dtype is DType.FLOAT32
            attrs |= {"real_value": float(np.finfo(np.float32).min)} if real else {"value": int(np.iinfo(x.dtype.numpy).min)}
        out.nodes.insert(out.index(node), Node("pad", [x.name], [padded], attrs, name=padded, phase=node.phase))
        node.inputs[0] = padded
        node.attrs["padding"] = (0, 0, 0, 0)
    return out

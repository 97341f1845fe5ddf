"""One function an operator of ONNX: its operands and attributes become nodes of the graph.

A handler gets the importer (which knows how values are stored and how a node computes) and the node as the file states it, and returns the
values of its results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.onnx_file import RawNode
from kilograd.frontends.onnx_value import Operand

MAX_WINDOW = 1 << 15  # largest stride, dilation, padding or filter that is accepted

Handler = Callable[[Any, RawNode], Operand | list[Operand]]


@dataclass(frozen=True)
class Rule:
    """How an operator is read: number of operands it may have, handler, and the operators of kilograd that it may become."""

    operands: tuple[int, int]
    handler: Handler


def sizes(node: RawNode, name: str, count: int, default: int = 1, least: int = 1) -> tuple[int, ...]:
    """An attribute that holds a few sizes."""
    found = node.attrs.get(name, [default] * count)
    if not isinstance(found, list) or len(found) != count or any(not isinstance(v, int) or not least <= v <= MAX_WINDOW for v in found):
        raise ModelError(f"{node.where}: its attribute {name} is {found}; {count} numbers from {least} to {MAX_WINDOW} are needed.")
    return tuple(found)


def pads(
    node: RawNode, size: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Padding before and after, for each spatial axis."""
    auto, n = node.attrs.get("auto_pad", "NOTSET"), len(size)
    if auto == "NOTSET":
        flat = sizes(node, "pads", 2 * n, 0, 0)
        return list(zip(flat[:n], flat[n:], strict=True))
    if auto == "VALID":
        return [(0, 0)] * n
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise ModelError(f"{node.where}: its attribute auto_pad is {auto!r}. The file is damaged: export it again.")
    result = []
    for d, k, s, w in zip(size, kernel, stride, dilation, strict=True):
        total = max((-(-d // s) - 1) * s + (k - 1) * w + 1 - d, 0)
        less, more = total // 2, total - total // 2
        result.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return result


def spatial(node: RawNode, shape: tuple[int, ...]) -> int:
    """Number of spatial axes of an image [batch, channels, ...]: 1 or 2."""
    n = len(shape) - 2
    if n not in (1, 2):
        raise UnsupportedOperator(
            f"{node.where} works on {max(n, 0)} spatial axes (shape {list(shape)}); kilograd runs 1 and 2. Reshape in front of it."
        )
    return n

"""What operators on images share: images of one or two axes as [1, h, w, c] and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.frontends.onnx_value import Target, Value, channels_last, stored

if TYPE_CHECKING:
    from kilograd.frontends.onnx import Importer


def image(b: Importer, v: Value, target: Target) -> str:
    """The tensor of [batch, channels, (h,) w] as [batch, h, w, channels]; h is 1 where it is not there."""
    rank = len(v.shape)
    x = b.arranged(v, channels_last(rank), target)
    shape = b.graph[x].shape
    return b.view(x, (shape[0], 1, *shape[1:])) if rank == 3 else x


def from_image(b: Importer, tensor: str, rank: int, raw: bool = False) -> Value:
    """The value of a tensor [batch, h, w, channels]; without h for rank 3."""
    shape = b.graph[tensor].shape
    return stored(tensor, (shape[0], *shape[2:]) if rank == 3 else shape, channels_last(rank), image=True, raw=raw)


def two(values: tuple[int, ...], first: int) -> tuple[int, int]:
    """Sizes of two spatial axes, `first` for the one that is not there."""
    return (first, values[0]) if len(values) == 1 else (values[0], values[1])


def four(values: list[tuple[int, int]]) -> tuple[int, int, int, int]:
    """Padding (top, bottom, left, right)."""
    (top, bottom), (left, right) = [(0, 0), *values] if len(values) == 1 else values
    return top, bottom, left, right

"""What an ONNX value is in the graph: a tensor whose elements may be stored in another order than ONNX counts them.

ONNX counts image axes as [batch, channels, height, width]; kilograd stores [batch, height, width, channels]. No transposition is made for
it: each value remembers how it is stored. Its stored order is a list of *atoms*, the sizes above 1, slowest first; each logical axis is a
list of atoms. A transposition permutes the axes, a reshape regroups or splits atoms, neither moves an element. Only where an operator needs
an order that differs from the stored one, elements move.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kilograd.ir.graph import Array, DType, QuantParams, Shape

FLOAT = DType.FLOAT32


def channels_last(rank: int) -> tuple[int, ...]:
    """Order of the logical axes [batch, channels, ...] with channels last."""
    return (0, *range(2, rank), 1)


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant, in ONNX's order. With `quant`, `data` are int8, int16 or int32 that stand for real numbers (axis: logical)."""

    data: Array
    quant: QuantParams | None = None

    @property
    def shape(self) -> Shape:
        """Logical shape."""
        return tuple(int(d) for d in self.data.shape)

    @property
    def real(self) -> Array:
        """The numbers that it stands for, float32 where it is quantized."""
        if self.quant is None:
            return self.data
        q = self.quant
        shape = [1] * self.data.ndim
        if q.axis is not None:
            shape[q.axis] = -1
        scale, zero = (v.reshape(shape if q.axis is not None else ()) for v in (q.scale, q.zero_point))
        found: Array = ((self.data.astype(np.float64) - zero) * scale).astype(np.float32)
        return found


@dataclass(frozen=True)
class Value:
    """A tensor of the graph as ONNX sees it.

    `raw`: ONNX means the stored integers (between QuantizeLinear and DequantizeLinear), not the numbers for which they stand.
    `image`: it came from or goes to an operator on images, so that axes of size 1 are put where images have them.
    """

    tensor: str
    atoms: tuple[int, ...]
    axes: tuple[tuple[int, ...], ...]
    image: bool = False
    raw: bool = False

    @property
    def shape(self) -> Shape:
        """Logical shape."""
        return tuple(math.prod(self.atoms[a] for a in axis) for axis in self.axes)

    def sorted_by(self, order: Sequence[int]) -> bool:
        """True when the logical axes, in that order, are how the elements are stored."""
        atoms = [a for axis in order for a in self.axes[axis]]
        return atoms == sorted(atoms)

    def natural(self) -> tuple[int, ...] | None:
        """An order of the logical axes in which the elements are stored, None when axes are interleaved."""
        rank = len(self.axes)
        candidates = [tuple(range(rank))]
        if rank >= 3:
            candidates.insert(0 if self.image else 1, channels_last(rank))
        firsts = sorted(range(rank), key=lambda i: self.axes[i][0] if self.axes[i] else -1)
        return next((c for c in (*candidates, tuple(firsts)) if self.sorted_by(c)), None)

    def transposed(self, order: Sequence[int]) -> Value:
        """Logical axis i of the result is axis order[i]."""
        return replace(self, axes=tuple(self.axes[a] for a in order), image=False)

    def with_tensor(self, tensor: str) -> Value:
        """Another tensor that is stored the same way."""
        return replace(self, tensor=tensor, raw=False)

    def regrouped(self, shape: Shape) -> Value | None:
        """The value under another shape without moving an element; None when that cannot be."""
        queue = [(a, self.atoms[a]) for axis in self.axes for a in axis]  # atoms in logical order
        pieces: list[list[tuple[int, int]]] = []  # of each new axis: (old atom, size)
        at = 0
        for size in shape:
            axis: list[tuple[int, int]] = []
            while size > 1:
                if at >= len(queue):
                    return None
                atom, have = queue[at]
                if size % have == 0:
                    axis.append((atom, have))
                    size //= have
                    at += 1
                elif have % size == 0:  # the outer part goes here, the rest to the next axis
                    axis.append((atom, size))
                    queue[at] = (atom, have // size)
                    size = 1
                else:
                    return None
            pieces.append(axis)
        # parts of one old atom were met in logical order, which is their stored order too
        flat = [(atom, size, i) for i, axis in enumerate(pieces) for atom, size in axis]
        order = sorted(range(len(flat)), key=lambda k: flat[k][0])
        place = {k: p for p, k in enumerate(order)}
        axes: list[list[int]] = [[] for _ in shape]
        for k, (_, _, i) in enumerate(flat):
            axes[i].append(place[k])
        return replace(self, atoms=tuple(flat[k][1] for k in order), axes=tuple(map(tuple, axes)), image=False)


def plain(tensor: str, shape: Iterable[int], raw: bool = False) -> Value:
    """A value that is stored as ONNX counts it."""
    sizes = tuple(shape)
    return stored(tensor, sizes, range(len(sizes)), raw=raw)


def stored(tensor: str, shape: Sequence[int], order: Iterable[int], image: bool = False, raw: bool = False) -> Value:
    """A value whose tensor has shape `shape`, axis i of which is logical axis order[i]."""
    places = list(order)
    axes: list[tuple[int, ...]] = [()] * len(places)
    atoms: list[int] = []
    for size, axis in zip(shape, places, strict=True):
        if size > 1:
            axes[axis] = (len(atoms),)
            atoms.append(size)
    return Value(tensor, tuple(atoms), tuple(axes), image, raw)


Operand = Value | Constant


@dataclass(frozen=True)
class Target:
    """How a node computes: with real numbers, or with integers and (where it is known) this quantization of its result."""

    real: bool
    quant: QuantParams | None = None
    dtype: DType = FLOAT
    activation: str = "none"
    raw: bool = False  # ONNX means the stored integers


REAL = Target(True)
KEPT = Target(False)  # in the integers that there are

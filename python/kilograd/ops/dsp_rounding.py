"""How kernels for cores with the DSP extension scale their sums: gemmlowp's two roundings as one addend and one shift.

Sums come with 8 bits of fraction (inputs or weights times 256), so that multiplying by a 31-bit multiplier and keeping the upper word loses
nothing that a rounding needs. That is exact while every channel's sum stays below 2^23, which the weights tell at compile time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kilograd.ir.graph import Array
from kilograd.ops.fixed_point import requantize

SUM_LIMIT = 2**23
SHIFTS = range(1, 16)  # right shifts; with 7 bits of fraction and 8 of a zero point all stay within 31 bits


def start_values(weights: Array, bias: Array | None, x_zero: int) -> Array:
    """Bias with the zero point of the input folded in, int64 [out]; weights [out, inputs]."""
    folded: Array = (0 if bias is None else bias.astype(np.int64)) - x_zero * weights.astype(np.int64).sum(axis=1)
    return folded


def sum_range(weights: Array, start: Array) -> tuple[Array, Array]:
    """Smallest and largest sum of each channel over all int8 inputs."""
    w = weights.astype(np.int64)
    up, down = np.maximum(w, 0).sum(axis=1), np.minimum(w, 0).sum(axis=1)
    return start - 128 * up + 127 * down, start + 127 * up - 128 * down


@dataclass(frozen=True)
class Scaling:
    """How sums become results, channel by channel: int64 [out] each. Channels whose result never changes have constant weights of 0."""

    multiplier: Array
    offset: Array
    shift: Array
    constant: Array  # bool

    def words(self) -> Array:
        """int32 [out, 3], as the streams hold them."""
        return np.stack([self.multiplier, self.offset, self.shift], axis=1).astype(np.int32)


@dataclass(frozen=True)
class Rounding:
    """The reference's way from a sum to a result, for one layer. `multiplier` and `shift` int64 [out], as kg_requantize takes them."""

    multiplier: Array
    shift: Array
    zero: int
    limits: tuple[int, int]

    @property
    def rectified(self) -> bool:
        """Nothing below the zero point is wanted."""
        return self.limits[0] >= self.zero

    def exact(self, sums: Array) -> Array:
        """Results for one sum a channel, as the reference computes them."""
        return np.clip(requantize(sums, self.multiplier, self.shift) + self.zero, *self.limits)

    def tiled(self, sums: Array, s: Scaling) -> Array:
        """The same as the tiles compute them (common/dsp/gemm.h)."""
        t = ((256 * sums * s.multiplier) >> 32) + (0 if self.rectified else 64)
        t = t + s.offset - (0 if self.rectified else np.where(t < 0, 128, 0))
        return np.clip(np.clip(t >> s.shift, -128, 127), *self.limits)

    def scaling(self, right: Array, multiplier: Array, excess: Array) -> Scaling:
        """With t = floor(256 sum m / 2^32): round(round(sum m / 2^31) / 2^s) = floor((t + 64 + 2^(s+6)) / 2^(s+7)) for positive values;
        halves of negative ones go down by one more unit of the first rounding, 128. `excess` bits that multiplier and shift lack make the
        first rounding's half smaller."""
        offset = (1 << (right + 6)) + (self.zero << (right + 7)) + (64 >> np.clip(excess, 0, 7) if self.rectified else 0)
        return Scaling(multiplier, offset, right + 7, np.zeros(right.shape, bool))

    def settle(self, low: Array, high: Array) -> Scaling | None:
        """Scaling with the bits of the reference for all sums in low..high, None where some channel has none.

        Channels that models have lost (huge biases, multipliers next to nothing) mostly give one result, whatever comes in. Shifts beyond
        the largest are taken with fewer bits of the multiplier; that this changes no result is proved step by step of the result.
        """
        right = np.clip(-self.shift, SHIFTS[0], SHIFTS[-1])
        excess = -self.shift - right
        found = self.scaling(right, np.where(excess > 0, rounded_shift(self.multiplier, excess), self.multiplier), excess)
        inside = (low > -SUM_LIMIT) & (high < SUM_LIMIT)
        whole = (low >= -(2**31)) & (high < 2**31)
        first, last = self.exact(low), self.exact(high)
        constant = whole & (first == last) & ~(inside & (excess == 0))
        settled = constant | (inside & (excess == 0))
        if not settled.all():
            settled |= inside & (excess > 0) & self._steps_agree(low, high, found)
        if not settled.all():
            return None
        one = np.where(constant, 7, found.shift)
        offset = np.where(constant, first << 7, found.offset)
        return Scaling(np.where(constant, 0, found.multiplier), offset, one, constant)

    def _steps_agree(self, low: Array, high: Array, s: Scaling) -> Array:
        """True for channels in which both ways step from each result to the next at the same sum (both rise with the sum)."""
        agree = np.asarray((self.exact(low) == self.tiled(low, s)) & (self.exact(high) == self.tiled(high, s)))
        for value in range(int(self.exact(low).min()) + 1, int(self.exact(high).max()) + 1):
            below, above = low.copy(), high.copy()  # exact(below) < value <= exact(above), where there is such a step
            there = (self.exact(low) < value) & (self.exact(high) >= value)
            while (above - below > 1)[there].any():
                middle = (below + above) >> 1
                reached = self.exact(middle) >= value
                below, above = np.where(reached, below, middle), np.where(reached, middle, above)
            agree &= ~there | ((self.tiled(below, s) < value) & (self.tiled(above, s) >= value))
        return agree


def rounded_shift(value: Array, shift: Array) -> Array:
    """Value / 2^shift to the nearest."""
    up = np.maximum(shift, 1)
    return np.where(shift > 0, (value + (np.int64(1) << (up - 1))) >> up, value)

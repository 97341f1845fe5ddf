"""From sums to results on cores with the DSP extension: n = floor(2^8 sum m / 2^32), then ((n + offset - (sum < 0 ? fall : 0)) >> shift).

The reference rounds twice (gemmlowp). Both ways rise with the sum, so they agree where they step from each result to the next at the same
sum: at most 255 sums a channel, found by bisection. What multiplier and offset make them agree is then a range for the offset; where the
shift is to be smaller than the multiplier asks for, neighbours of the multiplier are tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kilograd.ir.graph import Array
from kilograd.ops.fixed_point import requantize

FRACTION = 8  # bits of the sums
SUM_LIMIT = 2**23
SHIFTS = range(1, 23)  # with the 8 bits of a zero point all stays within 31 bits
FALL = 128  # where the multiplier keeps all its bits
# form of the scaling (common/dsp/gemm.h): its shift, 0 where every channel has its own; the best first
RECTIFIED = {7: 15, 6: 14, 5: 13, 4: 12, 3: 11, 1: 0}
SIGNED = {2: 14, 0: 0}
NEIGHBOURS = np.array([0, *(sign * (1 << k) for k in range(9) for sign in (-1, 1))])


@dataclass(frozen=True)
class Scaling:
    """How sums become results. Channels whose result never changes are to have weights and biases of 0."""

    form: int
    words: Array  # int32 [out, 3], as the streams hold them
    constant: Array  # bool [out]


@dataclass(frozen=True)
class _Numbers:
    """int64 [out] each."""

    multiplier: Array
    offset: Array
    shift: Array
    fall: Array

    def steps(self, sums: Array) -> Array:
        """What the shift and the offset are applied to."""
        n: Array = (sums * 2**FRACTION * self.multiplier) >> 32
        return n - np.where(sums < 0, self.fall, 0)

    def results(self, sums: Array, limits: tuple[int, int]) -> Array:
        """As the tiles compute them."""
        return np.clip(np.clip((self.steps(sums) + self.offset) >> self.shift, -128, 127), *limits)


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
        """Results for sums [..., out], as the reference computes them."""
        return np.clip(requantize(sums, self.multiplier, self.shift) + self.zero, *self.limits)

    def numbers(self, words: Array, form: int) -> _Numbers:
        """What the stream's words mean."""
        multiplier, offset, third = words.astype(np.int64).T
        if form == 2:
            return _Numbers(multiplier, offset, np.full_like(third, SIGNED[2]), third)
        return _Numbers(multiplier, offset, third & 255, third >> 8)

    def settle(self, low: Array, high: Array) -> Scaling | None:
        """Scaling with the bits of the reference for all sums in low..high, None where some channel has none.

        Channels that models have lost (huge biases, multipliers next to nothing) mostly give one result, whatever comes in.
        """
        whole = (low >= -(2**31)) & (high < 2**31)
        inside = (low > -SUM_LIMIT) & (high < SUM_LIMIT) & (self.shift < FRACTION)
        whole &= inside | (self.shift <= 0)
        first = self.exact(low)
        constant = whole & (first == self.exact(high))
        if not (constant | inside).all():
            return None
        low, high = np.where(constant, 0, low), np.where(constant, 0, high)
        values, reach = self._values(), None
        if not constant.all():
            reach = self._reach(values, low, high)
        for form, shift in (RECTIFIED if self.rectified else SIGNED).items():
            words = self._words(form, shift, constant, first, values, reach, (low, high))
            if words is not None:
                return Scaling(form, words, constant)
        return None

    def _values(self) -> Array:
        """Results that are more than the smallest, [values, 1]."""
        return np.arange(self.limits[0] + 1, self.limits[1] + 1, dtype=np.int64)[:, None]

    def _reach(self, values: Array, low: Array, high: Array) -> Array:
        """The smallest sums that give each of the values or more, [values, out]; high + 1 where there is none."""
        below = np.broadcast_to(low - 1, (len(values), len(low))).copy()
        above = np.broadcast_to(high + 1, below.shape).copy()
        while (above - below > 1).any():
            middle = (below + above) >> 1
            reached = self.exact(middle) >= values
            below, above = np.where(reached, below, middle), np.where(reached, middle, above)
        return above

    def _words(
        self, form: int, shift: int, constant: Array, first: Array, values: Array, reach: Array | None, sums: tuple[Array, Array]
    ) -> Array | None:
        """The scaling of one form, None where it has none for some channel."""
        full = -self.shift + FRACTION - 1  # the shift that the multiplier is meant for
        own = np.clip(full, SHIFTS[0], SHIFTS[-1]) if shift == 0 else np.full_like(full, shift)
        own = np.where(constant, shift or FALL.bit_length(), own)
        excess = np.where(constant, 0, full - own)
        if (excess < 0).any():
            return None
        fall = np.zeros_like(own) if self.rectified else FALL >> np.minimum(excess, 20)
        multiplier = np.where(constant, 0, rounded_shift(self.multiplier, excess))
        offset = first << own
        if reach is not None:
            open_ = ~constant
            for delta in NEIGHBOURS:
                trial = np.where(open_, multiplier + delta, multiplier)
                found, least = self._offsets(_Numbers(trial, offset, own, fall), values, reach, sums)
                solved = open_ & found & (trial >= 0) & (trial < 2**31)
                multiplier, offset = np.where(solved, trial, multiplier), np.where(solved, least, offset)
                open_ = open_ & ~solved
                if not open_.any():
                    break
            if open_.any():
                return None
        return np.stack([multiplier, offset, fall if form == 2 else own + 256 * fall], axis=1).astype(np.int32)

    def _offsets(self, n: _Numbers, values: Array, reach: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        """Which channels have an offset with which every value is reached at its sum and not before, and the middle of such offsets."""
        low, high = sums
        far = np.int64(2**30)
        must = np.where(reach <= high, (values << n.shift) - n.steps(np.minimum(reach, high)), -far).max(axis=0)
        may = np.where(reach > low, (values << n.shift) - 1 - n.steps(np.maximum(reach - 1, low)), far).min(axis=0)
        must, may = np.maximum(must, -far), np.minimum(may, far)
        return must <= may, (must + may) >> 1


def rounded_shift(value: Array, shift: Array) -> Array:
    """Value / 2^shift to the nearest."""
    up = np.clip(shift, 1, 62)
    return np.where(shift > 0, (value + (np.int64(1) << (up - 1))) >> up, value)

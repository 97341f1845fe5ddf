"""Layers that learn on cores with the DSP extension: sums in memory, four pixels at a time (csrc/common/dsp/sums.h).

Weights that learn keep their plain layout, so that checkpoints, names and the link see them as ever. They are packed when they are needed:
forward for a block of channels and all pixels, where that fits the scratch; otherwise for four channels and four pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kilograd.ir.graph import Array

SCRATCH_LIMIT = 3 * 1024

PIXELS, BLOCK_BYTES, SPARE, STEP = 4, 20, 4, 4  # KG_SUMS_*
GROUP, CALL = 24, 40  # instructions: a group beside its products, a call


@dataclass(frozen=True)
class Tiling:
    """How a tile of four pixels is cut: `pairs` of inputs at a time, `block` channels at a time."""

    pairs: int
    block: int
    held: bool = False  # the learned weights of a whole block are packed once for all pixels

    def bytes(self, words: int) -> int:
        """Scratch, with `words` inputs that meet learned weights."""
        packed = words * self.block if self.held else 4 * min(words, 2 * self.pairs)
        return 4 * PIXELS * self.block + BLOCK_BYTES * (self.pairs + SPARE) + packed


def tiling(
    parts: tuple[int, ...], words: int, channels: int, unit: int, pack: float, room: int = SCRATCH_LIMIT, hold: bool = False
) -> Tiling | None:
    """The cheapest tiling within `room` bytes, None when there is none.

    Windows have that many inputs of each part of the weights (0: no such part), `words` of them meet learned weights; blocks are multiples
    of `unit` channels, packing an input takes `pack` instructions. `hold`: learned weights stay packed, if there is room.
    """
    if hold and words and (held := _cheapest(parts, words, channels, unit, pack, room, True)):
        return held
    return _cheapest(parts, words, channels, unit, pack, room, False)


def _cheapest(parts: tuple[int, ...], words: int, channels: int, unit: int, pack: float, room: int, held: bool) -> Tiling | None:
    best, found = float("inf"), None
    for block in range(unit, channels + unit, unit):
        blocks = -(-channels // block)
        pairs = min((room - 4 * PIXELS * block) // BLOCK_BYTES - SPARE, -(-max(parts) // 4) * 2) // 2 * 2
        while pairs >= 2 and Tiling(pairs, block, held).bytes(words) > room:
            pairs -= 2
        if pairs < 2 or (held and 2 * pairs < words):
            continue
        fillings = sum(-(-part // (2 * pairs)) for part in parts)  # of the buffer
        packs = (1 if fillings == 1 else blocks) * pack * PIXELS * sum(parts)
        cost = packs + fillings * (blocks * CALL + channels / 2 * GROUP)
        if cost < best:
            best, found = cost, Tiling(pairs, block, held)
    return found


def weight_words(weights: Array) -> Array:
    """uint8: int8 weights [channels, inputs] (multiples of two and four) as kg_sums2x4 reads them."""
    channels, inputs = weights.shape
    # four inputs make the pairs (0, 2), (1, 3); a word has [c0 k0, c1 k0, c0 k1, c1 k1]
    fours = weights.astype(np.int8).reshape(channels // 2, 2, inputs // 4, 2, 2)  # group, channel, four, k, pair
    return np.ascontiguousarray(fours.transpose(0, 2, 4, 3, 1)).view(np.uint8).reshape(-1)  # group, four, pair, k, channel

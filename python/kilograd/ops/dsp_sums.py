"""Layers that learn on cores with the DSP extension: sums in memory, four pixels at a time (csrc/common/dsp/sums.h).

Weights that learn keep their plain layout: they are packed when they are needed, four channels at a time, which costs about a third of an
instruction for each of *their* products. Checkpoints, names and the link see the weights as ever.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kilograd.ir.graph import Array

SCRATCH_LIMIT = 3 * 1024

PIXELS, BLOCK_BYTES, SPARE, STEP = 4, 20, 4, 4  # KG_SUMS_*
GROUP, MULTIPLY, CALL = 24, 3.44, 40  # instructions: a group of a call, a block of a group, a call


@dataclass(frozen=True)
class Tiling:
    """How a tile of four pixels is cut: `pairs` of inputs at a time, `block` channels at a time."""

    pairs: int
    block: int

    def bytes(self, live: int) -> int:
        """Scratch, with `live` inputs that meet learned weights."""
        return 4 * PIXELS * self.block + BLOCK_BYTES * (self.pairs + SPARE) + 4 * min(live, 2 * self.pairs)


def tiling(frozen: int, live: int, channels: int, unit: int, pack: float, room: int = SCRATCH_LIMIT) -> Tiling | None:
    """The cheapest tiling within `room` bytes for windows of frozen + live inputs; blocks are multiples of `unit`, packing an input takes
    `pack` instructions a pixel. None when there is none."""
    best, found = float("inf"), None
    for block in range(unit, channels + unit, unit):
        blocks = -(-channels // block)
        left = (room - 4 * PIXELS * block) // BLOCK_BYTES - SPARE
        pairs = min(left, -(-max(frozen, live) // 4) * 2) // 2 * 2
        while pairs >= 2 and Tiling(pairs, block).bytes(live) > room:
            pairs -= 2
        if pairs < 2:
            continue
        flushes = -(-frozen // (2 * pairs)) + -(-live // (2 * pairs))
        whole = flushes == 1
        packs = (1 if whole else blocks) * pack * PIXELS * (frozen + live)
        cost = packs + flushes * blocks * CALL + flushes * channels / 2 * GROUP
        if cost < best:
            best, found = cost, Tiling(pairs, block)
    return found


def weight_words(weights: Array) -> Array:
    """uint8: int8 weights [channels, inputs] (multiples of two and four) as kg_sums2x4 reads them."""
    channels, inputs = weights.shape
    # four inputs make the pairs (0, 2), (1, 3); a word has [c0 k0, c1 k0, c0 k1, c1 k1]
    fours = weights.astype(np.int8).reshape(channels // 2, 2, inputs // 4, 2, 2)  # group, channel, four, k, pair
    return np.ascontiguousarray(fours.transpose(0, 2, 4, 3, 1)).view(np.uint8).reshape(-1)  # group, four, pair, k, channel

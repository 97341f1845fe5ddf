"""Depthwise layers that learn on cores with the DSP extension: planes of four channels (csrc/common/dsp/planes.h)."""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, Shape

SCRATCH_LIMIT = 3 * 1024
MAX_TAPS = 7  # across: KG_PLANES_TAPS
SPAN_BYTES = 12


def scratch(read: Shape, written: Shape, taps: int, live: int, block: int) -> int:
    """Bytes that `block` channels at a time take (kg_depthwise_scratch); images [1, h, w, c]."""
    planes, sums, spans = 2 * read[1] * read[2] * block, 4 * written[2] * block, SPAN_BYTES * (written[1] + written[2])
    return planes + sums + spans + 2 * min(live, block) * taps


def block_of(read: Shape, written: Shape, taps: int, live: int, unit: int) -> int:
    """Channels at a time: as few blocks as fit, all about the same size; 0 where not even one fits."""
    channels = read[3]
    for blocks in range(1, -(-channels // unit) + 1):
        block = -(-channels // (blocks * unit)) * unit
        if scratch(read, written, taps, live, block) <= SCRATCH_LIMIT:
            return block
    return 0


def tap_words(weights: Array) -> Array:
    """int16: weights [k_h, k_w, channels] as kg_planes_row reads them."""
    k_h, k_w, channels = weights.shape
    fours = weights.astype(np.int16).reshape(k_h * k_w, channels // 4, 2, 2)  # tap, four, high or low, pair
    return np.ascontiguousarray(fours.transpose(1, 0, 3, 2)).reshape(-1)


def backward_order(taps: int, stride: int) -> list[int]:
    """Taps along one axis as the backward pass walks over them (kg_tap_backward)."""
    return [k for phase in range(min(stride, taps)) for k in reversed(range(phase, taps, stride))]

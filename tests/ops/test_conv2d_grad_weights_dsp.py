"""The DSP variant of conv2d_grad_weights gives the bits of the reference, here by its portable C; tests/firmware runs its assembly."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import Kind
from kilograd.ops.conv2d_grad_weights_dsp import scratch, tiling
from kilograd.ops.variant import variants
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same
from tests.ops.test_conv2d import geometries, storages, zeros

DSP = variants("conv2d_grad_weights")["dsp"]


@settings(max_examples=150, deadline=None)
@given(geometries(), st.integers(1, 7), st.integers(1, 4), zeros, storages, st.integers(-40, 10), st.booleans(), st.integers(0, 99))
def test_equals_reference(
    geometry: dict[str, Any], live: int, out_c: int, zero: int, storage: tuple[str, int], e: int, sparse: bool, seed: int
) -> None:  # fmt: skip
    b = Bench(seed)
    train = b.train(step=seed)
    gy = b.error("gy", (1, *geometry["out"], 4 * out_c), e)
    if sparse:
        b.values[gy][..., b.rng.random(4 * out_c) < 0.7] = 0
    x = b.int8("x", (1, *geometry["size"], 4 * live), quant=activation_quant(0.04, zero))
    w = b.weights("w", (4 * out_c, *geometry["kernel"], 4 * live), 0, kind=Kind.STATE)
    fraction, pending, mutates = b.extra(storage[0], w)
    factor = np.exp2(b.rng.uniform(0, 12, 4 * out_c)) * (b.rng.random(4 * out_c) < 0.8)
    attrs = {**geometry["attrs"], "factor": factor, "rounding": storage[1], "x_zero": zero}
    node = b.node("conv2d_grad_weights", [gy, x, w, fraction, pending, train], [], attrs, mutates)
    assert DSP.fits(b.graph, node) and DSP.scratch_bytes(b.graph, node) <= 3072
    node.variant = DSP.name
    assert_same(b.graph, node, b.values)


def test_tilings_stay_within_the_scratch() -> None:
    for pairs, channels in ((32, 24), (128, 64), (1, 160), (300, 8)):
        cut = tiling(pairs, channels)
        assert cut is not None and scratch(cut, pairs) <= 3072 and cut.block % 4 == 0 and 0 < cut.pairs <= pairs
    assert tiling(4096, 16) is None

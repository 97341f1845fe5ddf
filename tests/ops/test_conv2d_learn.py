"""conv2d that learns on cores with the DSP extension gives the bits of the reference, here by its portable C; tests/firmware runs its
assembly."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import Kind
from kilograd.ops.conv2d_learn import scaling
from kilograd.ops.dsp_sums import Tiling, tiling, weight_words
from kilograd.ops.fixed_point import requantize
from kilograd.ops.variant import variants
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same
from tests.ops.test_conv2d import geometries, split, zeros

LEARN = variants("conv2d")["learn"]


@settings(max_examples=150, deadline=None)
@given(
    geometries(), st.integers(1, 9), st.integers(1, 4), st.integers(0, 9), zeros, st.sampled_from(["none", "relu", "relu6"]), st.booleans(),
    st.booleans(), st.booleans(), st.integers(0, 999),
)  # fmt: skip
def test_forward(
    geometry: dict[str, Any], in_c: int, out_c: int, live: int, zero: int, activation: str, extreme: bool, state: bool, sparse: bool,
    seed: int,
) -> None:  # fmt: skip
    b = Bench(seed)
    x = b.int8("x", (1, *geometry["size"], 4 * in_c), extreme, quant=activation_quant(0.04, zero))
    if sparse:
        b.values[x][..., b.rng.random(4 * in_c) < 0.6] = zero
    w, part = split(b, geometry, 4 * in_c, 8 * out_c, 4 * min(live, in_c), 0, state)
    if seed % 5 == 0:
        b.graph[w].q.scale[:3] = 1e-9, 2.0, 1e-6
    bias = b.bias("b", 8 * out_c, 2**31 - 1 if extreme else 5000, kind=Kind.STATE) if seed % 3 else ""
    y = b.output("y", (1, *geometry["out"], 8 * out_c))
    outputs = [y, b.mask("m", (1, *geometry["out"], 8 * out_c))] if seed % 2 else [y]
    node = b.node("conv2d", [x, w, bias, part], outputs, {**geometry["attrs"], "activation": activation})
    if not LEARN.fits(b.graph, node):
        learns = bias or part or state or len(outputs) > 1
        assert not learns or np.prod(geometry["out"]) < 4
        return
    assert LEARN.scratch_bytes(b.graph, node) <= 3072
    node.variant = LEARN.name
    assert_same(b.graph, node, b.values)


@settings(max_examples=200, deadline=None)
@given(st.integers(2**30, 2**31 - 1), st.integers(-31, 30), st.integers(-128, 127), st.booleans(), st.integers(0, 99))
def test_scaling(multiplier: int, shift: int, zero: int, relu: bool, seed: int) -> None:
    """Whatever the common scaling takes has the reference's value wherever that is not clamped, and is clamped where that is."""
    limits = (zero, 127) if relu else (-128, 127)
    (m, offset, right), odd = (v[0] for v in scaling(np.array([multiplier]), np.array([shift]), zero, limits))
    if odd:
        return
    rng = np.random.default_rng(seed)
    spread = np.array([2 ** int(rng.integers(4, 31)) for _ in range(400)], np.int64)
    sums = np.concatenate([rng.integers(-spread, spread), np.arange(-300, 300), [2**31 - 1, -(2**31), 2**23, -(2**23)]])
    want = requantize(sums, np.full(sums.shape, multiplier), np.full(sums.shape, shift)) + zero
    t = ((np.clip(sums, -(2**23), 2**23 - 1) * 256 * int(m)) >> 32) + 64
    got = ((t + int(offset) - np.where(t < 0, 128, 0)) >> int(right)) + limits[0]
    inside = (want >= limits[0]) & (want <= limits[1])
    np.testing.assert_array_equal(got[inside], want[inside])
    assert (np.clip(got, *limits) == np.clip(want, *limits)).all() and ((got >= limits[0]) & (got <= limits[1]) == inside).all()


def test_words_of_weights() -> None:
    words = weight_words(np.arange(16, dtype=np.int8).reshape(2, 8))
    assert words[:8].tolist() == [0, 8, 2, 10, 1, 9, 3, 11] and words.size == 16


def test_tilings_stay_within_their_room() -> None:
    for frozen, live, channels in ((576, 0, 160), (96, 0, 576), (24, 24, 240), (0, 12, 8), (8192, 4096, 512)):
        found = tiling((frozen, live), live, channels, 8, 2.2)
        assert found is not None and found.bytes(live) <= 3072 and found.pairs % 2 == 0 and found.block % 8 == 0
    assert tiling((4,), 0, 8, 8, 2.2, room=100) is None
    assert Tiling(2, 8).bytes(4) == 128 + 6 * 20 + 16

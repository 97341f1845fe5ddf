"""The DSP variant of conv2d_grad_input gives the bits of the reference, here by its portable C; tests/firmware runs its assembly."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ops.variant import variants
from tests.ops.nodes import Bench
from tests.ops.runner import assert_same
from tests.ops.test_conv2d import geometries, split

DSP = variants("conv2d_grad_input")["dsp"]


@settings(max_examples=150, deadline=None)
@given(
    geometries(), st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.booleans(), st.booleans(),
    st.sampled_from([-60, -30, -24, -22, -20, -18, -16, -10, 30]), st.integers(0, 99),
)  # fmt: skip
def test_equals_reference(
    geometry: dict[str, Any], in_c: int, out_c: int, live: int, state: bool, sparse: bool, target: int, seed: int
) -> None:  # fmt: skip
    b = Bench(seed)
    b.train()
    gy = b.error("gy", (1, *geometry["out"], 4 * out_c))
    if sparse:
        b.values[gy][..., b.rng.random(4 * out_c) < 0.6] = 0
    w, part = split(b, geometry, 4 * in_c, 4 * out_c, 4 * min(live, in_c), 0, state)
    gx = b.error("gx", (1, *geometry["size"], 4 * in_c), target, given=False)
    node = b.node("conv2d_grad_input", [gy, w, part], [gx], geometry["attrs"])
    if not DSP.fits(b.graph, node):
        assert np.prod(geometry["size"]) < 4
        return
    assert DSP.scratch_bytes(b.graph, node) <= 3072
    node.variant = DSP.name
    assert_same(b.graph, node, b.values)

"""The DSP variant of fully_connected gives the bits of the reference, here by its portable C; tests/firmware runs its assembly."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import Kind
from kilograd.ops.variant import variants
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same

DSP = variants("fully_connected")["dsp"]


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 70), st.integers(1, 13), st.sampled_from([0, -128, 127, -5]),
    st.sampled_from(["none", "relu", "relu6"]), st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_equals_reference(n: int, size: int, out: int, zero: int, activation: str, extreme: bool, per_channel: bool, seed: int) -> None:
    b = Bench(seed)
    x = b.int8("x", (n, size), extreme, quant=activation_quant(0.04, zero))
    w = b.weights("w", (out, size), 0, per_channel)
    bias = b.bias("b", out, 2**31 - 1 if extreme else 5000) if seed % 3 else ""
    node = b.node("fully_connected", [x, w, bias], [b.output("y", (n, out), 0.02, zero)], {"activation": activation})
    assert DSP.fits(b.graph, node)
    node.variant = DSP.name
    assert_same(b.graph, node, b.values)


def test_what_does_not_fit() -> None:
    """Learned weights, a result finer than the product (multipliers above 1/4), and clamp masks stay with the reference."""
    for kind, scale, masked in ((Kind.STATE, 0.05, False), (Kind.CONST, 1e-5, False), (Kind.CONST, 0.05, True)):
        b = Bench()
        x, w = b.int8("x", (1, 20), quant=activation_quant()), b.weights("w", (4, 20), 0, kind=kind)
        outputs = [b.output("y", (1, 4), scale), *([b.mask("m", (1, 4))] if masked else [])]
        assert not DSP.fits(b.graph, b.node("fully_connected", [x, w, ""], outputs, {"activation": "none"}))


def test_packing_costs_little() -> None:
    """The stream holds each weight once; beside them 64 bytes for four features."""
    b = Bench()
    x, w = b.int8("x", (1, 64), quant=activation_quant()), b.weights("w", (8, 64), 0)
    node = b.node("fully_connected", [x, w, ""], [b.output("y", (1, 8))], {"activation": "none"})
    stream = DSP.lower(b.graph, node).fields["stream"]  # type: ignore[union-attr]
    assert np.asarray(stream.data).nbytes == 8 * 64 + 2 * 64  # type: ignore[union-attr]

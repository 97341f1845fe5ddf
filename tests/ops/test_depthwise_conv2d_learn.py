"""Depthwise layers that learn on cores with the DSP extension, forward and backward, give the bits of the reference, here by their portable
C; tests/firmware runs their assembly."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import Kind
from kilograd.ops.dsp_planes import MAX_TAPS, backward_order, block_of, scratch
from kilograd.ops.variant import variants
from kilograd.ops.windows import output_size
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same
from tests.ops.test_depthwise_conv2d import weights, zeros

LEARN = variants("depthwise_conv2d")["learn"]
BACK = variants("depthwise_conv2d_grad_input")["dsp"]


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, Any]:
    """Windows of up to seven taps, strides up to three, no dilation."""
    pair = st.tuples(st.integers(1, MAX_TAPS), st.integers(1, MAX_TAPS))
    kernel, stride, padding = draw(pair), draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), draw(st.tuples(*[st.integers(0, 3)] * 4))
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    out = tuple(output_size(size[i], kernel[i], stride[i], 1, padding[2 * i], padding[2 * i + 1]) for i in (0, 1))
    if min(out) < 1:
        size, padding = (7, 7), (3, 3, 3, 3)
        out = tuple(output_size(7, kernel[i], stride[i], 1, 3, 3) for i in (0, 1))
    return {"kernel": kernel, "size": size, "out": out, "attrs": {"stride": stride, "dilation": (1, 1), "padding": padding}}


@settings(max_examples=150, deadline=None)
@given(
    geometries(), st.integers(1, 6), st.integers(0, 12), zeros, st.sampled_from(["none", "relu", "relu6"]), st.booleans(), st.booleans(),
    st.integers(0, 999),
)  # fmt: skip
def test_forward(
    geometry: dict[str, Any], eights: int, live: int, zero: int, activation: str, extreme: bool, state: bool, seed: int
) -> None:  # fmt: skip
    b, out_c = Bench(seed), 8 * eights
    x = b.int8("x", (1, *geometry["size"], out_c), extreme, quant=activation_quant(0.04, zero))
    w, part = weights(b, geometry["kernel"], out_c, 4 * live, 0, state)
    if seed % 5 == 0:
        b.graph[w].q.scale[:2] = 1e-9
    bias = b.bias("b", out_c, 2**31 - 1 if extreme else 5000, kind=Kind.STATE) if seed % 3 else ""
    y = b.output("y", (1, *geometry["out"], out_c))
    outputs = [y, b.mask("m", (1, *geometry["out"], out_c))] if seed % 2 else [y]
    node = b.node("depthwise_conv2d", [x, w, bias, part], outputs, {**geometry["attrs"], "activation": activation})
    if not LEARN.fits(b.graph, node):
        assert not (bias or part or len(outputs) > 1 or b.graph[w].kind is Kind.STATE)
        return
    assert LEARN.scratch_bytes(b.graph, node) <= 3072
    node.variant = LEARN.name
    assert_same(b.graph, node, b.values)


@settings(max_examples=150, deadline=None)
@given(
    geometries(), st.integers(1, 9), st.integers(0, 9), st.booleans(), st.sampled_from([-60, -30, -22, -18, -16, -12, 30]),
    st.integers(0, 99),
)  # fmt: skip
def test_grad_input(geometry: dict[str, Any], fours: int, live: int, state: bool, target: int, seed: int) -> None:
    b, out_c = Bench(seed), 4 * fours
    b.train()
    gy = b.error("gy", (1, *geometry["out"], out_c))
    w, part = weights(b, geometry["kernel"], out_c, 4 * live, 0, state)
    gx = b.error("gx", (1, *geometry["size"], out_c), target, given=False)
    node = b.node("depthwise_conv2d_grad_input", [gy, w, part], [gx], geometry["attrs"])
    assert BACK.fits(b.graph, node) and BACK.scratch_bytes(b.graph, node) <= 3072
    node.variant = BACK.name
    assert_same(b.graph, node, b.values)


def test_backward_order_keeps_taps_of_a_remainder_together() -> None:
    assert backward_order(5, 1) == [4, 3, 2, 1, 0]
    assert backward_order(7, 2) == [6, 4, 2, 0, 5, 3, 1]
    assert backward_order(2, 3) == [0, 1]


def test_blocks_stay_within_the_scratch() -> None:
    for read, written, taps, live in (((1, 8, 8, 160), (1, 8, 8, 160), 25, 0), ((1, 4, 4, 240), (1, 8, 8, 240), 49, 240)):
        block = block_of(read, written, taps, live, 8)
        assert block % 8 == 0 and 0 < scratch(read, written, taps, live, block) <= 3072
    assert block_of((1, 64, 64, 16), (1, 64, 64, 16), 9, 0, 8) == 0

"""The DSP variant of conv2d gives the bits of the reference, here by its portable C; tests/firmware runs its assembly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Kind, QuantParams
from kilograd.ops import operator
from kilograd.ops.conv2d_dsp import SCRATCH, in_order
from kilograd.ops.dsp_rounding import sum_range
from kilograd.ops.dsp_scaling import RECTIFIED, SIGNED, Rounding
from kilograd.ops.variant import variants
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same

DSP = variants("conv2d")["dsp"]
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=250, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)), st.sampled_from([1, 2, 3, 4, 7, 8, 16, 20]), st.integers(1, 9), pairs, pairs, pairs,
    st.tuples(*[st.integers(0, 2)] * 4), st.sampled_from([0, -128, 127, -5]), st.sampled_from(["none", "relu", "relu6"]),
    st.booleans(), st.integers(0, 999),
)  # fmt: skip
def test_equals_reference(
    hw: tuple[int, int], in_c: int, out: int, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int],
    padding: tuple[int, int, int, int], zero: int, activation: str, extreme: bool, seed: int,
) -> None:  # fmt: skip
    b = Bench(seed)
    attrs = {"stride": stride, "dilation": dilation, "padding": padding, "activation": activation}
    x = b.int8("x", (1, *hw, in_c), extreme, quant=activation_quant(0.04, zero))
    w = b.weights("w", (out, *kernel, in_c), 0, seed % 2 == 0)
    bias = b.bias("b", out, 20000) if seed % 3 else ""
    y = b.output("y", (1, 1, 1, out), 0.02 if seed % 5 else 0.5, zero)
    try:
        shape = operator("conv2d").infer(b.graph, _node(b, x, w, bias, y, attrs))[0].shape
    except GraphError:
        return
    if min(shape) < 1:
        return
    b.graph.set(y, shape=shape)
    node = b.node("conv2d", [x, w, bias], [y], attrs)
    assert DSP.fits(b.graph, node)
    node.variant = DSP.name
    assert_same(b.graph, node, b.values)


def _node(b: Bench, x: str, w: str, bias: str, y: str, attrs: dict[str, object]):  # type: ignore[no-untyped-def]
    from kilograd.ir.graph import Node

    return Node("conv2d", [x, w, bias], [y], dict(attrs), "the_conv2d")


@pytest.mark.parametrize(
    ("hw", "in_c", "out", "kernel", "padding", "parts"),
    [
        ((5, 5), 64, 8, 3, 1, True), ((7, 3), 480, 160, 1, 0, True), ((2, 2), 768, 258, 1, 0, True), ((4, 5), 388, 6, 1, 0, True),
        ((1, 3), 480, 9, 1, 0, False), ((5, 5), 480, 9, 1, 0, False), ((5, 5), 49, 8, 3, 1, False), ((1, 1), 800, 4, 1, 0, False),
    ],
)  # fmt: skip
def test_long_windows(hw: tuple[int, int], in_c: int, out: int, kernel: int, padding: int, parts: bool) -> None:
    """They are taken in parts, or pixel by pixel where that cannot be; the scratch memory stays small."""
    b = Bench(in_c)
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (padding,) * 4, "activation": "none"}
    x, w = b.int8("x", (1, *hw, in_c), quant=activation_quant()), b.weights("w", (out, kernel, kernel, in_c), 0)
    node = b.node("conv2d", [x, w, b.bias("b", out)], [b.output("y", (1, *hw, out), 0.5)], attrs)
    assert DSP.fits(b.graph, node) and DSP.scratch_bytes(b.graph, node) <= SCRATCH
    fields = DSP.lower(b.graph, node).fields  # type: ignore[union-attr]
    assert (fields["block"] != 0) == parts and fields["tile"] == (4 if parts else 1)
    node.variant = DSP.name
    assert_same(b.graph, node, b.values)


def test_order_of_inputs() -> None:
    """Rows of 3x3x3 windows: eight in fours, then the ninth of every row."""
    w = np.arange(27, dtype=np.int8).reshape(1, 3, 3, 3)
    assert in_order(w)[0].tolist() == [*range(8), *range(9, 17), *range(18, 26), 8, 17, 26, 0]


def test_the_range_of_the_sums_is_reached() -> None:
    low, high = sum_range(np.array([[3, -4, 5]], np.int8), np.array([7]))
    assert (low, high) == (7 - 128 * 8 - 127 * 4, 7 + 127 * 8 + 128 * 4)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(2**30, 2**31 - 1), st.integers(-3, 31), st.integers(-(2**23) + 1, 2**23 - 1), st.integers(0, 2**22),
    st.sampled_from([0, -128, 5]), st.booleans(),
)  # fmt: skip
def test_settled_scaling_is_exact(multiplier: int, right: int, low: int, width: int, zero: int, relu: bool) -> None:
    """Whatever is settled gives the reference's result at every step and between steps, and shifts of sane models are settled."""
    high = min(low + width, 2**23 - 1)
    rounding = Rounding(np.array([multiplier]), np.array([-right]), zero, (zero, 127) if relu else (-128, 127))
    scaling = rounding.settle(np.array([low]), np.array([high]))
    if scaling is None:
        assert not 1 <= right <= 15
        return
    assert scaling.form in (RECTIFIED if rounding.rectified else SIGNED)
    sums = np.unique(np.concatenate([np.linspace(low, high, 500).astype(np.int64), np.arange(low, min(low + 200, high) + 1)]))[:, None]
    got = rounding.numbers(scaling.words, scaling.form).results(np.where(scaling.constant, 0, sums), rounding.limits)
    np.testing.assert_array_equal(got, rounding.exact(sums))


def test_sums_that_are_too_large() -> None:
    rounding = Rounding(np.array([2**30]), np.array([-12]), 0, (-128, 127))
    assert rounding.settle(np.array([0]), np.array([2**23 - 1])) is not None
    assert rounding.settle(np.array([0]), np.array([2**23])) is None


def test_channels_that_a_model_has_lost() -> None:
    """A bias near 2^31 with no weights to speak of, and a multiplier next to nothing: constants, and the layer still fits."""
    b = Bench(3)
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "relu"}
    x, w = b.int8("x", (1, 3, 3, 8), quant=activation_quant()), b.weights("w", (4, 1, 1, 8), 0)
    scale = b.graph[w].q.scale
    scale[1:3] = 3e-9, 1e-7
    node = b.node("conv2d", [x, w, b.bias("b", 4)], [b.output("y", (1, 3, 3, 4), 0.05, -128)], attrs)
    b.values["b"][1] = 2**31 - 100000
    assert DSP.fits(b.graph, node)
    node.variant = DSP.name
    assert_same(b.graph, node, b.values)


def test_what_does_not_fit() -> None:
    """Learned weights, clamp masks, results finer than the product."""
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}
    for out, kind, size, scale, masked in (
        (4, Kind.STATE, 100, 0.05, False), (4, Kind.CONST, 100, 0.05, True), (4, Kind.CONST, 100, 1e-6, False),
    ):  # fmt: skip
        b = Bench()
        x, w = b.int8("x", (1, 3, 3, 8), quant=activation_quant()), b.weights("w", (out, 1, 1, 8), 0, kind=kind)
        outputs = [b.output("y", (1, 3, 3, out), scale), *([b.mask("m", (1, 3, 3, out))] if masked else [])]
        assert not DSP.fits(b.graph, b.node("conv2d", [x, w, b.bias("b", out, size)], outputs, attrs))


def test_scratch_is_what_the_kernel_takes() -> None:
    """Pairs of four windows, and lines of them only where windows reach beyond the image."""
    for padding, expected in ((0, 4 * 2 * 27 + 4 * 2), (1, 4 * 2 * 28 + 4 * 9)):
        b = Bench()
        attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (padding,) * 4, "activation": "none"}
        x, w = b.int8("x", (1, 6, 6, 3), quant=QuantParams.per_tensor(0.1)), b.weights("w", (2, 3, 3, 3), 0)
        size = 4 + 2 * padding
        node = b.node("conv2d", [x, w, ""], [b.output("y", (1, size, size, 2))], attrs)
        assert DSP.scratch_bytes(b.graph, node) == expected

"""The DSP variant of conv2d gives the bits of the reference, here by its portable C; tests/firmware runs its assembly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Kind, QuantParams
from kilograd.ops import operator
from kilograd.ops.conv2d_dsp import STEP
from kilograd.ops.dsp_rounding import SHIFTS, Rounding, sum_range
from kilograd.ops.variant import variants
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same

DSP = variants("conv2d")["dsp"]
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=250, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)), st.sampled_from([1, 2, 3, 4, 7, 8, 16]), st.integers(1, 5), pairs, pairs, pairs,
    st.tuples(*[st.integers(0, 2)] * 4), st.sampled_from([0, -128, 127, -5]), st.sampled_from(["none", "relu", "relu6"]),
    st.booleans(), st.integers(0, 999),
)  # fmt: skip
def test_equals_reference(
    hw: tuple[int, int], in_c: int, couples: int, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int],
    padding: tuple[int, int, int, int], zero: int, activation: str, extreme: bool, seed: int,
) -> None:  # fmt: skip
    b = Bench(seed)
    attrs = {"stride": stride, "dilation": dilation, "padding": padding, "activation": activation}
    x = b.int8("x", (1, *hw, in_c), extreme, quant=activation_quant(0.04, zero))
    w = b.weights("w", (2 * couples, *kernel, in_c), 0, seed % 2 == 0)
    bias = b.bias("b", 2 * couples, 20000) if seed % 3 else ""
    y = b.output("y", (1, 1, 1, 2 * couples), 0.02 if seed % 5 else 0.5, zero)
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


@pytest.mark.parametrize("in_c", [48, 49, 64])
def test_long_windows_take_the_narrow_tile(in_c: int) -> None:
    b = Bench(in_c)
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "activation": "none"}
    x, w = b.int8("x", (1, 5, 5, in_c), quant=activation_quant()), b.weights("w", (8, 3, 3, in_c), 0)
    node = b.node("conv2d", [x, w, b.bias("b", 8)], [b.output("y", (1, 5, 5, 8), 0.5)], attrs)
    assert DSP.fits(b.graph, node) and DSP.lower(b.graph, node).fields["tile"] == 2  # type: ignore[union-attr]
    node.variant = DSP.name
    assert_same(b.graph, node, b.values)


def test_the_range_of_the_sums_is_reached() -> None:
    low, high = sum_range(np.array([[3, -4, 5]], np.int8), np.array([7]))
    assert (low, high) == (7 - 128 * 8 - 127 * 4, 7 + 127 * 8 + 128 * 4)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(2**30, 2**31 - 1), st.integers(1, 31), st.integers(-(2**23), 2**23 - 1), st.integers(0, 2**22),
    st.sampled_from([0, -128, 5]), st.booleans(),
)  # fmt: skip
def test_settled_scaling_is_exact(multiplier: int, right: int, low: int, width: int, zero: int, relu: bool) -> None:
    """Whatever is settled gives the reference's result at every step and between steps."""
    high = min(low + width, 2**23 - 1)
    rounding = Rounding(np.array([multiplier]), np.array([-right]), zero, (zero, 127) if relu else (-128, 127))
    scaling = rounding.settle(np.array([low]), np.array([high]))
    if scaling is None:
        assert right > SHIFTS[-1] or low == -(2**23)
        return
    sums = np.unique(np.concatenate([np.linspace(low, high, 500).astype(np.int64), np.arange(low, min(low + 200, high) + 1)]))
    want = np.array([rounding.exact(np.array([v]))[0] for v in sums])
    got = np.array([rounding.tiled(np.array([0 if scaling.constant[0] else v]), scaling)[0] for v in sums])
    np.testing.assert_array_equal(got, want)


def test_sums_that_are_too_large() -> None:
    rounding = Rounding(np.array([2**30]), np.array([-15]), 0, (-128, 127))
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
    """Learned weights, odd channels, clamp masks, results finer than the product."""
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}
    for out, kind, size, scale, masked in (
        (4, Kind.STATE, 100, 0.05, False), (3, Kind.CONST, 100, 0.05, False),
        (4, Kind.CONST, 100, 0.05, True), (4, Kind.CONST, 100, 1e-6, False),
    ):  # fmt: skip
        b = Bench()
        x, w = b.int8("x", (1, 3, 3, 8), quant=activation_quant()), b.weights("w", (out, 1, 1, 8), 0, kind=kind)
        outputs = [b.output("y", (1, 3, 3, out), scale), *([b.mask("m", (1, 3, 3, out))] if masked else [])]
        assert not DSP.fits(b.graph, b.node("conv2d", [x, w, b.bias("b", out, size)], outputs, attrs))


def test_scratch_is_what_the_kernel_takes() -> None:
    b = Bench()
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}
    x, w = b.int8("x", (1, 4, 4, 20), quant=QuantParams.per_tensor(0.1)), b.weights("w", (2, 1, 1, 20), 0)
    node = b.node("conv2d", [x, w, ""], [b.output("y", (1, 4, 4, 2))], attrs)
    width = -(-20 // STEP) * STEP
    assert DSP.scratch_bytes(b.graph, node) == 4 * 2 * width + 20

"""The DSP variant of depthwise_conv2d gives the bits of the reference, here by its portable C; tests/firmware runs its assembly."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Kind, Node, QuantParams
from kilograd.ops import operator
from kilograd.ops.base import KernelCall
from kilograd.ops.depthwise_conv2d_dsp import MAX_SCRATCH, settle_fractions
from kilograd.ops.dsp_rounding import Rounding
from kilograd.ops.variant import variants
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same

DSP = variants("depthwise_conv2d")["dsp"]
sizes = st.one_of(st.tuples(st.integers(1, 12), st.integers(1, 12)), st.tuples(st.integers(1, 40), st.integers(1, 60)))
kernels = st.one_of(st.just((3, 3)), st.sampled_from([(5, 5), (7, 7)]), st.tuples(st.integers(1, 13), st.integers(1, 7)))
strides = st.one_of(st.sampled_from([(1, 1), (2, 2)]), st.tuples(st.integers(1, 3), st.integers(1, 2)))


def layer(
    b: Bench, hw: tuple[int, int], channels: int, kernel: tuple[int, int], attrs: dict[str, Any], zero: int = -5,
    scale: float = 0.05, extreme: bool = False, bias: int = 5000, spread: float = 4, suffix: str = "",
) -> Node | None:  # fmt: skip
    """A depthwise layer with weight scales over `spread` powers of two; None where the kernel does not fit into the image."""
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "activation": "relu"} | attrs
    x = b.int8(f"x{suffix}", (1, *hw, channels), extreme, quant=activation_quant(0.04, zero))
    scales = QuantParams(np.exp2(b.rng.uniform(-9, spread - 9, channels)).astype(np.float32), np.zeros(channels, np.int32), 3)
    w = b.int8(f"w{suffix}", (1, *kernel, channels), extreme, kind=Kind.CONST, quant=scales)
    operands = [x, w, b.bias(f"b{suffix}", channels, bias) if bias else ""]
    y = b.output(f"y{suffix}", (1, 1, 1, channels), scale, zero)
    try:
        shape = operator("depthwise_conv2d").infer(b.graph, Node("depthwise_conv2d", operands, [y], attrs, "n"))[0].shape
    except GraphError:
        return None
    if min(shape) < 1:
        return None
    b.graph.set(y, shape=shape)
    return b.node("depthwise_conv2d", operands, [y], attrs)


def lowered(b: Bench, node: Node) -> KernelCall:
    call = DSP.lower(b.graph, node)
    assert isinstance(call, KernelCall)
    return call


@settings(max_examples=int(os.environ.get("KG_SHAPES", "300")), deadline=None)
@given(
    sizes, st.sampled_from([4, 5, 7, 8, 12]), kernels, strides, st.tuples(*[st.integers(0, 4)] * 4),
    st.sampled_from([0, -128, 127, -5]), st.sampled_from(["none", "relu", "relu6"]), st.sampled_from([0.02, 0.05, 0.5]),
    st.booleans(), st.sampled_from([0, 5000, 100000]), st.integers(0, 999),
)  # fmt: skip
def test_equals_reference(
    hw: tuple[int, int], channels: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int, int, int],
    zero: int, activation: str, scale: float, extreme: bool, bias: int, seed: int,
) -> None:  # fmt: skip
    b = Bench(seed)
    attrs = {"stride": stride, "padding": padding, "activation": activation}
    node = layer(b, hw, channels, kernel, attrs, zero, scale, extreme, bias)
    if node is None:
        return
    assert DSP.fits(b.graph, node)
    assert DSP.scratch_bytes(b.graph, node) <= MAX_SCRATCH
    node.variant = DSP.name
    assert_same(b.graph, node, b.values)


def way(b: Bench, node: Node) -> tuple[int, int]:
    """Whether weights stay in registers, and whether rows and columns are swapped."""
    found = lowered(b, node).fields
    return int(found["whole"]), int(found["swapped"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hw", "kernel", "attrs", "want"),
    [
        ((12, 12), (3, 3), {}, (1, 0)),
        ((25, 5), (3, 3), {}, (1, 1)),
        ((12, 12), (3, 3), {"stride": (2, 2)}, (1, 0)),
        ((12, 12), (3, 3), {"activation": "none"}, (0, 0)),
        ((1, 30), (1, 13), {"padding": (0, 0, 6, 6)}, (0, 1)),
        ((9, 9), (5, 5), {"stride": (1, 3)}, (0, 1)),
    ],
)
def test_ways(hw: tuple[int, int], kernel: tuple[int, int], attrs: dict[str, Any], want: tuple[int, int]) -> None:
    b = Bench(3)
    node = layer(b, hw, 8, kernel, attrs)
    assert node is not None and DSP.fits(b.graph, node)
    assert way(b, node) == want
    node.variant = DSP.name
    assert_same(b.graph, node, b.values)


@pytest.mark.parametrize(("hw", "kernel", "stride"), [((96, 130), (3, 3), 1), ((34, 120), (7, 7), 2), ((40, 64), (5, 5), 1)])
def test_large_maps_come_in_blocks(hw: tuple[int, int], kernel: tuple[int, int], stride: int) -> None:
    b = Bench(4)
    node = layer(b, hw, 5, kernel, {"stride": (stride, stride)})
    assert node is not None and DSP.fits(b.graph, node)
    blocks = lowered(b, node).fields
    assert blocks["block_h"] != b.graph["y"].shape[1] or blocks["block_w"] != b.graph["y"].shape[2]
    node.variant = DSP.name
    assert_same(b.graph, node, b.values)


def test_lost_channels_and_large_sums() -> None:
    """Biases near 2^26 and multipliers next to nothing do not keep a layer from its kernel."""
    b = Bench(5)
    node = layer(b, (6, 6), 8, (3, 3), {}, -128)
    assert node is not None
    b.graph["w"].q.scale[:3] = 1e-7, 3e-9, 1e-6
    b.values["b"][:3] = 2**26, 2**31 - 50000, 2**24
    assert DSP.fits(b.graph, node) and way(b, node)[0] == 1
    node.variant = DSP.name
    assert_same(b.graph, node, b.values)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(2**30, 2**31 - 1), st.integers(1, 22), st.integers(-(2**27), 2**27), st.integers(0, 2**21),
    st.sampled_from([0, -128, 5]),
)  # fmt: skip
def test_every_fraction_is_exact(multiplier: int, right: int, low: int, width: int, zero: int) -> None:
    high = low + width
    rounding = Rounding(np.array([multiplier]), np.array([-right]), zero, (zero, 127))
    found = settle_fractions(rounding, np.array([low]), np.array([high]))
    if found is None:
        return
    s, sums = found.scaling, np.unique(np.concatenate([np.linspace(low, high, 500).astype(np.int64), np.arange(low, min(low + 200, high))]))
    t = (((0 if s.constant[0] else sums) << found.fraction[0]) * s.multiplier[0] >> 32) + s.offset[0]
    assert np.abs(t).max() < 2**31
    got = np.clip(np.clip(t >> s.shift[0], -128, 127), zero, 127)
    np.testing.assert_array_equal(np.broadcast_to(got, sums.shape), [rounding.exact(np.array([v]))[0] for v in sums])


def test_what_does_not_fit() -> None:
    """Learned weights, few channels, dilation, windows that are wide both ways, results finer than the sums."""
    for channels, kernel, attrs, kind, scale in (
        (4, (3, 3), {}, Kind.STATE, 0.05), (3, (3, 3), {}, Kind.CONST, 0.05), (4, (3, 3), {"dilation": (2, 2)}, Kind.CONST, 0.05),
        (4, (8, 8), {"padding": (4, 4, 4, 4)}, Kind.CONST, 0.05), (4, (3, 3), {}, Kind.CONST, 1e-6),
    ):  # fmt: skip
        b = Bench()
        node = layer(b, (9, 9), channels, kernel, attrs, scale=scale)
        assert node is not None
        b.graph.set("w", kind=kind)
        assert not DSP.fits(b.graph, node)

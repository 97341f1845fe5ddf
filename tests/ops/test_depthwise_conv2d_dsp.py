"""The DSP variant of depthwise_conv2d gives the bits of the reference, here by its portable C; tests/firmware runs its assembly."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Kind, Node, QuantParams
from kilograd.ops import operator
from kilograd.ops.base import KernelCall
from kilograd.ops.depthwise_conv2d_dsp import MAX_SCRATCH
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


@settings(max_examples=300, deadline=None)
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

"""The DSP variants of clamp_grad, grad_sum and bias_grad give the bits of the reference; they run in place where it does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import DType, Kind, Tensor
from kilograd.ops import operator
from kilograd.ops.fixed_point import ROUND_NEAREST, ROUND_STOCHASTIC
from kilograd.ops.variant import variants
from tests.ops.nodes import Bench
from tests.ops.runner import assert_same
from tests.ops.test_bias import learned


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 100), st.integers(0, 999))
def test_clamp_grad(count: int, seed: int) -> None:
    b = Bench(seed)
    gy, mask = b.error("gy", (count,)), b.mask("m", (count,))
    b.values[mask] = np.packbits(b.rng.integers(0, 2, count).astype(np.uint8), bitorder="little")
    b.graph.add(Tensor("gx", (count,), DType.INT8, exponent=b.graph[gy].exponent))
    node = b.node("clamp_grad", [gy, mask], ["gx"], {})
    node.variant = "dsp"
    assert_same(b.graph, node, b.values)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 200), st.integers(-30, 0), st.integers(-60, 60), st.integers(-30, 30), st.integers(0, 999))
def test_grad_sum(count: int, ea: int, apart: int, target: int, seed: int) -> None:
    b = Bench(seed)
    b.train(step=seed)
    inputs = [b.error("a", (count,), ea), b.error("b", (count,), min(max(ea + apart, -60), 30))]
    node = b.node("grad_sum", inputs, [b.error("s", (count,), min(max(ea + target, -60), 30), given=False)], {})
    node.variant = "dsp"
    assert_same(b.graph, node, b.values)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 600), st.integers(1, 5), st.sampled_from([DType.INT32, DType.INT16]), st.sampled_from([ROUND_NEAREST, ROUND_STOCHASTIC]),
    st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_bias_grad(pixels: int, fours: int, dtype: DType, rounding: int, extreme: bool, deferred: bool, seed: int) -> None:
    b = Bench(seed)
    train, channels = b.train(step=seed), 4 * fours
    gy = b.error("gy", (1, pixels, 1, channels))
    if extreme:
        b.values[gy][:] = b.rng.choice([-128, 127])
    bias = learned(b, dtype, channels, extreme)
    _, pending, mutates = b.extra("pending" if deferred else "w8", bias)
    attrs = {"factor": np.exp2(b.rng.uniform(0, 20, channels)), "rounding": rounding, "limit": 30000}
    node = b.node("bias_grad", [gy, bias, pending, train], [], attrs, mutates)
    assert variants("bias_grad")["dsp"].fits(b.graph, node)
    node.variant = "dsp"
    assert_same(b.graph, node, b.values)


def test_odd_channels_stay_with_the_reference() -> None:
    b = Bench()
    gy, train, bias = b.error("gy", (1, 4, 4, 6)), b.train(), b.bias("b", 6, kind=Kind.STATE)
    attrs = {"factor": np.ones(6), "rounding": ROUND_NEAREST, "limit": 1000}
    assert not variants("bias_grad")["dsp"].fits(b.graph, b.node("bias_grad", [gy, bias, "", train], [], attrs, (bias,)))


@pytest.mark.parametrize("op", ["clamp_grad", "grad_sum"])
def test_place_is_that_of_the_reference(op: str) -> None:
    b = Bench()
    b.error("a", (8,))
    node = b.node("grad_sum", ["a", b.error("b", (8,))], [b.error("s", (8,), given=False)], {})
    node.op = op
    assert variants(op)["dsp"].inplace(b.graph, node) == operator(op).inplace(b.graph, node) != []

"""Whole training steps with the kernels of a core leave the state of the reference, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

import kilograd as kg
from kilograd.ir.graph import Graph, Kind
from kilograd.train.config import TrainConfig
from kilograd.train.scheme import Scheme
from tests.train.nets import NetBuilder

STEPS = 20
LEARNING = {"conv2d_learn_s8", "conv2d_grad_input_dsp_s8", "depthwise_conv2d_learn_s8", "depthwise_conv2d_grad_input_dsp_s8"}


def wide_net(seed: int = 0) -> Graph:
    """Inverted residual blocks with the channel counts that the kernels want, and windows of 3, 5 and 7 taps."""
    n = NetBuilder((1, 9, 9, 4), seed)
    stem = n.conv("stem", "x", 8, k=3, stride=1)
    one = n.conv("one", stem, 24)
    narrow = n.conv("narrow", n.depthwise("deep", one, 5), 8, activation="none")
    two = n.conv("two", n.add("joined", stem, narrow), 40, bias=False)
    last = n.conv("last", n.depthwise("down", two, 7, 2, "none"), 16, k=3)
    n.dense("head", n.flat("flat", n.pool("pool", n.depthwise("small", last))), 4)
    return n.graph


SCHEMES = [
    (Scheme(everything=True), TrainConfig(0.02)),
    (Scheme(everything=True), TrainConfig(0.02, storage="w8f8", bias="int16")),
    (Scheme(everything=True), TrainConfig(0.02, accumulate=3, rounding="nearest", exponent_start=-18)),
    (Scheme(True, 6, {"one": 4, "two": 4, "deep": 8, "last": 16}), TrainConfig(0.02)),
    (Scheme(True, 4, {"two": 8}), TrainConfig(0.02, update_order="early", exponent_start=-14)),
]


@pytest.mark.parametrize(("scheme", "config"), SCHEMES)
def test_state_after_many_steps(scheme: Scheme, config: TrainConfig) -> None:
    plans = [kg.compile(wide_net(), train=scheme, config=config, target=t) for t in ("reference", "cortex-m4")]
    kernels = {c.kernel for c in plans[1].calls}
    assert LEARNING & kernels and not any(c.kernel in LEARNING for c in plans[0].calls)
    reference, core = (kg.Simulator(p) for p in plans)
    rng = np.random.default_rng(1)
    for step in range(STEPS):
        x = rng.integers(-128, 128, (1, 9, 9, 4)).astype(np.int8)
        for s in (reference, core):
            s.train_step(x, step % 4)
    learned = [name for name, t in plans[0].tensors.items() if t.kind is Kind.STATE]
    assert learned
    for name in learned:
        np.testing.assert_array_equal(reference.read(name), core.read(name), err_msg=name)


def test_everything_that_can_runs_on_the_kernels_of_the_core() -> None:
    plan = kg.compile(wide_net(), train=SCHEMES[0][0], config=SCHEMES[0][1], target="cortex-m7")
    gradients = {"conv2d_grad_weights_dsp_s8", "bias_grad_dsp_s32", "clamp_grad_dsp_s8", "grad_sum_dsp_s8"}
    assert {c.kernel for c in plan.calls} >= {*LEARNING, *gradients}

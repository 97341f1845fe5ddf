"""depthwise_conv2d and its gradients: C equals NumPy; gradients agree with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import DType, Kind, QuantParams, Tensor
from kilograd.ops.windows import windows
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same
from tests.ops.test_conv2d import geometries, storages, zeros
from tests.ops.weighted import check_layer

Real = npt.NDArray[np.float64]
channels = st.integers(1, 40)  # blocks of 16, and what is left
multipliers = st.sampled_from([1, 1, 2, 8])


def weights(b: Bench, kernel: tuple[int, int], out_c: int, live: int, w_zero: int, state: bool) -> tuple[str, str]:
    """Weights in one piece or two; each part carries the scales of its channels."""
    if not 0 < live < out_c:
        kind = Kind.STATE if state else Kind.CONST
        return b.weights("w", (1, *kernel, out_c), 3, zero=w_zero, per_channel=not w_zero, kind=kind), ""
    frozen = b.weights("w", (1, *kernel, out_c - live), 3, zero=w_zero, per_channel=not w_zero)
    part = b.weights("live", (1, *kernel, live), 3, zero=w_zero, per_channel=not w_zero, kind=Kind.STATE)
    if w_zero:
        b.graph.set(part, quant=b.graph[frozen].quant)
    return frozen, part


@settings(max_examples=60, deadline=None)
@given(
    geometries(), channels, multipliers, st.integers(0, 40), zeros, st.sampled_from([0, 0, 17, -128]),
    st.sampled_from(["none", "relu", "relu6"]), st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_forward(
    geometry: dict[str, Any],
    in_c: int,
    multiplier: int,
    live: int,
    zero: int,
    w_zero: int,
    activation: str,
    extreme: bool,
    state: bool,
    seed: int,
) -> None:
    b, out_c = Bench(seed), in_c * multiplier
    x = b.int8("x", (1, *geometry["size"], in_c), extreme, quant=activation_quant(0.04, zero))
    w, part = weights(b, geometry["kernel"], out_c, live * multiplier, w_zero, state)
    bias = b.bias("b", out_c, 2**31 - 1 if extreme else 5000) if seed % 3 else ""
    y = b.output("y", (1, *geometry["out"], out_c))
    outputs = [y, b.mask("m", (1, *geometry["out"], out_c))] if seed % 2 else [y]
    node = b.node("depthwise_conv2d", [x, w, bias, part], outputs, {**geometry["attrs"], "activation": activation})
    assert_same(b.graph, node, b.values)


@settings(max_examples=50, deadline=None)
@given(
    geometries(), channels, multipliers, st.integers(0, 40), st.sampled_from([0, 0, 17, -128]), st.booleans(),
    st.sampled_from([-60, -30, -22, -16, 30]), st.integers(0, 99),
)  # fmt: skip
def test_grad_input(
    geometry: dict[str, Any], in_c: int, multiplier: int, live: int, w_zero: int, state: bool, target: int, seed: int
) -> None:
    b, out_c = Bench(seed), in_c * multiplier
    b.train()
    gy = b.error("gy", (1, *geometry["out"], out_c))
    w, part = weights(b, geometry["kernel"], out_c, live * multiplier, w_zero, state)
    gx = b.error("gx", (1, *geometry["size"], in_c), target, given=False)
    assert_same(b.graph, b.node("depthwise_conv2d_grad_input", [gy, w, part], [gx], geometry["attrs"]), b.values)


@settings(max_examples=60, deadline=None)
@given(
    geometries(),
    channels,
    multipliers,
    st.integers(0, 40),
    zeros,
    st.sampled_from([0, 17]),
    storages,
    st.integers(-40, 10),
    st.integers(0, 99),
)
def test_grad_weights(
    geometry: dict[str, Any], in_c: int, multiplier: int, live: int, zero: int, w_zero: int, storage: tuple[str, int], e: int, seed: int
) -> None:
    b = Bench(seed)
    saved_c = live if 0 < live < in_c else in_c
    live_c = saved_c * multiplier
    train = b.train(step=seed)
    gy = b.error("gy", (1, *geometry["out"], in_c * multiplier), e)
    x = b.int8("x", (1, *geometry["size"], saved_c), quant=activation_quant(0.04, zero))
    w = b.weights("w", (1, *geometry["kernel"], live_c), 3, zero=w_zero, per_channel=not w_zero, kind=Kind.STATE)
    fraction, pending, mutates = b.extra(storage[0], w)
    factor = np.exp2(b.rng.uniform(0, 12, live_c)) * (b.rng.random(live_c) < 0.8)
    attrs = {**geometry["attrs"], "factor": factor, "rounding": storage[1], "x_zero": zero}
    assert_same(b.graph, b.node("depthwise_conv2d_grad_weights", [gy, x, w, fraction, pending, train], [], attrs, mutates), b.values)


@pytest.mark.parametrize(("multiplier", "live", "w_zero"), [(1, 0, 0), (1, 2, 0), (2, 4, 0), (3, 0, 0), (1, 2, 9), (2, 0, -30)])
def test_gradients_are_finite_differences(multiplier: int, live: int, w_zero: int) -> None:
    attrs = {"stride": (2, 1), "dilation": (1, 2), "padding": (1, 0, 1, 2), "activation": "relu"}

    def layer(x: Real, w: Real) -> Real:
        return np.einsum("hwijc,ijc->hwc", windows(np.repeat(x[0], multiplier, axis=2), (3, 2), (3, 7), attrs), w[0])[None]

    out_c = 5 * multiplier
    check_layer("depthwise_conv2d", (1, 7, 6, 5), (1, 3, 2, out_c), 3, (1, 3, 7, out_c), attrs, layer, live, w_zero)


@settings(max_examples=40, deadline=None)
@given(geometries(), channels, multipliers, st.booleans(), st.integers(0, 99))
def test_int16(geometry: dict[str, Any], in_c: int, multiplier: int, extreme: bool, seed: int) -> None:
    b, out_c = Bench(seed), in_c * multiplier
    x = b.int16("x", (1, *geometry["size"], in_c), extreme)
    w = b.weights("w", (1, *geometry["kernel"], out_c), 3, extreme=extreme)
    bias = b.tensor("b", b.rng.integers(-(2**40), 2**40, out_c), DType.INT64, Kind.CONST) if seed % 3 else ""
    b.graph.add(Tensor("y", (1, *geometry["out"], out_c), DType.INT16, quant=QuantParams.per_tensor(0.0005)))
    attrs = {**geometry["attrs"], "activation": "relu" if seed % 2 else "none"}
    assert_same(b.graph, b.node("depthwise_conv2d", [x, w, bias], ["y"], attrs), b.values)


ONE_PIXEL = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}


def test_scales_of_the_whole_weight_may_stand_in_the_frozen_part() -> None:
    b = Bench(2)
    x = b.int8("x", (1, 3, 3, 6), quant=activation_quant())
    whole = b.weights("whole", (1, 1, 1, 6), 3)
    quant = b.graph[whole].q
    frozen = b.int8("w", (1, 1, 1, 4), kind=Kind.CONST, quant=quant)
    live = b.int8("live", (1, 1, 1, 2), kind=Kind.STATE, quant=QuantParams(quant.scale[:2], quant.zero_point[:2], 3))
    y = b.output("y", (1, 3, 3, 6))
    assert_same(b.graph, b.node("depthwise_conv2d", [x, frozen, "", live], [y], ONE_PIXEL), b.values)


@pytest.mark.parametrize(("out_c", "live", "message"), [(5, 0, "do not fit"), (3, 1, "no multiple")])
def test_wrong_shape_is_refused(out_c: int, live: int, message: str) -> None:
    b = Bench()
    x = b.int8("x", (1, 4, 4, 2), quant=activation_quant())
    w = b.weights("w", (1, 1, 1, out_c), 3)
    part = b.weights("live", (1, 1, 1, live), 3, kind=Kind.STATE) if live else ""
    with pytest.raises(GraphError, match=message):
        b.node("depthwise_conv2d", [x, w, "", part], [b.output("y", (1, 4, 4, out_c + live))], ONE_PIXEL)

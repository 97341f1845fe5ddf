"""conv2d and its gradients: C equals NumPy; gradients agree with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError, SchemeError
from kilograd.ir.graph import DType, Kind, QuantParams, Tensor
from kilograd.ops.fixed_point import ROUND_NEAREST, ROUND_STOCHASTIC
from kilograd.ops.windows import output_size, windows
from kilograd.train.autodiff import training_graph
from kilograd.train.scheme import Scheme
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same
from tests.ops.weighted import check_layer
from tests.train.nets import NetBuilder

Real = npt.NDArray[np.float64]

zeros = st.sampled_from([-128, -5, 0, 127])


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes that give at least one output pixel."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(pair), draw(pair), draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4))
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    out = tuple(output_size(size[i], kernel[i], stride[i], dilation[i], padding[2 * i], padding[2 * i + 1]) for i in (0, 1))
    if min(out) < 1:
        size, padding = (7, 7), (2, 2, 2, 2)
        out = tuple(output_size(7, kernel[i], stride[i], dilation[i], 2, 2) for i in (0, 1))
    return {"kernel": kernel, "size": size, "out": out, "attrs": {"stride": stride, "dilation": dilation, "padding": padding}}


def split(b: Bench, geometry: dict[str, Any], in_c: int, out_c: int, live: int, w_zero: int, state: bool) -> tuple[str, str]:
    """Weights in one piece or two: names of the frozen (or whole) and of the live part."""
    shape = (out_c, *geometry["kernel"])
    if 0 < live < in_c:
        w = b.weights("w", (*shape, in_c - live), 0, zero=w_zero, per_channel=not w_zero)
        part = b.int8("live", (*shape, live), kind=Kind.STATE, quant=b.graph[w].quant)
        return w, part
    return b.weights("w", (*shape, in_c), 0, zero=w_zero, per_channel=not w_zero, kind=Kind.STATE if state else Kind.CONST), ""


@settings(max_examples=60, deadline=None)
@given(
    geometries(), st.integers(1, 20), st.integers(1, 9), st.integers(0, 20), zeros, st.sampled_from([0, 0, 17, -128]),
    st.sampled_from(["none", "relu", "relu6"]), st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_forward(
    geometry: dict[str, Any],
    in_c: int,
    out_c: int,
    live: int,
    zero: int,
    w_zero: int,
    activation: str,
    extreme: bool,
    state: bool,
    seed: int,
) -> None:
    b = Bench(seed)
    x = b.int8("x", (1, *geometry["size"], in_c), extreme, quant=activation_quant(0.04, zero))
    w, part = split(b, geometry, in_c, out_c, live, w_zero, state)
    bias = b.bias("b", out_c, 2**31 - 1 if extreme else 5000) if seed % 3 else ""
    y = b.output("y", (1, *geometry["out"], out_c))
    outputs = [y, b.mask("m", (1, *geometry["out"], out_c))] if seed % 2 else [y]
    node = b.node("conv2d", [x, w, bias, part], outputs, {**geometry["attrs"], "activation": activation})
    assert_same(b.graph, node, b.values)


@settings(max_examples=50, deadline=None)
@given(
    geometries(), st.integers(1, 20), st.integers(1, 9), st.integers(0, 20), st.sampled_from([0, 0, 17, -128]), st.booleans(),
    st.sampled_from([-60, -30, -22, -16, 30]), st.integers(0, 99),
)  # fmt: skip
def test_grad_input(geometry: dict[str, Any], in_c: int, out_c: int, live: int, w_zero: int, state: bool, target: int, seed: int) -> None:
    b = Bench(seed)
    b.train()
    gy = b.error("gy", (1, *geometry["out"], out_c))
    w, part = split(b, geometry, in_c, out_c, live, w_zero, state)
    gx = b.error("gx", (1, *geometry["size"], in_c), target, given=False)
    assert_same(b.graph, b.node("conv2d_grad_input", [gy, w, part], [gx], geometry["attrs"]), b.values)


storages = st.sampled_from([("w8", ROUND_STOCHASTIC), ("w8", ROUND_NEAREST), ("w8f8", ROUND_NEAREST), ("pending", ROUND_STOCHASTIC)])


@settings(max_examples=60, deadline=None)
@given(
    geometries(), st.integers(1, 20), st.integers(1, 9), zeros, st.sampled_from([0, 17]), storages, st.integers(-40, 10), st.integers(0, 99)
)
def test_grad_weights(
    geometry: dict[str, Any], live: int, out_c: int, zero: int, w_zero: int, storage: tuple[str, int], e: int, seed: int
) -> None:
    b = Bench(seed)
    train = b.train(step=seed)
    gy = b.error("gy", (1, *geometry["out"], out_c), e)
    x = b.int8("x", (1, *geometry["size"], live), quant=activation_quant(0.04, zero))
    w = b.weights("w", (out_c, *geometry["kernel"], live), 0, zero=w_zero, per_channel=not w_zero, kind=Kind.STATE)
    fraction, pending, mutates = b.extra(storage[0], w)
    factor = np.exp2(b.rng.uniform(0, 12, out_c)) * (b.rng.random(out_c) < 0.8)
    attrs = {**geometry["attrs"], "factor": factor, "rounding": storage[1], "x_zero": zero}
    assert_same(b.graph, b.node("conv2d_grad_weights", [gy, x, w, fraction, pending, train], [], attrs, mutates), b.values)


@pytest.mark.parametrize(("live", "w_zero"), [(0, 0), (3, 0), (0, 9), (2, -30)])
@pytest.mark.parametrize("activation", ["none", "relu"])
def test_gradients_are_finite_differences(live: int, w_zero: int, activation: str) -> None:
    attrs = {"stride": (2, 1), "dilation": (1, 2), "padding": (1, 0, 1, 2), "activation": activation}

    def layer(x: Real, w: Real) -> Real:
        return np.tensordot(windows(x[0], w.shape[1:3], (3, 7), attrs), w, axes=([2, 3, 4], [1, 2, 3]))[None]

    check_layer("conv2d", (1, 7, 6, 5), (4, 3, 2, 5), 0, (1, 3, 7, 4), attrs, layer, live, w_zero)


@settings(max_examples=60, deadline=None)
@given(
    geometries(), st.integers(2, 4), st.integers(1, 6), st.integers(1, 4), st.integers(0, 6), zeros, st.sampled_from([0, 0, 17]),
    st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_groups(
    geometry: dict[str, Any], groups: int, in_c: int, out_c: int, live: int, zero: int, w_zero: int, state: bool, seed: int
) -> None:
    """A grouped convolution is one convolution a group: forward, and the errors that go back."""
    b = Bench(seed)
    b.train()
    x = b.int8("x", (1, *geometry["size"], in_c * groups), seed % 7 == 0, quant=activation_quant(0.04, zero))
    w, part = split(b, geometry, in_c, out_c * groups, live, w_zero, state)
    bias = b.bias("b", out_c * groups) if seed % 3 else ""
    shape = (1, *geometry["out"], out_c * groups)
    outputs = [b.output("y", shape), *([b.mask("m", shape)] if seed % 2 else [])]
    found = assert_same(b.graph, b.node("conv2d", [x, w, bias, part], outputs, {**geometry["attrs"], "activation": "relu"}), b.values)
    gy, gx = b.error("gy", shape), b.error("gx", (1, *geometry["size"], in_c * groups), given=False)
    assert_same(b.graph, b.node("conv2d_grad_input", [gy, w, part], [gx], geometry["attrs"]), b.values)
    for g in range(groups):  # each alone
        i, o = slice(g * in_c, (g + 1) * in_c), slice(g * out_c, (g + 1) * out_c)
        one = Bench(seed)
        one.tensor("x", np.ascontiguousarray(b.values["x"][..., i]), DType.INT8, quant=b.graph[x].q)
        for name in (w, part):
            if name:
                q = b.graph[name].q
                q = QuantParams(q.scale[o], q.zero_point[o], 0) if q.axis == 0 else q
                one.tensor(name, np.ascontiguousarray(b.values[name][o]), DType.INT8, b.graph[name].kind, q)
        if bias:
            one.tensor("b", b.values["b"][o], DType.INT32, Kind.CONST)
        y = one.output("y", (1, *geometry["out"], out_c))
        got = assert_same(one.graph, one.node("conv2d", [x, w, bias, part], [y], {**geometry["attrs"], "activation": "relu"}), one.values)
        np.testing.assert_array_equal(got["y"], found["y"][..., o])


@settings(max_examples=40, deadline=None)
@given(geometries(), st.integers(2, 4), st.integers(1, 6), st.integers(1, 4), zeros, storages, st.integers(-40, 10), st.integers(0, 99))
def test_grad_weights_of_groups(
    geometry: dict[str, Any], groups: int, in_c: int, out_c: int, zero: int, storage: tuple[str, int], e: int, seed: int
) -> None:
    b = Bench(seed)
    train = b.train(step=seed)
    gy = b.error("gy", (1, *geometry["out"], out_c * groups), e)
    x = b.int8("x", (1, *geometry["size"], in_c * groups), quant=activation_quant(0.04, zero))
    w = b.weights("w", (out_c * groups, *geometry["kernel"], in_c), 0, kind=Kind.STATE)
    fraction, pending, mutates = b.extra(storage[0], w)
    attrs = {**geometry["attrs"], "factor": np.exp2(b.rng.uniform(0, 12, out_c * groups)), "rounding": storage[1], "x_zero": zero}
    assert_same(b.graph, b.node("conv2d_grad_weights", [gy, x, w, fraction, pending, train], [], attrs, mutates), b.values)


@pytest.mark.parametrize("w_zero", [0, 9])
@pytest.mark.parametrize("dilation", [(1, 1), (1, 2)])
def test_gradients_of_groups_are_finite_differences(w_zero: int, dilation: tuple[int, int]) -> None:
    attrs = {"stride": (2, 1), "dilation": dilation, "padding": (1, 0, 1, 2), "activation": "relu"}
    width = output_size(6, 2, 1, dilation[1], 1, 2)

    def layer(x: Real, w: Real) -> Real:
        seen = windows(x[0], (3, 2), (3, width), attrs)
        runs = [np.tensordot(seen[..., 2 * g : 2 * g + 2], w[3 * g : 3 * g + 3], axes=([2, 3, 4], [1, 2, 3])) for g in range(3)]
        return np.concatenate(runs, axis=-1)[None]

    check_layer("conv2d", (1, 7, 6, 6), (9, 3, 2, 2), 0, (1, 3, width, 9), attrs, layer, 0, w_zero)


def test_part_of_a_grouped_convolution_cannot_learn() -> None:
    n = NetBuilder((1, 4, 4, 6))
    n.conv("grouped", "x", 4, k=3)
    w = n.graph["grouped.w"]
    assert w.data is not None
    n.graph.set("grouped.w", shape=(4, 3, 3, 3), data=np.ascontiguousarray(w.data[..., :3]))
    n.dense("head", n.flat("flat", n.conv("last", "grouped", 3)), 2)
    training_graph(n.graph, Scheme(weights={0: 3}))
    with pytest.raises(SchemeError, match="'grouped' has 2 groups; a part of its input channels cannot learn"):
        training_graph(n.graph, Scheme(weights={0: 2}))


@settings(max_examples=60, deadline=None)
@given(
    geometries(), st.integers(1, 3), st.integers(1, 9), st.integers(1, 4), st.sampled_from(["none", "relu", "relu6"]),
    st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_int16(geometry: dict[str, Any], groups: int, in_c: int, out_c: int, activation: str, extreme: bool, wide: bool, seed: int) -> None:
    """64-bit and 32-bit sums, the latter wrapping; biases up to the limit of either."""
    b = Bench(seed)
    x = b.int16("x", (1, *geometry["size"], in_c * groups), extreme)
    w = b.weights("w", (out_c * groups, *geometry["kernel"], in_c), 0, extreme=extreme)
    size, dtype = (2**62 if extreme else 2**30, DType.INT64) if wide else (2**31 - 1 if extreme else 2**20, DType.INT32)
    bias = b.tensor("b", b.rng.integers(-size, size, out_c * groups).astype(dtype.numpy), dtype, Kind.CONST) if seed % 3 else ""
    b.graph.add(Tensor("y", (1, *geometry["out"], out_c * groups), DType.INT16, quant=QuantParams.per_tensor(0.0005)))
    attrs = {**geometry["attrs"], "activation": activation, "narrow_sums": not wide}
    assert_same(b.graph, b.node("conv2d", [x, w, bias], ["y"], attrs), b.values)


def test_int16_forms_that_are_refused() -> None:
    b, attrs = Bench(), {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}
    x, w = b.int16("x", (1, 4, 4, 3)), b.weights("w", (2, 1, 1, 3), 0)
    live = b.int8("live", (2, 1, 1, 1), kind=Kind.STATE, quant=b.graph[w].quant)
    small = b.weights("small", (2, 1, 1, 2), 0)
    for name, scale in (("y", 0.01), ("fine", 1e-9)):
        b.graph.add(Tensor(name, (1, 4, 4, 2), DType.INT16, quant=QuantParams.per_tensor(scale)))
    with pytest.raises(GraphError, match="does not learn"):
        b.node("conv2d", [x, small, "", live], ["y"], attrs)
    with pytest.raises(GraphError, match="times finer than its sums"):
        b.node("conv2d", [x, w, ""], ["fine"], attrs)
    b.graph.set("y", quant=QuantParams.per_tensor(0.01, 1))
    with pytest.raises(GraphError, match="int16 activations have zero point 0"):
        b.node("conv2d", [x, w, ""], ["y"], attrs)


def test_wrong_shape_is_refused() -> None:
    b = Bench()
    x = b.int8("x", (1, 4, 4, 3), quant=activation_quant())
    w = b.weights("w", (2, 1, 1, 4), 0)
    y = b.output("y", (1, 4, 4, 2))
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}
    with pytest.raises(GraphError, match="do not fit"):
        b.node("conv2d", [x, w, ""], [y], attrs)


def test_scales_are_float32_as_in_uint8_models() -> None:
    """legacy_scales multiplies the scales in float32: one multiplier for all channels, possibly one bit away."""
    b = Bench(1)
    x = b.int8("x", (1, 3, 3, 40), quant=QuantParams.per_tensor(0.0235294122248888, -128))
    w = b.weights("w", (6, 1, 1, 40), 0, per_channel=False, zero=11)
    y = b.output("y", (1, 3, 3, 6))
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "none", "legacy_scales": True}
    assert_same(b.graph, b.node("conv2d", [x, w, b.bias("b", 6)], [y], attrs), b.values)

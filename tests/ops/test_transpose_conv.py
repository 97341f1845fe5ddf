"""transpose_conv: the kernels of conv2d serve it; C equals NumPy, gradients agree with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import DType, Graph, Kind, Node, QuantParams, Tensor
from kilograd.ops import operator
from kilograd.ops.transpose_conv import padding, reach
from kilograd.ops.windows import output_hw
from tests.ops.finite_difference import check_gradients
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same
from tests.ops.test_conv2d import split, storages, zeros
from tests.ops.weighted import check_layer

Real = npt.NDArray[np.float64]


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, Any]:
    """Input size, filter and attributes whose result has at least one pixel."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation, size = draw(pair), draw(pair), draw(st.tuples(st.integers(1, 2), st.integers(1, 2))), draw(pair)
    pads: list[int] = []
    out = []
    for i in (0, 1):
        whole = reach(size[i], kernel[i], stride[i], dilation[i])
        before = draw(st.integers(0, min(2, whole - 1)))
        behind = draw(st.integers(0, min(2, whole - 1 - before)))
        out.append(whole - before - behind + draw(st.integers(0, stride[i] - 1)))
        pads += [before, behind]
    attrs = {"stride": stride, "dilation": dilation, "padding": tuple(pads), "output": tuple(out), "transposed": True}
    return {"kernel": kernel, "size": size, "out": tuple(out), "attrs": attrs}


@settings(max_examples=60, deadline=None)
@given(
    geometries(), st.integers(1, 9), st.integers(1, 5), st.integers(0, 9), st.integers(1, 3), zeros, st.sampled_from([0, 0, 17, -128]),
    st.sampled_from(["none", "relu6"]), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_forward(
    geometry: dict[str, Any], in_c: int, out_c: int, live: int, groups: int, zero: int, w_zero: int, activation: str, state: bool, seed: int
) -> None:
    b = Bench(seed)
    x = b.int8("x", (1, *geometry["size"], in_c * groups), seed % 5 == 0, quant=activation_quant(0.04, zero))
    w, part = split(b, geometry, in_c, out_c * groups, live, w_zero, state)
    shape = (1, *geometry["out"], out_c * groups)
    outputs = [b.output("y", shape), *([b.mask("m", shape)] if seed % 2 else [])]
    bias = b.bias("b", out_c * groups) if seed % 3 else ""
    assert_same(b.graph, b.node("transpose_conv", [x, w, bias, part], outputs, {**geometry["attrs"], "activation": activation}), b.values)


@settings(max_examples=40, deadline=None)
@given(geometries(), st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), st.booleans(), st.booleans(), st.integers(0, 99))
def test_int16(geometry: dict[str, Any], in_c: int, out_c: int, groups: int, extreme: bool, wide: bool, seed: int) -> None:
    b = Bench(seed)
    x = b.int16("x", (1, *geometry["size"], in_c * groups), extreme)
    w = b.weights("w", (out_c * groups, *geometry["kernel"], in_c), 0)
    size, dtype = (2**40, DType.INT64) if wide else (2**31 - 1, DType.INT32)
    bias = b.tensor("b", b.rng.integers(-size, size, out_c * groups).astype(dtype.numpy), dtype, Kind.CONST) if seed % 3 else ""
    b.graph.add(Tensor("y", (1, *geometry["out"], out_c * groups), DType.INT16, quant=QuantParams.per_tensor(0.0005)))
    attrs = {**geometry["attrs"], "activation": "relu_n1_to_1" if seed % 2 else "none", "narrow_sums": not wide}
    assert_same(b.graph, b.node("transpose_conv", [x, w, bias], ["y"], attrs), b.values)


@settings(max_examples=40, deadline=None)
@given(
    geometries(), st.integers(1, 9), st.integers(1, 5), st.integers(0, 9), st.integers(1, 3), st.sampled_from([0, 17]),
    st.sampled_from([-60, -22, -16]), st.integers(0, 99),
)  # fmt: skip
def test_grad_input(geometry: dict[str, Any], in_c: int, out_c: int, live: int, groups: int, w_zero: int, target: int, seed: int) -> None:
    b = Bench(seed)
    b.train()
    gy = b.error("gy", (1, *geometry["out"], out_c * groups))
    w, part = split(b, geometry, in_c, out_c * groups, live, w_zero, True)
    gx = b.error("gx", (1, *geometry["size"], in_c * groups), target, given=False)
    assert_same(b.graph, b.node("conv2d_grad_input", [gy, w, part], [gx], geometry["attrs"]), b.values)


@settings(max_examples=40, deadline=None)
@given(geometries(), st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), zeros, storages, st.integers(-40, 10), st.integers(0, 99))
def test_grad_weights(
    geometry: dict[str, Any], in_c: int, out_c: int, groups: int, zero: int, storage: tuple[str, int], e: int, seed: int
) -> None:
    b = Bench(seed)
    train = b.train(step=seed)
    gy = b.error("gy", (1, *geometry["out"], out_c * groups), e)
    x = b.int8("x", (1, *geometry["size"], in_c * groups), quant=activation_quant(0.04, zero))
    w = b.weights("w", (out_c * groups, *geometry["kernel"], in_c), 0, kind=Kind.STATE)
    fraction, pending, mutates = b.extra(storage[0], w)
    attrs = {**geometry["attrs"], "factor": np.exp2(b.rng.uniform(0, 12, out_c * groups)), "rounding": storage[1], "x_zero": zero}
    assert_same(b.graph, b.node("conv2d_grad_weights", [gy, x, w, fraction, pending, train], [], attrs, mutates), b.values)


@settings(max_examples=40, deadline=None)
@given(geometries(), st.integers(1, 4), st.integers(1, 4))
def test_it_is_the_transpose_of_a_convolution(geometry: dict[str, Any], in_c: int, out_c: int) -> None:
    """<conv(a), b> = <a, transpose_conv(b)> for a convolution of the same weights from the result's side."""
    rng, attrs, y_shape = np.random.default_rng(1), geometry["attrs"], (1, *geometry["out"], out_c)
    b, a = rng.normal(size=(1, *geometry["size"], in_c)), rng.normal(size=y_shape)
    w = rng.normal(size=(out_c, *geometry["kernel"], in_c))
    graph = Graph("test")
    for name, shape in (
        ("b", b.shape),
        ("w", w.shape),
        ("y", y_shape),
        ("a", a.shape),
        ("v", (in_c, *w.shape[1:3], out_c)),
        ("z", b.shape),
    ):
        graph.add(Tensor(name, shape, DType.FLOAT32))
    node = Node("transpose_conv", ["b", "w", ""], ["y"], {**attrs, "activation": "none"})
    assert operator("transpose_conv").infer(graph, node)[0].shape == y_shape
    (y,) = operator("transpose_conv").real(graph, node, [b, w, None])
    back = Node("conv2d", ["a", "v", ""], ["z"], {**attrs, "transposed": False, "activation": "none"})
    assert all(i >= j for i, j in zip(output_hw(y_shape[1:3], w.shape[1:3], attrs), b.shape[1:3], strict=True))
    (z,) = operator("conv2d").real(graph, back, [a, w.transpose(3, 1, 2, 0), None])
    assert np.isclose((a * y).sum(), (z * b).sum())


def scattered(x: Real, w: Real, attrs: dict[str, Any], groups: int) -> Real:
    """The layer pixel by pixel, from its definition."""
    (sh, sw), (dh, dw), (top, _, left, _), (oh, ow) = attrs["stride"], attrs["dilation"], attrs["padding"], attrs["output"]
    y, run_in, run_out = np.zeros((oh, ow, w.shape[0])), w.shape[3], w.shape[0] // groups
    for iy, ix, ky, kx in np.ndindex(*x.shape[1:3], *w.shape[1:3]):
        oy, ox = iy * sh - top + ky * dh, ix * sw - left + kx * dw
        if 0 <= oy < oh and 0 <= ox < ow:
            for g in range(groups):
                o = slice(g * run_out, (g + 1) * run_out)
                y[oy, ox, o] += w[o, ky, kx] @ x[0, iy, ix, g * run_in : (g + 1) * run_in]
    return y[None]


@pytest.mark.parametrize(("live", "w_zero", "groups"), [(0, 0, 1), (2, 0, 1), (0, 9, 1), (0, 0, 2), (0, -30, 2)])
@pytest.mark.parametrize("activation", ["none", "relu"])
def test_gradients_are_finite_differences(live: int, w_zero: int, groups: int, activation: str) -> None:
    attrs = {
        "stride": (2, 1), "dilation": (1, 2), "padding": (1, 0, 1, 2), "output": (7, 4), "transposed": True, "activation": activation
    }  # fmt: skip

    def layer(x: Real, w: Real) -> Real:
        return scattered(x, w, attrs, groups)

    check_layer("transpose_conv", (1, 3, 5, 4), (6, 3, 2, 4 // groups), 0, (1, 7, 4, 6), attrs, layer, live, w_zero)


def test_real_is_the_definition() -> None:
    """The float evaluation against the pixel-by-pixel form, and the gradient rule against it."""
    rng = np.random.default_rng(2)
    attrs = {"stride": (2, 3), "dilation": (1, 1), "padding": (0, 1, 1, 0), "output": (6, 10), "transposed": True, "activation": "none"}
    b = Bench(3)
    x, w = b.int8("x", (1, 3, 4, 2), quant=activation_quant()), b.weights("w", (3, 3, 2, 2), 0, kind=Kind.STATE)
    node = b.node("transpose_conv", [x, w, ""], [b.output("y", (1, 6, 10, 3), 0.3)], attrs)
    real = {"x": rng.normal(size=(1, 3, 4, 2)), "w": rng.normal(size=(3, 3, 2, 2))}
    (y,) = operator("transpose_conv").real(b.graph, node, [real["x"], real["w"], None])
    np.testing.assert_allclose(y, scattered(real["x"], real["w"], attrs, 1))
    check_gradients(b.graph, node, b.values, lambda v: operator("transpose_conv").real(b.graph, node, [v["x"], v["w"], None])[0], ["x"])


@pytest.mark.parametrize(("change", "message"), [
    ({"output": (9, 8)}, "height 9 of the result does not fit"),
    ({"output": (6, 5)}, "width 5 of the result does not fit"),
    ({"transposed": False}, "must be True"),
])  # fmt: skip
def test_wrong_attributes(change: dict[str, Any], message: str) -> None:
    attrs = {"stride": (2, 2), "dilation": (1, 1), "padding": (0, 0, 0, 0), "output": (6, 8), "transposed": True, "activation": "none"}
    b = Bench()
    x, w = b.int8("x", (1, 3, 4, 2), quant=activation_quant()), b.weights("w", (5, 2, 2, 2), 0)
    b.node("transpose_conv", [x, w, ""], [b.output("y", (1, 6, 8, 5))], attrs)
    with pytest.raises(GraphError, match=message):
        b.node("transpose_conv", [x, w, ""], ["y"], {**attrs, **change})


def test_rows_and_cost() -> None:
    attrs = {"stride": (2, 2), "dilation": (1, 1), "padding": (1, 1, 1, 1), "output": (7, 7), "transposed": True, "activation": "none"}
    b = Bench()
    x, w = b.int8("x", (1, 4, 4, 2), quant=activation_quant()), b.weights("w", (5, 3, 3, 2), 0)
    node = b.node("transpose_conv", [x, w, ""], [b.output("y", (1, 7, 7, 5))], attrs)
    op = operator("transpose_conv")
    for first in range(7):
        for last in range(first, 7):
            seen = [i for i in range(4) for k in range(3) if first <= 2 * i - 1 + k <= last]
            assert op.rows(b.graph, node, first, last) == (min(seen), max(seen))
    assert op.macs(b.graph, node) == 16 * 9 * 10
    assert padding(4, 3, 2, 1, 7, 1) == 1


def test_int16_layers_have_no_gradient() -> None:
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "output": (3, 3), "transposed": True, "activation": "none"}
    b = Bench()
    b.graph.add(Tensor("y", (1, 3, 3, 2), DType.INT16, quant=QuantParams.per_tensor(0.01)))
    node = b.node("transpose_conv", [b.int16("x", (1, 3, 3, 2)), b.weights("w", (2, 1, 1, 2), 0), ""], ["y"], attrs)
    builder: Any = type("Builder", (), {"graph": b.graph})()
    with pytest.raises(NoBackwardRule, match="its activations are int16.*Quantize that layer to int8"):
        operator("transpose_conv").backward(builder, node)

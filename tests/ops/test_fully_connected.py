"""fully_connected: C equals NumPy; the gradients of conv2d serve it, and agree with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import DType, Kind, QuantParams, Shape, Tensor
from kilograd.ops import operator
from kilograd.ops.fixed_point import requantize_once, requantize_wide_once
from kilograd.ops.fully_connected import POINTWISE
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same
from tests.ops.test_conv2d import storages, zeros
from tests.ops.weighted import check_layer

Real = npt.NDArray[np.float64]
rows = st.integers(1, 4)
features = st.integers(1, 40)


def weights(b: Bench, out: int, size: int, live: int, w_zero: int, per_channel: bool, state: bool = False) -> tuple[str, str]:
    """Weights in one piece or two."""
    if not 0 < live < size:
        return b.weights("w", (out, size), 0, per_channel, w_zero, Kind.STATE if state else Kind.CONST), ""
    w = b.weights("w", (out, size - live), 0, per_channel, w_zero)
    return w, b.int8("live", (out, live), kind=Kind.STATE, quant=b.graph[w].quant)


@settings(max_examples=80, deadline=None)
@given(
    rows, features, st.integers(1, 9), st.integers(0, 40), zeros, st.sampled_from([0, 17, -128]),
    st.sampled_from(["none", "relu", "relu6"]),
    st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_forward(
    n: int, size: int, out: int, live: int, zero: int, w_zero: int, activation: str, extreme: bool, keep: bool, seed: int
) -> None:
    b = Bench(seed)
    x = b.int8("x", (1, n, size) if keep else (n, size), extreme, quant=activation_quant(0.04, zero))
    w, part = weights(b, out, size, live, w_zero, not w_zero and seed % 2 == 0, seed % 5 == 0)
    bias = b.bias("b", out, 2**31 - 1 if extreme else 5000) if seed % 3 else ""
    shape: Shape = (1, n, out) if keep else (n, out)
    outputs = [b.output("y", shape), *([b.mask("m", shape)] if seed % 2 else [])]
    assert_same(
        b.graph, b.node("fully_connected", [x, w, bias, part], outputs, {"activation": activation, "keep_num_dims": keep}), b.values
    )


@settings(max_examples=40, deadline=None)
@given(rows, features, st.integers(1, 9), st.sampled_from([0, 17, -128]), st.booleans(), st.booleans(), st.integers(0, 99))
def test_int16(n: int, size: int, out: int, w_zero: int, extreme: bool, wide: bool, seed: int) -> None:
    """64-bit sums keep all bits of the multiplier, 32-bit sums wrap."""
    b = Bench(seed)
    x, w = b.int16("x", (n, size), extreme), b.weights("w", (out, size), 0, not w_zero, w_zero)
    limit, dtype = (2**62 if extreme else 2**40, DType.INT64) if wide else (2**31 - 1, DType.INT32)
    bias = b.tensor("b", b.rng.integers(-limit, limit, out).astype(dtype.numpy), dtype, Kind.CONST) if seed % 3 else ""
    b.graph.add(Tensor("y", (n, out), DType.INT16, quant=QuantParams.per_tensor(0.0005)))
    attrs = {"activation": "relu" if seed % 2 else "none", "narrow_sums": not wide}
    assert_same(b.graph, b.node("fully_connected", [x, w, bias], ["y"], attrs), b.values)


def test_wide_sums_against_exact_integers() -> None:
    """The two-part product of 47-bit sums and 31-bit multipliers, against Python's integers."""
    rng = np.random.default_rng(1)
    sums = np.concatenate([rng.integers(-(2**47), 2**47, 200), [-(2**47), 2**47 - 1, -1, 0, 1, 3, -3]])
    for shift in range(-31, 8):
        m = int(rng.integers(2**30, 2**31))
        want = [(int(a) * m + (1 << (30 - shift))) >> (31 - shift) for a in sums]
        got = requantize_wide_once(sums, np.array([m]), np.array([shift]))
        assert got.tolist() == [min(max(v, -(2**31)), 2**31 - 1) for v in want]


def test_an_image_is_flattened() -> None:
    b = Bench()
    x = b.int8("x", (1, 4, 5, 3), quant=activation_quant())
    w = b.weights("w", (7, 60), 0)
    assert_same(b.graph, b.node("fully_connected", [x, w, ""], [b.output("y", (1, 7))], {"activation": "none"}), b.values)


def test_rounds_once_half_up() -> None:
    """-3/2 and 3/2: half up gives -1 and 2; gemmlowp's double rounding would give -2 and 2."""
    assert requantize_once(np.array([-3, 3, 1, -1]), np.array([1 << 30]), np.array([0])).tolist() == [-1, 2, 1, 0]


@settings(max_examples=40, deadline=None)
@given(
    rows, features, st.integers(1, 9), st.integers(0, 40), st.sampled_from([0, 17]), st.sampled_from([-60, -25, -18]), st.integers(0, 99)
)
def test_grad_input(n: int, size: int, out: int, live: int, w_zero: int, target: int, seed: int) -> None:
    b = Bench(seed)
    b.train()
    gy = b.error("gy", (n, out))
    w, part = weights(b, out, size, live, w_zero, not w_zero, seed % 2 == 0)
    gx = b.error("gx", (1, n, 1, size) if seed % 3 else (n, size), target, given=False)
    assert_same(b.graph, b.node("conv2d_grad_input", [gy, w, part], [gx], POINTWISE), b.values)


@settings(max_examples=40, deadline=None)
@given(rows, features, st.integers(1, 9), zeros, storages, st.integers(-40, 10), st.integers(0, 99))
def test_grad_weights(n: int, live: int, out: int, zero: int, storage: tuple[str, int], e: int, seed: int) -> None:
    b = Bench(seed)
    train = b.train(step=seed)
    gy = b.error("gy", (n, out), e)
    shape = (1, 3, 1, live) if n == 1 else (n, live)  # a single row saved whole: three times the live features
    x = b.int8("x", shape, quant=activation_quant(0.04, zero))
    w = b.weights("w", (out, live), 0, kind=Kind.STATE)
    fraction, pending, mutates = b.extra(storage[0], w)
    attrs = {**POINTWISE, "factor": np.exp2(b.rng.uniform(0, 12, out)), "rounding": storage[1], "x_zero": zero}
    assert_same(b.graph, b.node("conv2d_grad_weights", [gy, x, w, fraction, pending, train], [], attrs, mutates), b.values)


@pytest.mark.parametrize(("x_shape", "live"), [((3, 12), 0), ((3, 12), 5), ((1, 2, 2, 3), 0), ((1, 2, 2, 3), 7), ((1, 2, 12), 4)])
@pytest.mark.parametrize("w_zero", [0, -7])
def test_gradients_are_finite_differences(x_shape: Shape, live: int, w_zero: int) -> None:
    keep = len(x_shape) == 3
    y_shape = (*x_shape[:-1], 6) if keep else (int(np.prod(x_shape)) // 12, 6)
    attrs: dict[str, Any] = {"activation": "relu", "keep_num_dims": keep}

    def layer(x: Real, w: Real) -> Real:
        return (x.reshape(-1, 12) @ w.T).reshape(y_shape)

    check_layer("fully_connected", x_shape, (6, 12), 0, y_shape, attrs, layer, live, w_zero)


def test_wrong_shape_is_refused() -> None:
    b = Bench()
    x = b.int8("x", (2, 5), quant=activation_quant())
    with pytest.raises(GraphError, match="do not fit"):
        b.node("fully_connected", [x, b.weights("w", (3, 4), 0), ""], [b.output("y", (2, 3))], {"activation": "none"})


def test_cost() -> None:
    b = Bench()
    x = b.int8("x", (2, 5), quant=activation_quant())
    node = b.node("fully_connected", [x, b.weights("w", (3, 5), 0), ""], [b.output("y", (2, 3))], {"activation": "none"})
    cost = operator("fully_connected").cost(b.graph, node)
    assert (cost.macs, cost.bytes_in, cost.bytes_out) == (30, 25, 6)

"""bias_delta and bias_grad: C equals NumPy, at both storages and at saturation. (Finite differences: the tests of the layers.)"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import DType, Kind, Shape, Tensor
from kilograd.ops.fixed_point import ROUND_NEAREST, ROUND_STOCHASTIC
from tests.ops.nodes import Bench
from tests.ops.runner import assert_same

roundings = st.sampled_from([ROUND_STOCHASTIC, ROUND_NEAREST])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(0, 15), st.integers(0, 99))
def test_delta(channels: int, u: int, seed: int) -> None:
    b = Bench(seed)
    b0 = b.bias("b0", channels, 2**31 - 1 if seed % 2 else 5000)
    delta = b.tensor("delta", b.rng.integers(-(2**15), 2**15, channels).astype(np.int16), DType.INT16, Kind.STATE)
    b.graph.add(Tensor("b", (channels,), DType.INT32))
    assert_same(b.graph, b.node("bias_delta", [b0, delta], ["b"], {"u": u}), b.values)


def learned(b: Bench, dtype: DType, channels: int, extreme: bool) -> str:
    """A bias that learns; `extreme` has values at the ends of its type."""
    info = np.iinfo(dtype.numpy)
    data = b.rng.choice([info.min, info.max], channels) if extreme else b.rng.integers(-3000, 3000, channels)
    return b.tensor("b", data.astype(dtype.numpy), dtype, Kind.STATE)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([(1, 1), (1, 3, 5, 7), (2, 16), (1, 4, 4, 33), (1, 2, 40)]), st.sampled_from([DType.INT32, DType.INT16]), roundings,
    st.sampled_from([100, 2**15 - 1, 2**20, 2**31 - 1]), st.integers(-40, 20), st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_grad(shape: Shape, dtype: DType, rounding: int, limit: int, e: int, extreme: bool, deferred: bool, seed: int) -> None:
    b = Bench(seed)
    train = b.train(step=seed)
    gy = b.error("gy", shape, e)
    bias = learned(b, dtype, shape[-1], extreme)
    _, pending, mutates = b.extra("pending" if deferred else "w8", bias)
    factor = np.exp2(b.rng.uniform(0, 20, shape[-1])) * (b.rng.random(shape[-1]) < 0.8)
    attrs = {"factor": factor, "rounding": rounding, "limit": limit}
    got = assert_same(b.graph, b.node("bias_grad", [gy, bias, pending, train], [], attrs, mutates), b.values)
    if not deferred:
        moved = (factor > 0) & (got["b"] != b.values["b"])
        assert (np.abs(got["b"].astype(np.int64)[moved]) <= min(limit, np.iinfo(dtype.numpy).max)).all()


def test_step_is_plain_descent() -> None:
    """b -= lr * sum(gy) * 2^e * factor, rounded to nearest."""
    b = Bench()
    train = b.train(rate=0.25)
    b.error("gy", (1, 2, 2, 2), -3, given=False)
    b.values["gy"] = np.array([[4, 1], [5, -9], [6, 0], [7, 1]], np.int8).reshape(1, 2, 2, 2)
    bias = b.tensor("b", np.array([100, 100], np.int32), DType.INT32, Kind.STATE)
    attrs = {"factor": np.array([8.0, 16.0]), "rounding": ROUND_NEAREST, "limit": 1000}
    got = assert_same(b.graph, b.node("bias_grad", ["gy", bias, "", train], [], attrs, (bias,)), b.values)
    assert got["b"].tolist() == [95, 104]  # 22 * 8 / 8 / 4 = 5.5 down, rounded half up; -7 * 16 / 8 / 4 = -3.5 up


def test_wrong_size_is_refused() -> None:
    b = Bench()
    gy, bias, train = b.error("gy", (1, 4)), b.bias("b", 3, kind=Kind.STATE), b.train()
    attrs = {"factor": np.ones(3), "rounding": ROUND_NEAREST, "limit": 1000}
    with pytest.raises(GraphError, match="does not fit"):
        b.node("bias_grad", [gy, bias, "", train], [], attrs, (bias,))

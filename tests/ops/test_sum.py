"""sum: C equals NumPy equals LiteRT; the gradient agrees with finite differences.

The judge is LiteRT's kernel for uint8: its kernel for int8 does not give sums (see test_litert_sums_uint8_only).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import QuantParams
from kilograd.ops import operator
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one
from tests.ops.reduction_cases import reductions

scales = st.floats(0.005, 0.3)
zeros = st.integers(-128, 127)


@needs_litert
@settings(max_examples=60, deadline=None)
@given(reductions(), st.booleans(), scales, zeros, scales, zeros, st.booleans(), st.integers(0, 999))
def test_forward_equals_litert(case: Any, keep: bool, sx: float, zx: int, sy: float, zy: int, extremes: bool, seed: int) -> None:
    shape, axes = case
    x = cases.activation("x", shape, QuantParams.per_tensor(sx, zx))
    graph, layer = cases.forward("sum", [x], {"axes": axes, "keep_dims": keep}, QuantParams.per_tensor(sy, zy), ("y", "mask"))
    value = cases.random_int8(seed, shape, extremes)
    inputs = [Value(shape, "uint8", sx, zx + 128), Value((len(axes),), "int32", data=np.array(axes, np.int32))]
    result = Value(graph["y"].shape, "uint8", sy, zy + 128)
    want = run_one("SUM", inputs, result, options("ReducerOptions", KeepDims=keep), [cases.unsigned(value)])
    np.testing.assert_array_equal(cases.same(graph, layer, {"x": value})["y"], cases.signed(want))


@needs_litert
def test_litert_sums_uint8_only() -> None:
    """Why uint8 is the judge: the same numbers as int8, scale and zero point unchanged. When this fails, int8 can be judged too."""
    x = np.array([[1, 2, 4], [1, 2, 3], [-3, 1, 9]])
    axis = Value((1,), "int32", data=np.array([1], np.int32))
    got = {}
    for kind, zero in (("uint8", 128), ("int8", 0)):
        value = Value((3, 3), kind, 0.1, zero)
        feed = (x + zero).astype(kind)
        got[kind] = run_one("SUM", [value, axis], Value((3,), kind, 0.2, zero), options("ReducerOptions"), [feed]).astype(int) - zero
    np.testing.assert_array_equal(got["uint8"], [4, 3, 4])
    assert (got["int8"] != got["uint8"]).any()


@pytest.mark.parametrize("axes", [(1, 2), (0,), (3,), (0, 1, 2, 3)])
def test_finite_differences(axes: tuple[int, ...]) -> None:
    shape = (2, 3, 4, 3)
    attrs = {"axes": axes, "keep_dims": False}
    graph, layer = cases.forward("sum", [cases.activation("x", shape)], attrs, QuantParams.per_tensor(0.9, 3))
    check_gradients(graph, layer, {"x": cases.random_int8(5, shape)}, lambda v: np.asarray(v["x"].sum(axis=axes)), ["x"])
    x = np.random.default_rng(1).normal(0, 1, shape)
    np.testing.assert_allclose(operator("sum").real(graph, layer, [x])[0], x.sum(axis=axes))

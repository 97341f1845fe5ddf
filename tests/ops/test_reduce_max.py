"""reduce_max: C equals NumPy equals LiteRT; the error goes to the winner."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import DType, QuantParams
from kilograd.ops import operator
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one
from tests.ops.reduction_cases import reductions


@needs_litert
@settings(max_examples=80, deadline=None)
@given(reductions(), st.booleans(), st.sampled_from(["int8", "uint8", "int16"]), st.booleans(), st.integers(0, 999))
def test_forward_equals_litert(case: Any, keep: bool, kind: str, few: bool, seed: int) -> None:
    shape, axes = case
    dtype, zero = (DType.INT16, 0) if kind == "int16" else (DType.INT8, 5)
    quant, attrs = QuantParams.per_tensor(0.05, zero), {"axes": axes, "keep_dims": keep}
    graph, layer = cases.forward("reduce_max", [cases.activation("x", shape, quant, dtype)], attrs, quant, ("y", "winner"))
    info, rng = np.iinfo(dtype.numpy), np.random.default_rng(seed)
    x = (rng.integers(-2, 2, shape) if few else rng.integers(info.min, info.max + 1, shape)).astype(dtype.numpy)
    shift = 128 if kind == "uint8" else 0
    inputs = [Value(shape, kind, 0.05, zero + shift), Value((len(axes),), "int32", data=np.array(axes, np.int32))]
    result = Value(graph["y"].shape, kind, 0.05, zero + shift)
    want = run_one("REDUCE_MAX", inputs, result, options("ReducerOptions", KeepDims=keep), [cases.unsigned(x) if shift else x])
    got = cases.same(graph, layer, {"x": x})
    np.testing.assert_array_equal(got["y"], cases.signed(want) if shift else want)
    won = np.unpackbits(got["winner"], count=x.size, bitorder="little").reshape(shape)
    assert (won.sum(axis=axes) == 1).all()


@pytest.mark.parametrize("axes", [(1, 2), (0,), (3,), (0, 1, 2, 3)])
def test_finite_differences(axes: tuple[int, ...]) -> None:
    shape = (2, 3, 4, 3)
    graph, layer = cases.forward("reduce_max", [cases.activation("x", shape)], {"axes": axes, "keep_dims": False}, cases.QUANT)
    x = (np.random.default_rng(3).permutation(72) * 3 - 110).astype(np.int8).reshape(shape)  # no two equal
    check_gradients(graph, layer, {"x": x}, lambda v: np.asarray(v["x"].max(axis=axes)), ["x"])
    real = np.random.default_rng(1).normal(0, 1, shape)
    np.testing.assert_allclose(operator("reduce_max").real(graph, layer, [real])[0], real.max(axis=axes))


def test_another_quantization_is_refused() -> None:
    with pytest.raises(GraphError, match="same quantization"):
        cases.forward("reduce_max", [cases.activation("x", (2, 3))], {"axes": (0,)}, QuantParams.per_tensor(0.3, 0))

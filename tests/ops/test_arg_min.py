"""arg_min: C equals NumPy equals LiteRT, the first of equals; no gradient, and the error says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Shape
from kilograd.ops import operator
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one


@needs_litert
@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 3), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 999)
)
def test_forward_equals_litert(sizes: list[int], axis: int, wide: bool, is_unsigned: bool, few: bool, seed: int) -> None:
    shape: Shape = tuple(sizes)
    axis %= len(shape)
    kind = "int64" if wide else "int32"
    graph, layer = cases.forward("arg_min", [cases.activation("x", shape)], {"axis": axis, "result": kind}, None)
    rng = np.random.default_rng(seed)
    x = (rng.integers(-1, 2, shape) if few else rng.integers(-128, 128, shape)).astype(np.int8)
    inputs = [Value(shape, "uint8" if is_unsigned else "int8", 0.05, 5), Value((), "int32", data=np.array(axis, np.int32))]
    chosen = options("ArgMinOptions", OutputType=4 if wide else 2)
    want = run_one("ARG_MIN", inputs, Value(graph["y"].shape, kind), chosen, [cases.unsigned(x) if is_unsigned else x])
    np.testing.assert_array_equal(cases.same(graph, layer, {"x": x})["y"], want)
    np.testing.assert_array_equal(operator("arg_min").real(graph, layer, [x.astype(np.float32)])[0], x.argmin(axis=axis))


def test_kept_axis() -> None:
    graph, layer = cases.forward("arg_min", [cases.activation("x", (2, 3, 4))], {"axis": 1, "result": "int32", "keep_dims": True}, None)
    x = cases.random_int8(1, (2, 3, 4))
    np.testing.assert_array_equal(cases.same(graph, layer, {"x": x})["y"], x.argmin(axis=1, keepdims=True))


def test_no_gradient() -> None:
    graph, layer = cases.forward("arg_min", [cases.activation("x", (2, 3))], {"axis": 1, "result": "int32"}, None)
    with pytest.raises(NoBackwardRule, match="an index does not change"):
        check_gradients(graph, layer, {"x": cases.random_int8(1, (2, 3))}, lambda v: np.zeros(2), ["x"])


@pytest.mark.parametrize(
    ("attrs", "message"), [({"axis": 2, "result": "int32"}, "no axis"), ({"axis": 0, "result": "int8"}, "int32 or int64")]
)
def test_wrong_attributes(attrs: dict[str, object], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        cases.forward("arg_min", [cases.activation("x", (2, 3))], attrs, None)

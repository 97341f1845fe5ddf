"""average_pool2d and its gradient: C equals NumPy equals LiteRT; the gradient agrees with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import DType, QuantParams, Shape
from kilograd.ops import operator, pooling
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import needs_litert
from tests.ops.pooling_cases import SCALE, ZERO, geometries, litert

QUANT = QuantParams.per_tensor(SCALE, ZERO)
Geometry = tuple[Shape, dict[str, Any], bool]


@settings(max_examples=60, deadline=None)
@given(geometries(), st.booleans(), st.booleans(), st.integers(0, 999))
def test_forward(geometry: Geometry, half_up: bool, extremes: bool, seed: int) -> None:
    shape, attrs, _ = geometry
    attrs = {**attrs, "rounding": "half_up" if half_up else "half_away"}
    graph, node = cases.forward("average_pool2d", [cases.activation("x", shape, QUANT)], attrs, QUANT, ("y", "mask"))
    cases.same(graph, node, {"x": cases.random_int8(seed, shape, extremes)})


@settings(max_examples=40, deadline=None)
@given(geometries(), st.booleans(), st.integers(0, 999))
def test_int16(geometry: Geometry, extremes: bool, seed: int) -> None:
    shape, attrs, _ = geometry
    quant, rng = QuantParams.per_tensor(0.0005), np.random.default_rng(seed)
    graph, node = cases.forward("average_pool2d", [cases.activation("x", shape, quant, DType.INT16)], attrs, quant)
    ends = np.array([-(2**15), 2**15 - 1], np.int16)
    x = rng.choice(ends, shape) if extremes else rng.integers(-(2**15), 2**15, shape).astype(np.int16)
    cases.same(graph, node, {"x": x})


def test_int16_has_no_mask() -> None:
    quant = QuantParams.per_tensor(0.0005)
    attrs = {"filter": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "activation": "relu"}
    with pytest.raises(GraphError, match="because no gradient passes"):
        cases.forward("average_pool2d", [cases.activation("x", (1, 4, 4, 2), quant, DType.INT16)], attrs, quant, ("y", "mask"))


@needs_litert
@settings(max_examples=25, deadline=None)
@given(geometries(), st.booleans(), st.integers(0, 999))
def test_forward_equals_litert(geometry: Geometry, is_unsigned: bool, seed: int) -> None:
    shape, attrs, same = geometry
    attrs = {**attrs, "rounding": "half_up" if is_unsigned else "half_away"}
    graph, node = cases.forward("average_pool2d", [cases.activation("x", shape, QUANT)], attrs, QUANT)
    x = cases.random_int8(seed, shape)
    want = litert("AVERAGE_POOL_2D", x, graph["y"].shape, attrs, same, is_unsigned)
    np.testing.assert_array_equal(cases.same(graph, node, {"x": x})["y"], want)


@settings(max_examples=60, deadline=None)
@given(geometries(), st.integers(-30, 5), st.integers(0, 999))
def test_gradient(geometry: Geometry, following: int, seed: int) -> None:
    shape, attrs, _ = geometry
    graph, _ = cases.forward("average_pool2d", [cases.activation("x", shape, QUANT)], attrs, QUANT)
    only = {k: attrs[k] for k in pooling.GEOMETRY}
    cases.backward("average_pool2d_grad", graph["y"].shape, shape, only, seed, exponents=(-10, following))


@pytest.mark.parametrize("attrs", [
    {"filter": (4, 4), "stride": (4, 4), "padding": (0, 0, 0, 0), "activation": "none"},
    {"filter": (3, 2), "stride": (2, 1), "padding": (1, 1, 0, 1), "activation": "none"},
    {"filter": (2, 2), "stride": (1, 1), "padding": (0, 0, 0, 0), "activation": "relu6"},
])  # fmt: skip
def test_finite_differences(attrs: dict[str, Any]) -> None:
    shape = (1, 4, 4, 3)
    graph, node = cases.forward("average_pool2d", [cases.activation("x", shape, QUANT)], attrs, QUANT)
    y = graph["y"].shape

    def real(values: dict[str, Any]) -> Any:
        out = np.zeros(y)
        for oy, ox, rows, cols in pooling.windows(attrs, shape, y):
            out[0, oy, ox] = values["x"][0, rows, cols].mean(axis=(0, 1))
        return out

    check_gradients(graph, node, {"x": cases.random_int8(3, shape)}, real, ["x"])


def test_a_mask_is_needed_only_with_a_narrow_activation() -> None:
    attrs = {"filter": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "activation": "relu"}
    for zero, clamps in ((-128, False), (-20, True)):
        quant = QuantParams.per_tensor(0.1, zero)
        graph, node = cases.forward("average_pool2d", [cases.activation("x", (1, 4, 4, 2), quant)], attrs, quant)
        assert operator("average_pool2d").can_clamp(graph, node) is clamps


@pytest.mark.parametrize(("change", "message"), [
    ({"padding": (2, 0, 0, 0)}, "padding smaller than the filter"),
    ({"filter": (9, 2)}, "leave no pixel|do not fit"),
    ({"stride": (0, 1)}, "do not fit"),
    ({"rounding": "down"}, "is none of"),
])  # fmt: skip
def test_wrong_attributes(change: dict[str, Any], message: str) -> None:
    attrs = {"filter": (2, 2), "stride": (1, 1), "padding": (0, 0, 0, 0), "activation": "none", **change}
    with pytest.raises(GraphError, match=message):
        cases.forward("average_pool2d", [cases.activation("x", (1, 4, 4, 2), QUANT)], attrs, QUANT)


def test_rows() -> None:
    attrs = {"filter": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1), "activation": "none"}
    graph, node = cases.forward("average_pool2d", [cases.activation("x", (1, 8, 8, 1), QUANT)], attrs, QUANT)
    assert operator("average_pool2d").rows(graph, node, 0, 1) == (0, 3)
    assert operator("average_pool2d").rows(graph, node, 3, 3) == (5, 7)

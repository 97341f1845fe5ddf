"""max_pool2d and its gradient: C equals NumPy equals LiteRT; the gradient agrees with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import DType, QuantParams, Shape, Tensor
from kilograd.ops import pooling
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import needs_litert
from tests.ops.pooling_cases import SCALE, ZERO, geometries, litert

QUANT = QuantParams.per_tensor(SCALE, ZERO)
RESULTS = [("y",), ("y", "mask"), ("y", "", "winner"), ("y", "mask", "winner")]
Geometry = tuple[Shape, dict[str, Any], bool]


@settings(max_examples=60, deadline=None)
@given(geometries(), st.booleans(), st.sampled_from(RESULTS), st.integers(0, 999))
def test_forward(geometry: Geometry, extremes: bool, results: tuple[str, ...], seed: int) -> None:
    shape, attrs, _ = geometry
    graph, node = cases.forward("max_pool2d", [cases.activation("x", shape, QUANT)], attrs, QUANT, results)
    cases.same(graph, node, {"x": cases.random_int8(seed, shape, extremes)})


@settings(max_examples=40, deadline=None)
@given(geometries(), st.booleans(), st.integers(0, 999))
def test_int16(geometry: Geometry, extremes: bool, seed: int) -> None:
    shape, attrs, _ = geometry
    quant, rng = QuantParams.per_tensor(0.0005), np.random.default_rng(seed)
    graph, node = cases.forward("max_pool2d", [cases.activation("x", shape, quant, DType.INT16)], attrs, quant)
    ends = np.array([-(2**15), 2**15 - 1], np.int16)
    x = rng.choice(ends, shape) if extremes else rng.integers(-(2**15), 2**15, shape).astype(np.int16)
    cases.same(graph, node, {"x": x})


def test_int16_has_no_mask() -> None:
    quant = QuantParams.per_tensor(0.0005)
    attrs = {"filter": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "activation": "relu"}
    with pytest.raises(GraphError, match="because no gradient passes"):
        cases.forward("max_pool2d", [cases.activation("x", (1, 4, 4, 2), quant, DType.INT16)], attrs, quant, ("y", "mask"))


@needs_litert
@settings(max_examples=25, deadline=None)
@given(geometries(), st.booleans(), st.integers(0, 999))
def test_forward_equals_litert(geometry: Geometry, is_unsigned: bool, seed: int) -> None:
    shape, attrs, same = geometry
    graph, node = cases.forward("max_pool2d", [cases.activation("x", shape, QUANT)], attrs, QUANT)
    x = cases.random_int8(seed, shape)
    want = litert("MAX_POOL_2D", x, graph["y"].shape, attrs, same, is_unsigned)
    np.testing.assert_array_equal(cases.same(graph, node, {"x": x})["y"], want)


@settings(max_examples=60, deadline=None)
@given(geometries(), st.integers(-14, -6), st.integers(0, 999))
def test_gradient(geometry: Geometry, following: int, seed: int) -> None:
    shape, attrs, _ = geometry
    graph, node = cases.forward("max_pool2d", [cases.activation("x", shape, QUANT)], attrs, QUANT, ("y", "", "winner"))
    winner = cases.same(graph, node, {"x": cases.random_int8(seed, shape, extremes=True)})["winner"]
    only, saved = {k: attrs[k] for k in pooling.GEOMETRY}, Tensor("winner", winner.shape, DType.UINT8)
    cases.backward("max_pool2d_grad", graph["y"].shape, shape, only, seed, [(saved, winner)], exponents=(-10, following))


def test_an_impossible_winner_does_no_harm() -> None:
    attrs, winner = {"filter": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0)}, np.full((1, 2, 2, 1), 77, np.uint8)
    got = cases.backward("max_pool2d_grad", (1, 2, 2, 1), (1, 4, 4, 1), attrs, 1, [(Tensor("winner", (1, 2, 2, 1), DType.UINT8), winner)])
    assert not got["gx"].any()


def test_the_first_maximum_wins() -> None:
    attrs = {"filter": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "activation": "none"}
    graph, node = cases.forward("max_pool2d", [cases.activation("x", (1, 2, 2, 1), QUANT)], attrs, QUANT, ("y", "", "winner"))
    x = np.array([1, 5, 5, 5], np.int8).reshape(1, 2, 2, 1)
    assert cases.same(graph, node, {"x": x})["winner"].item() == 1


@pytest.mark.parametrize("activation", ["none", "relu6"])
def test_finite_differences(activation: str) -> None:
    shape, attrs = (1, 5, 5, 2), {"filter": (3, 2), "stride": (2, 2), "padding": (1, 1, 0, 1), "activation": activation}
    graph, node = cases.forward("max_pool2d", [cases.activation("x", shape, QUANT)], attrs, QUANT)
    x = (np.random.default_rng(0).permutation(50) * 5 - 125).astype(np.int8).reshape(shape)  # no ties
    y = graph["y"].shape

    def real(values: dict[str, Any]) -> Any:
        out = np.zeros(y)
        for oy, ox, rows, cols in pooling.windows(attrs, shape, y):
            out[0, oy, ox] = values["x"][0, rows, cols].max(axis=(0, 1))
        return out

    # the backward rule adds the winner to the forward node; the check reads it from the values
    winner_graph, winner_node = cases.forward("max_pool2d", [cases.activation("x", shape, QUANT)], attrs, QUANT, ("y", "", "y.winner"))
    winner = cases.same(winner_graph, winner_node, {"x": x})["y.winner"]
    check_gradients(graph, node, {"x": x, "y.winner": winner}, real, ["x"])


def test_a_large_window_has_no_backward_pass() -> None:
    attrs = {"filter": (16, 16), "stride": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}
    with pytest.raises(GraphError, match="256 taps"):
        cases.forward("max_pool2d", [cases.activation("x", (1, 16, 16, 1), QUANT)], attrs, QUANT, ("y", "", "winner"))

"""relu6: C equals NumPy equals LiteRT for every int8; the gradient agrees with finite differences."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import QuantParams
from kilograd.ops import operator
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import needs_litert
from tests.ops.table_cases import check_forward, check_litert, check_litert16, wide_quants

quants = st.builds(QuantParams.per_tensor, st.floats(0.005, 0.3), st.integers(-128, 127))


@settings(max_examples=60, deadline=None)
@given(quants, quants)
def test_forward(x: QuantParams, y: QuantParams) -> None:
    check_forward("relu6", x, y)


@needs_litert
@settings(max_examples=40, deadline=None)
@given(quants, quants, st.booleans())
def test_forward_equals_litert(x: QuantParams, y: QuantParams, is_unsigned: bool) -> None:
    check_litert("relu6", "RELU6", x, y, is_unsigned)


@needs_litert
@settings(max_examples=10, deadline=None)
@given(wide_quants, wide_quants)
def test_int16_equals_litert(x: QuantParams, y: QuantParams) -> None:
    check_litert16("relu6", "RELU6", x, y)


def test_finite_differences() -> None:
    shape, x, y = (4, 10), QuantParams.per_tensor(0.07, -3), QuantParams.per_tensor(0.04, -128)
    graph, node = cases.forward("relu6", [cases.activation("x", shape, x)], {}, y)
    values = np.random.default_rng(0).permutation(np.arange(-120, 120, 6)).astype(np.int8).reshape(shape)  # none at the kink
    check_gradients(graph, node, {"x": values}, lambda v: np.clip(v["x"], 0, 6), ["x"])


def test_rows() -> None:
    graph, node = cases.forward("relu6", [cases.activation("x", (1, 4, 4, 1))], {})
    assert operator("relu6").rows(graph, node, 1, 2) == (1, 2)

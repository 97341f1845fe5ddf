"""logistic and its gradient: C equals NumPy equals LiteRT; the gradient agrees with finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import QuantParams
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import needs_litert
from tests.ops.table_cases import check_forward, check_litert, check_litert16

RESULT = QuantParams.per_tensor(1 / 256, -128)
quants = st.builds(QuantParams.per_tensor, st.one_of(st.floats(0.002, 0.3), st.just(10.0)), st.integers(-128, 127))


@settings(max_examples=60, deadline=None)
@given(quants)
def test_forward(x: QuantParams) -> None:
    check_forward("logistic", x, RESULT)


@needs_litert
@settings(max_examples=60, deadline=None)
@given(quants, st.booleans())
def test_forward_equals_litert(x: QuantParams, is_unsigned: bool) -> None:
    check_litert("logistic", "LOGISTIC", x, RESULT, is_unsigned)


@needs_litert
@settings(max_examples=20, deadline=None)
@given(st.one_of(st.floats(1e-6, 2.6), st.sampled_from([1 / 4096, 1 / 2048, 1 / 32768])))
def test_int16_equals_litert(scale: float) -> None:
    check_litert16("logistic", "LOGISTIC", QuantParams.per_tensor(scale, 0), QuantParams.per_tensor(1 / 32768, 0))


def test_finite_differences() -> None:
    shape = (3, 20)
    graph, node = cases.forward("logistic", [cases.activation("x", shape, QuantParams.per_tensor(0.03, 4))], {}, RESULT)
    x = cases.random_int8(1, shape)
    y = cases.same(graph, node, {"x": x})["y"]
    check_gradients(graph, node, {"x": x, "y": y}, lambda v: 1 / (1 + np.exp(-v["x"])), ["x"])


def test_wrong_result_scale() -> None:
    with pytest.raises(GraphError, match="scale 1/256"):
        cases.forward("logistic", [cases.activation("x", (4,))], {}, QuantParams.per_tensor(0.01, -128))

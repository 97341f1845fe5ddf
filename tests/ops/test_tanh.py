"""tanh: C equals NumPy equals LiteRT for every int8 and int16; the gradient agrees with finite differences."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import DType, QuantParams
from kilograd.ops.logistic import input_scaling
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import needs_litert
from tests.ops.table_cases import all16, check_forward, check_litert, check_litert16, check_table_gradient, quants

RESULT, RESULT16 = QuantParams.per_tensor(1 / 128, 0), QuantParams.per_tensor(1 / 32768, 0)


@settings(max_examples=40, deadline=None)
@given(quants, quants)
def test_forward(x: QuantParams, y: QuantParams) -> None:
    check_forward("tanh", x, y)


@needs_litert
@settings(max_examples=40, deadline=None)
@given(quants, st.booleans())
def test_forward_equals_litert(x: QuantParams, is_unsigned: bool) -> None:
    check_litert("tanh", "TANH", x, RESULT, is_unsigned)


@needs_litert
@settings(max_examples=20, deadline=None)
@given(st.one_of(st.floats(1e-6, 2.6), st.sampled_from([1 / 4096, 1 / 2048, 1 / 32768])))
def test_int16_equals_litert(scale: float) -> None:
    check_litert16("tanh", "TANH", QuantParams.per_tensor(scale, 0), RESULT16)


def test_finite_differences() -> None:
    check_table_gradient("tanh", QuantParams.per_tensor(0.02, 4), RESULT)


def test_no_gradient_through_int16() -> None:
    x = cases.activation("x", all16().shape, QuantParams.per_tensor(1 / 4096, 0), DType.INT16)
    graph, node = cases.forward("tanh", [x], {}, RESULT16)
    with pytest.raises(NoBackwardRule, match="is int16 and errors are int8"):
        check_gradients(graph, node, {"x": all16()}, lambda v: v["x"], ["x"])


@pytest.mark.parametrize(("scale", "zero", "result", "message"), [
    (1 / 4096, 1, RESULT16, "zero points 0"),
    (1 / 4096, 0, QuantParams.per_tensor(1 / 128, 0), "scale 1/32768"),
    (3.0, 0, RESULT16, "must lie in"),
    (1e-20, 0, RESULT16, "must lie in"),
])  # fmt: skip
def test_wrong_int16(scale: float, zero: int, result: QuantParams, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        cases.forward("tanh", [cases.activation("x", (4,), QuantParams.per_tensor(scale, zero), DType.INT16)], {}, result)


def test_input_scaling() -> None:
    """A power of two is exact."""
    multiplier, shift = input_scaling(1 / 4096)
    assert multiplier / 2**shift == 3

"""reshape: a view forward and backward."""

from __future__ import annotations

import numpy as np
import pytest

from kilograd.errors import GraphError
from kilograd.ir.graph import DType
from kilograd.ops import operator
from tests.ops import cases
from tests.ops.finite_difference import check_gradients


@pytest.mark.parametrize("dtype", [DType.INT8, DType.FLOAT32])
def test_forward_is_a_view(dtype: DType) -> None:
    quant = cases.QUANT if dtype is DType.INT8 else None
    graph, node = cases.forward("reshape", [cases.activation("x", (2, 6), quant, dtype)], {"shape": (3, 4)}, quant)
    assert operator("reshape").view(graph, node) and operator("reshape").lower(graph, node) == []
    x = np.arange(12, dtype=dtype.numpy).reshape(2, 6)
    np.testing.assert_array_equal(cases.same(graph, node, {"x": x})["y"], x.reshape(3, 4))


def test_finite_differences() -> None:
    graph, node = cases.forward("reshape", [cases.activation("x", (2, 6))], {"shape": (3, 4)})
    check_gradients(graph, node, {"x": cases.random_int8(1, (2, 6))}, lambda v: v["x"].reshape(3, 4), ["x"])


def test_wrong_shape() -> None:
    with pytest.raises(GraphError, match="same number of elements"):
        cases.forward("reshape", [cases.activation("x", (2, 6))], {"shape": (5,)})

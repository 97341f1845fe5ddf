"""squared_difference: C equals NumPy equals LiteRT; its gradient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import Shape
from tests.ops import binary_cases
from tests.ops.binary_cases import SHAPES, Pair, pairs
from tests.ops.litert_model import needs_litert, options

INT8 = pairs(st.just("int8"))


@settings(max_examples=60, deadline=None)
@given(INT8)
def test_forward(case: Pair) -> None:
    binary_cases.forward("squared_difference", case, {}, 2)


@needs_litert
@settings(max_examples=60, deadline=None)
@given(INT8)
def test_forward_equals_litert(case: Pair) -> None:
    assume((2 * max(case.scales[:2])) ** 2 < case.scales[2] * 2**14)  # LiteRT stops the process beyond
    got = binary_cases.forward("squared_difference", case, {})
    np.testing.assert_array_equal(got, binary_cases.judge("SQUARED_DIFFERENCE", case, options("SquaredDifferenceOptions")))


@pytest.mark.parametrize("shapes", SHAPES)
def test_gradients_are_finite_differences(shapes: tuple[Shape, Shape, Shape]) -> None:
    """The node's rule against check_gradients of the real function."""
    binary_cases.check_gradients("squared_difference", shapes, lambda a, b: np.asarray((a - b) ** 2), (0.02, 0.05, 0.4))

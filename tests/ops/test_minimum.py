"""minimum: C equals NumPy equals LiteRT; the error goes to the winner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from kilograd.errors import GraphError
from kilograd.ir.graph import Shape
from tests.ops import binary_cases
from tests.ops.binary_cases import SHAPES, Pair, pairs
from tests.ops.litert_model import needs_litert, options


@settings(max_examples=60, deadline=None)
@given(pairs(same=True))
def test_forward(case: Pair) -> None:
    binary_cases.forward("minimum", case, {}, 3)


@needs_litert
@settings(max_examples=40, deadline=None)
@given(pairs(same=True))
def test_forward_equals_litert(case: Pair) -> None:
    got = binary_cases.forward("minimum", case, {})
    np.testing.assert_array_equal(got, binary_cases.judge("MINIMUM", case, options("MaximumMinimumOptions")))


def test_another_quantization_is_refused() -> None:
    case = Pair(((3,),) * 3, "int8", (0.5, 0.25, 0.5), (0, 0, 0), "none", False, 1)
    with pytest.raises(GraphError, match="same quantization"):
        binary_cases.forward("minimum", case, {})


@pytest.mark.parametrize("shapes", SHAPES[:-1])
def test_gradients_are_finite_differences(shapes: tuple[Shape, Shape, Shape]) -> None:
    """The node's rule against check_gradients of the real function."""
    binary_cases.check_gradients("minimum", shapes, lambda a, b: np.asarray(np.minimum(a, b)), (0.02, 0.02, 0.02), (4, 4, 4))

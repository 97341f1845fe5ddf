"""sub: C equals NumPy (tested beside add) equals LiteRT; the second operand gets the negative error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings

from kilograd.ir.graph import Shape
from tests.ops import binary_cases
from tests.ops.binary_cases import ACTIVATIONS, SHAPES, Pair, pairs
from tests.ops.litert_model import needs_litert, options


@needs_litert
@settings(max_examples=60, deadline=None)
@given(pairs())
def test_forward_equals_litert(case: Pair) -> None:
    assume(2 * max(case.scales[:2]) < case.scales[2] * 2 ** (15 if case.kind == "int16" else 20))  # LiteRT wants a factor below one
    chosen = options("SubOptions", FusedActivationFunction=ACTIVATIONS[case.activation], PotScaleInt16=False)
    got = binary_cases.forward("sub", case, {"activation": case.activation})
    np.testing.assert_array_equal(got, binary_cases.judge("SUB", case, chosen))


@pytest.mark.parametrize("shapes", SHAPES)
def test_gradients_are_finite_differences(shapes: tuple[Shape, Shape, Shape]) -> None:
    """The node's rule against check_gradients of the real function."""
    binary_cases.check_gradients("sub", shapes, lambda a, b: np.asarray(a - b), (0.02, 0.05, 0.07))

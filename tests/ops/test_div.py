"""div: C equals NumPy equals LiteRT wherever that is defined; its gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import Array, Shape
from kilograd.ops import operator
from kilograd.ops.fields import activation_range
from kilograd.ops.fixed_point import quantize_multiplier
from tests.ops import binary_cases
from tests.ops.binary_cases import ACTIVATIONS, SHAPES, Pair, pairs
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import needs_litert, options

INT8 = pairs(st.sampled_from(["int8", "uint8"]))


@settings(max_examples=100, deadline=None)
@given(INT8)
def test_forward(case: Pair) -> None:
    binary_cases.forward("div", case, {"activation": case.activation}, 2)


def bits(v: Array) -> Array:
    """Bits of positive integers, 0 of others."""
    return np.frexp(np.maximum(v, 0).astype(np.float64))[1]


def without_zero_divisors(case: Pair) -> tuple[Pair, Array]:
    """The case with divisors that LiteRT accepts, and by how many bits it then shifts each quotient down."""
    a, b = binary_cases.values(case)
    b = np.where(b == case.zeros[1], b + (1 if case.zeros[1] < 127 else -1), b).astype(np.int8)
    x1, x2 = (v.astype(np.int64) - z for v, z in zip((a, b), case.zeros, strict=False))
    x1, x2 = np.broadcast_arrays(np.where(x2 < 0, -x1, x1), np.abs(x2))
    room = np.where(x1 >= 0, 31 - bits(x1), 32 - bits(-2 * x1 - 1))
    s1, s2, sy = (np.float32(s) for s in case.scales)
    return replace(case, operands=(a, b)), (bits(x2) - 1 + room - quantize_multiplier(float(s1 / (s2 * sy)))[1]).reshape(case.shapes[0])


@needs_litert
@settings(max_examples=100, deadline=None)
@given(INT8)
def test_forward_equals_litert(case: Pair) -> None:
    """Where a quotient is below one half, LiteRT shifts by more than 31 bits, which C leaves undefined; kilograd gives 0 there."""
    case, down = without_zero_divisors(case)
    graph, _, _ = binary_cases.node_of("div", case.shapes, case.scales, case.zeros)
    got = binary_cases.forward("div", case, {"activation": case.activation})
    want = binary_cases.judge("DIV", case, options("DivOptions", FusedActivationFunction=ACTIVATIONS[case.activation]))
    defined = (down >= 0) & (down <= 31)
    np.testing.assert_array_equal(got[defined], want[defined])
    assert (got[down > 31] == np.clip(case.zeros[2], *activation_range(graph, "y", case.activation))).all()


def test_a_divisor_of_zero() -> None:
    case = Pair(((3,), (3,), (3,)), "int8", (0.1, 0.1, 0.1), (5, -7, 9), "none", False, 0)
    case = replace(case, operands=(np.array([6, 4, 5], np.int8), np.array([-7, -7, -7], np.int8)))
    np.testing.assert_array_equal(binary_cases.forward("div", case, {"activation": "none"}), [127, -128, 9])


@pytest.mark.parametrize("shapes", SHAPES)
def test_gradients_are_finite_differences(shapes: tuple[Shape, Shape, Shape]) -> None:
    """Divisors stay away from zero, where the derivative has a pole."""
    graph, node, given = binary_cases.node_of("div", shapes, (0.02, 0.05, 0.07))
    divisors = np.array([40, -50, 60, 75, -90, 100, -120], np.int8)
    given["x2"] = np.resize(divisors, given["x2"].size).reshape(shapes[2])
    check_gradients(graph, node, given, lambda r: r["x1"] / r["x2"], ["x1", "x2"])
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, shapes[1]), rng.uniform(1, 2, shapes[2])
    np.testing.assert_allclose(operator("div").real(graph, node, [a, b])[0], a / b)

"""mul and mul_grad: C equals NumPy equals LiteRT; gradients agree with finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import Kind, QuantParams, Shape
from tests.ops import binary_cases
from tests.ops.binary_cases import ACTIVATIONS, SHAPES, Pair, pairs
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import needs_litert, options
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same
from tests.ops.test_conv2d import zeros


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_forward(case: Pair) -> None:
    assume(case.scales[0] * case.scales[1] < 2**13 * case.scales[2])
    binary_cases.forward("mul", case, {"activation": case.activation}, 1 if case.kind == "int16" else 2)


@needs_litert
@settings(max_examples=60, deadline=None)
@given(pairs())
def test_forward_equals_litert(case: Pair) -> None:
    assume(case.scales[0] * case.scales[1] < case.scales[2] * (1 if case.kind == "int16" else 2**13))  # beyond, LiteRT overflows
    got = binary_cases.forward("mul", case, {"activation": case.activation})
    chosen = options("MulOptions", FusedActivationFunction=ACTIVATIONS[case.activation])
    np.testing.assert_array_equal(got, binary_cases.judge("MUL", case, chosen))


@pytest.mark.parametrize("shapes", SHAPES[1:])
def test_gradients_of_repeated_operands(shapes: tuple[Shape, Shape, Shape]) -> None:
    binary_cases.check_gradients("mul", shapes, lambda a, b: a * b, (0.02, 0.05, 0.07))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(1, 3, 4, 5), (1, 1, 1, 5), (1, 3, 1, 5), ()]), zeros, st.floats(2**-20, 2**10), st.sampled_from([-60, -30, -20, 30]),
    st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_grad(other_shape: Shape, zero: int, scale: float, target: int, extreme: bool, seed: int) -> None:
    b = Bench(seed)
    b.train(step=seed)
    gy = b.error("gy", (1, 3, 4, 5))
    other = b.int8("other", other_shape, extreme, quant=activation_quant(scale, zero))
    gx = b.error("gx", (1, 3, 4, 5), target, given=False)
    assert_same(b.graph, b.node("mul_grad", [gy, other], [gx], {"other_zero": zero, "other_scale": scale}), b.values)


@pytest.mark.parametrize("activation", ["none", "relu"])
def test_gradients_are_finite_differences(activation: str) -> None:
    b = Bench(3)
    x1 = b.int8("x1", (1, 3, 4, 5), quant=QuantParams.per_tensor(0.02, 4))
    x2 = b.int8("x2", (1, 3, 4, 5), quant=QuantParams.per_tensor(0.05, -9))
    node = b.node("mul", [x1, x2], [b.output("y", (1, 3, 4, 5), 0.04)], {"activation": activation})
    check_gradients(b.graph, node, b.values, lambda r: r["x1"] * r["x2"], ["x1", "x2"])


def test_gradient_beside_a_constant() -> None:
    b = Bench(4)
    x1 = b.int8("x1", (1, 3, 4, 5), quant=activation_quant())
    x2 = b.int8("x2", (1, 1, 1, 5), kind=Kind.CONST, quant=QuantParams.per_tensor(0.0123, 3))
    node = b.node("mul", [x1, x2], [b.output("y", (1, 3, 4, 5), 0.04)], {"activation": "none"})
    check_gradients(b.graph, node, b.values, lambda r: r["x1"] * r["x2"], ["x1"])


def test_a_square_has_two_contributions() -> None:
    b = Bench(5)
    x = b.int8("x", (1, 4, 5), quant=activation_quant())
    node = b.node("mul", [x, x], [b.output("y", (1, 4, 5), 0.2)], {"activation": "none"})
    check_gradients(b.graph, node, b.values, lambda r: r["x"] * r["x"], ["x"])

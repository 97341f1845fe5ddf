"""mul_grad: C equals NumPy; gradients of mul agree with finite differences. (The forward kernel is tested beside add's.)"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import Kind, QuantParams, Shape
from tests.ops.finite_difference import check_gradients
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same
from tests.ops.test_conv2d import zeros


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

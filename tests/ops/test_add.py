"""add: C equals NumPy; both operands share the error of the sum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Kind, QuantParams, Shape
from kilograd.ops import operator
from kilograd.ops.broadcast import broadcast_fields
from tests.ops.finite_difference import check_gradients
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same
from tests.ops.test_conv2d import zeros

scales = st.floats(2**-12, 4.0)
#: result, first and second operand
SHAPES: list[tuple[Shape, Shape, Shape]] = [
    ((1, 3, 4, 5), (1, 3, 4, 5), (1, 3, 4, 5)),
    ((1, 3, 4, 5), (1, 3, 4, 5), (1, 1, 1, 5)),
    ((1, 3, 4, 5), (5,), (1, 3, 4, 5)),
    ((1, 3, 4, 5), (1, 3, 4, 5), ()),
    ((1, 3, 4, 5), (1, 3, 1, 5), (1, 1, 4, 1)),
    ((2, 3, 4, 5), (2, 1, 4, 1), (1, 3, 1, 5)),
    ((7,), (7,), (1,)),
    ((1, 1), (1, 1), (1, 1)),
]


@pytest.mark.parametrize("shapes", SHAPES)
@settings(max_examples=12, deadline=None)
@given(scales, scales, scales, zeros, zeros, st.sampled_from(["none", "relu", "relu6"]), st.booleans(), st.integers(0, 99))
@pytest.mark.parametrize("op", ["add", "mul"])
def test_forward(
    op: str,
    shapes: tuple[Shape, Shape, Shape],
    s1: float,
    s2: float,
    sy: float,
    z1: int,
    z2: int,
    activation: str,
    extreme: bool,
    seed: int,
) -> None:
    b = Bench(seed)
    x1 = b.int8("x1", shapes[1], extreme, quant=activation_quant(s1, z1))
    x2 = b.int8("x2", shapes[2], extreme, kind=Kind.CONST if seed % 2 else Kind.ARENA, quant=activation_quant(s2, z2))
    # the sum's multiplier must lie below one, the product's below 2^14
    y = b.output("y", shapes[0], max(sy, 2**-18 * max(s1, s2)) if op == "add" else max(sy, 2**-13 * s1 * s2))
    outputs = [y, b.mask("m", shapes[0])] if seed % 3 else [y]
    assert_same(b.graph, b.node(op, [x1, x2], outputs, {"activation": activation}), b.values)


def test_same_operand_twice() -> None:
    b = Bench()
    x = b.int8("x", (1, 4, 4, 3), quant=activation_quant())
    assert_same(b.graph, b.node("add", [x, x], [b.output("y", (1, 4, 4, 3))], {"activation": "none"}), b.values)


def test_too_many_alternating_axes_are_refused() -> None:
    b = Bench()
    shapes = ((2, 1, 2, 1, 2), (1, 2, 1, 2, 1))
    x1, x2 = (b.int8(f"x{i}", s, quant=activation_quant()) for i, s in enumerate(shapes))
    node = b.node("add", [x1, x2], [b.output("y", (2, 2, 2, 2, 2))], {"activation": "none"})
    with pytest.raises(GraphError, match="too many axes"):
        broadcast_fields(node, (2, 2, 2, 2, 2), *shapes)


def test_shapes_that_do_not_fit_are_refused() -> None:
    b = Bench()
    x1, x2 = b.int8("x1", (2, 3), quant=activation_quant()), b.int8("x2", (2, 4), quant=activation_quant())
    with pytest.raises(GraphError, match="do not fit"):
        b.node("add", [x1, x2], [b.output("y", (2, 3))], {"activation": "none"})


@pytest.mark.parametrize("activation", ["none", "relu"])
def test_gradients_are_finite_differences(activation: str) -> None:
    b = Bench(3)
    x1 = b.int8("x1", (1, 3, 4, 5), quant=QuantParams.per_tensor(0.02, 4))
    x2 = b.int8("x2", (1, 3, 4, 5), quant=QuantParams.per_tensor(0.05, -9))
    node = b.node("add", [x1, x2], [b.output("y", (1, 3, 4, 5), 0.04)], {"activation": activation})
    check_gradients(b.graph, node, b.values, lambda r: r["x1"] + r["x2"], ["x1", "x2"])


def test_constant_operand_needs_no_gradient() -> None:
    b = Bench(3)
    x1 = b.int8("x1", (1, 3, 4, 5), quant=activation_quant())
    x2 = b.int8("x2", (1, 1, 1, 5), kind=Kind.CONST, quant=activation_quant())
    node = b.node("add", [x1, x2], [b.output("y", (1, 3, 4, 5))], {"activation": "none"})
    check_gradients(b.graph, node, b.values, lambda r: r["x1"] + r["x2"], ["x1"])


@pytest.mark.parametrize("op", ["add", "mul"])
def test_gradient_of_a_repeated_operand_is_refused(op: str) -> None:
    b = Bench(3)
    x1, x2 = b.int8("x1", (1, 3, 4, 5), quant=activation_quant()), b.int8("x2", (1, 1, 1, 5), quant=activation_quant())
    node = b.node(op, [x1, x2], [b.output("y", (1, 3, 4, 5))], {"activation": "none"})
    with pytest.raises(NoBackwardRule, match="repeats its operand 'x2'"):
        check_gradients(b.graph, node, b.values, lambda r: np.asarray(r["x1"]), ["x2"])


def test_in_place_only_where_nothing_is_repeated() -> None:
    b = Bench()
    x1, x2 = b.int8("x1", (1, 3, 4, 5), quant=activation_quant()), b.int8("x2", (1, 1, 1, 5), quant=activation_quant())
    node = b.node("add", [x1, x2], [b.output("y", (1, 3, 4, 5))], {"activation": "none"})
    assert operator("add").inplace(b.graph, node) == [(0, 0)]

"""add: C equals NumPy equals LiteRT; both operands get the error of the sum, summed where they are repeated."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import DType, Kind, QuantParams, Shape
from kilograd.ops import operator
from kilograd.ops.broadcast import broadcast_fields
from kilograd.train.autodiff import GradientBuilder
from tests.ops import binary_cases
from tests.ops.binary_cases import ACTIVATIONS, SHAPES, Pair, pairs
from tests.ops.finite_difference import OneNodeBuilder, check_gradients
from tests.ops.litert_model import needs_litert, options
from tests.ops.nodes import Bench, activation_quant
from tests.ops.runner import assert_same


def below_one(case: Pair) -> bool:
    """LiteRT wants the factor of the sum below one."""
    return 2 * max(case.scales[:2]) < case.scales[2] * 2 ** (15 if case.kind == "int16" else 20)


@settings(max_examples=100, deadline=None)
@given(pairs(), st.sampled_from(["add", "sub"]))
def test_forward(case: Pair, op: str) -> None:
    binary_cases.forward(op, case, {"activation": case.activation}, 1 if case.kind == "int16" else 2)


@needs_litert
@settings(max_examples=60, deadline=None)
@given(pairs())
def test_forward_equals_litert(case: Pair) -> None:
    assume(below_one(case))
    chosen = options("AddOptions", FusedActivationFunction=ACTIVATIONS[case.activation], PotScaleInt16=False)
    got = binary_cases.forward("add", case, {"activation": case.activation})
    np.testing.assert_array_equal(got, binary_cases.judge("ADD", case, chosen))


@needs_litert
@settings(max_examples=30, deadline=None)
@given(pairs(st.just("int16")), st.integers(0, 8), st.integers(0, 9), st.booleans(), st.sampled_from(["ADD", "SUB"]))
def test_int16_with_scales_that_are_powers_of_two(case: Pair, log: int, down: int, first: bool, builtin: str) -> None:
    y, x = 2.0**-log, 2.0 ** (-log - down)
    shapes = case.shapes if builtin == "SUB" else ((3, 4, 5),) * 3  # LiteRT's ADD crashes on repeated operands of this form
    case = replace(case, shapes=shapes, scales=(x, y, y) if first else (y, x, y))
    chosen = options(f"{builtin.capitalize()}Options", FusedActivationFunction=ACTIVATIONS[case.activation])
    got = binary_cases.forward(builtin.lower(), case, {"activation": case.activation, "power_of_two": True})
    np.testing.assert_array_equal(got, binary_cases.judge(builtin, case, chosen))


def test_power_of_two_scales_that_do_not_fit_are_refused() -> None:
    case = Pair(((3,),) * 3, "int16", (0.5, 0.5, 0.25), (0, 0, 0), "none", False, 1)
    with pytest.raises(GraphError, match="scale of the result"):
        binary_cases.forward("add", case, {"activation": "none", "power_of_two": True})


def test_int16_zero_points_are_refused() -> None:
    case = Pair(((3,),) * 3, "int16", (0.5, 0.5, 0.25), (0, 1, 0), "none", False, 1)
    with pytest.raises(GraphError, match="zero points of 0"):
        binary_cases.forward("add", case, {"activation": "none"})


def test_int16_has_no_gradient() -> None:
    b = Bench()
    x = [b.tensor(f"x{i}", np.zeros(3, np.int16), DType.INT16, quant=QuantParams.per_tensor(0.1, 0)) for i in range(2)]
    b.output("y", (3,))
    b.graph.set("y", dtype=DType.INT16, quant=QuantParams.per_tensor(0.1, 0))
    node = b.node("add", x, ["y"], {"activation": "none"})
    with pytest.raises(NoBackwardRule, match="int16.*let only layers after it learn"):
        operator("add").backward(cast(GradientBuilder, OneNodeBuilder(b.graph, b.values, "gy", x)), node)


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


@pytest.mark.parametrize("shapes", SHAPES[1:])
def test_gradients_of_repeated_operands(shapes: tuple[Shape, Shape, Shape]) -> None:
    binary_cases.check_gradients("add", shapes, lambda a, b: a + b, (0.02, 0.05, 0.07))


def test_in_place_only_where_nothing_is_repeated() -> None:
    b = Bench()
    x1, x2 = b.int8("x1", (1, 3, 4, 5), quant=activation_quant()), b.int8("x2", (1, 1, 1, 5), quant=activation_quant())
    node = b.node("add", [x1, x2], [b.output("y", (1, 3, 4, 5))], {"activation": "none"})
    assert operator("add").inplace(b.graph, node) == [(0, 0)]

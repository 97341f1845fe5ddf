"""broadcast_grad: C equals NumPy, and the error of a repeated operand agrees with finite differences."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Shape
from kilograd.ops import operator
from tests.ops import binary_cases
from tests.ops.finite_difference import check_gradients
from tests.ops.nodes import Bench
from tests.ops.runner import assert_same

SHAPES: list[Shape] = [(1, 3, 4, 5), (1, 1, 1, 5), (1, 3, 1, 5), (5,), (4, 1), (), (3, 1, 1)]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SHAPES), st.booleans(), st.sampled_from([-60, -30, -20, -12, 30]), st.integers(0, 99))
def test_error_of_a_repeated_operand(shape: Shape, negative: bool, target: int, seed: int) -> None:
    b = Bench(seed)
    b.train(step=seed)
    gy, gx = b.error("gy", (1, 3, 4, 5)), b.error("gx", shape, target, given=False)
    assert_same(b.graph, b.node("broadcast_grad", [gy], [gx], {"negative": negative}), b.values)


@pytest.mark.parametrize("shape", [(1, 1, 1, 5), (3, 1, 5), (4, 1), ()])
def test_finite_differences(shape: Shape) -> None:
    graph, node, values = binary_cases.node_of("sub", ((1, 3, 4, 5), (1, 3, 4, 5), shape), (0.02, 0.05, 0.07))
    check_gradients(graph, node, values, lambda r: r["x1"] - r["x2"], ["x2"])


def test_too_many_alternating_axes_are_refused() -> None:
    b = Bench()
    b.train()
    gy, gx = b.error("gy", (2, 2, 2, 2, 2)), b.error("gx", (2, 1, 2, 1, 2), given=False)
    node = b.node("broadcast_grad", [gy], [gx], {"negative": False})
    with pytest.raises(GraphError, match="too many axes"):
        operator("broadcast_grad").lower(b.graph, node)

"""grad_sum: C equals NumPy for all exponents; the sum is right within rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Graph, Node
from kilograd.ops import operator
from kilograd.ops.base import infer_outputs
from tests.ops import cases

exponents = st.integers(-60, 30)


def graph_of(count: int, ea: int, eb: int, es: int) -> tuple[Graph, Node]:
    graph = Graph("test")
    for name, e in (("a", ea), ("b", eb), ("s", es)):
        cases.error(graph, name, (count,), e, e)
    return graph, Node("grad_sum", ["a", "b"], ["s"], name="layer/grad_sum")


def operands(count: int, seed: int) -> dict[str, Any]:
    return {n: cases.random_error(seed + i, (count,), extremes=seed % 3 == 0) for i, n in enumerate("ab")}


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 60), exponents, exponents, exponents, st.integers(0, 999))
def test_sum(count: int, ea: int, eb: int, es: int, seed: int) -> None:
    graph, node = graph_of(count, ea, eb, es)
    infer_outputs(graph, node)
    cases.same(graph, node, operands(count, seed))


@pytest.mark.parametrize(("ea", "eb"), [(-10, -10), (-10, -13), (-18, -10)])
def test_is_right_within_one_unit(ea: int, eb: int) -> None:
    es = max(ea, eb) + 1
    graph, node = graph_of(500, ea, eb, es)
    values = operands(500, 1)
    want = values["a"] * 2.0**ea + values["b"] * 2.0**eb
    got = cases.same(graph, node, values)["s"] * 2.0**es
    assert np.abs(got - want).max() < 2.0**es
    assert abs((got - want).mean()) < 0.1 * 2.0**es  # stochastic rounding is not biased


def test_may_run_in_place_of_either() -> None:
    assert operator("grad_sum").inplace(*graph_of(4, 0, 0, 0)) == [(0, 0), (0, 1)]


def test_needs_an_exponent_of_its_own() -> None:
    graph, node = graph_of(4, 0, 0, 0)
    graph.set("s", exponent="a.exponent")
    with pytest.raises(GraphError, match="exponent of its own"):
        infer_outputs(graph, node)

"""Both faster ways of add and sub give the bits of the reference; tests/firmware runs them on emulated cores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import Graph, Kind, Node, QuantParams, Shape
from kilograd.ops import add_linear
from kilograd.ops.variant import variants
from tests.ops.binary_cases import SHAPES
from tests.ops.nodes import Bench
from tests.ops.runner import assert_same

MORE: list[tuple[Shape, Shape, Shape]] = [((1, 5, 21), (1, 5, 21), (1, 5, 21)), ((2, 19), (2, 19), (2, 1)), ((2, 19), (1,), (2, 19))]
ALL = [*SHAPES, *MORE]
ratios = st.floats(0.1, 3.0)


def case(
    op: str, shapes: tuple[Shape, Shape, Shape], scales: tuple[float, float, float], zeros: tuple[int, int, int], attrs: tuple[str, bool],
    extreme: bool = False, seed: int = 0,
) -> tuple[Bench, Node]:  # fmt: skip
    """A node; attrs: activation, whether a clamp mask is wanted."""
    b = Bench(seed)
    quants = [QuantParams.per_tensor(s, z) for s, z in zip(scales, zeros, strict=True)]
    b.int8("x1", shapes[1], extreme, quant=quants[0])
    b.int8("x2", shapes[2], extreme, quant=quants[1], kind=Kind.CONST if seed % 2 else Kind.ARENA)
    outputs = [b.output("y", shapes[0]), *([b.mask("m", shapes[0])] if attrs[1] else [])]
    b.graph.set("y", quant=quants[2])
    return b, b.node(op, ["x1", "x2"], outputs, {"activation": attrs[0]})


def all_pairs(op: str, scales: tuple[float, float, float], zeros: tuple[int, int, int], masked: bool) -> tuple[Bench, Node]:
    """A node that sees all 65,536 pairs."""
    b, node = case(op, ((256, 256),) * 3, scales, zeros, ("none", masked))
    b.values["x1"], b.values["x2"] = (np.ascontiguousarray(m).astype(np.int8) for m in np.mgrid[-128:128, -128:128])
    return b, node


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["add", "sub"]), st.sampled_from(ALL), st.tuples(ratios, ratios), st.tuples(*[st.integers(-128, 127)] * 3),
    st.sampled_from(["none", "relu", "relu6"]), st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_equals_reference(
    op: str, shapes: tuple[Shape, Shape, Shape], slopes: tuple[float, float], zeros: tuple[int, int, int], activation: str, masked: bool,
    extreme: bool, seed: int,
) -> None:  # fmt: skip
    b, node = case(op, shapes, (0.05 * slopes[0], 0.05 * slopes[1], 0.05), zeros, (activation, masked), extreme, seed)
    for name, variant in variants(op).items():
        if variant.fits(b.graph, node):
            node.variant = name
            assert_same(b.graph, node, b.values)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["add", "sub"]), st.tuples(ratios, ratios), st.tuples(*[st.integers(-128, 127)] * 3), st.booleans())
def test_all_pairs(op: str, slopes: tuple[float, float], zeros: tuple[int, int, int], masked: bool) -> None:
    b, node = all_pairs(op, (0.05 * slopes[0], 0.05 * slopes[1], 0.05), zeros, masked)
    for name, variant in variants(op).items():
        if variant.fits(b.graph, node):
            node.variant = name
            assert_same(b.graph, node, b.values)


def fits(op: str, graph: Graph, node: Node) -> bool:
    """Has the node a linear form?"""
    return variants(op)["linear"].fits(graph, node)


def test_linear_form_is_found_for_most_scales() -> None:
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(40):
        scales = (float(rng.uniform(0.02, 0.12)), float(rng.uniform(0.02, 0.12)), float(rng.uniform(0.12, 0.2)))
        zeros = tuple(int(z) for z in rng.integers(-128, 128, 3))
        b, node = case("add", ((4, 4),) * 3, scales, (zeros[0], zeros[1], zeros[2]), ("none", False))
        found += fits("add", b.graph, node)
    assert found >= 38


@pytest.mark.parametrize("scales", [(8.0, 8.0, 1.0), (0.05, 9.0, 1.0)])
def test_steep_slopes_take_tables(scales: tuple[float, float, float]) -> None:
    """Slopes of 8 and more leave the range of the factors."""
    b, node = all_pairs("add", scales, (0, 3, -7), False)
    assert not fits("add", b.graph, node)
    node.variant = "tables"
    assert_same(b.graph, node, b.values)


@pytest.mark.parametrize("scales", [(0.5, 0.5, 1.0), (0.25, 0.5, 1.0), (1.0, 1.0, 1.0), (2.0, 0.5, 1.0)])
def test_ties(scales: tuple[float, float, float]) -> None:
    """Halves round away from zero: a slope that is a little too steep does that."""
    b, node = all_pairs("add", scales, (0, 3, -7), False)
    assert fits("add", b.graph, node)
    node.variant = "linear"
    assert_same(b.graph, node, b.values)


def test_one_result_for_everything() -> None:
    """A result so coarse that it never changes."""
    b, node = all_pairs("add", (0.001, 0.001, 4.0), (0, 0, 5), False)
    assert fits("add", b.graph, node)
    node.variant = "linear"
    assert (assert_same(b.graph, node, b.values)["y"] == 5).all()


def test_what_leaves_32_bits_is_no_solution() -> None:
    assert not add_linear.Linear((1 << 23) - 1, (1 << 23) - 1, 1 << 20, 22).fits()
    assert not add_linear.Linear(1 << 23, 0, 0, 22).fits()

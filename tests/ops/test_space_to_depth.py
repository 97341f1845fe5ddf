"""space_to_depth and depth_to_space: C equals NumPy equals LiteRT; gradients agree with finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ops import operator
from tests.ops import cases, moves
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import needs_litert, options

counts = st.integers(1, 3)


@needs_litert
@settings(max_examples=30, deadline=None)
@given(counts, counts, counts, counts, counts, st.sampled_from(["int8", "int32", "float32"]))
def test_space_to_depth(n: int, h: int, w: int, c: int, block: int, dtype: str) -> None:
    graph, node = moves.case("space_to_depth", [(n, h * block, w * block, c)], {"block": block}, dtype)
    moves.same_as_litert("SPACE_TO_DEPTH", graph, node, [], options("SpaceToDepthOptions", BlockSize=block))


@needs_litert
@settings(max_examples=30, deadline=None)
@given(counts, counts, counts, counts, counts, st.sampled_from(["int8", "int32", "float32"]))
def test_depth_to_space(n: int, h: int, w: int, c: int, block: int, dtype: str) -> None:
    graph, node = moves.case("depth_to_space", [(n, h, w, c * block * block)], {"block": block}, dtype)
    moves.same_as_litert("DEPTH_TO_SPACE", graph, node, [], options("DepthToSpaceOptions", BlockSize=block))


def test_inner_block() -> None:
    """Mode CRD: channels c, rows p, columns q of a block stand in this order."""
    graph, node = moves.case("depth_to_space", [(1, 2, 3, 8)], {"block": 2, "mode": "CRD"})
    x = moves.values(graph, node, 1)
    y = cases.same(graph, node, x)["y"]
    for i, j, p, q, c in np.ndindex(2, 3, 2, 2, 2):
        assert y[0, 2 * i + p, 2 * j + q, c] == x["x0"][0, i, j, c * 4 + p * 2 + q]


@pytest.mark.parametrize(("op", "shape", "mode"), [
    ("space_to_depth", (1, 4, 2, 3), "DCR"), ("depth_to_space", (1, 2, 2, 8), "DCR"), ("depth_to_space", (1, 2, 2, 8), "CRD")
])  # fmt: skip
def test_finite_differences(op: str, shape: tuple[int, ...], mode: str) -> None:
    graph, node = moves.case(op, [shape], {"block": 2} | ({"mode": mode} if op == "depth_to_space" else {}))
    check_gradients(graph, node, moves.values(graph, node, 1), moves.real(graph, node), ["x0"])


def test_rows() -> None:
    assert operator("space_to_depth").rows(*moves.case("space_to_depth", [(1, 6, 2, 1)], {"block": 2}), 1, 2) == (2, 5)
    assert operator("depth_to_space").rows(*moves.case("depth_to_space", [(1, 6, 2, 4)], {"block": 2}), 1, 4) == (0, 2)


@pytest.mark.parametrize(("op", "shape", "block"), [
    ("space_to_depth", (1, 3, 2, 1), 2), ("depth_to_space", (1, 2, 2, 3), 2), ("space_to_depth", (2, 2), 2)
])  # fmt: skip
def test_wrong_shapes(op: str, shape: tuple[int, ...], block: int) -> None:
    with pytest.raises(GraphError, match="blocks"):
        moves.case(op, [shape], {"block": block})

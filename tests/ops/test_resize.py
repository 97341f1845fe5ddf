"""resize_bilinear and resize_nearest_neighbor: C equals NumPy equals LiteRT; gradients agree with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ops import operator
from tests.ops import cases, moves
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 25), st.integers(1, 25), st.integers(1, 3))
modes = st.sampled_from([(False, False), (True, False), (False, True)])
FLAGS = ("align_corners", "half_pixel_centers")


def resize(op: str, size: Any, mode: tuple[bool, bool], dtype: str = "int8", **more: Any) -> Any:
    h, w, height, width, channels = size
    attrs = {"height": height, "width": width, **dict(zip(FLAGS, mode, strict=True)), **more}
    return moves.case(op, [(1, h, w, channels)], attrs, dtype)


def chosen(table: str, mode: tuple[bool, bool]) -> Any:
    return options(table, AlignCorners=mode[0], HalfPixelCenters=mode[1])


@needs_litert
@settings(max_examples=80, deadline=None)
@given(sizes, modes, st.sampled_from(["int8", "int16", "float32"]), st.integers(0, 999))
def test_nearest_equals_litert(size: Any, mode: tuple[bool, bool], dtype: str, seed: int) -> None:
    graph, node = resize("resize_nearest_neighbor", size, mode, dtype)
    table = chosen("ResizeNearestNeighborOptions", mode)
    moves.same_as_litert("RESIZE_NEAREST_NEIGHBOR", graph, node, [moves.ints(*size[2:4])], table, seed)


@needs_litert
@settings(max_examples=80, deadline=None)
@given(sizes, modes, st.sampled_from(["int8", "int16"]), st.integers(0, 999))
def test_bilinear_equals_litert(size: Any, mode: tuple[bool, bool], dtype: str, seed: int) -> None:
    graph, node = resize("resize_bilinear", size, mode, dtype)
    moves.same_as_litert("RESIZE_BILINEAR", graph, node, [moves.ints(*size[2:4])], chosen("ResizeBilinearOptions", mode), seed)


@needs_litert
@settings(max_examples=80, deadline=None)
@given(sizes, modes, st.integers(0, 999))
def test_unsigned_bilinear_equals_litert(size: Any, mode: tuple[bool, bool], seed: int) -> None:
    graph, node = resize("resize_bilinear", size, mode, unsigned=True)
    x = moves.random(seed, graph["x0"].shape, "int8")
    quant = ("uint8", cases.QUANT.s, cases.QUANT.z + 128)
    inputs = [Value(graph["x0"].shape, *quant), moves.ints(*size[2:4])]
    table = chosen("ResizeBilinearOptions", mode)
    want = run_one("RESIZE_BILINEAR", inputs, Value(graph["y"].shape, *quant), table, [cases.unsigned(x)])
    np.testing.assert_array_equal(cases.same(graph, node, {"x0": x})["y"], cases.signed(want))


@needs_litert
@settings(max_examples=30, deadline=None)
@given(sizes, modes)
def test_real_numbers_equal_litert(size: Any, mode: tuple[bool, bool]) -> None:
    graph, node = resize("resize_bilinear", size, mode, "float32")
    x = moves.random(1, graph["x0"].shape, "float32")
    inputs = [moves.value(graph["x0"].shape, "float32"), moves.ints(*size[2:4])]
    table = chosen("ResizeBilinearOptions", mode)
    want = run_one("RESIZE_BILINEAR", inputs, moves.value(graph["y"].shape, "float32"), table, [x])
    np.testing.assert_allclose(operator(node.op).real(graph, node, [x])[0], want, rtol=1e-5, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(sizes, modes, st.integers(0, 99))
def test_gradient(size: Any, mode: tuple[bool, bool], seed: int) -> None:
    h, w, height, width, channels = size
    attrs = dict(zip(FLAGS, mode, strict=True))
    cases.backward("resize_bilinear_grad", (1, height, width, channels), (1, h, w, channels), attrs, seed)


@pytest.mark.parametrize("op", ["resize_bilinear", "resize_nearest_neighbor"])
@pytest.mark.parametrize("mode", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("size", [(3, 4, 6, 7, 2), (5, 4, 3, 2, 1), (1, 1, 6, 5, 2)])
def test_finite_differences(op: str, mode: tuple[bool, bool], size: Any) -> None:
    graph, node = resize(op, size, mode)
    check_gradients(graph, node, moves.values(graph, node, 1), moves.real(graph, node), ["x0"])


@pytest.mark.parametrize("op", ["resize_bilinear", "resize_nearest_neighbor"])
@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("mode", [(False, False), (True, False), (False, True)])
def test_rows(op: str, unsigned: bool, mode: tuple[bool, bool]) -> None:
    """Rows outside the named ones do not matter."""
    graph, node = resize(op, (7, 2, 13, 3, 1), mode, unsigned=unsigned)
    a, b = operator(op).rows(graph, node, 4, 6)  # type: ignore[misc]
    x = moves.random(1, graph["x0"].shape, "int8")
    other = np.full_like(x, 100)
    other[:, a : b + 1] = x[:, a : b + 1]
    first, second = (cases.same(graph, node, {"x0": v})["y"][:, 4:7] for v in (x, other))
    np.testing.assert_array_equal(first, second)
    assert b - a < 5


def test_wrong_attributes() -> None:
    with pytest.raises(GraphError, match="cannot be resized"):
        resize("resize_bilinear", (3, 3, 0, 2, 1), (False, False))
    with pytest.raises(GraphError, match="exclude each other"):
        resize("resize_nearest_neighbor", (3, 3, 2, 2, 1), (True, True))
    with pytest.raises(GraphError, match="more than 2048 times"):
        resize("resize_bilinear", (5000, 1, 1, 1, 1), (False, False), unsigned=True)

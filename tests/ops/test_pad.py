"""pad and its gradient: C equals NumPy equals LiteRT; the gradient agrees with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Shape
from kilograd.ops import operator
from tests.ops import cases, moves
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one


@st.composite
def paddings(draw: st.DrawFn) -> tuple[Shape, list[list[int]]]:
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    return shape, [[draw(st.integers(0, 3)), draw(st.integers(0, 3))] for _ in shape]


@settings(max_examples=60, deadline=None)
@given(paddings(), st.sampled_from([None, -128, 0, 127]), st.integers(0, 999))
def test_forward(case: Any, value: int | None, seed: int) -> None:
    shape, padding = case
    graph, node = cases.forward("pad", [cases.activation("x", shape)], {"padding": padding, "value": value})
    cases.same(graph, node, {"x": cases.random_int8(seed, shape)})


@needs_litert
@settings(max_examples=25, deadline=None)
@given(paddings(), st.sampled_from([None, -128, 5]), st.integers(0, 999))
def test_forward_equals_litert(case: Any, value: int | None, seed: int) -> None:
    shape, padding = case
    graph, node = cases.forward("pad", [cases.activation("x", shape)], {"padding": padding, "value": value})
    x, quant = cases.random_int8(seed, shape), ("int8", cases.QUANT.s, cases.QUANT.z)
    inputs = [Value(shape, *quant), Value((len(shape), 2), "int32", data=np.array(padding, np.int32))]
    op, chosen = "PAD", options("PadOptions")
    if value is not None:
        op, chosen = "PADV2", options("PadV2Options")
        inputs.append(Value((1,), *quant, data=np.array([value], np.int8)))
    want = run_one(op, inputs, Value(graph["y"].shape, *quant), chosen, [x])
    np.testing.assert_array_equal(cases.same(graph, node, {"x": x})["y"], want)


@needs_litert
@settings(max_examples=40, deadline=None)
@given(paddings(), st.sampled_from(["reflect", "symmetric"]), moves.types)
def test_mirror_equals_litert(case: Any, mode: str, dtype: str) -> None:
    shape, padding = case
    less = 1 if mode == "reflect" else 0
    padding = [[min(b, d - less), min(a, d - less)] for d, (b, a) in zip(shape, padding, strict=True)]
    graph, node = moves.case("pad", [shape], {"padding": padding, "mode": mode}, dtype)
    pads = Value((len(shape), 2), "int32", data=np.array(padding, np.int32))
    moves.same_as_litert("MIRROR_PAD", graph, node, [pads], options("MirrorPadOptions", Mode=1 - less))


@needs_litert
@settings(max_examples=30, deadline=None)
@given(paddings(), st.sampled_from(["int16", "int32", "float32"]))
def test_types_equal_litert(case: Any, dtype: str) -> None:
    shape, padding = case
    graph, node = moves.case("pad", [shape], {"padding": padding}, dtype)
    pads = Value((len(shape), 2), "int32", data=np.array(padding, np.int32))
    moves.same_as_litert("PAD", graph, node, [pads], options("PadOptions"))


def test_finite_differences() -> None:
    shape, padding = (1, 3, 2, 2), [[0, 0], [1, 2], [0, 1], [0, 0]]
    graph, node = cases.forward("pad", [cases.activation("x", shape)], {"padding": padding})
    check_gradients(graph, node, {"x": cases.random_int8(5, shape)}, lambda v: np.pad(v["x"], padding), ["x"])


@pytest.mark.parametrize(("attrs", "message"), [
    ({"padding": [[0, 1]]}, "does not fit"),
    ({"padding": [[0, -1], [0, 0]]}, "does not fit"),
    ({"padding": [[0, 0], [0, 0]], "value": 200}, "is no int8"),
    ({"padding": [[0, 0], [0, 0]], "mode": "wrap"}, "is not known"),
    ({"padding": [[2, 0], [0, 0]], "mode": "reflect"}, "too few elements"),
])  # fmt: skip
def test_wrong_attributes(attrs: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        cases.forward("pad", [cases.activation("x", (2, 3))], attrs)


def test_rows() -> None:
    graph, node = cases.forward("pad", [cases.activation("x", (1, 4, 4, 1))], {"padding": [[0, 0], [1, 1], [1, 1], [0, 0]]})
    assert operator("pad").rows(graph, node, 0, 2) == (0, 1)
    assert operator("pad").rows(graph, node, 5, 5) == (4, 3)  # only border: no input row
    mirrored = cases.forward("pad", [cases.activation("x", (1, 4, 4, 1))], {**node.attrs, "mode": "reflect"})
    assert operator("pad").rows(*mirrored, 0, 2) is None


@pytest.mark.parametrize("mode", ["reflect", "symmetric"])
def test_mirrored_finite_differences(mode: str) -> None:
    graph, node = moves.case("pad", [(1, 4, 3, 2)], {"padding": [[0, 0], [1, 2], [2, 1], [0, 0]], "mode": mode})
    check_gradients(graph, node, moves.values(graph, node, 2), moves.real(graph, node), ["x0"])

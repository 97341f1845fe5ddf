"""cast: C equals NumPy equals LiteRT for every pair of types."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Array, DType, Graph, Node, Tensor
from kilograd.ops import operator
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one

TYPES = ("int8", "uint8", "int16", "int32", "float32")


def cast(x: Array, source: str, target: str) -> Array:
    """The result under C, which equals NumPy; uint8 is stored less 128."""
    dtypes = [DType("int8" if t == "uint8" else t) for t in (source, target)]
    graph = Graph("test")
    graph.add(Tensor("x", x.shape, dtypes[0]))
    graph.add(Tensor("y", x.shape, dtypes[1]))
    attrs = {"x_unsigned": source == "uint8", "y_unsigned": target == "uint8"}
    node = Node("cast", ["x"], ["y"], attrs, "layer")
    operator("cast").infer(graph, node)
    graph.nodes.append(node)
    return cases.same(graph, node, {"x": cases.signed(x) if source == "uint8" else x})["y"]


def numbers(source: str, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    if source == "float32":
        return np.concatenate([rng.normal(0, 60, 50), [0.0, -0.0, 0.99, -0.99, 1e-30, 100.5]]).astype(np.float32)
    info = np.iinfo(source)
    return np.append(rng.integers(info.min, info.max, 50, endpoint=True), [info.min, info.max, 0]).astype(source)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TYPES), st.sampled_from(TYPES), st.integers(0, 999))
def test_forward(source: str, target: str, seed: int) -> None:
    cast(numbers(source, seed), source, target)


@needs_litert
@pytest.mark.parametrize("source", TYPES)
@pytest.mark.parametrize("target", TYPES)
def test_forward_equals_litert(source: str, target: str) -> None:
    """Float32 within the range of the result: beyond it C++ leaves the answer open."""
    x = numbers(source, 1)
    if source == "float32" and target != "float32":
        x = np.abs(x) if target == "uint8" else np.clip(x, -128, 127)
    want = run_one("CAST", [Value(x.shape, source, None)], Value(x.shape, target, None), options("CastOptions"), [x])
    np.testing.assert_array_equal(cast(x, source, target), cases.signed(want) if target == "uint8" else want)


def test_float_saturates() -> None:
    x = np.array([1e30, -1e30, np.inf, -np.inf, np.nan, 2.0**31, -(2.0**31), 127.9, 128.0, -128.9], np.float32)
    assert cast(x, "float32", "int8").tolist() == [127, -128, 127, -128, 0, 127, -128, 127, 127, -128]
    assert cast(x, "float32", "int32").tolist()[:7] == [2**31 - 1, -(2**31), 2**31 - 1, -(2**31), 0, 2**31 - 1, -(2**31)]


def test_no_gradient() -> None:
    graph, node = cases.forward("cast", [cases.activation("x", (4,))], {})
    with pytest.raises(NoBackwardRule, match="stored integers"):
        check_gradients(graph, node, {"x": np.zeros(4, np.int8)}, lambda v: v["x"], ["x"])


def test_wrong_type() -> None:
    graph = Graph("test")
    graph.add(Tensor("x", (4,), DType.INT8))
    graph.add(Tensor("y", (4,), DType.BITS))
    with pytest.raises(GraphError, match="the result is bits"):
        operator("cast").infer(graph, Node("cast", ["x"], ["y"], {}, "layer"))

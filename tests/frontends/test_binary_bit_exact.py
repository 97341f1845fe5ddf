"""Operators on two tensors and reductions through the import: every tensor equals LiteRT's reference kernels, in NumPy and in C."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.exactness import c_runner, compare, numpy_runner, random_inputs
from kilograd.errors import ModelError
from kilograd.frontends import import_tflite
from kilograd.train.autodiff import training_graph
from kilograd.train.config import TrainConfig
from kilograd.train.scheme import Scheme
from tests.ops.runner import assert_same
from tests.reference import Reference, require_interpreter
from tests.shared_data import require
from tests.tflite_builder import INT8, UINT8, ModelBuilder
from tests.train.test_simulated import assert_same_training

SHAPE = (1, 3, 4, 6)


def check(data: bytes) -> None:
    """All tensors equal, by the NumPy references and by the kernels."""
    require_interpreter()
    graph = import_tflite(data)
    for runner in (numpy_runner, c_runner):
        result = compare(data, graph, random_inputs(graph, 6), runner(graph))
        assert result["mismatches"] == []
        assert result["equal"] == result["tensors"] == 6 * len(graph.nodes)


def constant(dtype: str, shape: tuple[int, ...], positive: bool = False) -> Any:
    """Random content; `positive`: without zeros at zero point 0 (int8) or 128 (uint8)."""
    rng = np.random.default_rng(3)
    values = rng.integers(80, 120, shape) if positive else rng.integers(-128, 128, shape)
    return (values + 128).astype(np.uint8) if dtype == UINT8 else values.astype(np.int8)


@pytest.mark.parametrize("shape", [SHAPE, (1, 1, 1, 6), (4, 1), ()])
@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"])
def test_two_operands(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    if name == "SQUARED_DIFFERENCE" and dtype == UINT8:
        pytest.skip("LiteRT has no such kernel for uint8")
    zero = 128 if dtype == UINT8 else 0
    one = name in ("MAXIMUM", "MINIMUM")
    first, second, result = (0.07, 0.07, 0.07) if one else (0.9, 0.01, 1.0) if name == "DIV" else (0.07, 0.03, 0.06)
    m = ModelBuilder()
    x, y = m.tensor("x", SHAPE, dtype, first, zero), m.tensor("y", SHAPE, dtype, result, zero)
    c = m.constant("c", constant(dtype, shape, name == "DIV"), second, zero)
    table = {"MAXIMUM": "MaximumMinimum", "MINIMUM": "MaximumMinimum", "SQUARED_DIFFERENCE": "SquaredDifference"}
    m.op(name, [x, c], y, f"{table.get(name, name.capitalize())}Options")
    check(m.build([x], [y]))


@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axes", [(3,), (1, 2), (-1, 0)])
@pytest.mark.parametrize("name", ["REDUCE_MAX", "REDUCE_MIN", "SUM"])
def test_reductions(name: str, axes: tuple[int, ...], keep: bool, dtype: str) -> None:
    if name == "SUM" and dtype == INT8:
        pytest.skip("LiteRT's kernel for int8 does not give sums (tests/ops/test_sum.py)")
    m, zero = ModelBuilder(), 130 if dtype == UINT8 else 2
    shape = np.zeros(SHAPE).sum(axis=axes, keepdims=keep).shape
    x, y = m.tensor("x", SHAPE, dtype, 0.05, zero), m.tensor("y", shape, dtype, 0.2 if name == "SUM" else 0.05, zero)
    m.op(name, [x, m.constant("axes", np.array(axes, np.int32))], y, "ReducerOptions", KeepDims=keep)
    check(m.build([x], [y]))


@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize(("kind", "code"), [("INT32", 2), ("INT64", 4)])
@pytest.mark.parametrize(("name", "table"), [("ARG_MAX", "ArgMaxOptions"), ("ARG_MIN", "ArgMinOptions")])
def test_positions(name: str, table: str, kind: str, code: int, dtype: str) -> None:
    m = ModelBuilder()
    x, y = m.tensor("x", SHAPE, dtype, 0.05, 3), m.tensor("y", SHAPE[:-1], kind)
    m.op(name, [x, m.constant("axis", np.array(-1, np.int32))], y, table, OutputType=code)
    check(m.build([x], [y]))


def test_a_position_along_two_axes_is_refused() -> None:
    m = ModelBuilder()
    x, y = m.tensor("x", SHAPE, INT8, 0.05, 3), m.tensor("y", SHAPE[:-1], "INT32")
    m.op("ARG_MAX", [x, m.constant("axis", np.array([1, 2], np.int32))], y, "ArgMaxOptions", OutputType=2)
    with pytest.raises(ModelError, match="2 axes, one is needed"):
        import_tflite(m.build([x], [y]))


@pytest.mark.parametrize(("adj_x", "adj_y"), [(False, False), (True, False), (False, True), (True, True)])
def test_products_of_matrices(adj_x: bool, adj_y: bool) -> None:
    """By a constant, and of a matrix with itself."""
    m = ModelBuilder()
    x = m.tensor("x", (1, 3, 5, 5), INT8, 0.05, 3)
    c = m.constant("c", constant(INT8, (3, 5, 5)), 0.02, -4)
    y, z = m.tensor("y", (1, 3, 5, 5), INT8, 0.2, 1), m.tensor("z", (1, 3, 5, 5), INT8, 0.3, 1)
    m.op("BATCH_MATMUL", [x, c], y, "BatchMatMulOptions", AdjX=adj_x, AdjY=adj_y)
    m.op("BATCH_MATMUL", [y, x], z, "BatchMatMulOptions", AdjX=adj_x, AdjY=adj_y)
    check(m.build([x], [z]))


@pytest.mark.parametrize("model", ["add0", "sub0"])
def test_seanet_operators(model: str) -> None:
    require_interpreter()
    data = require(f"models/tflite_micro/seanet_ops/{model}.tflite").read_bytes()
    graph = import_tflite(data)
    assert [n.op for n in graph.nodes] == [model[:3]]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        ends = np.array([-(2**15), 2**15 - 1])
        feeds = {
            t: (rng.choice(ends, graph[t].shape) if seed % 3 == 0 else rng.integers(*ends, graph[t].shape, endpoint=True)).astype(np.int16)
            for t in graph.inputs
        }
        want = Reference(data).run(graph, feeds)[graph.outputs[0]]
        np.testing.assert_array_equal(assert_same(graph, graph.nodes[0], feeds)[graph.outputs[0]], want)


def test_gradients_pass_through_all_of_them() -> None:
    """A layer learns whose error comes through every operator on two tensors, some of them repeated, and through reductions: the compiled
    plan learns as the graph does in NumPy."""
    m, rng, act = ModelBuilder(), np.random.default_rng(5), (INT8, 0.05, 1)
    x, h = m.tensor("x", (1, 8), *act), m.tensor("h", (1, 6), *act)
    w = m.constant("w", rng.integers(-127, 128, (6, 8)).astype(np.int8), 0.01)
    m.op("FULLY_CONNECTED", [x, w, m.constant("b", np.zeros(6, np.int32), 0.0005)], h, "FullyConnectedOptions")
    mean, top, low, total = (m.tensor(n, (1, 1), *act) for n in ("mean", "top", "low", "total"))
    axis = m.constant("axis", np.array([1], np.int32))
    for name, result in (("MEAN", mean), ("REDUCE_MAX", top), ("REDUCE_MIN", low), ("SUM", total)):
        m.op(name, [h, axis], result, "ReducerOptions", KeepDims=True)
    c = m.constant("c", constant(INT8, (6, 6)), 0.05, 1)
    steps = [
        ("SUB", h, mean), ("MAXIMUM", -1, low), ("ADD", -1, total), ("MUL", -1, h), ("MINIMUM", -1, top), ("SQUARED_DIFFERENCE", -1, h),
        ("BATCH_MATMUL", -1, c), ("DIV", -1, top), ("ADD", -1, h),
    ]  # fmt: skip
    tables = {
        "MAXIMUM": "MaximumMinimum",
        "MINIMUM": "MaximumMinimum",
        "BATCH_MATMUL": "BatchMatMul",
        "SQUARED_DIFFERENCE": "SquaredDifference",
    }
    at = -1
    for i, (name, a, b) in enumerate(steps):
        y = m.tensor(f"y{i}", (1, 6), *act)
        m.op(name, [at if a < 0 else a, b], y, f"{tables.get(name, name.capitalize())}Options")
        at = y
    graph, scheme = import_tflite(m.build([x], [at])), Scheme(everything=True)
    used = {n.op for n in training_graph(graph, scheme).nodes}
    gradients = {
        "broadcast_grad",
        "mean_grad",
        "mul_grad",
        "div_grad",
        "squared_difference_grad",
        "batch_matmul_grad",
        "conv2d_grad_weights",
    }
    assert gradients <= used, f"the backward pass lacks {sorted(gradients - used)}"
    samples = [(rng.integers(-128, 128, (1, 8)).astype(np.int8), np.array([i % 6], np.int32)) for i in range(12)]
    assert_same_training(graph, scheme, TrainConfig(learning_rate=0.1, exponent_start=-15), samples)

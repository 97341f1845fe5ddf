"""Every tensor of a model equals LiteRT's reference kernels bit for bit: NumPy references and C kernels, generated and real models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.exactness import CASES, Case, c_runner, compare, numpy_runner, random_inputs, real_inputs
from kilograd.frontends import import_tflite, load, scan_tflite, summarize
from tests.reference import require_interpreter
from tests.shared_data import require, shared_data
from tests.tflite_builder import FLOAT32, INT8, UINT8, ModelBuilder, small_cnn

RUNNERS = {"numpy": numpy_runner, "c": c_runner}


def check(data: bytes, runner: str, count: int = 6, case: Case | None = None) -> None:
    """All computed tensors equal on random inputs, and on real ones where the case has a dataset."""
    require_interpreter()
    graph = import_tflite(data)
    inputs = random_inputs(graph, count)
    root = shared_data()
    if case is not None and root is not None:
        inputs += real_inputs(root, graph, case, count)
    result = compare(data, graph, inputs, RUNNERS[runner](graph))
    assert result["mismatches"] == []
    assert result["equal"] == result["tensors"] == len(inputs) * len(graph.nodes)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.model)
def test_real_models(case: Case, runner: str) -> None:
    path = require(f"models/{case.model}.tflite")
    check(path.read_bytes(), runner, 2 if runner == "numpy" else 3, case)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize("seed", range(3))
def test_generated_networks(seed: int, unsigned: bool, runner: str) -> None:
    check(small_cnn(seed, unsigned), runner)


def unary(name: str, dtype: str, x: tuple[float, int], y: tuple[float, int], options: str = "", **values: Any) -> bytes:
    m = ModelBuilder()
    a, b = m.tensor("x", (1, 7, 9, 5), dtype, *x), m.tensor("y", (1, 7, 9, 5), dtype, *y)
    m.op(name, [a], b, options, **values)
    return m.build([a], [b])


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize("name", ["LOGISTIC", "RELU", "RELU6", "QUANTIZE"])
def test_single_operators(name: str, dtype: str, runner: str) -> None:
    shift = 128 if dtype == UINT8 else 0
    y = {"LOGISTIC": (1 / 256, -128), "RELU": (0.05, -100), "RELU6": (6 / 255, -128), "QUANTIZE": (0.033, 11)}[name]
    check(unary(name, dtype, (0.07, 5 + shift), (y[0], y[1] + shift)), runner)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize("scale", [0.002, 0.05, 0.7])
def test_softmax(scale: float, dtype: str, runner: str) -> None:
    shift = 128 if dtype == UINT8 else 0
    check(unary("SOFTMAX", dtype, (scale, 3 + shift), (1 / 256, shift - 128), "SoftmaxOptions", Beta=1.0), runner)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize("axes", [[1, 2], [3], [-1, 1], [0, 1, 2, 3]])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("same", [True, False], ids=["same-scale", "own-scale"])
def test_mean(axes: list[int], keep: bool, same: bool, dtype: str, runner: str) -> None:
    m, shift, shape = ModelBuilder(), 128 if dtype == UINT8 else 0, (1, 6, 7, 5)
    gone = {a % 4 for a in axes}
    out = tuple(1 if i in gone else d for i, d in enumerate(shape) if keep or i not in gone)
    if not out:
        pytest.skip("a mean over everything without kept axes is a scalar, which has no batch")
    x, y = m.tensor("x", shape, dtype, 0.1, 4 + shift), m.tensor("y", out, dtype, *((0.1, 4 + shift) if same else (0.03, shift - 9)))
    m.op("MEAN", [x, m.constant("axes", np.array(axes, np.int32))], y, "ReducerOptions", KeepDims=keep)
    check(m.build([x], [y]), runner)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize("name", ["ADD", "MUL"])
@pytest.mark.parametrize("activation", [0, 1, 2, 3])
@pytest.mark.parametrize("other", [(1, 3, 4, 5), (1, 1, 1, 5), (5,)])
def test_binary_with_constant(name: str, activation: int, other: tuple[int, ...], dtype: str, runner: str) -> None:
    m, shift = ModelBuilder(), 128 if dtype == UINT8 else 0
    rng = np.random.default_rng(2)
    x, y = m.tensor("x", (1, 3, 4, 5), dtype, 0.05, 7 + shift), m.tensor("y", (1, 3, 4, 5), dtype, 0.04, shift - 20)
    low = -128 + shift
    w = m.constant("w", rng.integers(low, low + 256, other).astype(np.uint8 if shift else np.int8), 0.013, -3 + shift)
    m.op(name, [x, w], y, f"{name.title()}Options", FusedActivationFunction=activation)
    check(m.build([x], [y]), runner)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize("name", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("activation", [0, 1, 3])
def test_pools(name: str, padding: int, activation: int, dtype: str, runner: str) -> None:
    m, shift = ModelBuilder(), 128 if dtype == UINT8 else 0
    size = (1, 4, 4, 3) if padding == 0 else (1, 3, 3, 3)
    x, y = m.tensor("x", (1, 7, 8, 3), dtype, 0.05, 7 + shift), m.tensor("y", size, dtype, 0.05, 7 + shift)
    window = {"StrideH": 2, "StrideW": 2, "FilterHeight": 3, "FilterWidth": 2}
    if padding == 1:
        m.tensors[y]["shape"] = (1, 3, 4, 3)
    m.op(name, [x], y, "Pool2DOptions", Padding=padding, FusedActivationFunction=activation, **window)
    check(m.build([x], [y]), runner)


@pytest.mark.parametrize("runner", RUNNERS)
def test_float_boundaries(runner: str) -> None:
    m = ModelBuilder()
    x, y = m.tensor("x", (1, 50), FLOAT32), m.tensor("y", (1, 50), FLOAT32)
    q, r = m.tensor("q", (1, 50), INT8, 0.011, 3), m.tensor("r", (1, 50), INT8, 0.02, -4)
    m.op("QUANTIZE", [x], q)
    m.op("QUANTIZE", [q], r)
    m.op("DEQUANTIZE", [r], y)
    check(m.build([x], [y]), runner)


def test_summaries_agree() -> None:
    path: Path = require("models/backbones/mcunet-5fps_int8.tflite")
    graph, found = load(path), scan_tflite(path.read_bytes())
    assert graph.name == "mcunet-5fps_int8" and found["unsupported"] == []
    assert found["macs"] == summarize(graph)["macs"] == 22_613_504
    assert found["params"] == summarize(graph)["params"] == 630_224
    assert found["ops"]["CONV_2D"] == summarize(graph)["ops"]["conv2d"]


BEYOND = ["coral/traffic_model", "micro_wake_word/v1_okay_nabu", "mlperf_tiny/ad01_fp32", "tflite_micro/trained_lstm_int8"]


@pytest.mark.parametrize("name", BEYOND)
def test_models_beyond_reach_can_be_inspected(name: str) -> None:
    found = scan_tflite(require(f"models/{name}.tflite").read_bytes())
    assert found["unsupported"] and found["ops"] and found["inputs"] and found["outputs"]

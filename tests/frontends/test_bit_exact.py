"""Every tensor of a model equals LiteRT's reference kernels bit for bit: NumPy references and C kernels, generated and real models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.exactness import CASES, Case, c_runner, compare, numpy_runner, random_inputs, real_inputs
from kilograd.frontends import import_tflite, load, scan_tflite, summarize
from tests.reference import Reference, require_interpreter
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
@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize("depthwise", [False, True], ids=["conv2d", "depthwise_conv2d"])
@pytest.mark.parametrize("seed", range(8))
def test_random_convolutions(seed: int, depthwise: bool, dtype: str, runner: str) -> None:
    """Random sizes, strides, dilations, padding, activation, channels, scales, with and without bias."""
    rng, m, shift = np.random.default_rng(seed), ModelBuilder(), 128 if dtype == UINT8 else 0
    kernel, stride, dilation = rng.integers(1, 5, 2), rng.integers(1, 4, 2), rng.integers(1, 3, 2)
    size, channels, out, padding = rng.integers(9, 15, 2), int(rng.integers(1, 6)), int(rng.integers(1, 9)), int(rng.integers(2))
    if depthwise:
        out = channels * int(rng.integers(1, 4))
    reach = (kernel - 1) * dilation + 1
    result = -(-size // stride) if padding == 0 else (size - reach) // stride + 1
    x = m.tensor("x", (1, *size, channels), dtype, 0.06, int(rng.integers(-128, 128)) + shift)
    y = m.tensor("y", (1, *result, out), dtype, float(rng.uniform(0.02, 0.3)), int(rng.integers(-128, 128)) + shift)
    shape = (1, *kernel, out) if depthwise else (out, *kernel, channels)
    if shift:
        scale: Any = np.float32(0.02)
        w = m.constant("w", rng.integers(0, 256, shape).astype(np.uint8), scale, int(rng.integers(0, 256)))
    else:
        scale = rng.uniform(1e-4, 0.03, out).astype(np.float32)
        w = m.constant("w", rng.integers(-127, 128, shape).astype(np.int8), scale, np.zeros(out), axis=3 if depthwise else 0)
    operands = [x, w]
    if seed % 3 or not depthwise:  # LiteRT wants a bias in CONV_2D
        s = np.float32(np.float32(0.06) * scale)
        operands.append(m.constant("b", rng.integers(-3000, 3000, out).astype(np.int32), s, np.zeros(s.shape)))
    options = {"StrideH": stride[0], "StrideW": stride[1], "DilationHFactor": dilation[0], "DilationWFactor": dilation[1]}
    options |= {"Padding": padding, "FusedActivationFunction": int(rng.integers(4))}
    if depthwise:
        m.op("DEPTHWISE_CONV_2D", operands, y, "DepthwiseConv2DOptions", DepthMultiplier=out // channels, **options)
    else:
        m.op("CONV_2D", operands, y, "Conv2DOptions", **options)
    check(m.build([x], [y]), runner, 4)


def large_uint8_convolution(depthwise: bool, seed: int) -> bytes:
    """Many large sums, and scales whose float32 product is far from the real one: in a few elements the last bit of the product shows."""
    rng, m, channels = np.random.default_rng(seed), ModelBuilder(), 128
    scales = (0.363, 0.0431)
    x = m.tensor("x", (1, 48, 48, channels if depthwise else 64), UINT8, scales[0], 0)
    y = m.tensor("y", (1, 48, 48, channels), UINT8, scales[0] * scales[1] * (977.1 if depthwise else 5862.6), 0)
    shape = (1, 3, 3, channels) if depthwise else (channels, 1, 1, 64)
    w = m.constant("w", rng.integers(0, 256, shape).astype(np.uint8), scales[1], 0)
    b = m.constant("b", np.zeros(channels, np.int32), np.float32(scales[0]) * np.float32(scales[1]))
    stride = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    if depthwise:
        m.op("DEPTHWISE_CONV_2D", [x, w, b], y, "DepthwiseConv2DOptions", DepthMultiplier=1, **stride)
    else:
        m.op("CONV_2D", [x, w, b], y, "Conv2DOptions", **stride)
    return m.build([x], [y])


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("depthwise", [False, True], ids=["conv2d", "depthwise_conv2d"])
def test_scales_of_uint8_models_are_multiplied_in_float32(depthwise: bool, runner: str) -> None:
    check(large_uint8_convolution(depthwise, 0), runner, 3)
    graph = import_tflite(large_uint8_convolution(depthwise, 0))
    del graph.nodes[0].attrs["legacy_scales"]  # the case is one where it matters
    assert compare(large_uint8_convolution(depthwise, 0), graph, random_inputs(graph, 1), RUNNERS[runner](graph))["mismatches"]


def fully_connected_at_halves(dtype: str) -> bytes:
    """Sums (the biases; weights are zero) that lie on halves of the result, where the precision of s_x s_w decides the rounding."""
    m, s_x, s_w = ModelBuilder(), np.float32(0.363), np.float32(0.0431)
    s_y = np.float32(float(s_x) * float(s_w) * 5e5)
    sums = np.arange(250_000, 32_000_000, 500_000).astype(np.int32)
    x, y = m.tensor("x", (1, 4), dtype, s_x, 0), m.tensor("y", (1, len(sums)), dtype, s_y, 0)
    w = m.constant("w", np.zeros((len(sums), 4), np.uint8 if dtype == UINT8 else np.int8), s_w, 0)
    m.op("FULLY_CONNECTED", [x, w, m.constant("b", sums, s_x * s_w, 0)], y, "FullyConnectedOptions")
    return m.build([x], [y])


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("dtype", [INT8, UINT8])
def test_scales_of_fully_connected_are_multiplied_in_double(dtype: str, runner: str) -> None:
    """Unlike those of uint8 convolutions."""
    content = fully_connected_at_halves(dtype)
    check(content, runner, 2)
    graph = import_tflite(content)
    graph.nodes[0].attrs["legacy_scales"] = True
    assert compare(content, graph, random_inputs(graph, 1), RUNNERS[runner](graph))["mismatches"]


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("weights", ["int8", "int8 with zero point", "per-channel", "uint8"])
@pytest.mark.parametrize("rank", [2, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_fully_connected(weights: str, rank: int, bias: bool, runner: str) -> None:
    rng, m, shift = np.random.default_rng(rank), ModelBuilder(), 128 if weights == "uint8" else 0
    dtype = UINT8 if shift else INT8
    x = m.tensor("x", (1, 24) if rank == 2 else (1, 2, 3, 4), dtype, 0.08, shift - 17)
    y = m.tensor("y", (1, 10), dtype, 0.11, shift + 30)
    scale = rng.uniform(0.001, 0.03, 10).astype(np.float32) if weights == "per-channel" else np.float32(0.013)
    zero = {"uint8": 140, "int8 with zero point": 9}.get(weights, 0)
    low = 0 if shift else -127
    content = rng.integers(low, low + 255, (10, 24)).astype(np.uint8 if shift else np.int8)
    w = m.constant("w", content, scale, np.full(np.shape(scale), zero))
    s = np.float32(np.float32(0.08) * scale)
    operands = [x, w] + ([m.constant("b", rng.integers(-900, 900, 10).astype(np.int32), s, np.zeros(s.shape))] if bias else [])
    m.op("FULLY_CONNECTED", operands, y, "FullyConnectedOptions", FusedActivationFunction=rank // 2 - 1)
    check(m.build([x], [y]), runner)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize("axis", [1, -1])
def test_concatenation_with_constant(axis: int, dtype: str, runner: str) -> None:
    m, shift = ModelBuilder(), 128 if dtype == UINT8 else 0
    extra, out = ((1, 2, 4, 3), (1, 8, 4, 3)) if axis == 1 else ((1, 3, 4, 2), (1, 3, 4, 8))
    x, y = m.tensor("x", (1, 3, 4, 3), dtype, 0.1, shift), m.tensor("y", out, dtype, 0.1, shift)
    c = m.constant("c", np.arange(np.prod(extra)).reshape(extra).astype(np.uint8 if shift else np.int8), 0.1, shift)
    m.op("CONCATENATION", [x, c, x], y, "ConcatenationOptions", Axis=axis)
    check(m.build([x], [y]), runner)


@pytest.mark.parametrize("runner", RUNNERS)
def test_uint8_concatenation_rescales(runner: str) -> None:
    m = ModelBuilder()
    x, a = m.tensor("x", (1, 3, 4, 30), UINT8, 0.1, 120), m.tensor("a", (1, 3, 4, 30), UINT8, 0.037, 3)
    m.op("RELU", [x], a)
    y = m.tensor("y", (1, 3, 4, 60), UINT8, 0.08, 99)
    m.op("CONCATENATION", [x, a], y, "ConcatenationOptions", Axis=3)
    check(m.build([x], [y]), runner)


@pytest.mark.parametrize("runner", RUNNERS)
def test_fully_connected_keeps_dimensions(runner: str) -> None:
    m = ModelBuilder()
    x, y = m.tensor("x", (1, 3, 5, 8), INT8, 0.1, 3), m.tensor("y", (1, 3, 5, 6), INT8, 0.2, -3)
    w = m.constant("w", np.random.default_rng(0).integers(-127, 128, (6, 8)).astype(np.int8), 0.02)
    m.op("FULLY_CONNECTED", [x, w, -1], y, "FullyConnectedOptions", KeepNumDims=True)
    check(m.build([x], [y]), runner)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize("order", [(0, 3, 1, 2), (0, 2, 1, 3), (0, 1, 3, 2)])
def test_transpose_and_pad(order: tuple[int, ...], dtype: str, runner: str) -> None:
    m, shift, pads = ModelBuilder(), 128 if dtype == UINT8 else 0, np.array([[0, 0], [2, 1], [0, 3], [1, 1]], np.int32)
    shape = tuple(np.array((1, 3, 4, 5))[list(order)])
    x, t = m.tensor("x", (1, 3, 4, 5), dtype, 0.1, shift + 5), m.tensor("t", shape, dtype, 0.1, shift + 5)
    m.op("TRANSPOSE", [x, m.constant("order", np.array(order, np.int32))], t)
    y = m.tensor("y", tuple(np.array(shape) + pads.sum(axis=1)), dtype, 0.1, shift + 5)
    m.op("PAD", [t, m.constant("pads", pads)], y)
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


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
def test_optimized_plan_gives_the_same_outputs(unsigned: bool) -> None:
    """Simplified graph, memory shared between tensors: what comes out stays the same."""
    require_interpreter()
    import kilograd as kg

    data = small_cnn(1, unsigned)
    graph = import_tflite(data)
    simulator, reference = kg.Simulator(kg.compile(graph)), Reference(data)
    for x in random_inputs(graph, 5):
        want = reference.run(graph, {graph.inputs[0]: x})[graph.outputs[0]]
        np.testing.assert_array_equal(want, np.asarray(simulator.infer(x)).reshape(want.shape))


def test_a_difference_is_found() -> None:
    """The comparison itself: a changed weight must show in the layer that uses it and not before."""
    require_interpreter()
    data = small_cnn()
    graph = import_tflite(data)
    conv = next(n for n in graph.nodes if n.name == "pointwise")
    weights = graph[conv.inputs[1]].data
    assert weights is not None
    graph.set(conv.inputs[1], data=(weights ^ 0x20).astype(np.int8))
    result = compare(data, graph, random_inputs(graph, 1), numpy_runner(graph))
    assert result["equal"] < result["tensors"] and "'pointwise'" in result["mismatches"][0]


def test_summaries_agree() -> None:
    path: Path = require("models/backbones/mcunet-5fps_int8.tflite")
    graph, found = load(path), scan_tflite(path.read_bytes())
    assert graph.name == "mcunet-5fps_int8" and found["unsupported"] == []
    assert found["macs"] == summarize(graph)["macs"] == 22_613_504
    assert found["params"] == summarize(graph)["params"] == 630_224
    assert found["ops"]["CONV_2D"] == summarize(graph)["ops"]["conv2d"]


BEYOND = ["tflite_micro/audio_preprocessor_int8"]


@pytest.mark.parametrize("name", BEYOND)
def test_models_beyond_reach_can_be_inspected(name: str) -> None:
    found = scan_tflite(require(f"models/{name}.tflite").read_bytes())
    assert found["unsupported"] and found["ops"] and found["inputs"] and found["outputs"]

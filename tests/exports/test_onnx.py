"""Graphs written as ONNX QDQ: ONNX Runtime gives the graph's results within a step or two of the output's quantization."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kilograd.errors import UnsupportedOperator
from kilograd.exports.onnx import write_onnx
from kilograd.exports.onnx_forms import FORMS
from kilograd.exports.tflite_forms import FORMS as TFLITE_FORMS
from kilograd.frontends import import_tflite
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops.base import evaluate
from kilograd.quantize import QuantizeConfig, quantize_model
from tests.quantize.models import Floats, network, samples
from tests.shared_data import require

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def run(data: bytes, x: Array) -> Array:
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return np.stack([session.run(None, {session.get_inputs()[0].name: v})[0] for v in x])


def ours(graph: Graph, x: Array) -> Array:
    t, y = graph[graph.inputs[0]], graph[graph.outputs[0]]
    rows = []
    for v in x:
        fed = v if t.dtype is DType.FLOAT32 else np.clip(np.rint(v / np.float32(t.q.s)) + t.q.z, -128, 127).astype(np.int8)
        value = evaluate(graph, {t.name: fed}).tensors[y.name]
        rows.append(value if y.dtype is DType.FLOAT32 else (value.astype(np.float32) - y.q.z) * np.float32(y.q.s))
    return np.stack(rows)


@pytest.mark.parametrize("io", ["int8", "float"])
@pytest.mark.parametrize("dense_per_channel", [False, True])
def test_onnx_runtime_agrees(io: Any, dense_per_channel: bool) -> None:
    for seed in range(3):
        graph = network(seed)
        x = samples(graph)
        result = quantize_model(graph, x, QuantizeConfig(io=io, dense_per_channel=dense_per_channel))
        assert np.abs(run(write_onnx(result.graph), x[:12]) - ours(result.graph, x[:12])).max() <= 2 / 256 + 1e-6


@pytest.mark.parametrize(("padding", "output", "groups"), [
    ((0, 1, 0, 1), (8, 8), 1), ((0, 0, 0, 0), (9, 10), 1), ((2, 1, 0, 2), (6, 8), 1), ((1, 1, 1, 1), (7, 8), 3),
])  # fmt: skip
def test_transposed_convolutions(padding: tuple[int, ...], output: tuple[int, int], groups: int) -> None:
    m = Floats((1, 8, 8, 3))
    graph = m.done(m.transposed(m.conv("x", "down", 6, stride=2, activation="relu"), "y", 6, padding, output, groups))
    x = samples(graph)
    np.testing.assert_allclose(run(write_onnx(graph), x[:4]), ours(graph, x[:4]), rtol=1e-4, atol=1e-5)
    result = quantize_model(graph, x, QuantizeConfig())
    if groups > 1:
        with pytest.raises(UnsupportedOperator, match="for which ConvTranspose has no axis"):
            write_onnx(result.graph)
        return
    step = result.graph[result.graph.outputs[0]].q.s
    assert np.abs(run(write_onnx(result.graph), x[:6]) - ours(result.graph, x[:6])).max() <= 2 * step + 1e-6


def test_a_float_graph_is_the_same_function() -> None:
    """No quantization in the way: layouts, paddings and axes are right to the last digits."""
    graph = network(5)
    x = samples(graph, 4)
    np.testing.assert_allclose(run(write_onnx(graph), x), ours(graph, x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_asymmetric_padding_multiplier_and_reshape_of_images(stride: int) -> None:
    m = Floats((1, 7, 6, 2))
    d = m.depthwise("x", "d", "relu6", multiplier=2)
    c = m.conv(d, "c", 3, stride=stride, pad=2)
    m.graph.nodes[-1].attrs["padding"] = (0, 1, 1, 2)
    h, w = (7 + 1 - 3) // stride + 1, (6 + 3 - 3) // stride + 1
    m.graph.set(c, shape=(1, h, w, 3))
    graph = m.done(m.node("reshape", [c], "y", (1, h * w * 3)))
    x = samples(graph, 3)
    np.testing.assert_allclose(run(write_onnx(graph), x), ours(graph, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mlperf_tiny/kws_ref_model", "mlperf_tiny/pretrainedResnet_quant", "mlperf_tiny/ad01_int8"])
def test_int8_models_of_others(name: str) -> None:
    graph = import_tflite(require(f"models/{name}.tflite").read_bytes())
    q, rng = graph[graph.inputs[0]].q, np.random.default_rng(0)
    x = ((rng.integers(-128, 128, (6, *graph[graph.inputs[0]].shape)) - q.z) * q.s).astype(np.float32)
    want, got = ours(graph, x), run(write_onnx(graph), x)
    assert np.square(got - want).sum() < 2e-3 * np.square(want).sum()  # steps of one add up over the layers
    assert np.array_equal(want.argmax(axis=-1), got.argmax(axis=-1)) or want.shape[-1] == 640


def test_what_cannot_be_written_is_named() -> None:
    graph = quantize_model(network(), samples(network())).graph
    graph.nodes[-1] = Node("clamp_grad", graph.nodes[-1].inputs, graph.nodes[-1].outputs, {}, name="cut")
    with pytest.raises(UnsupportedOperator, match="'cut': operator 'clamp_grad' cannot be written"):
        write_onnx(graph)


def test_what_onnx_can_hold_tflite_can_hold() -> None:
    assert set(FORMS) <= set(TFLITE_FORMS)

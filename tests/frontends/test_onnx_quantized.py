"""Quantized ONNX models: the backbones against their .tflite twins, QDQ and QLinear operators against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kilograd as kg
from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.exports import export
from kilograd.frontends.onnx import import_onnx
from kilograd.frontends.simplify import fuse_pad
from kilograd.ir.graph import Array, Graph, Node
from kilograd.ops.base import evaluate
from kilograd.quantize.api import quantize_model
from tests.frontends.onnx_models import Builder, ops, run_graph, run_onnx
from tests.shared_data import require

LAYERS = ("conv2d", "depthwise_conv2d", "fully_connected")


def layers(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes if n.op in LAYERS]


@pytest.mark.parametrize("name,count", [("mcunet-5fps_int8", 51), ("mbv2-w0.35_int8", 63)])
def test_backbone_equals_its_tflite_twin(name: str, count: int) -> None:
    """Weights, biases and all tensors bit for bit; but the classifier is a Gemm here, which rounds once, and a convolution there: +-1."""
    ours = kg.load(require(f"models/backbones/{name}_qdq.onnx"))
    twin = fuse_pad(kg.load(require(f"models/backbones/{name}.tflite")))
    assert len(layers(ours)) == len(layers(twin))
    for a, b in zip(layers(ours), layers(twin), strict=True):
        for i in (1, 2):
            mine, theirs = ours[a.inputs[i]], twin[b.inputs[i]]
            assert mine.data is not None and theirs.data is not None
            assert np.array_equal(mine.data.reshape(-1), theirs.data.reshape(-1)), a.name
            assert np.array_equal(mine.q.scale, theirs.q.scale), a.name
    x = twin[twin.inputs[0]]
    q = np.random.default_rng(0).integers(-128, 128, x.shape).astype(np.int8)
    real = (q.astype(np.float32) - x.q.z) * np.float32(x.q.s)
    mine_run, their_run = evaluate(ours, {ours.inputs[0]: real}), evaluate(twin, {twin.inputs[0]: q})
    mine_nodes = [n for n in ours.nodes if n.op not in ("quantize", "dequantize", "reshape")]
    their_nodes = [n for n in twin.nodes if n.op != "reshape"]
    assert len(mine_nodes) == len(their_nodes) == count
    for a, b in zip(mine_nodes, their_nodes, strict=True):
        u, v = (s.tensors[n.outputs[0]].reshape(-1).astype(int) for s, n in ((mine_run, a), (their_run, b)))
        assert np.abs(u - v).max() <= (1 if a.op == "fully_connected" else 0), a.name


@pytest.mark.parametrize("name", ["mcunet-5fps_int8", "mbv2-w0.35_int8"])
def test_backbone_against_onnx_runtime(name: str) -> None:
    """ONNX Runtime computes layers in float32 and rounds halves to even; over 40 to 50 layers that makes at most 5 steps of the logits."""
    path = require(f"models/backbones/{name}_qdq.onnx")
    graph = kg.load(path)
    x = np.random.default_rng(1).integers(-128, 128, (1, 3, 128, 128)).astype(np.float32) * np.float32(2 / 255)
    (got,), (want,) = run_graph(graph, {"input": x}), run_onnx(path.read_bytes(), {"input": x})
    step = next(graph[n.inputs[0]].q.s for n in graph.nodes if n.op == "dequantize")
    assert np.abs(got - want).max() <= 5.01 * step and np.abs(got - want).mean() < step
    assert want[0, got.argmax()] >= want.max() - 5.01 * step


class Quantized(Builder):
    """Builds models with QuantizeLinear and DequantizeLinear around the operators."""

    def __init__(self, unsigned: bool, seed: int = 0) -> None:
        super().__init__(seed)
        self.type = np.uint8 if unsigned else np.int8

    def grid(self, scale: float, zero: int) -> list[str]:
        return [self.constant(scale, np.float32), self.constant(zero + (128 if self.type is np.uint8 else 0), self.type)]

    def qdq(self, x: str, scale: float = 0.05, zero: int = 3) -> str:
        grid = self.grid(scale, zero)
        return str(self.op("DequantizeLinear", [self.op("QuantizeLinear", [x, *grid]), *grid]))

    def weights(self, *shape: int, channels: bool = True, axis: int = 0) -> tuple[str, Array]:
        scale = self.rng.uniform(0.002, 0.01, shape[axis] if channels else ()).astype(np.float32)
        q = self.constant(self.rng.integers(-127, 128, shape), np.int8)
        return str(self.op("DequantizeLinear", [q, self.constant(scale), self.constant(np.zeros(scale.shape), np.int8)], axis=axis)), scale

    def bias(self, scale: Array) -> str:
        q = self.constant(self.rng.integers(-2000, 2000, scale.shape), np.int32)
        return str(self.op("DequantizeLinear", [q, self.constant(np.asarray(scale, np.float32))], axis=0))


def close(data: bytes, inputs: dict[str, Any], step: float, tolerance: float = 1.01, differing: float = 0.05) -> Graph:
    rng = np.random.default_rng(5)
    feeds = {k: rng.normal(0, 2, s).astype(np.float32) for k, s in inputs.items()}
    graph = import_onnx(data)
    for got, want in zip(run_graph(graph, feeds), run_onnx(data, feeds), strict=True):
        assert got.shape == want.shape and np.abs(got - want).max() <= tolerance * step
        assert np.mean(np.abs(got - want) > 0.01 * step) <= differing
    return graph


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("clamp", ["", "Relu", "Clip"])
@pytest.mark.parametrize("group", [1, 4])
def test_convolution(unsigned: bool, clamp: str, group: int) -> None:
    m = Quantized(unsigned)
    w, scale = m.weights(8, 4 // group, 3, 3)
    y = m.op("Conv", [m.qdq("x"), w, m.bias(scale * np.float32(0.05))], group=group, pads=[1, 1, 1, 1])
    if clamp:
        y = m.op(clamp, [y] + ([m.constant(0, np.float32), m.constant(6, np.float32)] if clamp == "Clip" else []))
    graph = close(m.bytes({"x": [1, 4, 7, 7]}, [m.qdq(y, 0.04, -20)]), {"x": [1, 4, 7, 7]}, 0.04)
    assert ops(graph) == ["quantize", "depthwise_conv2d" if group == 4 else "conv2d", "dequantize"]
    activation = {"": "none", "Relu": "relu", "Clip": "relu6"}[clamp]
    assert layers(graph)[0].attrs["activation"] == activation
    kg.compile(graph)


@pytest.mark.parametrize("unsigned", [False, True])
def test_network(unsigned: bool) -> None:
    """Residual, concatenation, pools, flattened image into a layer: all integers, no transposition, and it can be planned."""
    m = Quantized(unsigned)
    x = m.qdq("x")
    w, scale = m.weights(4, 4, 1, 1)
    a = m.qdq(m.op("Conv", [x, w, m.bias(scale * np.float32(0.05))]), 0.06, -5)
    b = m.qdq(m.op("Add", [x, a]), 0.08, 4)
    c = m.op("MaxPool", [m.qdq(m.op("Concat", [a, b], axis=1), 0.08, 4)], kernel_shape=[2, 2], strides=[2, 2])
    d = m.qdq(m.op("AveragePool", [m.qdq(c, 0.08, 4)], kernel_shape=[2, 2]), 0.08, 4)
    w2, scale2 = m.weights(5, 8 * 4)
    y = m.qdq(m.op("Gemm", [m.op("Flatten", [d]), w2, m.bias(scale2 * np.float32(0.08))], transB=1), 0.1, 7)
    graph = close(m.bytes({"x": [1, 4, 6, 6]}, [y]), {"x": [1, 4, 6, 6]}, 0.1, 3.01, 1.0)  # averages round halves
    assert "transpose" not in ops(graph) and ops(graph).count("dequantize") == 1
    kg.compile(graph)


@pytest.mark.parametrize("kind", ["Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Softmax", "GlobalAveragePool", "ReduceMean"])
def test_functions(kind: str) -> None:
    m = Quantized(False)
    attrs: dict[str, Any] = {"axes": [2, 3]} if kind == "ReduceMean" else {"axis": -1} if kind == "Softmax" else {}
    differing = 0.3 if attrs.get("axes") or "Pool" in kind else 0.1  # the mean of TensorFlow Lite rounds twice, to few bits first
    scale, zero = (1 / 256, -128) if kind in ("Sigmoid", "Softmax") else (1 / 128, 0)
    y = m.qdq(m.op(kind, [m.qdq("x")], **attrs), scale, zero)
    graph = close(m.bytes({"x": [1, 24, 6, 6]}, [y]), {"x": [1, 24, 6, 6]}, scale, 1.01, differing)
    assert ops(graph)[0] == "quantize" and ops(graph)[-1] == "dequantize" and ops(graph).count("dequantize") == 1
    kg.compile(graph)


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("kind", ["Clip", "Max", "Min", "PRelu", "Sub", "HardSigmoid", "Resize", "Pad"])
def test_operands_that_are_constants(kind: str, unsigned: bool) -> None:
    m = Quantized(unsigned)
    operands: dict[str, list[str]] = {
        "Clip": [m.constant(-1.5, np.float32), m.constant(2.5, np.float32)],
        "Max": [m.constant(-0.4, np.float32)],
        "Min": [m.constant(1.2, np.float32)],
        "PRelu": [m.constant(np.linspace(0.1, 0.9, 4).reshape(4, 1, 1), np.float32)],
        "Sub": [m.constant(np.linspace(-1, 1, 4).reshape(4, 1, 1), np.float32)],
        "Resize": ["", m.constant([1, 1, 2, 2], np.float32)],
        "Pad": [m.constant([0, 0, 1, 2, 0, 0, 0, 1]), m.constant(-1.0, np.float32)],
    }
    attrs: dict[str, Any] = {"mode": "linear"} if kind == "Resize" else {}
    y = m.qdq(m.op(kind, [m.qdq("x", 0.04, 5), *operands.get(kind, [])], **attrs), 0.04, 5)
    graph = close(m.bytes({"x": [1, 4, 6, 6]}, [y]), {"x": [1, 4, 6, 6]}, 0.04, 2.01, 0.25)
    assert ops(graph).count("dequantize") == 1
    kg.compile(graph)


def test_a_function_with_a_range_of_its_own_is_rescaled() -> None:
    m = Quantized(False)
    y = m.qdq(m.op("Sigmoid", [m.qdq("x")]), 1 / 128, 0)
    graph = close(m.bytes({"x": [1, 50]}, [y]), {"x": [1, 50]}, 1 / 128, 1.01, 0.5)  # rounded twice
    assert ops(graph) == ["quantize", "logistic", "quantize", "dequantize"]


def test_the_end_of_a_network_that_is_not_quantized() -> None:
    """A softmax behind the last DequantizeLinear is computed in its own 1/256; the simulator has the bits of the graph."""
    m = Quantized(False)
    w, scale = m.weights(6, 10)
    y = m.op("Softmax", [m.qdq(m.op("Gemm", [m.qdq("x"), w, m.bias(scale * np.float32(0.05))], transB=1), 0.1, 1)], axis=-1)
    graph = close(m.bytes({"x": [1, 10]}, [y]), {"x": [1, 10]}, 1 / 256, 6, 1.0)
    assert ops(graph) == ["quantize", "fully_connected", "softmax", "dequantize"]
    x = np.random.default_rng(0).normal(0, 2, (1, 10)).astype(np.float32)
    simulated = kg.Simulator(kg.compile(graph)).infer(x)
    assert np.array_equal(np.asarray(simulated).reshape(-1), run_graph(graph, {"x": x})[0].reshape(-1))


@pytest.mark.parametrize("unsigned", [False, True])
def test_matmul_with_transposed_weights_and_float_bias(unsigned: bool) -> None:
    m = Quantized(unsigned)
    w, _ = m.weights(6, 10)
    y = m.qdq(m.op("MatMul", [m.qdq("x"), m.op("Transpose", [w], perm=[1, 0])]), 0.1, 1)
    assert ops(close(m.bytes({"x": [1, 10]}, [y]), {"x": [1, 10]}, 0.1)) == ["quantize", "fully_connected", "dequantize"]
    n = Quantized(unsigned)
    w, _ = n.weights(6, 10)
    y = n.qdq(n.op("Gemm", [n.qdq("x"), w, n.random(6)], transB=1), 0.1, 1)
    close(n.bytes({"x": [1, 10]}, [y]), {"x": [1, 10]}, 0.1)


def raw_agree(m: Builder, y: str, shapes: dict[str, list[int]], code: int, most: int = 1) -> Graph:
    dtype = np.uint8 if code == 2 else np.int8
    data = m.bytes(shapes, [y], {**{k: code for k in shapes}, y: code})
    rng, info = np.random.default_rng(3), np.iinfo(dtype)
    feeds = {k: rng.integers(info.min, info.max + 1, s).astype(dtype) for k, s in shapes.items()}
    graph = import_onnx(data)
    (got,), (want,) = run_graph(graph, feeds), run_onnx(data, feeds)
    assert got.dtype == want.dtype and got.shape == want.shape
    assert np.abs(got.astype(int) - want.astype(int)).max() <= most
    kg.compile(graph)
    return graph


@pytest.mark.parametrize("code", [2, 3])
def test_qlinear_operators(code: int) -> None:
    m = Quantized(code == 2)
    w = m.constant(m.rng.integers(-127, 128, (8, 4, 3, 3)), np.int8)
    ws = m.constant(m.rng.uniform(0.002, 0.01, 8), np.float32)
    operands = ["x", *m.grid(0.05, 3), w, ws, m.constant(np.zeros(8), np.int8), *m.grid(0.1, -7)]
    a = m.op("QLinearConv", [*operands, m.constant(m.rng.integers(-900, 900, 8), np.int32)], pads=[1, 1, 1, 1])
    b = m.op("QLinearAdd", [a, *m.grid(0.1, -7), a, *m.grid(0.1, -7), *m.grid(0.21, 2)], domain="com.microsoft")
    c = m.op("QLinearMul", [a, *m.grid(0.1, -7), b, *m.grid(0.21, 2), *m.grid(0.5, 1)], domain="com.microsoft")
    y = m.op("MaxPool", [c], kernel_shape=[2, 2], strides=[2, 2])
    graph = raw_agree(m, y, {"x": [1, 4, 8, 8]}, code, most=2)
    assert ops(graph) == ["conv2d", "add", "mul", "max_pool2d"]
    assert bool(graph.meta["uint8"]) == (code == 2)


@pytest.mark.parametrize("code", [2, 3])
def test_qlinear_matmul(code: int) -> None:
    m = Quantized(code == 2)
    w = m.constant(m.rng.integers(-127, 128, (12, 5)) + (128 if code == 2 else 0), np.uint8 if code == 2 else np.int8)
    weights = [w, m.constant(0.01, np.float32), m.constant(128 if code == 2 else 0, np.uint8 if code == 2 else np.int8)]
    y = m.op("QLinearMatMul", ["x", *m.grid(0.05, 3), *weights, *m.grid(0.1, -7)])
    assert ops(raw_agree(m, y, {"x": [3, 12]}, code)) == ["fully_connected"]


def test_what_is_refused() -> None:
    m = Quantized(False)
    y = m.op("ConvInteger", ["x", m.constant(np.zeros((4, 4, 1, 1)), np.int8)])
    with pytest.raises(UnsupportedOperator, match="ConvInteger"):
        import_onnx(m.bytes({"x": [1, 4, 4, 4]}, [y], {"x": 3, y: 6}))
    m = Quantized(False)
    y = m.op("Conv", [m.qdq("x"), m.random(4, 4, 1, 1)])
    with pytest.raises(UnsupportedOperator, match="Quantize both"):
        import_onnx(m.bytes({"x": [1, 4, 4, 4]}, [m.qdq(y)]))
    m = Quantized(False)
    y = m.op("DequantizeLinear", [m.op("QuantizeLinear", ["x", *m.grid(0.1, 0)]), *m.grid(0.2, 0)])
    with pytest.raises(ModelError, match="another quantization"):
        import_onnx(m.bytes({"x": [1, 4]}, [y]))


def whole_network() -> bytes:
    m = Builder()
    a = m.op("Relu", [m.norm(m.conv("x", 3, 8, pads=[1, 1, 1, 1], bias=False), 8)])
    b = m.op("HardSwish", [m.conv(a, 8, 8, group=8, pads=[1, 1, 1, 1])])
    c = m.op("Add", [a, b])
    d = m.op("Concat", [c, m.conv(c, 8, 4, k=1)], axis=1)
    d = m.op("Clip", [d, m.constant(0, np.float32), m.constant(6, np.float32)])
    e = m.op("MaxPool", [d], kernel_shape=[2, 2], strides=[2, 2])
    e = m.op("Mul", [e, m.op("Sigmoid", [m.conv(m.op("GlobalAveragePool", [e]), 12, 12, k=1)])])
    e = m.op("AveragePool", [e], kernel_shape=[2, 2], strides=[2, 2])
    e = m.op("LeakyRelu", [m.op("Pad", [e, m.constant([0, 0, 1, 1, 0, 0, 1, 1])])], alpha=0.1)
    f = m.op("Gemm", [m.op("Reshape", [e, m.constant([1, -1])]), m.random(10, 12 * 16), m.random(10)], transB=1)
    g = m.op("Add", [m.op("MatMul", [m.op("Tanh", [f]), m.random(10, 4)]), m.random(4)])
    return m.bytes({"x": [1, 3, 8, 8]}, [m.op("Softmax", [g], axis=-1)])


class Samples:
    """Calibration data as ONNX Runtime reads them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.left = [{"x": rng.normal(0, 1, (1, 3, 8, 8)).astype(np.float32)} for _ in range(10)]

    def get_next(self) -> dict[str, Array] | None:
        return self.left.pop() if self.left else None


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize(
    "activations,weights,channels", [("QInt8", "QInt8", True), ("QUInt8", "QInt8", False), ("QUInt8", "QUInt8", False)]
)
def test_what_onnx_runtime_quantizes(tmp_path: Path, form: str, activations: str, weights: str, channels: bool) -> None:
    """A network quantized by ONNX Runtime's own tool, in both of its forms: integers throughout, and close to what it computes itself."""
    tool = pytest.importorskip("onnxruntime.quantization")
    from onnxruntime.quantization.shape_inference import quant_pre_process

    (tmp_path / "float.onnx").write_bytes(whole_network())
    quant_pre_process(str(tmp_path / "float.onnx"), str(tmp_path / "ready.onnx"))
    tool.quantize_static(
        str(tmp_path / "ready.onnx"), str(tmp_path / "int.onnx"), Samples(), quant_format=tool.QuantFormat[form],
        activation_type=tool.QuantType[activations], weight_type=tool.QuantType[weights], per_channel=channels,
    )  # fmt: skip
    data, graph = (tmp_path / "int.onnx").read_bytes(), kg.load(tmp_path / "int.onnx")
    x = {"x": np.random.default_rng(9).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)}
    assert np.abs(run_graph(graph, x)[0] - run_onnx(data, x)[0]).max() < 0.03  # probabilities, behind 20 layers
    assert "transpose" not in ops(graph) and ops(graph).count("dequantize") == 1
    kg.compile(graph)


def test_what_kilograd_writes_it_reads(tmp_path: Path) -> None:
    """Quantized by kilograd, written as QDQ and read again: the same integers, operator by operator."""
    m = Builder()
    a = m.op("Relu", [m.norm(m.conv("x", 3, 8, pads=[1, 1, 1, 1], bias=False), 8)])
    b = m.op("Add", [a, m.conv(a, 8, 8, group=8, pads=[1, 1, 1, 1])])
    c = m.op("MaxPool", [m.op("Concat", [b, m.conv(b, 8, 4, k=1)], axis=1)], kernel_shape=[4, 4], strides=[4, 4])
    y = m.op("Softmax", [m.op("Gemm", [m.op("Flatten", [m.op("Sigmoid", [c])]), m.random(48, 5), m.random(5)])], axis=-1)
    samples = np.random.default_rng(0).normal(0, 1, (20, 8, 8, 3)).astype(np.float32)
    first = quantize_model(import_onnx(m.bytes({"x": [1, 3, 8, 8]}, [y])), samples).graph
    export(first, tmp_path / "m.onnx")
    again = kg.load(tmp_path / "m.onnx")
    inner = [n.op for n in again.nodes if n.op not in ("quantize", "dequantize")]
    assert inner == [n.op for n in first.nodes if n.op not in ("quantize", "dequantize")]
    t = first[first.inputs[0]]
    q = np.clip(np.rint(samples[:1] / np.float32(t.q.s)) + t.q.z, -128, 127).astype(np.int8)
    before, after = evaluate(first, {first.inputs[0]: q}), evaluate(again, {again.inputs[0]: samples[:1]})
    for old, new in zip(first.nodes, [n for n in again.nodes if n.op in inner], strict=True):
        u, v = (s.tensors[n.outputs[0]].reshape(-1).astype(int) for s, n in ((before, old), (after, new)))
        assert np.array_equal(u, v), old.name

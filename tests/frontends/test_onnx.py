"""Float ONNX models written here: what they compute equals ONNX Runtime, and no transposition is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kilograd as kg
from kilograd.errors import DataError, ModelError, UnsupportedOperator
from kilograd.frontends import scan
from kilograd.frontends.onnx import import_onnx
from kilograd.quantize.api import quantize_model
from tests.frontends.onnx_models import Builder, agree, onnx, ops
from tests.shared_data import require


def test_convolution_norm_relu() -> None:
    m = Builder()
    y = m.op("Relu", [m.norm(m.conv("x", 3, 8, pads=[1, 1, 1, 1], strides=[2, 2], bias=False), 8)])
    graph = agree(m.bytes({"x": [1, 3, 9, 11]}, [y]), {"x": [1, 3, 9, 11]})
    assert ops(graph) == ["conv2d", "batch_norm", "relu"]
    assert graph[graph.inputs[0]].shape == (1, 9, 11, 3)
    assert graph.meta["layout"][graph.inputs[0]] == [0, 2, 3, 1]


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("group,outputs", [(1, 4), (2, 6), (4, 4), (4, 8)])
def test_convolutions(auto: str, group: int, outputs: int) -> None:
    m = Builder()
    y = m.conv("x", 4, outputs, auto_pad=auto, group=group, strides=[2, 1])
    graph = agree(m.bytes({"x": [1, 4, 8, 7]}, [y]), {"x": [1, 4, 8, 7]})
    assert ops(graph) == ["depthwise_conv2d" if group == 4 else "conv2d"]


def test_dilated_convolution_and_dynamic_batch() -> None:
    m = Builder()
    y = m.conv("x", 4, 4, dilations=[2, 3], pads=[1, 2, 3, 0])
    graph = agree(m.bytes({"x": ["batch", 4, 12, 13]}, [y]), {"x": ["batch", 4, 12, 13]})
    assert graph[graph.inputs[0]].shape == (1, 12, 13, 4)


def test_convolution_of_a_signal() -> None:
    m = Builder()
    a = m.op("Relu", [m.op("Conv", ["x", m.random(6, 4, 3), m.random(6)], pads=[1, 1])])
    b = m.op("MaxPool", [a], kernel_shape=[2], strides=[2])
    y = m.op("Gemm", [m.op("Flatten", [b]), m.random(36, 5), m.random(5)])
    graph = agree(m.bytes({"x": [1, 4, 12]}, [y]), {"x": [1, 4, 12]})
    assert "transpose" not in ops(graph)


@pytest.mark.parametrize("attrs", [{}, {"pads": [1, 1, 1, 1], "output_padding": [1, 1]}, {"output_shape": [9, 8]}, {"group": 2}])
def test_transposed_convolution(attrs: dict[str, Any]) -> None:
    m = Builder()
    y = m.op("ConvTranspose", ["x", m.random(4, 3, 3, 3), m.random(3 * attrs.get("group", 1))], strides=[2, 2], **attrs)
    assert ops(agree(m.bytes({"x": [1, 4, 4, 4]}, [y]), {"x": [1, 4, 4, 4]})) == ["transpose_conv"]


def test_residual_concat_flatten_gemm_has_no_transposition() -> None:
    m = Builder()
    a = m.op("Clip", [m.conv("x", 3, 8, pads=[1, 1, 1, 1]), m.constant(0.0, np.float32), m.constant(6.0, np.float32)])
    b = m.conv(a, 8, 8, group=8, pads=[1, 1, 1, 1])
    c = m.op("Add", [a, b])
    d = m.op("Concat", [c, m.conv(c, 8, 4, k=1)], axis=1)
    e = m.op("AveragePool", [d], kernel_shape=[2, 2], strides=[2, 2])
    f = m.op("Flatten", [m.op("Dropout", [e])])
    g = m.op("Relu", [m.op("Gemm", [f, m.random(10, 12 * 16), m.random(10)], transB=1)])
    y = m.op("Softmax", [m.op("MatMul", [g, m.random(10, 4)])], axis=-1)
    graph = agree(m.bytes({"x": [1, 3, 8, 8]}, [y]), {"x": [1, 3, 8, 8]})
    assert ops(graph) == [
        "conv2d", "relu6", "depthwise_conv2d", "add", "conv2d", "concatenation", "average_pool2d", "reshape",
        "fully_connected", "relu", "fully_connected", "softmax",
    ]  # fmt: skip


def test_activations_and_norm_between_flatten_and_gemm() -> None:
    """What is flattened keeps its stored order; parameters of each element are permuted instead."""
    m = Builder()
    f = m.op("Reshape", [m.conv("x", 3, 5), m.constant([0, -1])])
    g = m.op("Mul", [m.norm(m.op("Sigmoid", [f]), 5 * 36), m.random(5 * 36)])
    y = m.op("Gemm", [g, m.random(5 * 36, 7)], alpha=0.5, beta=2.0)
    assert "transpose" not in ops(agree(m.bytes({"x": [1, 3, 8, 8]}, [y]), {"x": [1, 3, 8, 8]}))


def test_squeeze_and_excitation() -> None:
    m = Builder()
    a = m.conv("x", 3, 8)
    s = m.op("ReduceMean", [a, m.constant([2, 3])], keepdims=1) if m.opset >= 18 else m.op("ReduceMean", [a], axes=[2, 3], keepdims=1)
    s = m.op("Sigmoid", [m.conv(m.op("Relu", [m.conv(s, 8, 2, k=1)]), 2, 8, k=1)])
    y = m.op("GlobalAveragePool", [m.op("Mul", [s, a])])
    assert "transpose" not in ops(agree(m.bytes({"x": [1, 3, 8, 6]}, [y]), {"x": [1, 3, 8, 6]}))


def test_shapes_are_computed_at_import() -> None:
    """Shape -> Gather -> Unsqueeze -> Concat -> Reshape, as PyTorch writes x.view(x.size(0), -1)."""
    m = Builder()
    a = m.conv("x", 3, 4)
    n = m.op("Gather", [m.op("Shape", [a]), m.constant(0)], axis=0)
    shape = m.op("Concat", [m.op("Unsqueeze", [n, m.constant([0])]), m.constant([-1])], axis=0)
    y = m.op("Gemm", [m.op("Reshape", [a, shape]), m.random(4 * 36, 3)])
    assert ops(agree(m.bytes({"x": ["n", 3, 8, 8]}, [y]), {"x": ["n", 3, 8, 8]})) == ["conv2d", "reshape", "fully_connected"]


def test_transpositions_cancel() -> None:
    """A model exported from NHWC: transposed in front and behind."""
    m = Builder()
    a = m.conv(m.op("Transpose", ["x"], perm=[0, 3, 1, 2]), 3, 4)
    y = m.op("Transpose", [m.op("Relu", [a])], perm=[0, 2, 3, 1])
    graph = agree(m.bytes({"x": [1, 8, 8, 3]}, [y]), {"x": [1, 8, 8, 3]})
    assert ops(graph) == ["conv2d", "relu"] and not graph.meta["layout"]


def test_moves_follow_the_layout() -> None:
    m = Builder()
    a = m.op("Pad", [m.conv("x", 3, 6), m.constant([0, 1, 2, 0, 0, 0, 1, 3])])
    b, c = m.op("Split", [a, m.constant([3, 4])], 2, axis=1)
    d = m.op("Slice", [b, m.constant([1]), m.constant([6]), m.constant([2]), m.constant([2])])
    e = m.op("Resize", [d, "", m.constant([1, 1, 2, 2], np.float32)], mode="nearest", coordinate_transformation_mode="asymmetric",
             nearest_mode="floor")  # fmt: skip
    f = m.op("ReduceMax", [c], axes=[1], keepdims=0)
    g = m.op("DepthToSpace", [m.conv(a, 7, 8, k=1)], blocksize=2, mode="CRD")
    graph = agree(m.bytes({"x": [1, 3, 8, 8]}, [e, f, g]), {"x": [1, 3, 8, 8]})
    assert "transpose" not in ops(graph)


@pytest.mark.parametrize("where", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("size", [(8, 12), (3, 5), (6, 9)])
def test_resize(where: str, mode: str, size: tuple[int, int]) -> None:
    m = Builder()
    y = m.op("Resize", ["x", "", "", m.constant([1, 3, *size])], mode=mode, coordinate_transformation_mode=where)
    agree(m.bytes({"x": [1, 3, 4, 6]}, [y]), {"x": [1, 3, 4, 6]})


@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("kind,attrs", [("MaxPool", {}), ("AveragePool", {}), ("AveragePool", {"count_include_pad": 1})])
def test_pools(kind: str, attrs: dict[str, Any], ceil: int) -> None:
    m = Builder()
    y = m.op(kind, ["x"], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], ceil_mode=ceil, **attrs)
    try:
        agree(m.bytes({"x": [1, 3, 7, 6]}, [y]), {"x": [1, 3, 7, 6]})
    except UnsupportedOperator as error:
        assert ceil and attrs and "ceil_mode" in str(error)


def test_attention() -> None:
    """Products of activations, transposed; a layer normalisation; gelu."""
    m = Builder()
    n = m.op("LayerNormalization", ["x", m.random(8), m.random(8)], axis=-1)
    q, k, v = (m.op("Add", [m.op("MatMul", [n, m.random(8, 8)]), m.random(8)]) for _ in range(3))
    shape = m.constant([1, 5, 2, 4])
    q, v = (m.op("Transpose", [m.op("Reshape", [t, shape])], perm=[0, 2, 1, 3]) for t in (q, v))
    k = m.op("Transpose", [m.op("Reshape", [k, shape])], perm=[0, 2, 3, 1])
    a = m.op("Softmax", [m.op("Mul", [m.op("MatMul", [q, k]), m.constant(0.5, np.float32)])], axis=-1)
    o = m.op("Reshape", [m.op("Transpose", [m.op("MatMul", [a, v])], perm=[0, 2, 1, 3]), m.constant([1, 5, 8])])
    y = m.op("Add", ["x", m.op("MatMul", [o, m.random(8, 8)])])
    agree(m.bytes({"x": [1, 5, 8]}, [y]), {"x": [1, 5, 8]})


@pytest.mark.parametrize("form", range(4))
def test_gelu_written_out(form: int) -> None:
    m = Builder()
    a = m.conv("x", 3, 4)
    half, one, root = (m.constant(v, np.float32) for v in (0.5, 1.0, [2**0.5, 2**-0.5][form % 2]))
    e = m.op("Add", [m.op("Erf", [m.op("Mul" if form % 2 else "Div", [a, root])]), one])
    y = m.op("Mul", [m.op("Mul", [a, e]), half]) if form < 2 else m.op("Mul", [m.op("Mul", [half, a]), e])
    assert ops(agree(m.bytes({"x": [1, 3, 6, 6]}, [y]), {"x": [1, 3, 6, 6]})) == ["conv2d", "gelu"]


def test_hard_swish_written_out() -> None:
    m = Builder()
    a = m.conv("x", 3, 4)
    b = m.op("Mul", [a, m.op("HardSigmoid", [a], alpha=1 / 6, beta=0.5)])
    c = m.op("Clip", [m.op("Add", [b, m.constant(3, np.float32)]), m.constant(0, np.float32), m.constant(6, np.float32)])
    y = m.op("Div", [m.op("Mul", [b, c]), m.constant(6, np.float32)])
    assert ops(agree(m.bytes({"x": [1, 3, 6, 6]}, [y]), {"x": [1, 3, 6, 6]})) == ["conv2d", "hard_swish", "hard_swish"]


def test_patterns_that_are_none() -> None:
    m = Builder()
    a = m.conv("x", 3, 4)
    c = m.op("Clip", [m.op("Add", [a, m.constant(3, np.float32)]), m.constant(0, np.float32), m.constant(6, np.float32)])
    y = m.op("Div", [m.op("Mul", [a, c]), m.constant(5, np.float32)])
    assert "hard_swish" not in ops(agree(m.bytes({"x": [1, 3, 6, 6]}, [y]), {"x": [1, 3, 6, 6]}))


def test_bias_behind_a_product() -> None:
    m = Builder()
    a = m.op("Add", [m.random(6), m.op("MatMul", ["x", m.random(4, 6)])])
    y = m.op("Add", [m.op("MatMul", [a, m.random(6, 6)]), m.random(5, 6)])  # not a bias: differs from row to row
    assert ops(agree(m.bytes({"x": [1, 5, 4]}, [y]), {"x": [1, 5, 4]})) == ["fully_connected", "fully_connected", "add"]


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_lstm_as_pytorch_writes_it(direction: str) -> None:
    m, d = Builder(), 2 if direction == "bidirectional" else 1
    x = m.op("Transpose", ["x"], perm=[1, 0, 2])  # batch first
    operands = [x, m.random(d, 20, 3), m.random(d, 20, 5), m.random(d, 40), "", m.constant(np.zeros((d, 1, 5)), np.float32), ""]
    y, h = m.op("LSTM", operands[:6], 2, hidden_size=5, direction=direction)
    z = m.op("Reshape", [m.op("Transpose", [y], perm=[0, 2, 1, 3]), m.constant([0, 0, -1])])
    last = m.op("Gemm", [m.op("Reshape", [h, m.constant([1, -1])]), m.random(5 * d, 2)])
    graph = agree(m.bytes({"x": [1, 7, 3]}, [z, last]), {"x": [1, 7, 3]})
    assert ops(graph).count("lstm") == d and "transpose" not in ops(graph)


def test_arg_max() -> None:
    m = Builder()
    y = m.op("ArgMax", [m.conv("x", 3, 4)], axis=1, keepdims=0)
    data = m.bytes({"x": [1, 3, 6, 6]}, [y], {y: 7})
    graph = agree(data, {"x": [1, 3, 6, 6]})
    assert ops(graph) == ["conv2d", "arg_max", "reshape"]


def test_instance_and_group_normalization() -> None:
    """PyTorch writes the normalisation of a group as a reshape, one of an instance, and a reshape back."""
    m = Builder()
    a = m.op("InstanceNormalization", [m.conv("x", 3, 6), m.random(6), m.random(6)])
    ones = [m.constant([1, 1], np.float32), m.constant([0, 0], np.float32)]
    g = m.op("InstanceNormalization", [m.op("Reshape", [a, m.constant([0, 2, -1])]), *ones])
    y = m.op("Add", [m.op("Mul", [m.op("Reshape", [g, m.constant([1, 6, 6, 6])]), m.random(6, 1, 1)]), m.random(6, 1, 1)])
    agree(m.bytes({"x": [1, 3, 8, 8]}, [a, y]), {"x": [1, 3, 8, 8]})


def test_parametric_relu_and_several_operands() -> None:
    m = Builder()
    a = m.op("PRelu", [m.conv("x", 3, 4), m.random(4, 1, 1)])
    y = m.op("Max", [a, m.op("Min", [a, m.random(1, 4, 1, 1)]), m.constant(-0.2, np.float32)])
    z = m.op("Sum", [a, y, m.op("ReduceMean", [a], axes=[1], keepdims=1)])
    assert "transpose" not in ops(agree(m.bytes({"x": [1, 3, 8, 8]}, [z]), {"x": [1, 3, 8, 8]}))


def test_float_model_is_quantized_and_planned() -> None:
    m = Builder()
    a = m.op("Relu", [m.norm(m.conv("x", 3, 8, bias=False), 8)])
    y = m.op("Gemm", [m.op("Flatten", [m.op("GlobalAveragePool", [a])]), m.random(8, 4), m.random(4)])
    graph = agree(m.bytes({"x": [1, 3, 8, 8]}, [y]), {"x": [1, 3, 8, 8]})
    samples = np.random.default_rng(0).normal(0, 1, (32, 8, 8, 3)).astype(np.float32)
    made = quantize_model(graph, samples)
    assert ops(made.graph).count("conv2d") == 1 and "batch_norm" not in ops(made.graph)
    assert kg.compile(made.graph).calls
    with pytest.raises(DataError, match="channels last"):
        quantize_model(graph, samples.transpose(0, 3, 1, 2))


def test_operators_that_are_not_there_are_named() -> None:
    m = Builder()
    y = m.op("Relu", [m.op("Einsum", ["x"], equation="ij->ji")])
    with pytest.raises(UnsupportedOperator, match=r"0 \(Einsum\).*extract_model"):
        import_onnx(m.bytes({"x": [2, 3]}, [y]))


@pytest.mark.parametrize("model", ["CCT_FP32_CCT_1_32_32_8"])
def test_whole_model(model: str) -> None:
    data = require(f"models/deeploy_onnx/{model}__network.onnx").read_bytes()
    graph = agree(data, {"input": [1, 3, 32, 32]})
    assert ops(graph).count("conv2d") == 1


@pytest.mark.parametrize("model,reason", [("MLPerf_ImageClassification", "RequantShift"), ("Transformer_Train", "SoftmaxCrossEntropyLoss")])
def test_models_with_operators_of_others(model: str, reason: str) -> None:
    """ONNX Runtime refuses these two files as well."""
    path = require(f"models/deeploy_onnx/{model}__network.onnx")
    with pytest.raises(UnsupportedOperator, match=reason) as error:
        kg.load(path)
    assert "\n" not in str(error.value)
    found = scan(path)
    assert any(reason == item["name"] for item in found["unsupported"])


def test_load_finds_the_format_by_content(tmp_path: Path) -> None:
    m = Builder()
    data = m.bytes({"x": [1, 3, 8, 8]}, [m.conv("x", 3, 4)])
    for name in ("model.onnx", "model.bin"):
        (tmp_path / name).write_bytes(data)
        assert ops(kg.load(tmp_path / name)) == ["conv2d"]
    found = scan(tmp_path / "model.onnx")
    assert found["ops"] == {"Conv": 1} and found["params"] == 4 * 3 * 9 + 4 and found["macs"] == 36 * 4 * 27 and not found["unsupported"]
    (tmp_path / "other.bin").write_bytes(b"something else")
    with pytest.raises(ModelError, match="no model that kilograd reads"):
        kg.load(tmp_path / "other.bin")


def test_external_data_only_from_the_folder(tmp_path: Path) -> None:
    m = Builder()
    model = onnx.ModelProto.FromString(m.bytes({"x": [1, 3, 8, 8]}, [m.conv("x", 3, 4, bias=False)]))
    (tmp_path / "in").mkdir()
    onnx.save_model(model, tmp_path / "in" / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert ops(kg.load(tmp_path / "in" / "m.onnx")) == ["conv2d"]
    (tmp_path / "in" / "w.bin").rename(tmp_path / "w.bin")
    with pytest.raises(ModelError, match="no file inside"):
        kg.load(tmp_path / "in" / "m.onnx")
    (tmp_path / "in" / "w.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(ModelError, match="no file inside"):
        kg.load(tmp_path / "in" / "m.onnx")
    for location in ("../w.bin", str(tmp_path / "w.bin"), "/etc/passwd", ""):
        outside = onnx.load_model(tmp_path / "in" / "m.onnx", load_external_data=False)
        outside.graph.initializer[0].external_data[0].value = location
        (tmp_path / "in" / "o.onnx").write_bytes(outside.SerializeToString())
        with pytest.raises(ModelError, match="no file inside"):
            kg.load(tmp_path / "in" / "o.onnx")

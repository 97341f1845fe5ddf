"""Whatever a file holds, the answer is a graph or a ModelError that says what, where and the way out."""

from __future__ import annotations

import struct
import time
from typing import Any

import numpy as np
import pytest

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends import import_tflite, load, scan_tflite
from tests.tflite_builder import FLOAT32, INT8, INT32, ModelBuilder, small_cnn


def survives(data: bytes) -> bool:
    """True when the file was imported, False when it was refused with a ModelError; any other exception fails the test."""
    try:
        import_tflite(data)
    except ModelError as error:
        assert len(str(error)) > 20
        return False
    return True


@pytest.mark.parametrize("unsigned", [False, True])
def test_truncations(unsigned: bool) -> None:
    data = small_cnn(unsigned=unsigned)
    assert survives(data)
    refused = sum(not survives(data[:n]) for n in range(0, len(data), 13))
    assert refused > len(data) // 13 * 0.9


@pytest.mark.parametrize("seed", range(4))
def test_bit_flips(seed: int) -> None:
    data, rng = small_cnn(seed), np.random.default_rng(seed)
    structure = [i for i in range(len(data) - 8) if data[i : i + 4] != b"\0\0\0\0"]
    for _ in range(120):
        damaged = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            damaged[int(rng.choice(structure))] ^= 1 << int(rng.integers(8))
        survives(bytes(damaged))
        try:
            scan_tflite(bytes(damaged))
        except ModelError:
            pass


def test_every_word_set_to_extremes() -> None:
    """Offsets, lengths, dimensions, codes: each 32-bit word of the file replaced by hostile values, in bounded time."""
    data = small_cnn()
    words = range(0, len(data) - 4, 44)
    start = time.perf_counter()
    for value in (-1, 2**31 - 1, -(2**31), 0x10000):
        for at in words:
            survives(data[:at] + struct.pack("<i", value) + data[at + 4 :])
    assert time.perf_counter() - start < 120


@pytest.mark.parametrize("what", ["operators", "tensors"])
def test_aliased_tables_cost_no_time(what: str) -> None:
    """A list that names one table 50,000 times: small in the file, large once it is followed."""
    m = ModelBuilder()
    x, y = m.tensor("x", (1, 4), INT8, 0.1), m.tensor("y", (1, 4000), INT8, 0.1)
    m.constant("large", np.zeros(50_000, np.int8), 0.1)
    m.op("CONCATENATION", [x] * 1000, y, "ConcatenationOptions", Axis=1)
    start = time.perf_counter()
    with pytest.raises(ModelError, match="over and over"):
        import_tflite(m.build([x], [y], repeat={what: 50_000}))
    assert time.perf_counter() - start < 20


def one_op(name: str = "RELU", **tensor: Any) -> bytes:
    """x -> op -> y where the fields of tensor y (or x: x_scale, …) can be set."""
    m = ModelBuilder()
    spec: dict[str, Any] = {"shape": (1, 4), "dtype": INT8, "scale": 0.1, "zero": 0}
    x = m.tensor("x", **{**spec, **{k[2:]: v for k, v in tensor.items() if k.startswith("x_")}})
    y = m.tensor("y", **{**spec, **{k: v for k, v in tensor.items() if not k.startswith("x_")}})
    m.op(name, [x], y)
    return m.build([x], [y])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_shape": (1, 0), "shape": (1, 0)}, "every dimension must be at least 1"),
        ({"x_shape": (1, -4), "shape": (1, -4)}, "every dimension must be at least 1"),
        ({"x_shape": (1, -1), "x_signature": (1, -1)}, "static shapes"),
        ({"x_shape": (65536, 65536, 65536, 65536)}, "more than kilograd can address"),
        ({"x_shape": (1,) * 9}, "at most 8"),
        ({"x_scale": float("nan")}, "scale that is not a positive number"),
        ({"x_scale": 0.0}, "scale that is not a positive number"),
        ({"x_scale": -0.5}, "scale that is not a positive number"),
        ({"x_scale": float("inf")}, "scale that is not a positive number"),
        ({"x_scale": None}, "has no scale"),
        ({"x_zero": 128}, "zero point outside -128 to 127"),
        ({"x_dtype": "UINT8", "x_zero": -1}, "zero point outside 0 to 255"),
        ({"x_scale": [0.1, 0.2, 0.1, 0.2], "x_zero": [0, 0, 0, 0], "x_axis": 1}, "one scale is needed here"),
        ({"x_dtype": "INT16"}, "int16"),
        ({"x_dtype": "FLOAT32", "x_scale": None}, "declared int8.*its operands give float32"),
        ({"dtype": "INT16"}, "int16"),
        ({"x_variable": True}, "a variable"),
        ({"x_sparse": True}, "sparse"),
        ({"x_buffer": 99}, "refers to buffer 99"),
        ({"shape": (1, 5)}, "RELU"),
    ],
)
def test_bad_tensors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        import_tflite(one_op(**changes))


def test_dynamic_batch_is_pinned_to_one() -> None:
    graph = import_tflite(one_op(x_shape=(-1, 4), x_signature=(-1, 4), shape=(-1, 4), signature=(-1, 4)))
    assert graph[graph.inputs[0]].shape == (1, 4)


def test_unsupported_operators_are_listed() -> None:
    m = ModelBuilder()
    x, a, y = (m.tensor(n, (1, 4), INT8, 0.1) for n in "xay")
    m.op("RELU", [x], a)
    m.op("CONV_3D", [a], y)
    m.op("CUSTOM:Secret", [a], y)
    data = m.build([x], [y])
    with pytest.raises(UnsupportedOperator, match=r"1 \(CONV_3D\), 2 \(CUSTOM:Secret\).*Supported are: .*CONV_2D"):
        import_tflite(data)
    found = scan_tflite(data)
    assert [(u["index"], u["name"]) for u in found["unsupported"]] == [(1, "CONV_3D"), (2, "CUSTOM:Secret")]
    assert found["ops"] == {"CUSTOM:Secret": 1, "CONV_3D": 1, "RELU": 1}


def chain(order: tuple[int, int] = (0, 1), target: str = "y", source: str = "a", outputs: str = "y", inputs: str = "x") -> bytes:
    m = ModelBuilder()
    t = {n: m.tensor(n, (1, 4), INT8, 0.1) for n in "xay"}
    ops = [([t["x"]], t["a"]), ([t[source]], t[target])]
    for i in order:
        m.op("RELU", *ops[i])
    return m.build([t[i] for i in inputs], [t[o] for o in outputs])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": (1, 0)}, "no earlier operator writes"),
        ({"source": "y"}, "no earlier operator writes"),
        ({"target": "a"}, "already has a value"),
        ({"target": "x"}, "already has a value"),
        ({"outputs": ""}, "no output"),
        ({"outputs": "yy"}, "names one twice"),
        ({"inputs": ""}, "no input"),
        ({"inputs": "xx"}, "names one twice"),
    ],
)
def test_bad_programs(arguments: dict[str, Any], message: str) -> None:
    assert survives(chain())
    with pytest.raises(ModelError, match=message):
        import_tflite(chain(**arguments))


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [([0, 1], [2], "operands"), ([], [2], "operands"), ([-1], [2], "lacks operand 0"), ([0], [], "results"), ([0], [2, 1], "results"),
     ([77], [2], "refers to tensor 77"), ([-2], [2], "refers to tensor -2"), ([0], [-1], "refers to tensor -1")],
)  # fmt: skip
def test_wrong_operands(inputs: list[int], outputs: list[int], message: str) -> None:
    m = ModelBuilder()
    for n in "xay":
        m.tensor(n, (1, 4), INT8, 0.1)
    m.op("RELU", inputs, outputs)
    with pytest.raises(ModelError, match=message):
        import_tflite(m.build([0], [2]))


def convolution(**changes: Any) -> bytes:
    m = ModelBuilder()
    c: dict[str, Any] = {"w_shape": (2, 3, 3, 1), "w_scale": [0.1, 0.2], "w_zero": [0, 0], "w_axis": 0, "bias": 2}
    c["options"] = "Conv2DOptions"
    c.update({k: v for k, v in changes.items() if k in c})
    fields = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1, "Padding": 0}
    fields.update({k: v for k, v in changes.items() if k not in c})
    x, y = m.tensor("x", (1, 5, 5, 1), INT8, 0.1), m.tensor("y", (1, 5, 5, 2), INT8, 0.1)
    data = np.ones(c["w_shape"], np.int8)
    w = m.constant("w", data, c["w_scale"], c["w_zero"], axis=c["w_axis"], **({"raw": changes["raw"]} if "raw" in changes else {}))
    fields.pop("raw", None)
    b = m.constant("b", np.ones(c["bias"], np.int32))
    m.op("CONV_2D", [x, w, b], y, str(c["options"]), **(fields if c["options"] == "Conv2DOptions" else {}))
    return m.build([x], [y])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"raw": b"123"}, "3 bytes of content, 18 are needed"),
        ({"StrideH": 0}, "stride 0 x 1"),
        ({"StrideW": -3}, "stride 1 x -3"),
        ({"DilationHFactor": 10**6}, "dilation"),
        ({"Padding": 7}, "padding 7"),
        ({"FusedActivationFunction": 4}, "fused activation 4"),
        ({"w_axis": 3}, "2 scales along axis 3"),
        ({"w_axis": 200}, "2 scales along axis 200"),
        ({"w_zero": [0, 1]}, "zero point other than 0"),
        ({"w_zero": [0, 0, 0]}, "3 zero points"),
        ({"bias": 3}, "the layer has 2 channels"),
        ({"w_shape": (2, 9)}, "rank 4 is needed"),
        ({"options": "DepthwiseConv2DOptions"}, "Conv2DOptions is needed"),
        ({"options": ""}, "Conv2DOptions is needed"),
    ],
)
def test_bad_convolutions(changes: dict[str, Any], message: str) -> None:
    assert survives(convolution())
    with pytest.raises(ModelError, match=message):
        import_tflite(convolution(**changes))


def test_computed_weights_and_subgraphs_are_refused() -> None:
    m = ModelBuilder()
    x, w, y = m.tensor("x", (1, 4), INT8, 0.1), m.tensor("w", (1, 4), INT8, 0.1), m.tensor("y", (1, 1), INT8, 0.1)
    m.op("FULLY_CONNECTED", [x, w], y, "FullyConnectedOptions")
    with pytest.raises(ModelError, match="computed by the model"):
        import_tflite(m.build([x, w], [y]))
    with pytest.raises(ModelError, match="65 sub-graphs"):
        import_tflite(m.build([x, w], [y], subgraphs=65))


@pytest.mark.parametrize("operand", [np.array([7], np.int32), np.array([[1, 1]] * 3, np.int32), np.full((2, 2), -1, np.int32)])
def test_bad_padding(operand: np.ndarray[Any, Any]) -> None:
    m = ModelBuilder()
    x, y = m.tensor("x", (1, 4), INT8, 0.1), m.tensor("y", (1, 6), INT8, 0.1)
    m.op("PAD", [x, m.constant("p", operand)], y)
    with pytest.raises(ModelError, match="pads by"):
        import_tflite(m.build([x], [y]))


def test_not_a_model(tmp_path: Any) -> None:
    for data in (b"", b"TFL3", b"\x89PNG\r\n\x1a\n" * 10, b"\0\0\0\0TFL3"):
        with pytest.raises(ModelError):
            import_tflite(data)
    with pytest.raises(ModelError, match="no model file"):
        load(tmp_path / "missing.tflite")
    (tmp_path / "model.h5").write_bytes(b"not a model at all")
    with pytest.raises(ModelError, match=r"supported are TensorFlow Lite \(.tflite"):
        load(tmp_path / "model.h5")
    (tmp_path / "short.tflite").write_bytes(small_cnn()[:100])
    with pytest.raises(ModelError, match="short.tflite"):
        load(tmp_path / "short.tflite")


def test_names_become_unique_and_printable() -> None:
    m = ModelBuilder()
    x, a, b, c = (m.tensor(n, (1, 4), INT8, 0.1) for n in ("same", "same", "", "train"))
    d = m.tensor("d/x\n\x1b[31m", (1, 4), INT8, 0.1)
    for i, o in ((x, a), (a, b), (b, c), (c, d)):
        m.op("RELU", [i], o)
    graph = import_tflite(m.build([x], [d]))
    assert list(graph.tensors) == ["same", "same.1", "tensor2", "train.1", "model/d/x??[31m"]


def test_float_boundaries_only() -> None:
    m = ModelBuilder()
    x, q, y = m.tensor("x", (1, 4), FLOAT32), m.tensor("q", (1, 4), INT8, 0.1), m.tensor("y", (1, 4), FLOAT32)
    m.op("QUANTIZE", [x], q)
    m.op("DEQUANTIZE", [q], y)
    assert [n.op for n in import_tflite(m.build([x], [y])).nodes] == ["quantize", "dequantize"]
    m.op("RELU", [x], m.tensor("z", (1, 4), INT32))
    with pytest.raises(ModelError, match="float32"):
        import_tflite(m.build([x], [y]))

"""Whatever an .onnx file holds, the answer is a graph or a ModelError, in bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kilograd.errors import ModelError
from kilograd.frontends import import_onnx, scan_onnx
from tests.frontends.onnx_models import Builder, onnx


def sample(seed: int = 0) -> bytes:
    m = Builder(seed)
    a = m.op("Relu", [m.norm(m.conv("x", 3, 4, pads=[1, 1, 1, 1]), 4)])
    b = m.op("Concat", [a, m.op("MaxPool", [a], kernel_shape=[3, 3], pads=[1, 1, 1, 1])], axis=1)
    grid = [m.constant(0.1, np.float32), m.constant(3, np.int8)]
    q = m.op("DequantizeLinear", [m.op("QuantizeLinear", [b, *grid]), *grid])
    r = m.op("Reshape", [q, m.constant([1, -1])])
    return m.bytes({"x": [1, 3, 6, 6]}, [m.op("Gemm", [r, m.random(8 * 36, 3)])])


def survives(data: bytes) -> bool:
    for function in (import_onnx, scan_onnx):
        try:
            function(data)
        except ModelError as error:
            assert 20 < len(str(error)) < 1500
            if function is scan_onnx:
                return False
    return True


def test_truncations_and_bit_flips() -> None:
    data, start = sample(), time.perf_counter()
    assert survives(data)
    for n in range(0, len(data), 97):
        survives(data[:n])
    rng = np.random.default_rng(0)
    for _ in range(250):
        damaged = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            damaged[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        survives(bytes(damaged))
    assert time.perf_counter() - start < 120


def test_structure_flipped() -> None:
    """Bit flips where the structure is: the file without the content of its weights."""
    model = onnx.ModelProto.FromString(sample())
    for t in model.graph.initializer:
        if len(t.raw_data) > 64:
            t.raw_data = bytes(len(t.raw_data))
    data = model.SerializeToString()
    places = [i for i in range(len(data) - 8) if data[i : i + 8] != bytes(8)]
    rng = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(data)
        damaged[int(rng.choice(places))] ^= 1 << int(rng.integers(8))
        survives(bytes(damaged))


def changed(change: Callable[[Any], None]) -> bytes:
    model = onnx.ModelProto.FromString(sample())
    change(model)
    data: bytes = model.SerializeToString()
    return data


def cycle(model: Any) -> None:
    model.graph.node[0].input[0] = model.graph.node[1].output[0]


def huge(model: Any) -> None:
    model.graph.initializer[0].dims[0] = 1 << 62


def huge_empty(model: Any) -> None:
    model.graph.initializer[0].CopyFrom(onnx.TensorProto(name=model.graph.initializer[0].name, data_type=1, dims=[1 << 14] * 4))


def negative(model: Any) -> None:
    model.graph.initializer[0].dims[0] = -4


def twice(model: Any) -> None:
    model.graph.node.insert(0, model.graph.node[0])


def no_shape(model: Any) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def dynamic(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"


def huge_input(model: Any) -> None:
    for d in model.graph.input[0].type.tensor_type.shape.dim:
        d.dim_value = 1 << 30


def stride(model: Any) -> None:
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("strides", [0, -1]))


def large_padding(model: Any) -> None:
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("dilations", [1 << 40, 1]))


def opset(model: Any) -> None:
    model.opset_import[0].version = 99


def external(model: Any) -> None:
    t = model.graph.initializer[0]
    t.ClearField("raw_data")
    t.data_location = 1
    t.external_data.add(key="location", value="/etc/passwd")


def nan(model: Any) -> None:
    model.graph.initializer[0].raw_data = np.full(4 * 27, np.nan, np.float32).tobytes()


def attribute_type(model: Any) -> None:
    next(n for n in model.graph.node if n.op_type == "Concat").attribute[0].CopyFrom(onnx.helper.make_attribute("axis", "channels"))


def no_operands(model: Any) -> None:
    del model.graph.node[0].input[:]


@pytest.mark.parametrize(
    "change,word",
    [
        (cycle, "cycle"), (huge, "more than"), (huge_empty, "more than"), (negative, "shape"), (twice, "already has a value"),
        (no_shape, "no shape"), (dynamic, "every dimension"), (huge_input, "more than"), (stride, "strides"), (large_padding, "dilations"),
        (opset, "opset 99"), (external, "lies in"), (nan, "NaN"), (attribute_type, "cannot be read"), (no_operands, "operands"),
    ],
)  # fmt: skip
def test_hostile(change: Callable[[Any], None], word: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ModelError, match=word):
        import_onnx(changed(change))
    assert time.perf_counter() - start < 5


def test_deep_nesting() -> None:
    """Sub-graphs inside of sub-graphs: the parser stops, or the branch is refused; nothing recurses here."""
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    for _ in range(60):
        graph = onnx.helper.make_graph([onnx.helper.make_node("If", ["x"], ["y"], then_branch=graph, else_branch=graph)][:1], "g", [], [])
        if graph.ByteSize() > 1 << 20:
            break
    port = onnx.helper.make_tensor_value_info("x", 1, [1, 4])
    graph.input.append(port)
    graph.output.append(onnx.helper.make_tensor_value_info("y", 1, [1, 4]))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    with pytest.raises(ModelError, match="If"):
        import_onnx(model.SerializeToString())
    nested = b""
    for _ in range(5000):  # a message that holds itself 5,000 times: graph -> node -> attribute -> graph
        size = len(nested)
        nested = b"\x32" + varint(size) + nested
        nested = b"\x2a" + varint(len(nested)) + nested
        nested = b"\x0a" + varint(len(nested)) + nested
        if len(nested) > 100_000:
            break
    with pytest.raises(ModelError):
        import_onnx(b"\x08\x09" + b"\x3a" + varint(len(nested)) + nested)


def varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def test_small_files_that_grow() -> None:
    """Constants made out of nothing, and one constant used by many nodes."""
    start = time.perf_counter()
    for shape in ([1 << 20, 1 << 20], [1 << 24]):
        m = Builder()
        c = m.op("ConstantOfShape", [m.constant(shape)])
        with pytest.raises(ModelError, match="numbers out of constants"):
            import_onnx(m.bytes({"x": [1, 4]}, [m.op("Add", ["x", c])]))
    m = Builder()
    w, y = m.random(64, 64), "x"
    for _ in range(3000):
        w = m.op("Transpose", [w])
    with pytest.raises(ModelError, match="more constants than it holds"):
        import_onnx(m.bytes({"x": [1, 64]}, [m.op("MatMul", [y, w])]))
    m = Builder()
    y = "x"
    for _ in range(24):
        y = m.op("Concat", [y] * 32, axis=1)
    with pytest.raises(ModelError, match="2\\^28"):
        import_onnx(m.bytes({"x": [1, 4]}, [y]))
    assert time.perf_counter() - start < 20


def test_many_nodes_take_bounded_time() -> None:
    m = Builder()
    y = "x"
    for _ in range(3000):
        y = m.op("Relu", [y])
    start = time.perf_counter()
    assert len(import_onnx(m.bytes({"x": [1, 4]}, [y])).nodes) == 3000
    for _ in range(7500):
        y = m.op("Relu", [y])
    with pytest.raises(ModelError, match="10500 nodes"):
        import_onnx(m.bytes({"x": [1, 4]}, [y]))
    m = Builder()
    y = "x"
    for i in range(3000):  # each pool wants the shape of an image
        y = m.op("Reshape", [m.op("MaxPool", [y], kernel_shape=[1, 1]), m.constant([1, 2, 2, 1] if i % 2 else [1, 4, 1, 1])])
    import_onnx(m.bytes({"x": [1, 4, 1, 1]}, [y]))
    assert time.perf_counter() - start < 20


def test_refusals_name_the_node_and_the_way_out() -> None:
    m = Builder()
    y = m.op("MaxPool", ["x"], kernel_shape=[2, 2], dilations=[2, 2])
    with pytest.raises(ModelError, match=r"node 0 \(MaxPool, 'MaxPool_1'\) has a dilation.*before export"):
        import_onnx(m.bytes({"x": [1, 3, 8, 8]}, [y]))
    for data in (b"", b"\x08\x09", b"TFL3" * 5, b"\0" * 100, bytes(range(256))):
        with pytest.raises(ModelError):
            import_onnx(data)

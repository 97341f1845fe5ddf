"""Graphs written as .tflite: LiteRT's reference kernels give the graph's own bits, and reading the file gives the graph again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kilograd.errors import UnsupportedOperator
from kilograd.exports.tflite import write_tflite
from kilograd.exports.tflite_forms import FORMS
from kilograd.frontends import import_tflite
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops.base import evaluate, operator
from kilograd.quantize import QuantizeConfig, quantize_model
from tests.quantize.models import Floats, network, samples
from tests.reference import Reference, require_interpreter
from tests.shared_data import require
from tests.tflite_builder import small_cnn

REAL = [
    "mlperf_tiny/ad01_int8", "mlperf_tiny/kws_ref_model", "mlperf_tiny/pretrainedResnet_quant", "coral/mobilenet_v1_0.25_128_quant",
    "tinyengine/vww", "backbones/mcunet-5fps_int8",
]  # fmt: skip


def feeds(graph: Graph, count: int, seed: int = 0) -> list[dict[str, Array]]:
    rng, t = np.random.default_rng(seed), graph[graph.inputs[0]]
    if t.dtype is DType.FLOAT32:
        return [{t.name: rng.uniform(-1.5, 1.5, t.shape).astype(np.float32)} for _ in range(count)]
    return [{t.name: rng.integers(-128, 128, t.shape, dtype=np.int8)} for _ in range(count)]


def same_bits(graph: Graph, data: bytes, count: int) -> None:
    """LiteRT on the file, and our evaluation of the graph, tensor by tensor of the graph's names."""
    written = import_tflite(data)
    reference = Reference(data)
    for feed in feeds(graph, count):
        want = evaluate(graph, feed).tensors
        got = reference.run(written, feed)
        compared = [t for node in graph.nodes for t in node.writes() if t in got]
        assert set(graph.outputs) <= set(compared)
        for name in compared:
            np.testing.assert_array_equal(got[name], want[name], err_msg=name)


@pytest.mark.parametrize("io", ["int8", "float"])
@pytest.mark.parametrize("dense_per_channel", [False, True])
def test_a_quantized_network_has_the_bits_of_litert(io: Any, dense_per_channel: bool) -> None:
    require_interpreter()
    for seed in range(3):
        graph = network(seed)
        result = quantize_model(graph, samples(graph), QuantizeConfig(io=io, dense_per_channel=dense_per_channel))
        same_bits(result.graph, write_tflite(result.graph), 8)


@pytest.mark.parametrize("unsigned", [False, True])
def test_writing_what_was_read_gives_the_same_network(unsigned: bool) -> None:
    require_interpreter()
    graph = import_tflite(small_cnn(3, unsigned))
    data = write_tflite(graph)
    again = import_tflite(data)
    assert [n.op for n in again.nodes] == [n.op for n in graph.nodes] and again.meta["uint8"] == graph.meta["uint8"]
    same_bits(graph, data, 6)


def test_padding_that_tensorflow_lite_cannot_say_becomes_an_operator() -> None:
    require_interpreter()
    m = Floats((1, 7, 7, 2))
    m.conv("x", "y", 3, stride=2, pad=2)
    result = quantize_model(m.done("y"), samples(m.graph))
    data = write_tflite(result.graph)
    assert [n.op for n in import_tflite(data).nodes] == ["pad", "conv2d"]
    same_bits(result.graph, data, 5)


@pytest.mark.parametrize(("padding", "output"), [((0, 1, 0, 1), (8, 8)), ((0, 0, 0, 0), (9, 10)), ((1, 1, 1, 1), (7, 7))])
def test_transposed_convolutions(padding: tuple[int, ...], output: tuple[int, int]) -> None:
    """SAME, VALID with a row and a column that only the bias reaches, SAME of an odd size; an activation fused into them; float too."""
    require_interpreter()
    m = Floats((1, 8, 8, 3))
    up = m.node("relu", [m.transposed(m.conv("x", "down", 6, stride=2, activation="relu"), "up", 5, padding, output)], "up.relu")
    graph = m.done(m.conv(up, "y", 2))
    result = quantize_model(graph, samples(graph), QuantizeConfig())
    assert [n.op for n in result.graph.nodes] == ["conv2d", "transpose_conv", "conv2d"]
    data = write_tflite(result.graph)
    assert "transpose_conv" in [n.op for n in import_tflite(data).nodes]
    same_bits(result.graph, data, 6)
    written = write_tflite(graph)
    x = samples(graph, 1)[0]
    got = Reference(written).run(import_tflite(written), {"x": x})["y"]
    np.testing.assert_allclose(got, evaluate(graph, {"x": x}).tensors["y"], rtol=1e-4, atol=1e-5)


def test_transposed_convolutions_that_tensorflow_lite_cannot_say() -> None:
    for padding, output, groups, message in (((2, 1, 0, 0), (6, 9), 1, "knows SAME and VALID"), ((0, 0, 0, 0), (9, 9), 3, "has groups")):
        m = Floats((1, 4, 4, 3))
        with pytest.raises(UnsupportedOperator, match=message):
            write_tflite(m.done(m.transposed("x", "y", 6, padding, output, groups)))


@pytest.mark.parametrize("real", [False, True])
def test_padding_of_a_maximum_becomes_an_operator_too(real: bool) -> None:
    require_interpreter()
    m = Floats((1, 8, 8, 2))
    m.node("max_pool2d", ["x"], "y", filter=(3, 3), stride=(2, 2), padding=(1, 0, 1, 0), activation="none")
    graph = m.done("y")
    x = samples(graph) - 4.0
    result = graph if real else quantize_model(graph, x).graph
    data = write_tflite(result)
    assert [n.op for n in import_tflite(data).nodes] == ["pad", "max_pool2d"]
    same_bits(result, data, 5)


def test_float_graphs_are_written_too() -> None:
    require_interpreter()
    graph = network()
    data = write_tflite(graph)
    x = samples(graph, 1)[0]
    got = Reference(data).run(import_tflite(data), {"x": x})["y"]
    np.testing.assert_allclose(got, evaluate(graph, {"x": x}).tensors["y"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", REAL)
def test_real_models_survive_reading_and_writing(name: str) -> None:
    require_interpreter()
    original = require(f"models/{name}.tflite").read_bytes()
    graph = import_tflite(original)
    data = write_tflite(graph)
    written, one, other = import_tflite(data), Reference(original), Reference(data)
    for feed in feeds(graph, 2):
        want, got = one.run(graph, feed), other.run(written, {written.inputs[0]: next(iter(feed.values()))})
        for a, b in zip(graph.outputs, written.outputs, strict=True):
            np.testing.assert_array_equal(want[a], got[b])


def test_what_cannot_be_written_is_named() -> None:
    graph = quantize_model(network(), samples(network())).graph
    graph.nodes[-1] = Node("clamp_grad", graph.nodes[-1].inputs, graph.nodes[-1].outputs, {}, name="cut")
    with pytest.raises(UnsupportedOperator, match="'cut': operator 'clamp_grad' cannot be written"):
        write_tflite(graph)


def test_every_form_belongs_to_an_operator_that_the_frontend_reads() -> None:
    for name in FORMS:
        try:
            assert operator(name).tflite, name
        except UnsupportedOperator:
            pytest.fail(f"form for '{name}', which is no operator")

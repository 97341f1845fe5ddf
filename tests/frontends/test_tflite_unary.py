"""Operators of one operand from .tflite: each imports and gives the integers of LiteRT; damaged options are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.exactness import Runner, c_runner, compare, numpy_runner, random_inputs
from kilograd.errors import ModelError
from kilograd.frontends.tflite import import_tflite
from kilograd.ir.graph import Array, DType, Graph
from kilograd.ops.base import evaluate
from tests.ops.litert_model import Value, build, needs_litert, options, run
from tests.reference import Reference, require_interpreter
from tests.shared_data import require

PLAIN = {"int8": (0.05, 3), "uint8": (0.05, 131), "int16": (1 / 4096, 0), "int32": (1e-3, 0)}
POSITIVE = {"int8": (0.05, -128)}
CASES: list[tuple[str, str, dict[str, tuple[float, int]], tuple[float, int], str, Any]] = [
    ("ABS", "int8", PLAIN, (0.04, -100), "int8", None),
    ("ABS", "int16", PLAIN, (1 / 3000, 0), "int16", None),
    ("ELU", "int8", PLAIN, (0.04, -60), "int8", None),
    ("EXP", "int8", PLAIN, (0.04, -128), "int8", None),
    ("GELU", "int8", PLAIN, (0.04, -100), "int8", ("GeluOptions", {"Approximate": True})),
    ("HARD_SWISH", "uint8", PLAIN, (0.04, 20), "uint8", None),
    ("LEAKY_RELU", "int8", PLAIN, (0.04, -60), "int8", ("LeakyReluOptions", {"Alpha": 0.2})),
    ("LEAKY_RELU", "int16", PLAIN, (1 / 4000, 0), "int16", ("LeakyReluOptions", {"Alpha": 0.2})),
    ("LOG", "int8", POSITIVE, (0.03, 20), "int8", None),
    ("LOGISTIC", "int16", PLAIN, (1 / 32768, 0), "int16", None),
    ("LOG_SOFTMAX", "int8", PLAIN, (1 / 16, 127), "int8", None),
    ("LOG_SOFTMAX", "uint8", PLAIN, (1 / 16, 255), "uint8", None),
    ("RELU_0_TO_1", "uint8", PLAIN, (0.01, 20), "uint8", None),
    ("RELU_N1_TO_1", "int8", PLAIN, (0.01, -20), "int8", None),
    ("RSQRT", "int8", POSITIVE, (0.03, -128), "int8", None),
    ("SOFTMAX", "int8", PLAIN, (1 / 65536, -32768), "int16", ("SoftmaxOptions", {"Beta": 1.0})),
    ("SOFTMAX", "int16", PLAIN, (1 / 32768, 0), "int16", ("SoftmaxOptions", {"Beta": 1.0})),
    ("SQRT", "int8", POSITIVE, (0.02, -128), "int8", None),
    ("TANH", "int8", PLAIN, (1 / 128, 0), "int8", None),
    ("TANH", "int16", PLAIN, (1 / 32768, 0), "int16", None),
    ("QUANTIZE", "int16", PLAIN, (0.1, -5), "int8", None),
    ("QUANTIZE", "int8", PLAIN, (1 / 1000, 0), "int16", None),
    ("QUANTIZE", "uint8", PLAIN, (1 / 1000, 0), "int16", None),
    ("QUANTIZE", "int16", PLAIN, (1e-5, 0), "int32", None),
    ("QUANTIZE", "int32", PLAIN, (0.1, 0), "int16", None),
    ("CAST", "uint8", PLAIN, (1.0, 0), "int32", ("CastOptions", {})),
    ("CAST", "int8", PLAIN, (1.0, 0), "float32", ("CastOptions", {})),
    ("DEQUANTIZE", "int16", PLAIN, (1.0, 0), "float32", None),
]


def operand(kind: str) -> Array:
    rng, info = np.random.default_rng(5), np.iinfo(kind)
    reach = 30000 if info.bits == 32 else info.max
    return rng.integers(max(info.min, -reach), reach, (3, 40), endpoint=True).astype(kind)


def value_of(kind: str, quant: tuple[float, int]) -> Value:
    return Value((3, 40), kind, *(quant if kind != "float32" else (None, 0)))


@needs_litert
@pytest.mark.parametrize("case", CASES, ids=[f"{c[0]}-{c[1]}-{c[4]}" for c in CASES])
def test_equals_litert(case: tuple[Any, ...]) -> None:
    name, kind, quants, result, out, chosen = case
    model = build(name, [value_of(kind, quants[kind])], value_of(out, result), chosen and options(chosen[0], **chosen[1]))
    graph, x = import_tflite(model), operand(kind)
    feed = (x.astype(np.int16) - 128).astype(np.int8) if kind == "uint8" else x
    got = evaluate(graph, {graph.inputs[0]: feed}).tensors[graph.outputs[0]]
    want = run(model, [x], "BUILTIN_WITHOUT_DEFAULT_DELEGATES" if name == "ELU" else "BUILTIN_REF")
    np.testing.assert_array_equal(got.astype(np.int64) + 128 if out == "uint8" else got, want)


@needs_litert
def test_prelu() -> None:
    alpha = np.arange(40, dtype=np.int8).reshape(1, 40)
    model = build("PRELU", [value_of("int8", (0.05, 3)), Value((1, 40), "int8", 0.02, 4, alpha)], value_of("int8", (0.04, -20)))
    graph, x = import_tflite(model), operand("int8")
    np.testing.assert_array_equal(evaluate(graph, {graph.inputs[0]: x}).tensors[graph.outputs[0]], run(model, [x]))


@needs_litert
@pytest.mark.parametrize("alpha", [np.nan, np.inf, 1e30])
def test_leaky_relu_alpha(alpha: float) -> None:
    quant = value_of("int8", (0.05, 3))
    with pytest.raises(ModelError, match="has alpha"):
        import_tflite(build("LEAKY_RELU", [quant], quant, options("LeakyReluOptions", Alpha=alpha)))


@needs_litert
def test_int16_zero_point() -> None:
    quant = value_of("int16", (0.05, 3))
    with pytest.raises(ModelError, match="zero point other than 0"):
        import_tflite(build("LEAKY_RELU", [quant], quant, options("LeakyReluOptions", Alpha=0.1)))


@pytest.mark.parametrize("runner", [numpy_runner, c_runner])
@pytest.mark.parametrize("name", ["leaky_relu12", "quantize0"])
def test_operators_of_seanet(name: str, runner: Callable[[Graph], Runner]) -> None:
    """int16 and int32 as a vendor's model has them."""
    data = require(f"models/tflite_micro/seanet_ops/{name}.tflite").read_bytes()
    require_interpreter()
    graph = import_tflite(data)
    x, rng = graph[graph.inputs[0]], np.random.default_rng(1)
    reach = 32767 if x.dtype is DType.INT16 else 1 << 20
    inputs = [rng.integers(-reach - 1, reach, x.shape, endpoint=True).astype(x.dtype.numpy) for _ in range(20)]
    result = compare(data, graph, inputs, runner(graph))
    assert result["mismatches"] == [] and result["equal"] == len(inputs)


@pytest.mark.parametrize("runner", [numpy_runner, c_runner])
def test_a_model_that_ends_in_real_logarithms(runner: Callable[[Graph], Runner]) -> None:
    """DEQUANTIZE and LOG_SOFTMAX in float32: everything before is equal, the end is within 2e-6."""
    data = require("models/tinyengine/ptq_mnist_lenet-300-100.tflite").read_bytes()
    require_interpreter()
    graph, reference = import_tflite(data), Reference(data)
    assert graph.nodes[-1].op == "log_softmax"
    run = runner(graph)
    for x in random_inputs(graph, 10):
        feeds = {graph.inputs[0]: x}
        want, got = reference.run(graph, feeds), run(feeds)
        for node in graph.nodes:
            for name in node.writes():
                if node.op == "log_softmax":
                    np.testing.assert_allclose(got[name], want[name], rtol=0, atol=2e-6)
                else:
                    np.testing.assert_array_equal(got[name], want[name])

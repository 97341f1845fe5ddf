"""Small ONNX models, written in the tests, and what ONNX Runtime makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from kilograd.frontends.onnx import from_graph, import_onnx, to_graph
from kilograd.ir.graph import Array, Graph
from kilograd.ops.base import evaluate

onnx = pytest.importorskip("onnx")


class Builder:
    """Collects nodes and initializers."""

    def __init__(self, seed: int = 0, opset: int = 17) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.rng = np.random.default_rng(seed)
        self.opset = opset
        self.count = 0

    def constant(self, value: Any, dtype: Any = None) -> str:
        data = np.asarray(value, dtype)
        self.count += 1
        name = f"c{self.count}"
        self.initializers.append(onnx.numpy_helper.from_array(data, name))
        return name

    def random(self, *shape: int, scale: float = 0.5) -> str:
        return self.constant(self.rng.normal(0, scale, shape), np.float32)

    def op(self, kind: str, inputs: Sequence[str], results: int = 1, domain: str = "", **attrs: Any) -> Any:
        self.count += 1
        outputs = [f"t{self.count}" + (f"_{i}" if i else "") for i in range(results)]
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), outputs, name=f"{kind}_{self.count}", domain=domain, **attrs))
        return outputs if results > 1 else outputs[0]

    def conv(self, x: str, inputs: int, outputs: int, k: int = 3, bias: bool = True, **attrs: Any) -> str:
        group = attrs.get("group", 1)
        operands = [x, self.random(outputs, inputs // group, k, k, scale=0.3)] + ([self.random(outputs)] if bias else [])
        return str(self.op("Conv", operands, **attrs))

    def norm(self, x: str, channels: int) -> str:
        parameters = [self.constant(self.rng.uniform(0.5, 1.5, channels), np.float32) for _ in range(4)]
        return str(self.op("BatchNormalization", [x, *parameters]))

    def bytes(self, inputs: dict[str, Sequence[Any]], outputs: Sequence[str], types: dict[str, int] | None = None) -> bytes:
        types, info = types or {}, onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            self.nodes,
            "test",
            [info(k, types.get(k, 1), v) for k, v in inputs.items()],
            [info(k, types.get(k, 1), None) for k in outputs],
            self.initializers,
        )
        opsets = [onnx.helper.make_opsetid("", self.opset), onnx.helper.make_opsetid("com.microsoft", 1)]
        data: bytes = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
        return data


def stored_form(array: Array) -> Array:
    """uint8 as the graph holds it."""
    return (array ^ 0x80).view(np.int8) if array.dtype == np.uint8 else array


def run_graph(graph: Graph, feeds: dict[str, Array]) -> list[Array]:
    """Outputs in the layout and type of ONNX."""
    state = evaluate(graph, {name: stored_form(to_graph(graph, name, feeds[name])) for name in graph.inputs})
    results = [from_graph(graph, name, state.tensors[name]) for name in graph.outputs]
    return [
        (r.view(np.uint8) ^ 0x80) if name in graph.meta["uint8"] and r.dtype == np.int8 else r
        for name, r in zip(graph.outputs, results, strict=True)
    ]


def run_onnx(data: bytes, feeds: dict[str, Array]) -> list[Array]:
    """Outputs that ONNX Runtime computes, without optimizations."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    results: list[Array] = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, feeds)
    return results


def agree(data: bytes, inputs: dict[str, Sequence[Any]], seed: int = 1) -> Graph:
    """Import, compare with ONNX Runtime on random inputs; the graph."""
    rng = np.random.default_rng(seed)
    shapes = {k: [d if isinstance(d, int) else 1 for d in v] for k, v in inputs.items()}
    feeds = {k: rng.normal(0, 1, s).astype(np.float32) for k, s in shapes.items()}
    graph = import_onnx(data)
    for got, want in zip(run_graph(graph, feeds), run_onnx(data, feeds), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    return graph


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]

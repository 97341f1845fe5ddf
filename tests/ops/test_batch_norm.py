"""batch_norm exists in float models only: it evaluates, and says what to do before anything else is asked of it."""

from __future__ import annotations

import numpy as np
import pytest

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import DType, Graph, Kind, Node, Tensor
from kilograd.ops import operator
from kilograd.ops.base import evaluate, infer_outputs


def normalized(shape: tuple[int, ...], channels: int = 5, dtype: DType = DType.FLOAT32) -> tuple[Graph, Node]:
    """A graph of one batch_norm."""
    rng, graph = np.random.default_rng(1), Graph("test")
    graph.add(Tensor("x", shape, dtype))
    for name, low in (("gamma", -2.0), ("beta", -1.0), ("mean", -3.0), ("variance", 0.01)):
        graph.add(Tensor(name, (channels,), DType.FLOAT32, Kind.CONST, data=rng.uniform(low, 2.0, channels).astype(np.float32)))
    graph.add(Tensor("y", shape, DType.FLOAT32))
    node = Node("batch_norm", ["x", "gamma", "beta", "mean", "variance"], ["y"], {"epsilon": 1e-3}, "bn")
    graph.nodes, graph.inputs, graph.outputs = [node], ["x"], ["y"]
    return graph, node


@pytest.mark.parametrize("shape", [(1, 4, 3, 5), (2, 5)])
def test_values(shape: tuple[int, ...]) -> None:
    graph, node = normalized(shape)
    infer_outputs(graph, node)
    x = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    gamma, beta, mean, variance = (np.asarray(graph[t].data, np.float64) for t in node.inputs[1:])
    want = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    got = evaluate(graph, {"x": x}).tensors["y"]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_what_does_not_fit() -> None:
    op = operator("batch_norm")
    with pytest.raises(GraphError, match="four float32 operands of its channels"):
        op.infer(*normalized((1, 4, 4, 6)))
    with pytest.raises(GraphError, match="works on float32 only.*the quantizer folds it"):
        op.infer(*normalized((1, 4, 4, 5), dtype=DType.INT8))
    graph, node = normalized((1, 4, 4, 5))
    node.attrs["epsilon"] = -1.0
    with pytest.raises(GraphError, match="negative"):
        op.infer(graph, node)


def test_neither_kernel_nor_gradient() -> None:
    graph, node = normalized((1, 4, 4, 5))
    op = operator("batch_norm")
    with pytest.raises(GraphError, match="Quantize the model first"):
        op.lower(graph, node)
    with pytest.raises(NoBackwardRule, match="exists in float models only"):
        op.backward(None, node)  # type: ignore[arg-type]
    assert op.rows(graph, node, 1, 2) == (1, 2)

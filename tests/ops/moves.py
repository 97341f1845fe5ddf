"""What the tests of operators that move elements share: the result of every type in C, in NumPy and under LiteRT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams, Shape
from kilograd.ops import operator
from tests.ops import cases
from tests.ops.litert_model import Value, run_one

TYPES = ("int8", "int16", "int32", "float32")
types = st.sampled_from(TYPES)
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def quant(dtype: str) -> QuantParams | None:
    """A quantization that the type may have."""
    return {"int8": cases.QUANT, "int16": QuantParams.per_tensor(0.01, 0)}.get(dtype)


def random(seed: int, shape: Shape, dtype: str) -> Array:
    """Random elements."""
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.normal(0, 3, shape).astype(np.float32)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, endpoint=True).astype(dtype)


def case(op: str, shapes: Sequence[Shape], attrs: dict[str, Any], dtype: str = "int8") -> tuple[Graph, Node]:
    """One node with operands x0, x1, .."""
    xs = [cases.activation(f"x{i}", s, quant(dtype), DType(dtype)) for i, s in enumerate(shapes)]
    return cases.forward(op, xs, attrs, quant(dtype))


def values(graph: Graph, node: Node, seed: int) -> dict[str, Array]:
    """Random operands."""
    return {t: random(seed + i, graph[t].shape, graph[t].dtype.value) for i, t in enumerate(node.inputs)}


def value(shape: Shape, dtype: str, data: Array | None = None) -> Value:
    """A tensor of a model for LiteRT."""
    q = quant(dtype)
    return Value(shape, dtype, None if q is None else q.s, 0 if q is None else q.z, data)


def ints(*numbers: int) -> Value:
    """A constant operand."""
    return Value((len(numbers),), "int32", data=np.array(numbers, np.int32))


def same_as_litert(
    builtin: str, graph: Graph, node: Node, extra: Sequence[Value], chosen: Any, seed: int = 0, first: bool = False
) -> None:  # fmt: skip
    """C, NumPy and LiteRT agree; `extra` are constant operands behind (`first`: in front of) the others."""
    feeds = values(graph, node, seed)
    dtype = graph[node.outputs[0]].dtype.value
    xs = [value(graph[t].shape, dtype) for t in node.inputs]
    inputs = [*extra, *xs] if first else [*xs, *extra]
    want = run_one(builtin, inputs, value(graph[node.outputs[0]].shape, dtype), chosen, list(feeds.values()))
    np.testing.assert_array_equal(cases.same(graph, node, feeds)[node.outputs[0]], want)


def real(graph: Graph, node: Node) -> Any:
    """The operator over real numbers, as check_gradients wants it."""
    return lambda v: operator(node.op).real(graph, node, [v[t] for t in node.inputs])[0]

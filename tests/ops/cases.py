"""Graphs of one node for tests of operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Shape, Tensor
from kilograd.ops import operator
from kilograd.ops.base import infer_outputs
from kilograd.ops.fields import TRAIN
from kilograd.ops.fixed_point import exponent_view
from tests.ops import runner

QUANT = QuantParams.per_tensor(0.05, -3)


def activation(name: str, shape: Shape, quant: QuantParams | None = QUANT, dtype: DType = DType.INT8) -> Tensor:
    """An activation."""
    return Tensor(name, shape, dtype, quant=quant)


def exponent_state(e: int, following: int, quiet: int = 0) -> Array:
    """Content of a kg_exponent tensor."""
    raw = np.zeros(2, np.int32)
    view = exponent_view(raw)
    view["e"], view["next"], view["quiet"] = e, following, quiet
    return raw


def error(graph: Graph, name: str, shape: Shape, e: int = -10, following: int = -10, quiet: int = 0) -> Tensor:
    """An error tensor with an exponent of its own; the training state is added with the first."""
    if TRAIN not in graph.tensors:
        state = np.zeros(12, np.int32)
        state[:2] = 1234, 7
        graph.add(Tensor(TRAIN, (12,), DType.INT32, Kind.STATE, data=state))
    graph.add(Tensor(f"{name}.exponent", (2,), DType.INT32, Kind.STATE, data=exponent_state(e, following, quiet)))
    return graph.add(Tensor(name, shape, DType.INT8, exponent=f"{name}.exponent"))


def forward(
    op: str, xs: Sequence[Tensor], attrs: dict[str, Any], y_quant: QuantParams | None = QUANT, results: Sequence[str] = ("y",)
) -> tuple[Graph, Node]:
    """A graph of one node, results declared as its operator infers them."""
    graph, node = Graph("test"), Node(op, [x.name for x in xs], list(results), attrs, name="layer")
    for x in xs:
        graph.add(x)
    for r in results:
        if r:
            graph.add(Tensor(r, (), DType.INT8, quant=y_quant))
    for name, t in zip(results, operator(op).infer(graph, node), strict=True):
        if name:
            graph.set(name, shape=t.shape, dtype=t.dtype)
    infer_outputs(graph, node)
    graph.nodes.append(node)
    return graph, node


def random_int8(seed: int, shape: Shape, extremes: bool = False) -> Array:
    """Random int8, or only the extremes -128, -127, 127."""
    rng = np.random.default_rng(seed)
    if extremes:
        return rng.choice(np.array([-128, -127, 127], np.int8), shape)
    return rng.integers(-128, 128, shape).astype(np.int8)


def random_error(seed: int, shape: Shape, extremes: bool = False) -> Array:
    """Random errors, -127..127."""
    return np.maximum(random_int8(seed, shape, extremes), -127).astype(np.int8)


def same(graph: Graph, node: Node, values: dict[str, Array]) -> dict[str, Array]:
    """C equals NumPy; gives the results."""
    return runner.assert_same(graph, node, values)


def backward(
    op: str,
    gy_shape: Shape,
    gx_shape: Shape,
    attrs: dict[str, Any],
    seed: int,
    saved: Sequence[tuple[Tensor, Array]] = (),
    copies: bool = False,
    exponents: tuple[int, int] = (-10, -12),
) -> dict[str, Array]:
    """C equals NumPy for a gradient node gy, saved.. -> gx, with random or extreme errors; gives the results.

    `exponents`: of gy, and the one that gx is going to be written with. `copies`: gx shares the exponent of gy.
    """
    graph = Graph("test")
    error(graph, "gy", gy_shape, *([exponents[0]] * 2))
    if copies:
        graph.add(Tensor("gx", gx_shape, DType.INT8, exponent="gy.exponent"))
    else:
        error(graph, "gx", gx_shape, exponents[1], exponents[1], quiet=seed % 33)
    values = {"gy": random_error(seed, gy_shape, extremes=seed % 3 == 0)}
    for tensor, value in saved:
        values[graph.add(tensor).name] = value
    node = Node(op, ["gy", *(t.name for t, _ in saved)], ["gx"], attrs, name=f"layer/{op}")
    infer_outputs(graph, node)
    return same(graph, node, values)


def unsigned(x: Array) -> Array:
    """int8 as the uint8 that a model had before its import."""
    return (x.astype(np.int16) + 128).astype(np.uint8)


def signed(x: Array) -> Array:
    """uint8 as the import shifts it."""
    return (x.astype(np.int16) - 128).astype(np.int8)

"""A graph with the train state and one error tensor, for tests of losses and updates."""

from __future__ import annotations

import numpy as np
import pytest

from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Tensor
from kilograd.ops import operator
from kilograd.ops.base import FieldValue
from kilograd.ops.fixed_point import TRAIN_STATE, exponent_initial
from tests.ops.runner import run_in_c


def train_state(**fields: int) -> Array:
    """kg_train_state as int32[12]."""
    record = np.zeros(1, TRAIN_STATE)
    for name, value in fields.items():
        record[name] = value
    return record.view(np.int32)


def loss_graph(size: int, scale: float) -> Graph:
    """Tensors that the two losses use: y, label, target, error, train."""
    g = Graph("loss")
    quant = QuantParams.per_tensor(scale)
    g.add(Tensor("y", (1, size), DType.INT8, quant=quant))
    g.add(Tensor("target", (1, size), DType.INT8, quant=quant))
    g.add(Tensor("label", (1,), DType.INT32))
    g.add(Tensor("train", (12,), DType.INT32, Kind.STATE, data=train_state(seed=3, step=7)))
    g.add(Tensor("error.exponent", (2,), DType.INT32, Kind.STATE, data=exponent_initial()))
    g.add(Tensor("error", (1, size), DType.INT8, exponent="error.exponent"))
    return g


def assert_refused(
    graph: Graph, node: Node, values: dict[str, Array], field: str, bad: FieldValue, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The kernel of `node` runs with its own arguments, and not with `field` changed to `bad`."""
    run_in_c(graph, node, values)
    call = operator(node.op).lower(graph, node)
    assert not isinstance(call, list) and field in call.fields
    spoiled = type(call)(call.kernel, {**call.fields, field: bad})
    monkeypatch.setattr(type(operator(node.op)), "lower", lambda self, g, n: spoiled)
    with pytest.raises(RuntimeError, match="do not pass its check"):
        run_in_c(graph, node, values)

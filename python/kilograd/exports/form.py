"""What the files of forms share: how one operator stands in a .tflite file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Node

ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}


@dataclass(frozen=True)
class Form:
    """One operator of the file. `operands` stands for the node's inputs: names, or integers that become a constant tensor."""

    builtin: str
    version: int
    options: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    operands: tuple[str | Array, ...] = ()


FormOf = Callable[[Graph, Node], Form]


def activation(node: Node) -> int:
    """The code of the fused activation."""
    return ACTIVATIONS[node.attrs.get("activation", "none")]


def version(graph: Graph, node: Node, real: int, integer: int) -> int:
    """Version of the operator in float models and in models of integers."""
    return real if graph[node.inputs[0]].dtype is DType.FLOAT32 else integer


def integers(values: Any) -> Array:
    """An int32 operand."""
    return np.asarray(values, np.int32)


def plain(builtin: str, real: int = 1, integer: int = 2, options: str = "") -> FormOf:
    """The operands as they are, no options that matter."""
    return lambda graph, node: Form(builtin, version(graph, node, real, integer), options, {}, tuple(node.inputs))

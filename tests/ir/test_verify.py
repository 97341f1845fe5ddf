"""The verifier names node and tensor for each kind of inconsistency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kilograd.errors import GraphError
from kilograd.ir import DType, Graph, Kind, Node, Phase, QuantParams, Tensor, format_graph, remove_dead_nodes, verify

Q = QuantParams.per_tensor(0.1, 3)


def chain() -> Graph:
    """x -> [copy] -> a -> [join with constant w] -> y."""
    g = Graph("chain")
    g.add(Tensor("x", (1, 4), DType.INT8, quant=Q))
    g.add(Tensor("a", (1, 4), DType.INT8, quant=Q))
    g.add(Tensor("y", (1, 4), DType.INT8, quant=Q))
    g.add(Tensor("w", (4,), DType.INT8, Kind.CONST, QuantParams.per_tensor(0.5), np.zeros(4, np.int8)))
    g.add(Tensor("s", (2,), DType.INT32, Kind.STATE, data=np.zeros(2, np.int32)))
    g.nodes = [Node("copy", ["x"], ["a"], name="first"), Node("join", ["a", "w", ""], ["y"], name="second", mutates=("s",))]
    g.inputs, g.outputs = ["x"], ["y"]
    return g


def test_a_sound_graph_passes_and_is_printed() -> None:
    g = chain()
    seen: list[str] = []
    verify(g, lambda graph, node: seen.append(node.name))
    assert seen == ["first", "second"]
    text = format_graph(g)
    assert "y: int8[1,4] scale 0.1 zero 3 = join(a, w, -) changes s" in text
    assert "input x" in text and "const w: int8[4]" in text and "output y" in text


def edit(**changes: object) -> Callable[[Graph], object]:
    name = str(changes.pop("tensor"))
    return lambda g: g.tensors.__setitem__(name, replace(g.tensors[name], **changes))  # type: ignore[arg-type]


CASES: dict[str, tuple[Callable[[Graph], object], str]] = {
    "dangling operand": (lambda g: g.nodes[1].inputs.__setitem__(0, "nowhere"), "second.*'nowhere' is no tensor"),
    "use before definition": (lambda g: g.nodes.reverse(), "second.*'a' is read before"),
    "double definition": (lambda g: g.nodes.append(Node("copy", ["x"], ["y"], name="third")), "third.*'y' already has a value"),
    "result is an input": (lambda g: g.nodes.append(Node("copy", ["a"], ["x"], name="third")), "third.*'x' already has a value"),
    "writes a constant": (lambda g: g.nodes[1].outputs.__setitem__(0, "w"), "second.*'w' is const"),
    "unknown result": (lambda g: g.nodes[1].outputs.__setitem__(0, "nowhere"), "second.*'nowhere' is no tensor"),
    "output never written": (lambda g: g.nodes.pop(), "output 'y'"),
    "input is no tensor": (lambda g: g.inputs.append("nowhere"), "input 'nowhere'"),
    "input twice": (lambda g: g.inputs.append("x"), "twice"),
    "input is constant": (lambda g: g.inputs.append("w"), "input 'w'.*arena"),
    "unquantized activation": (edit(tensor="a", quant=None), "first.*'a'.*without quantization"),
    "mutates a constant": (lambda g: setattr(g.nodes[1], "mutates", ("w",)), "second.*'w', which is no state"),
    "phases out of order": (lambda g: setattr(g.nodes[0], "phase", Phase.LOSS), "second.*phase 'forward' after phase 'loss'"),
    "node name twice": (lambda g: setattr(g.nodes[1], "name", "first"), "same name"),
    "constant without data": (edit(tensor="w", data=None), "'w' is const and has no content"),
    "data of wrong type": (edit(tensor="w", data=np.zeros(4, np.int32)), "'w' is int8.*int32"),
    "data of wrong shape": (edit(tensor="w", data=np.zeros(5, np.int8)), "'w' is int8.*\\[5\\]"),
    "data in the arena": (edit(tensor="a", data=np.zeros((1, 4), np.int8)), "'a' is computed"),
    "zero size": (edit(tensor="a", shape=(1, 0)), "'a' has shape"),
    "scales do not fit": (edit(tensor="w", quant=QuantParams(np.ones(3, np.float32), np.zeros(3, np.int32), 0)), "'w' has 3 scales"),
    "scale is NaN": (edit(tensor="w", quant=QuantParams.per_tensor(float("nan"))), "'w' has a scale"),
    "exponent missing": (edit(tensor="a", exponent="e"), "'a' is an error tensor.*'e'"),
    "exponent of wrong kind": (edit(tensor="a", exponent="w"), "'a' is an error tensor.*'w'"),
    "name mismatch": (edit(tensor="a", name="b"), "'a' calls itself 'b'"),
    "unused arena tensor": (lambda g: g.add(Tensor("z", (1,), DType.INT32)), "'z'.*written by no node"),
}


@pytest.mark.parametrize("case", CASES)
def test_inconsistencies_are_named(case: str) -> None:
    change, message = CASES[case]
    g = chain()
    change(g)
    with pytest.raises(GraphError, match=message):
        verify(g)


def test_inference_errors_name_the_node() -> None:
    def infer(graph: Graph, node: Node) -> None:
        raise IndexError("tuple index out of range")

    with pytest.raises(GraphError, match="first.*do not fit"):
        verify(chain(), infer)


def test_dead_nodes_are_removed_and_state_changes_stay() -> None:
    g = chain()
    g.add(Tensor("z", (1, 4), DType.INT8, quant=Q))
    g.nodes.append(Node("copy", ["y"], ["z"], name="dead"))
    g.nodes.append(Node("tick", ["x"], [], name="tick", mutates=("s",)))
    out = remove_dead_nodes(g)
    assert [n.name for n in out.nodes] == ["first", "second", "tick"]
    assert "z" not in out.tensors and "z" in g.tensors
    verify(out)

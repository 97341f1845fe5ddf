"""Checking that a graph is consistent: every name defined once and before its use, types as inferred, data where it must be.

`ir` knows no operators, so what operators infer comes in as a function (`ops.base.infer_outputs`).
"""

from __future__ import annotations

from collections.abc import Callable

from kilograd.errors import GraphError
from kilograd.ir.graph import DType, Graph, Kind, Node, Phase, Tensor

Infer = Callable[[Graph, Node], None]

_PHASES = {phase: i for i, phase in enumerate(Phase)}


def verify(graph: Graph, infer: Infer | None = None) -> None:
    """Raise GraphError, naming node and tensor, at the first inconsistency of the graph.

    `infer` checks the results of one node against what its operator makes of the operands (raises GraphError); without it only the
    structure is checked.
    """
    for name, tensor in graph.tensors.items():
        _check_tensor(graph, name, tensor)
    defined = _check_inputs(graph)
    last, names = 0, set()
    for i, node in enumerate(graph.nodes):
        where = f"node {i} '{node.name}' ({node.op})"
        if node.name and node.name in names:
            raise GraphError(f"{where}: another node has the same name; give each node its own")
        names.add(node.name)
        if _PHASES[node.phase] < last:
            raise GraphError(f"{where}: phase '{node.phase.value}' after phase '{list(Phase)[last].value}'; phases must follow each other")
        last = _PHASES[node.phase]
        _check_node(graph, node, defined, where)
        if infer is not None:
            try:
                infer(graph, node)
            except (LookupError, TypeError, ValueError) as error:
                raise GraphError(f"{where}: operands or attributes do not fit the operator ({type(error).__name__}: {error})") from error
    _check_outputs(graph, defined)


def _check_tensor(graph: Graph, name: str, t: Tensor) -> None:
    where = f"tensor '{name}'"
    if t.name != name:
        raise GraphError(f"{where} calls itself '{t.name}'")
    if not name:
        raise GraphError("a tensor has the empty name, which stands for an absent operand")
    if any(d <= 0 for d in t.shape):
        raise GraphError(f"{where} has shape {list(t.shape)}; every dimension must be at least 1")
    if t.kind is Kind.ARENA and t.data is not None:
        raise GraphError(f"{where} is computed (arena) and has content; make it a constant or state")
    if t.kind is not Kind.ARENA:
        _check_data(t, where)
    if t.exponent is not None:
        state = graph.tensors.get(t.exponent)
        if state is None or state.kind is not Kind.STATE or state.dtype is not DType.INT32 or state.shape != (2,):
            raise GraphError(f"{where} is an error tensor; its exponent '{t.exponent}' must be a state tensor int32[2]")
    if t.quant is not None:
        _check_quant(t, where)


def _check_data(t: Tensor, where: str) -> None:
    if t.data is None:
        raise GraphError(f"{where} is {t.kind.value} and has no content")
    shape = (t.nbytes,) if t.dtype is DType.BITS else t.shape
    if t.data.dtype != t.dtype.numpy or t.data.shape != shape:
        raise GraphError(f"{where} is {t.dtype.value}{list(t.shape)}, its content is {t.data.dtype}{list(t.data.shape)}")


def _check_quant(t: Tensor, where: str) -> None:
    q = t.quant
    assert q is not None
    if q.axis is None:
        fits = q.scale.shape == (1,)
    else:
        fits = 0 <= q.axis < len(t.shape) and q.scale.shape == (t.shape[q.axis],)
    if not fits or q.zero_point.shape != q.scale.shape:
        raise GraphError(f"{where} has {q.scale.size} scales and {q.zero_point.size} zero points (axis {q.axis}) for shape {list(t.shape)}")
    if not bool(((q.scale > 0) & (q.scale < float("inf"))).all()):
        raise GraphError(f"{where} has a scale that is not a positive number")


def _check_inputs(graph: Graph) -> set[str]:
    """Names that hold a value before the first node."""
    for name in graph.inputs:
        if name not in graph.tensors:
            raise GraphError(f"input '{name}' of graph '{graph.name}' is no tensor")
        if graph[name].kind is not Kind.ARENA:
            raise GraphError(f"input '{name}' of graph '{graph.name}' is {graph[name].kind.value}; inputs must be arena tensors")
    if len(set(graph.inputs)) != len(graph.inputs):
        raise GraphError(f"graph '{graph.name}' names an input twice: {graph.inputs}")
    return {t.name for t in graph.tensors.values() if t.kind is not Kind.ARENA} | set(graph.inputs)


def _check_node(graph: Graph, node: Node, defined: set[str], where: str) -> None:
    for name in node.reads():
        if name not in graph.tensors:
            raise GraphError(f"{where}: operand '{name}' is no tensor of the graph")
        if name not in defined:
            raise GraphError(f"{where}: operand '{name}' is read before it is written")
    for name in node.mutates:
        if name not in graph.tensors or graph[name].kind is not Kind.STATE:
            raise GraphError(f"{where}: it changes '{name}', which is no state tensor")
    for name in node.writes():
        if name not in graph.tensors:
            raise GraphError(f"{where}: result '{name}' is no tensor of the graph")
        t = graph[name]
        if t.kind is not Kind.ARENA:
            raise GraphError(f"{where}: result '{name}' is {t.kind.value}; results must be arena tensors (state is changed by `mutates`)")
        if name in defined:
            raise GraphError(f"{where}: result '{name}' already has a value")
        forward = node.phase in (Phase.FROZEN, Phase.FORWARD)
        if t.dtype is DType.INT8 and t.exponent is None and t.quant is None and forward:
            raise GraphError(f"{where}: result '{name}' is an int8 activation without quantization parameters")
        defined.add(name)


def _check_outputs(graph: Graph, defined: set[str]) -> None:
    for name in graph.outputs:
        if name not in graph.tensors or name not in defined:
            raise GraphError(f"output '{name}' of graph '{graph.name}' is written by no node")
    undefined = [t.name for t in graph.tensors.values() if t.kind is Kind.ARENA and t.name not in defined]
    if undefined:
        raise GraphError(f"tensor '{undefined[0]}' of graph '{graph.name}' is written by no node; drop it (Graph.drop_unused)")

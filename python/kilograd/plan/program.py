"""What the planner sees of a graph: steps that read and write arena buffers, and what must come before what.

A *buffer* is an arena tensor together with all its views, named after the tensor that owns the memory. Constants and state do not move, so
they only show up as dependencies.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kilograd.errors import GraphError
from kilograd.ir.graph import Graph, Kind, Node, Phase
from kilograd.ops import operator
from kilograd.ops.variant import implementation

PHASES = list(Phase)


@dataclass(frozen=True)
class Step:
    """One node: buffers that it touches, bytes of scratch, and the steps (by index) that must run before it."""

    name: str
    phase: Phase
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    scratch: int = 0
    inplace: tuple[tuple[str, str], ...] = ()  # (written buffer, read buffer) that may be one
    after: frozenset[int] = frozenset()

    @property
    def touches(self) -> frozenset[str]:
        """All buffers that must be there while the step runs."""
        return frozenset((*self.reads, *self.writes))


@dataclass(frozen=True)
class Program:
    """Steps in program order (phases in order), sizes of buffers in bytes, and the buffers that are set before the first step or read after
    the forward pass."""

    steps: tuple[Step, ...]
    sizes: dict[str, int]
    inputs: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()
    owner: dict[str, str] = field(default_factory=dict)  # tensor -> tensor that owns its memory

    def last_forward(self) -> int:
        """Number of steps up to the end of the forward pass."""
        forward = PHASES.index(Phase.FORWARD)
        return sum(PHASES.index(s.phase) <= forward for s in self.steps)


def phase_sorted(graph: Graph) -> list[Node]:
    """Nodes with the phases in their order, the program order kept within each."""
    return sorted(graph.nodes, key=lambda n: PHASES.index(n.phase))


def owners(graph: Graph) -> dict[str, str]:
    """For each tensor the one that owns its memory: itself, or what it is a view of."""
    owner = {name: name for name in graph.tensors}
    for node in graph.nodes:
        if operator(node.op).view(graph, node):
            result, source = node.outputs[0], node.inputs[0]
            if graph[result].nbytes != graph[source].nbytes:
                raise GraphError(f"node '{node.name}' ({node.op}) is a view, but '{result}' and '{source}' differ in size")
            owner[result] = owner[source]
    return owner


def _exponents(graph: Graph, names: list[str]) -> list[str]:
    return [e for n in names if (e := graph[n].exponent)]


def accesses(graph: Graph, node: Node) -> tuple[set[str], set[str]]:
    """Tensors that a node reads and those that it writes, exponents of error tensors included.

    An exponent that a result shares with an operand is passed on, not written.
    """
    reads = {*node.reads(), *node.mutates, *_exponents(graph, [*node.reads(), *node.mutates])}
    writes = {*node.writes(), *node.mutates}
    return reads, writes | ({*_exponents(graph, node.writes())} - reads)


def dependencies(graph: Graph, nodes: list[Node], owner: dict[str, str]) -> list[frozenset[int]]:
    """For each node the earlier nodes that it must stay behind: read after write, write after read, write after write."""
    result: list[frozenset[int]] = []
    writer: dict[str, int] = {}
    readers: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        raw_reads, raw_writes = accesses(graph, node)
        is_view = operator(node.op).view(graph, node)
        reads = {owner[t] for t in raw_reads}
        writes = set() if is_view else {owner[t] for t in raw_writes}
        writes |= {t for t in raw_writes if is_view}  # a view's name is defined here, its memory is only read
        reads |= raw_reads
        after = {writer[t] for t in reads | writes if t in writer}
        for t in writes:
            after.update(readers.pop(t, ()))
            writer[t] = i
        for t in reads - writes:
            readers.setdefault(t, []).append(i)
        after.discard(i)
        result.append(frozenset(after))
    return result


def _check_order(graph: Graph, nodes: list[Node]) -> None:
    """Sorting by phase must not move a node before one that it depends on."""
    position = {id(node): i for i, node in enumerate(nodes)}
    for deps, node in zip(dependencies(graph, graph.nodes, owners(graph)), graph.nodes, strict=True):
        for d in deps:
            before = graph.nodes[d]
            if position[id(before)] > position[id(node)]:
                raise GraphError(
                    f"node '{node.name}' of phase '{node.phase.value}' depends on '{before.name}', which is of the later phase "
                    f"'{before.phase.value}'"
                )


def _inplace(graph: Graph, node: Node, owner: dict[str, str]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for out, source in implementation(node).inplace(graph, node):
        if out >= len(node.outputs) or source >= len(node.inputs) or not node.outputs[out] or not node.inputs[source]:
            continue
        y, x = node.outputs[out], owner[node.inputs[source]]
        occurrences = sum(owner[t] == x for t in node.reads())
        if graph[x].kind is Kind.ARENA and x not in graph.inputs and graph[y].nbytes == graph[x].nbytes and occurrences == 1:
            pairs.append((y, x))
    return tuple(pairs)


def build_program(graph: Graph) -> tuple[Program, list[Node]]:
    """The program of a graph, and its nodes in the order of the steps."""
    nodes = phase_sorted(graph)
    _check_order(graph, nodes)
    owner = owners(graph)

    def arena(names: list[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(owner[t] for t in names if graph[owner[t]].kind is Kind.ARENA))

    steps = []
    for node, after in zip(nodes, dependencies(graph, nodes, owner), strict=True):
        op = operator(node.op)
        view = op.view(graph, node)
        steps.append(
            Step(
                node.name or node.op,
                node.phase,
                arena(node.reads()),
                () if view else arena(node.writes()),
                0 if view else implementation(node).scratch_bytes(graph, node),
                () if view else _inplace(graph, node, owner),
                after,
            )
        )
    sizes = {t.name: t.nbytes for t in graph.tensors.values() if t.kind is Kind.ARENA and owner[t.name] == t.name}
    program = Program(tuple(steps), sizes, frozenset(arena(graph.inputs)), frozenset(arena(graph.outputs)), owner)
    _check_defined(program)
    return program, nodes


def _check_defined(program: Program) -> None:
    known = set(program.inputs)
    for step in program.steps:
        missing = set(step.reads) - known
        if missing:
            raise GraphError(f"node '{step.name}' reads '{sorted(missing)[0]}', which nothing has written before")
        known.update(step.writes)
    missing = set(program.outputs) - known
    if missing:
        raise GraphError(f"graph output '{sorted(missing)[0]}' is never written")

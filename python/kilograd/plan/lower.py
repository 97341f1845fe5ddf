"""Graph, order and places -> Plan: argument structs, the constant pool, the state segment, regions and entry points."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from kilograd.errors import PlanError
from kilograd.ir.graph import Graph, Kind, Node, Phase
from kilograd.ops import fields
from kilograd.ops.base import Blob, ExponentOf, KernelCall, Operand
from kilograd.ops.variant import implementation
from kilograd.plan.lifetime import BEFORE, Lifetimes, scratch_name
from kilograd.plan.place import ARENA_ALIGN, Placement, align
from kilograd.plan.plan import REF_OFFSET_BITS, SEG_ARENA, SEG_CONST, SEG_STATE, Call, Entry, Plan, PlanTensor, Region, make_ref
from kilograd.plan.program import PHASES, Program, accesses
from kilograd.plan.words import Places, call_words, calls_of, exponent_name

SKIP_WORD, APPLY_WORD = 24, 32  # byte offsets in kg_train_state
LIMIT = 1 << REF_OFFSET_BITS


class Pool:
    """Bytes put one after another, aligned; equal bytes are stored once."""

    def __init__(self, dedup: bool) -> None:
        self.bytes = bytearray()
        self._known: dict[bytes, int] | None = {} if dedup else None

    def put(self, content: bytes) -> int:
        """Offset of `content`."""
        if self._known is not None and content in self._known:
            return self._known[content]
        offset = align(len(self.bytes))
        self.bytes += b"\0" * (offset - len(self.bytes)) + content
        if len(self.bytes) >= LIMIT:
            raise PlanError("the constants or the state of this model take more than 1 GiB")
        if self._known is not None:
            self._known[content] = offset
        return offset


def _tensors_of(graph: Graph, value: object) -> list[str]:
    """Tensors that a field of an argument struct names."""
    match value:
        case Operand(tensor):
            return [tensor]
        case ExponentOf(tensor):
            return [exponent_name(graph, tensor)]
        case _:
            return []


class _Lowering:
    """State of one run of `lower`."""

    def __init__(self, graph: Graph, nodes: Sequence[Node], program: Program, lives: Lifetimes, placement: Placement) -> None:
        self.graph, self.nodes, self.program, self.lives, self.placement = graph, nodes, program, lives, placement
        self.constant, self.state = Pool(dedup=True), Pool(dedup=False)
        self.refs: dict[str, int] = {}
        self.lowered: list[list[KernelCall]] = [calls_of(implementation(node).lower(graph, node)) for node in nodes]

    def content(self, name: str) -> bytes:
        """Initial bytes of a constant or state tensor."""
        tensor = self.graph[name]
        if tensor.data is None:
            raise PlanError(f"{tensor.kind.value} tensor '{name}' has no data")
        raw = np.ascontiguousarray(tensor.data, tensor.dtype.numpy).tobytes()
        if len(raw) != tensor.nbytes:
            raise PlanError(f"tensor '{name}' is declared with {tensor.nbytes} bytes, its data has {len(raw)}")
        return raw

    def place_persistent(self) -> None:
        """Constants and state that any node uses, in the order of the graph's tensor table."""
        used: set[str] = set()
        for node, calls in zip(self.nodes, self.lowered, strict=True):
            reads, writes = accesses(self.graph, node)
            named = {t for call in calls for value in call.fields.values() for t in _tensors_of(self.graph, value)}
            # weights that a variant packed take no memory of their own; what the node changes, and operands of views, stay
            used |= writes | {t for t in reads if t in named or not calls or self.graph[t].kind is not Kind.CONST}
        if Kind.STATE in {t.kind for t in self.graph.tensors.values()} and fields.TRAIN in self.graph.tensors:
            used.add(fields.TRAIN)
        for tensor in self.graph.tensors.values():
            if tensor.name not in used or self.program.owner[tensor.name] != tensor.name:
                continue
            if tensor.kind is Kind.STATE:
                self.refs[tensor.name] = make_ref(SEG_STATE, self.state.put(self.content(tensor.name)))
            elif tensor.kind is Kind.CONST:
                self.refs[tensor.name] = make_ref(SEG_CONST, self.constant.put(self.content(tensor.name)))

    def tensor_ref(self, name: str) -> int:
        """kg_ref of a tensor."""
        owner = self.program.owner[name]
        if owner in self.refs:
            return self.refs[owner]
        if owner not in self.lives.buffer_of:
            raise PlanError(f"tensor '{name}' has no place: no node writes it")
        return make_ref(SEG_ARENA, self.placement.offsets[self.lives.buffer_of[owner]])

    def scratch_ref(self, step: int) -> int:
        """kg_ref of a step's scratch memory."""
        key = scratch_name(step)
        return make_ref(SEG_ARENA, self.placement.offsets[self.lives.buffer_of[key]]) if key in self.lives.buffer_of else 0

    def _blob(self, blob: Blob) -> int:
        return make_ref(SEG_CONST, self.constant.put(np.ascontiguousarray(blob.data).tobytes()))

    def calls(self, order: Sequence[int]) -> tuple[list[Call], list[tuple[int, int]]]:
        """All kernel calls, and for each position of the order the calls [first, end) that it became."""
        calls: list[Call] = []
        spans: list[tuple[int, int]] = []
        for index in order:
            node, first = self.nodes[index], len(calls)
            places = Places(self.tensor_ref, self._blob, partial(self.scratch_ref, index))
            for call in self.lowered[index]:
                calls.append(Call(call.kernel, call_words(self.graph, call, places), node.name or node.op, node.op))
            spans.append((first, len(calls)))
        return calls, spans

    def tensors(self, order: Sequence[int], spans: list[tuple[int, int]]) -> dict[str, PlanTensor]:
        """Every tensor that has a place, with the calls between which it holds its value."""
        table: dict[str, PlanTensor] = {}
        first: dict[str, int] = dict.fromkeys(self.graph.inputs, BEFORE)
        last: dict[str, int] = {}
        for (start, end), index in zip(spans, order, strict=True):
            reads, writes = accesses(self.graph, self.nodes[index])
            for name in writes - first.keys():
                first[name] = start
            for name in reads | writes:
                last[name] = max(end - 1, start - 1, 0)
        end_forward = max((spans[i][1] - 1 for i in range(self.program.last_forward())), default=0)
        for name in self.graph.outputs:
            last[name] = max(last.get(name, 0), end_forward)
        for tensor in self.graph.tensors.values():
            owner = self.graph[self.program.owner[tensor.name]]
            if owner.name not in self.refs and owner.name not in self.lives.buffer_of:
                continue
            owner_last = max(last.get(n, 0) for n, o in self.program.owner.items() if o == owner.name)
            table[tensor.name] = PlanTensor(
                tensor.name, tensor.shape, tensor.dtype, owner.kind, self.tensor_ref(tensor.name), tensor.quant,
                first.get(tensor.name, BEFORE), owner_last if owner.kind is Kind.ARENA else 0,
            )  # fmt: skip
        return table


def _regions(nodes: Sequence[Node], order: Sequence[int], spans: list[tuple[int, int]], train_ref: int) -> list[Region]:
    """Phases that have calls, as regions; backward and apply carry their guards."""
    guards = {Phase.BACKWARD: (SKIP_WORD, 0), Phase.APPLY: (APPLY_WORD, 1)}
    regions = []
    for phase in PHASES:
        mine = [span for index, span in zip(order, spans, strict=True) if nodes[index].phase is phase]
        if not mine or mine[0][0] == mine[-1][1]:
            continue
        first, end = mine[0][0], mine[-1][1]
        word, value = guards.get(phase, (0, 0))
        regions.append(Region(phase.value, first, end - first, "calls", train_ref + word if phase in guards else 0, value))
    return regions


def _entries(regions: list[Region]) -> dict[str, Entry]:
    infer = tuple(i for i, r in enumerate(regions) if r.name in (Phase.FROZEN.value, Phase.FORWARD.value))
    entries = {"infer": Entry("infer", infer)}
    if any(r.name in (Phase.LOSS.value, Phase.BACKWARD.value) for r in regions):
        entries["train_step"] = Entry("train_step", tuple(range(len(regions))))
    return entries


def _boundary(graph: Graph, nodes: Sequence[Node], program: Program, lives: Lifetimes) -> list[str]:
    """Arena tensors that the frozen part writes and a later part (or the caller) reads; views as the tensor that owns the memory."""
    later = set(program.outputs)
    writers: dict[int, str] = {}  # buffer -> last frozen tensor written there
    frozen: set[str] = set()
    for node, step in zip(nodes, program.steps, strict=True):
        if node.phase is Phase.FROZEN:
            for name in step.writes:
                frozen.add(name)
                writers[lives.buffer_of[name]] = name
        else:
            later.update(step.reads)
    return [name for name in writers.values() if name in later and name in frozen]


def _variables(graph: Graph, nodes: Sequence[Node], tensors: dict[str, PlanTensor]) -> list[str]:
    """State that the forward pass changes, in the order of the graph's tensor table."""
    changed = {t for node in nodes if node.phase in (Phase.FROZEN, Phase.FORWARD) for t in node.mutates}
    return [t.name for t in graph.state() if t.name in changed and t.name in tensors]


def cacheable(graph: Graph, nodes: Sequence[Node]) -> bool:
    """The frozen part depends on inputs and constants alone."""
    for node in nodes:
        if node.phase is Phase.FROZEN:
            reads, writes = accesses(graph, node)
            if any(graph[t].kind is Kind.STATE for t in reads | writes):
                return False
    return True


def lower(graph: Graph, nodes: Sequence[Node], program: Program, order: Sequence[int], lives: Lifetimes, placement: Placement) -> Plan:
    """The plan of a scheduled and placed graph (its report is added by the caller)."""
    if placement.size >= LIMIT:
        raise PlanError("the arena of this model takes more than 1 GiB")
    work = _Lowering(graph, nodes, program, lives, placement)
    work.place_persistent()
    calls, spans = work.calls(order)
    tensors = work.tensors(order, spans)
    train_ref = work.refs.get(fields.TRAIN, 0)
    regions = _regions(nodes, order, spans, train_ref)
    ordered = [nodes[i] for i in order]
    boundary_program = Program(tuple(program.steps[i] for i in order), program.sizes, program.inputs, program.outputs, program.owner)
    label = next((t for t in ("label", "target") if t in graph.inputs), "")
    return Plan(
        name=graph.name,
        tensors=tensors,
        calls=calls,
        regions=regions,
        entries=_entries(regions),
        constant=bytes(work.constant.bytes),
        state=bytes(work.state.bytes),
        arena_bytes=align(placement.size, ARENA_ALIGN) if placement.size else 0,
        inputs=[t for t in graph.inputs if t != label],
        outputs=list(graph.outputs),
        label=label,
        boundary=_boundary(graph, ordered, boundary_program, lives) if cacheable(graph, nodes) else [],
        variables=_variables(graph, nodes, tensors),
        meta={},
    )

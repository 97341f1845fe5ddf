"""Runs one node in C, all operands far from each other, and compares with the NumPy reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from kilograd import _core
from kilograd.ir.graph import Array, Graph, Kind, Node
from kilograd.ops import operator
from kilograd.ops.base import Blob, ExponentOf, KernelCall, Operand, RunState
from kilograd.ops.variant import implementation
from kilograd.plan.plan import SEGMENT, make_ref
from kilograd.plan.words import Places, call_words, calls_of, exponent_name, pack_words

GUARD = 16  # bytes around every operand that no kernel may change
FILL = 0xA5


class Segments:
    """Three growing byte segments; every place is 16-byte aligned and has a guard zone around it."""

    def __init__(self) -> None:
        self.chunks: dict[Kind, list[tuple[int, bytes]]] = {k: [] for k in Kind}
        self.size = dict.fromkeys(Kind, GUARD)

    def put(self, kind: Kind, content: bytes) -> int:
        """Place bytes and give their reference."""
        offset = self.size[kind]
        self.chunks[kind].append((offset, content))
        self.size[kind] = (offset + len(content) + GUARD + 15) // 16 * 16
        return make_ref(SEGMENT[kind], offset)

    def bytes(self, kind: Kind) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The whole segment."""
        raw = np.full(self.size[kind], FILL, np.uint8)
        for offset, content in self.chunks[kind]:
            raw[offset : offset + len(content)] = np.frombuffer(content, np.uint8)
        return raw

    def check_guards(self, kind: Kind, raw: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Nothing between the places was written."""
        outside = np.ones(raw.size, bool)
        for offset, content in self.chunks[kind]:
            outside[offset : offset + len(content)] = False
        assert (raw[outside] == FILL).all(), f"a kernel wrote outside its operands in the {kind.value} segment"


def touched(graph: Graph, node: Node) -> list[str]:
    """All tensors that a node and its kernels refer to, in a fixed order."""
    names = dict.fromkeys([*node.reads(), *node.writes(), *node.mutates])
    for name in list(names):
        if graph[name].exponent:
            names[exponent_name(graph, name)] = None
    for call in calls_of(implementation(node).lower(graph, node)):
        for value in call.fields.values():
            if isinstance(value, Operand):
                names[value.tensor] = None
            elif isinstance(value, ExponentOf):
                names[exponent_name(graph, value.tensor)] = None
    return list(names)


def initial(graph: Graph, node: Node, values: dict[str, Array]) -> dict[str, Array]:
    """A value for every operand: the given one, else the tensor's data; results are absent."""
    found: dict[str, Array] = {}
    for name in touched(graph, node):
        tensor = graph[name]
        value = values.get(name, tensor.data)
        if value is not None:
            found[name] = np.array(value, tensor.dtype.numpy, copy=True, order="C")
            assert found[name].nbytes == tensor.nbytes, f"value of '{name}' has {found[name].nbytes} bytes, {tensor.nbytes} are declared"
        elif name not in node.outputs:
            raise AssertionError(f"tensor '{name}' of node '{node.name}' needs a value")
    return found


def as_tensor(graph: Graph, name: str, raw: bytes) -> Array:
    """Bytes of a tensor as an array of its type and shape (masks: packed bytes)."""
    tensor = graph[name]
    flat = np.frombuffer(raw, tensor.dtype.numpy).copy()
    return flat if tensor.dtype.value == "bits" else flat.reshape(tensor.shape)


Memory = dict[Kind, np.ndarray[Any, np.dtype[np.uint8]]]


def place(
    graph: Graph, node: Node, given: dict[str, Array], calls: list[KernelCall]
) -> tuple[Segments, dict[str, int], list[tuple[str, bytes]], Memory]:  # fmt: skip
    """Segments with all operands placed, the reference of each tensor, the calls (kernel, argument bytes), and the memory."""
    segments, refs = Segments(), {}
    for name in touched(graph, node):
        content = given[name].tobytes() if name in given else bytes([FILL]) * graph[name].nbytes
        refs[name] = segments.put(graph[name].kind, content)
    scratch = segments.put(Kind.ARENA, bytes([FILL]) * implementation(node).scratch_bytes(graph, node))

    def blob(value: Blob) -> int:
        return segments.put(Kind.CONST, np.ascontiguousarray(value.data).tobytes())

    places = Places(refs.__getitem__, blob, lambda: scratch)
    args = [(c.kernel, pack_words(call_words(graph, c, places))) for c in calls]
    return segments, refs, args, {kind: segments.bytes(kind) for kind in Kind}


def prepare(graph: Graph, node: Node, values: dict[str, Array]) -> tuple[list[tuple[str, bytes]], Memory]:
    """The calls of `node` (kernel, argument bytes) and the memory that they run on."""
    _, _, args, memory = place(graph, node, initial(graph, node, values), calls_of(implementation(node).lower(graph, node)))
    return args, memory


def run_in_c(graph: Graph, node: Node, values: dict[str, Array]) -> dict[str, Array]:
    """Results of `node` and every STATE tensor that it touches, after its kernels ran in C.

    `values` holds the operands by name; CONST and STATE tensors default to their data.
    """
    calls = calls_of(implementation(node).lower(graph, node))
    given = initial(graph, node, values)
    if not calls:
        assert operator(node.op).view(graph, node), f"'{node.op}' has neither kernels nor is it a view"
        return {node.outputs[0]: given[node.inputs[0]].reshape(graph[node.outputs[0]].shape)}
    segments, refs, args, memory = place(graph, node, given, calls)
    for kernel, words in args:
        _core.call(kernel, words, memory[Kind.CONST], memory[Kind.STATE], memory[Kind.ARENA])
    for kind in Kind:
        segments.check_guards(kind, memory[kind])
    results = {}
    for name, ref in refs.items():
        tensor, offset = graph[name], ref & 0x3FFFFFFF
        if name in node.outputs or tensor.kind is Kind.STATE:
            results[name] = as_tensor(graph, name, memory[tensor.kind][offset : offset + tensor.nbytes].tobytes())
    return results


def run_in_numpy(graph: Graph, node: Node, values: dict[str, Array]) -> dict[str, Array]:
    """The same from the operator's NumPy reference."""
    state = RunState(initial(graph, node, values))
    inputs = [state.tensors[t] if t else None for t in node.inputs]
    outputs = operator(node.op).reference(graph, node, inputs, state)
    results = {n: v for n, v in zip(node.outputs, outputs, strict=True) if n}
    results |= {n: v for n, v in state.tensors.items() if graph[n].kind is Kind.STATE}
    return results


def assert_same(graph: Graph, node: Node, values: dict[str, Array]) -> dict[str, Array]:
    """C and NumPy agree bit for bit on all results and all touched state; gives them."""
    want, got = run_in_numpy(graph, node, values), run_in_c(graph, node, values)
    assert want.keys() == got.keys()
    for name, value in want.items():
        tensor = graph[name]
        assert value.dtype == tensor.dtype.numpy, f"'{name}': reference gives {value.dtype}, declared is {tensor.dtype.value}"
        assert value.size * value.itemsize == tensor.nbytes, f"'{name}': reference gives shape {value.shape}, declared is {tensor.shape}"
        a, b = value.reshape(-1), got[name].reshape(-1)
        if a.tobytes() != b.tobytes():
            bad = np.flatnonzero(a != b)
            first = bad[:8]
            raise AssertionError(f"'{name}' differs at {bad.size} of {a.size} elements, first {first}: NumPy {a[first]}, C {b[first]}")
    return got

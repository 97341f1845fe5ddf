"""Which activations must share one quantization: those that an operator only moves or chooses from.

An operator whose rule is 'same' ties its results to its float operands; one whose rule is 'fixed' gives its result a quantization by
itself. Where a fixed value is joined with others (a concatenation of a logistic with something else), the fixed value is requantized on
the way in, and what is joined keeps its own range.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kilograd.errors import UnsupportedOperator
from kilograd.ir.graph import DType, Graph, Node
from kilograd.ops.base import operator


@dataclass
class Groups:
    """Sets of tensors of one quantization: `root` maps each to a representative, `fixed` the representatives whose quantization is given.

    `requantize` lists (name of the node, operand index) where a value enters under another quantization than its own.
    """

    root: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, tuple[float, int]] = field(default_factory=dict)
    requantize: set[tuple[int, int]] = field(default_factory=set)

    def find(self, name: str) -> str:
        """The representative of a tensor."""
        while self.root.setdefault(name, name) != name:
            name = self.root[name]
        return name

    def unite(self, a: str, b: str) -> None:
        """Make two sets one."""
        a, b = self.find(a), self.find(b)
        if a != b:
            self.root[b] = a
            if b in self.fixed:
                self.fixed[a] = self.fixed.pop(b)

    def members(self) -> dict[str, list[str]]:
        """Tensors by representative."""
        found: dict[str, list[str]] = {}
        for name in self.root:
            found.setdefault(self.find(name), []).append(name)
        return found


def constraint_groups(graph: Graph) -> Groups:
    """The groups of a float graph."""
    groups = Groups()
    for name in graph.inputs:
        groups.find(name)
    for i, node in enumerate(graph.nodes):
        _add(graph, groups, node, i)
    return groups


def _add(graph: Graph, groups: Groups, node: Node, index: int) -> None:
    op = operator(node.op)
    results = [t for t in node.writes() if graph[t].dtype is DType.FLOAT32]
    operands = [(i, t) for i, t in enumerate(node.inputs) if t and graph[t].dtype is DType.FLOAT32]
    rule = op.quantize(graph, node)
    for t in results:
        groups.find(t)
    if rule == "fixed" and results:
        if op.fixed_result is None:
            raise UnsupportedOperator(f"layer '{node.name}' ({node.op}) fixes the quantization of its result and does not say to what")
        for t in results:
            groups.fixed[groups.find(t)] = op.fixed_result
    if rule != "same" or not results:
        return
    for t in results[1:]:
        groups.unite(results[0], t)
    given = {groups.fixed.get(groups.find(t)) for _, t in operands}
    for i, t in operands:
        if groups.find(t) in groups.fixed and len(given) > 1:
            groups.requantize.add((index, i))
        else:
            groups.unite(results[0], t)

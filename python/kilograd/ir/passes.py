"""Passes that need no operators: plain functions Graph -> Graph. (Those that do are in frontends/simplify.py.)"""

from __future__ import annotations

from kilograd.ir.graph import Graph


def remove_dead_nodes(graph: Graph) -> Graph:
    """Drop nodes whose results nobody reads and that change no state, and tensors that nothing mentions."""
    out = graph.copy()
    needed = set(out.outputs)
    kept = []
    for node in reversed(out.nodes):
        if node.mutates or any(t in needed for t in node.writes()):
            needed.update(node.reads())
            kept.append(node)
    out.nodes = kept[::-1]
    out.drop_unused()
    return out


def replace_uses(graph: Graph, old: str, new: str) -> None:
    """Let every reader of `old`, in place, read `new`. Graph outputs keep their name."""
    for node in graph.nodes:
        node.inputs = [new if t == old else t for t in node.inputs]

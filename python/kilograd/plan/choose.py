"""Choice of the kernel of every node, at compile time."""

from __future__ import annotations

from kilograd.ir.graph import Graph, Node
from kilograd.ops.variant import Variant, variants
from kilograd.plan.target import Target

#: bytes that one kernel may take for speed beside the tensors
SCRATCH_LIMIT = 3 * 1024


def candidates(graph: Graph, node: Node, target: Target, scratch_limit: int = SCRATCH_LIMIT) -> list[Variant]:
    """Variants that run on the target and fit the node and the scratch limit."""
    fitting = [v for v in variants(node.op).values() if v.needs <= target.features and v.fits(graph, node)]
    return [v for v in fitting if v.scratch_bytes(graph, node) <= scratch_limit]


def choose(graph: Graph, target: Target, scratch_limit: int = SCRATCH_LIMIT) -> Graph:
    """The same graph with the best variant named in every node."""
    out = graph.copy()
    for node in out.nodes:
        found = candidates(out, node, target, scratch_limit)
        node.variant = max(found, key=lambda v: v.preference).name if found else ""
    return out

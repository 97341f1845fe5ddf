"""Variants: further ways to compute the nodes of an operator, for targets that can do better than the reference kernels.

A variant gives the same bits as the reference (tests prove it, csrc/ops/<op>/<op>_<variant>.c computes it); it may want its constant
weights in another layout, which it packs at compile time. `Node.variant` names the variant that the compiler chose ('' is the reference).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from kilograd.errors import GraphError
from kilograd.ir.graph import Graph, Node
from kilograd.ops.base import KernelCall, Operator, operator


class Variant(ABC):
    """Base class. Subclasses are stateless; one instance is registered under (op, name)."""

    #: the operator whose nodes it computes
    op: ClassVar[str]
    #: its name: dsp, mve, x86, …
    name: ClassVar[str]
    #: what a target must have: words of plan.target.Target.features
    needs: ClassVar[frozenset[str]] = frozenset()
    #: kernels that it calls
    kernels: ClassVar[tuple[str, ...]] = ()
    #: among variants without a measured cost, the largest wins; the reference has 0
    preference: ClassVar[int] = 1

    @abstractmethod
    def fits(self, graph: Graph, node: Node) -> bool:
        """Can it compute this node, with the bits of the reference? Accumulator bounds belong here."""

    @abstractmethod
    def lower(self, graph: Graph, node: Node) -> KernelCall | list[KernelCall]:
        """The kernel call(s). Only tensors that a field names take memory: packed constants go in as Blob."""

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        """Bytes of arena that exist only while the kernel runs."""
        return 0

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        """As Operator.inplace; none by default, since a kernel that packs its operands may read them again after it wrote."""
        return []

    def terms(self, graph: Graph, node: Node) -> dict[str, float]:
        """What its time depends on, by name: quantities that the cost model multiplies with fitted instruction counts."""
        y = node.writes()[0]
        return {"macs": float(operator(node.op).macs(graph, node)), "outputs": float(graph[y].size), "calls": 1.0}


_VARIANTS: dict[str, dict[str, Variant]] = {}


def register_variant(cls: type[Variant]) -> type[Variant]:
    """Class decorator: make a variant known."""
    known = _VARIANTS.setdefault(cls.op, {})
    if cls.name in known or not cls.name:
        raise GraphError(f"operator '{cls.op}' already has a variant '{cls.name}'")
    known[cls.name] = cls()
    return cls


def variants(op: str) -> dict[str, Variant]:
    """The variants of an operator by name, without the reference."""
    return dict(_VARIANTS.get(op, {}))


def implementation(node: Node) -> Variant | Operator:
    """What computes a node: its variant, or its operator's reference."""
    if not node.variant:
        return operator(node.op)
    try:
        return _VARIANTS[node.op][node.variant]
    except KeyError:
        raise GraphError(f"node '{node.name}': operator '{node.op}' has no variant '{node.variant}'") from None

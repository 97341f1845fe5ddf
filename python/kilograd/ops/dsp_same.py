"""Variants for cores with the DSP extension whose kernels take the arguments of the reference: only the loops differ."""

from __future__ import annotations

from kilograd.ir.graph import Graph, Node
from kilograd.ops.base import KernelCall, operator
from kilograd.ops.variant import Variant


class SameArguments(Variant):
    """The reference's call, place and memory, with `_dsp_` for `_ref_` in the name of the kernel."""

    name = "dsp"
    needs = frozenset({"dsp"})

    def fits(self, graph: Graph, node: Node) -> bool:
        return True

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        call = operator(node.op).lower(graph, node)
        assert isinstance(call, KernelCall)
        return KernelCall(call.kernel.replace("_ref_", "_dsp_"), call.fields)

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        return operator(node.op).scratch_bytes(graph, node)

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return operator(node.op).inplace(graph, node)

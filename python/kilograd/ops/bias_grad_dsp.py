"""bias_grad for cores with the DSP extension."""

from __future__ import annotations

from kilograd.ir.graph import Graph, Node
from kilograd.ops.dsp_same import SameArguments
from kilograd.ops.variant import register_variant


@register_variant
class BiasGradDsp(SameArguments):
    """Four channels at a time (csrc/ops/bias/bias_grad_dsp.c)."""

    op = "bias_grad"
    kernels = ("bias_grad_dsp_s32", "bias_grad_dsp_s16")

    def fits(self, graph: Graph, node: Node) -> bool:
        return graph[node.inputs[0]].shape[-1] % 4 == 0

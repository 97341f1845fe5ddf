"""Error of a depthwise convolution's input on cores with the DSP extension
(csrc/ops/depthwise_conv2d/depthwise_conv2d_grad_input_dsp.c)."""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Graph, Kind, Node, Shape
from kilograd.ops import fields, operator
from kilograd.ops.base import Blob, ExponentOf, KernelCall, Operand, Scratch, prod
from kilograd.ops.depthwise_conv2d import DepthwiseConv2DGradInput
from kilograd.ops.dsp_planes import MAX_TAPS, backward_order, block_of, scratch, tap_words
from kilograd.ops.linear import parts, weight_zero
from kilograd.ops.variant import Variant, register_variant
from kilograd.ops.windows import shape_fields


@register_variant
class DepthwiseConv2DGradInputDsp(Variant):
    """Windows over planes of folded errors, then rows of errors."""

    op = "depthwise_conv2d_grad_input"
    name = "dsp"
    needs = frozenset({"dsp"})
    kernels = ("depthwise_conv2d_grad_input_dsp_s8",)

    @staticmethod
    def _sizes(graph: Graph, node: Node) -> tuple[Shape, Shape, int, int]:
        """Images that are read and written, taps, and channels that learn."""
        gy, w, gx = (graph[t].shape for t in (*node.inputs[:2], node.outputs[0]))
        return gy, gx, prod(w[1:3]), parts(graph, *node.inputs[1:3]).live_count(graph)

    def fits(self, graph: Graph, node: Node) -> bool:
        w, split, sizes = graph[node.inputs[1]], parts(graph, *node.inputs[1:3]), self._sizes(graph, node)
        if weight_zero(graph, w.name) or (split.frozen and w.kind is not Kind.CONST):
            return False
        if sizes[0][3] != sizes[1][3] or sizes[0][3] % 4 or sizes[3] % 4 or w.shape[2] > MAX_TAPS:
            return False
        return tuple(node.attrs["dilation"]) == (1, 1) and block_of(*sizes, 4) > 0

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        layer, split, sizes = operator(node.op), parts(graph, *node.inputs[1:3]), self._sizes(graph, node)
        assert isinstance(layer, DepthwiseConv2DGradInput)
        gy, gx, w = sizes[0], sizes[1], graph[node.inputs[1]].shape
        fold, exponent, shift = layer.fold(graph, node)
        order = np.ix_(*(backward_order(w[1 + i], node.attrs["stride"][i]) for i in (0, 1)))
        frozen = graph[split.frozen].data if split.frozen else None
        return KernelCall(
            "depthwise_conv2d_grad_input_dsp_s8",
            {
                "gy": Operand(node.inputs[0]),
                "gy_exponent": ExponentOf(node.inputs[0]),
                "w_frozen": Blob(tap_words(frozen[0][order])) if frozen is not None else None,
                "w_live": fields.operand(split.live),
                "fold": Blob(np.broadcast_to(fold, (gx[3],)).astype(np.int16)),
                "scratch": Scratch(),
                **fields.error_out("gx", node.outputs[0]),
                **shape_fields(gx, gy[1:3], {"multiplier": 1}, w[1:3], node.attrs, sizes[3]),
                "block": block_of(*sizes, 4),
                "fold_exponent": exponent,
                "fold_shift": shift,
            },
        )

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        sizes = self._sizes(graph, node)
        return scratch(*sizes, block_of(*sizes, 4))

"""Error of a convolution's input on cores with the DSP extension (csrc/ops/conv2d/conv2d_grad_input_dsp.c).

Scales are folded into errors of 16 bits as the reference does, frozen weights come a second time in the order in which errors meet them.
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, Graph, Kind, Node, Shape
from kilograd.ops import fields, operator
from kilograd.ops.base import Blob, ExponentOf, KernelCall, Operand, Scratch, prod
from kilograd.ops.conv2d import Conv2DGradInput
from kilograd.ops.dsp_sums import SCRATCH_LIMIT, Tiling, tiling, weight_words
from kilograd.ops.linear import parts, weight_zero
from kilograd.ops.variant import Variant, register_variant
from kilograd.ops.windows import conv_fields

PACK = 5.3  # instructions an error


@register_variant
class Conv2DGradInputDsp(Variant):
    """Products of folded errors with frozen and learned weights into sums in memory, then rows of errors."""

    op = "conv2d_grad_input"
    name = "dsp"
    needs = frozenset({"dsp"})
    kernels = ("conv2d_grad_input_dsp_s8",)

    @staticmethod
    def _layer(node: Node) -> Conv2DGradInput:
        layer = operator(node.op)
        assert isinstance(layer, Conv2DGradInput)
        return layer

    def _shapes(self, graph: Graph, node: Node) -> tuple[Shape, Shape, Shape, int]:
        """Errors of input and output as images, the whole weight as [out, h, w, in], and how many of its input channels learn."""
        live = parts(graph, node.inputs[1], node.inputs[2]).live_count(graph)
        return (*self._layer(node)._shapes(graph, node), live)

    def _pads(self, graph: Graph, node: Node) -> bool:
        """Some input pixel lacks a window through some tap (kg_conv2d_grad_pads)."""
        w = self._shapes(graph, node)[2]
        return prod(w[1:3]) > 1 or tuple(node.attrs["stride"]) != (1, 1) or any(node.attrs["padding"])

    def _tiling(self, graph: Graph, node: Node) -> Tiling | None:
        gx, _, w, live = self._shapes(graph, node)
        errors = prod(w[:3])
        room = SCRATCH_LIMIT - (w[0] if self._pads(graph, node) else 0)
        return tiling((errors,), errors if live else 0, gx[3], 4, PACK, room)

    def fits(self, graph: Graph, node: Node) -> bool:
        gx, _, w, live = self._shapes(graph, node)
        split = parts(graph, node.inputs[1], node.inputs[2])
        if weight_zero(graph, node.inputs[1]) or node.attrs.get("transposed", False) or w[3] != gx[3]:
            return False
        if split.frozen and graph[split.frozen].kind is not Kind.CONST:
            return False
        return not (gx[3] % 4 or live % 4 or w[0] % 4) and gx[1] * gx[2] >= 4 and self._tiling(graph, node) is not None

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gx, gy, w, live = self._shapes(graph, node)
        split, cut = parts(graph, node.inputs[1], node.inputs[2]), self._tiling(graph, node)
        assert cut is not None
        fold, exponent, shift = self._layer(node).fold(graph, node)
        frozen = graph[split.frozen].data if split.frozen else None
        return KernelCall(
            "conv2d_grad_input_dsp_s8",
            {
                "gy": Operand(node.inputs[0]),
                "gy_exponent": ExponentOf(node.inputs[0]),
                "w_frozen": Blob(self._words(frozen, w)) if frozen is not None else None,
                "w_live": fields.operand(split.live),
                "fold": Blob(np.ascontiguousarray(fold.astype(np.int16).reshape(-1, 2, 2).transpose(0, 2, 1)).reshape(-1)),
                "scratch": Scratch(),
                **fields.error_out("gx", node.outputs[0]),
                **conv_fields(gx, gy, w, node.attrs, live),
                "pairs": cut.pairs,
                "block": cut.block,
                "fold_exponent": exponent,
                "fold_shift": shift,
            },
        )

    @staticmethod
    def _words(frozen: Array, w: Shape) -> Array:
        """Input channels in twos; errors in the order [k_h][k_w][out]."""
        channels = frozen.reshape(prod(w[:3]), -1).shape[1]
        return weight_words(frozen.reshape(w[0], prod(w[1:3]), channels).transpose(2, 1, 0).reshape(channels, -1))

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        w, live = self._shapes(graph, node)[2:]
        cut = self._tiling(graph, node)
        assert cut is not None
        return cut.bytes(prod(w[:3]) if live else 0) + (w[0] if self._pads(graph, node) else 0)

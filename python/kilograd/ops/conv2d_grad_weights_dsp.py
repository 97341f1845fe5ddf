"""Gradient of a convolution's weights, and their update, on cores with the DSP extension (csrc/ops/conv2d/conv2d_grad_weights_dsp.c).

Products of pairs of pixels: four output channels by a block of input channels, whose inputs are packed once for all output channels.
"""

from __future__ import annotations

from kilograd.ir.graph import Graph, Node, Shape
from kilograd.ops import operator
from kilograd.ops.base import KernelCall, Scratch, prod
from kilograd.ops.conv2d import Conv2DGradWeights
from kilograd.ops.dsp_sums import BLOCK_BYTES, SCRATCH_LIMIT, Tiling
from kilograd.ops.variant import Variant, register_variant

LEAST_PAIRS = 8  # of pixels at a time, where there are more


def scratch(cut: Tiling, pairs: int) -> int:
    """Bytes: sums, errors and the inputs of all `pairs` of pixels."""
    return cut.bytes(0) + 2 * pairs * cut.block


def tiling(pairs: int, channels: int) -> Tiling | None:
    """The largest block of input channels that leaves room for some pairs of errors."""
    for block in range(channels, 0, -4):
        left = (SCRATCH_LIMIT - scratch(Tiling(0, block), pairs)) // BLOCK_BYTES
        if left >= min(pairs, LEAST_PAIRS):
            return Tiling(min(left, pairs), block)
    return None


@register_variant
class Conv2DGradWeightsDsp(Variant):
    """Products of errors and inputs into sums in memory, then rows of updates."""

    op = "conv2d_grad_weights"
    name = "dsp"
    needs = frozenset({"dsp"})
    kernels = ("conv2d_grad_weights_dsp_s8",)

    @staticmethod
    def _shapes(graph: Graph, node: Node) -> tuple[Shape, Shape, Shape]:
        """Saved input and error as images, and the live weight as [out, h, w, in]."""
        layer = operator(node.op)
        assert isinstance(layer, Conv2DGradWeights)
        return layer._shapes(graph, node)

    def _pairs(self, graph: Graph, node: Node) -> int:
        return -(-prod(self._shapes(graph, node)[1][1:3]) // 2)

    def fits(self, graph: Graph, node: Node) -> bool:
        x, gy, w = self._shapes(graph, node)
        if node.attrs.get("transposed", False) or x[3] != w[3] or gy[3] % 4 or w[3] % 4:
            return False
        return tiling(self._pairs(graph, node), w[3]) is not None

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        cut = tiling(self._pairs(graph, node), self._shapes(graph, node)[2][3])
        assert cut is not None
        layer = operator(node.op)
        assert isinstance(layer, Conv2DGradWeights)
        fields = {**layer.lower(graph, node).fields, "scratch": Scratch(), "pairs": cut.pairs, "block": cut.block}
        return KernelCall("conv2d_grad_weights_dsp_s8", fields)

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        pairs = self._pairs(graph, node)
        cut = tiling(pairs, self._shapes(graph, node)[2][3])
        assert cut is not None
        return scratch(cut, pairs)

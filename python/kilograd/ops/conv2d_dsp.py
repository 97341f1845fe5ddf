"""conv2d for cores with the DSP extension: frozen int8 weights, tiles of two channels by four pixels or four by two
(csrc/common/dsp/gemm.h).

Inputs are multiplied by 256 when they become pairs, biases and zero point fold into one start value, gemmlowp's two roundings become one
addend and one shift. That is exact while every channel's sum stays below 2^23, which the weights tell at compile time.
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Kind, Node
from kilograd.ops import fields, operator, support
from kilograd.ops.base import Blob, KernelCall, Operand, Scratch, prod
from kilograd.ops.conv2d import Conv2D
from kilograd.ops.dsp_rounding import Rounding, Scaling, start_values, sum_range
from kilograd.ops.fixed_point import quantize_multipliers
from kilograd.ops.linear import layer_parts, weight_zero
from kilograd.ops.variant import Variant, register_variant
from kilograd.ops.windows import conv_fields

STEP = 8  # KG_GEMM_STEP
WIDE, NARROW = 4, 2  # pixels of a tile
WIDE_BYTES = 3072  # of pairs: longer sums take the narrow tile


def padded(count: int) -> int:
    """Inputs rounded up to whole steps."""
    return -(-count // STEP) * STEP


def stream(weights: Array, start: Array, scales: Array, channels: int) -> Array:
    """uint8: groups of `channels` output channels. weights int8 [out, inputs], inputs in windows' order."""
    out, inputs = weights.shape
    groups, width = out // channels, padded(inputs)
    w = np.zeros((out, width), np.int8)
    w[:, :inputs] = weights
    # four inputs make the pairs (0, 2), (1, 3); a word has [c0 k0, c1 k0, c0 k1, c1 k1]
    fours = w.reshape(groups, channels // 2, 2, width // 4, 2, 2)  # group, couple, channel, four, k, pair
    words = fours.transpose(0, 3, 5, 1, 4, 2).reshape(groups, -1)  # group, four, pair, couple, k, channel
    head = (start * 256).astype(np.int32).reshape(groups, channels)
    parts = [head.view(np.uint8).reshape(groups, -1), words.view(np.uint8), scales.reshape(groups, -1).view(np.uint8).reshape(groups, -1)]
    return np.concatenate(parts, axis=1).reshape(-1)


@register_variant
class Conv2DDsp(Variant):
    """Tiles of a matrix product with SMLAD."""

    op = "conv2d"
    name = "dsp"
    needs = frozenset({"dsp"})
    kernels = ("conv2d_dsp_s8",)

    @staticmethod
    def _tile(inputs: int) -> int:
        return WIDE if 2 * WIDE * padded(inputs) <= WIDE_BYTES else NARROW

    @staticmethod
    def _multipliers(graph: Graph, node: Node) -> tuple[Array, Array]:
        layer = operator(node.op)
        assert isinstance(layer, Conv2D)
        return quantize_multipliers(layer.multipliers(graph, node))

    def _operands(self, graph: Graph, node: Node) -> tuple[Array, Array]:
        """Weights int8 [out, inputs] and start values int64 [out]."""
        w = graph[node.inputs[1]]
        assert w.data is not None
        weights = w.data.reshape(w.shape[0], -1)
        bias = graph[node.inputs[2]].data if fields.optional(node, 2) else None
        return weights, start_values(weights, bias, graph[node.inputs[0]].q.z)

    def _settled(self, graph: Graph, node: Node) -> tuple[Rounding, Scaling | None]:
        y = graph[node.outputs[0]]
        multiplier, shift = (v.astype(np.int64) for v in self._multipliers(graph, node))
        rounding = Rounding(multiplier, shift, y.q.z, fields.activation_range(graph, y.name, node.attrs["activation"]))
        return rounding, rounding.settle(*sum_range(*self._operands(graph, node)))

    def fits(self, graph: Graph, node: Node) -> bool:
        x, w, bias = graph[node.inputs[0]], graph[node.inputs[1]], fields.optional(node, 2)
        constant = w.kind is Kind.CONST and (not bias or graph[bias].kind is Kind.CONST)
        plain = x.dtype is DType.INT8 and not layer_parts(graph, node).live and not weight_zero(graph, w.name)
        if not (plain and constant) or support.mask_name(node) or w.shape[3] != x.shape[3]:
            return False
        if w.shape[0] % (2 if self._tile(prod(w.shape[1:])) == WIDE else 4):
            return False
        return self._settled(graph, node)[1] is not None

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        weights, start = self._operands(graph, node)
        tile = self._tile(weights.shape[1])
        rounding, scaling = self._settled(graph, node)
        assert scaling is not None
        weights = np.where(scaling.constant[:, None], 0, weights).astype(np.int8)
        packed = stream(weights, np.where(scaling.constant, 0, start), scaling.words(), 8 // tile)
        return KernelCall(
            "conv2d_dsp_s8",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "stream": Blob(packed),
                "scratch": Scratch(),
                **conv_fields(x.shape, y.shape, w.shape, node.attrs),
                "tile": tile,
                "rectified": int(rounding.rectified),
                "x_zero": x.q.z,
                "y_min": rounding.limits[0],
                "y_max": rounding.limits[1],
            },
        )

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        x, w, y = (graph[t].shape for t in (*node.inputs[:2], node.outputs[0]))
        inputs = prod(w[1:])
        tile = self._tile(inputs)
        behind = tile * padded(inputs) if x[3] % 4 else x[3]
        return 2 * tile * padded(inputs) + behind + (tile * y[3] if y[1] * y[2] < tile else 0)

"""conv2d that learns, for cores with the DSP extension: learned weights and biases, clamp masks (csrc/ops/conv2d/conv2d_learn.c).

Biases that change have no bound that the compiler knows. A channel is scaled by SMMUL and a shift where that gives the reference's result
for all sums below 2^23 and sums beyond are clamped anyway; the few others (lost channels with multipliers next to nothing) are scaled as in
the reference.
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Kind, Node
from kilograd.ops import fields, operator, support
from kilograd.ops.base import Blob, KernelCall, Operand, Scratch, prod
from kilograd.ops.conv2d import Conv2D
from kilograd.ops.dsp_rounding import SHIFTS, SUM_LIMIT
from kilograd.ops.dsp_sums import SCRATCH_LIMIT, Tiling, tiling, weight_words
from kilograd.ops.fixed_point import quantize_multipliers, requantize
from kilograd.ops.linear import layer_parts, weight_zero
from kilograd.ops.variant import Variant, register_variant
from kilograd.ops.windows import GEOMETRY, conv_fields

PACK = 2.2  # instructions an input


def scaling(multiplier: Array, shift: Array, zero: int, limits: tuple[int, int]) -> tuple[Array, Array]:
    """(int32 [out, 3] multiplier, offset and shift as kg_sums_results takes them, bool [out]: channels that these do not suit)."""
    m, s = multiplier.astype(np.int64), shift.astype(np.int64)
    right = np.clip(-s, SHIFTS[0], SHIFTS[-1])
    ends = [requantize(np.full(m.shape, v, np.int64), m, s) + zero for v in (-SUM_LIMIT, SUM_LIMIT - 1)]
    odd = (right != -s) | (ends[0] >= limits[0]) | (ends[1] <= limits[1])
    offset = (1 << (right + 6)) + ((zero - limits[0]) << (right + 7))
    return np.stack([m, offset, right + 7], axis=1).astype(np.int32), odd


@register_variant
class Conv2DLearn(Variant):
    """Products with frozen and learned weights into sums in memory, then results and masks."""

    op = "conv2d"
    name = "learn"
    needs = frozenset({"dsp"})
    kernels = ("conv2d_learn_s8",)

    @staticmethod
    def _shape(graph: Graph, node: Node) -> tuple[tuple[int, ...], int]:
        """Shape of the whole weights, and how many of their input channels learn."""
        layer = operator(node.op)
        assert isinstance(layer, Conv2D)
        return layer.weight_shape(graph, node), layer_parts(graph, node).live_count(graph)

    def _tiling(self, graph: Graph, node: Node) -> Tiling | None:
        w, live = self._shape(graph, node)
        taps = w[1] * w[2]
        room = SCRATCH_LIMIT - (w[3] if self._pads(graph, node) else 0)
        return tiling((taps * (w[3] - live), taps * live), taps * live, w[0], 8, PACK, room, hold=True)

    @staticmethod
    def _pads(graph: Graph, node: Node) -> bool:
        """Some window reaches beyond the image (kg_conv2d_learn_pads)."""
        x, w, y = (graph[t].shape for t in (*node.inputs[:2], node.outputs[0]))
        (stride, dilation, padding), (top, _, left, _) = (node.attrs[k] for k in GEOMETRY), node.attrs["padding"]
        ends = [(y[1 + i] - 1) * stride[i] - padding[2 * i] + (w[1 + i] - 1) * dilation[i] for i in (0, 1)]
        return bool(top or left or ends[0] >= x[1] or ends[1] >= x[2])

    def fits(self, graph: Graph, node: Node) -> bool:
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]].shape
        bias = fields.optional(node, 2)
        parts = layer_parts(graph, node)
        learns = bool(parts.live or support.mask_name(node) or (bias and graph[bias].kind is not Kind.CONST))
        if not learns or x.dtype is not DType.INT8 or weight_zero(graph, w.name) or (parts.frozen and w.kind is not Kind.CONST):
            return False
        whole, live = self._shape(graph, node)
        even = whole[3] == x.shape[3] and not (x.shape[3] % 4 or live % 4 or y[3] % 8)
        return even and y[1] * y[2] >= 4 and self._tiling(graph, node) is not None

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y = graph[node.inputs[0]], graph[node.outputs[0]]
        whole, live = self._shape(graph, node)
        parts, cut, layer = layer_parts(graph, node), self._tiling(graph, node), operator(node.op)
        assert cut is not None and isinstance(layer, Conv2D)
        real = layer.multipliers(graph, node)
        limits = fields.activation_range(graph, y.name, node.attrs["activation"])
        table, odd = scaling(*quantize_multipliers(real), y.q.z, limits)
        frozen = graph[parts.frozen].data if parts.frozen else None
        return KernelCall(
            "conv2d_learn_s8",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "w_frozen": Blob(weight_words(frozen.reshape(whole[0], -1))) if frozen is not None else None,
                "w_live": fields.operand(parts.live),
                "bias": fields.operand(fields.optional(node, 2)),
                "scaling": Blob(table),
                "odd": Blob(np.flatnonzero(odd).astype(np.int32)) if odd.any() else None,
                **fields.requantization(real),
                "mask": fields.operand(support.mask_name(node)),
                "scratch": Scratch(),
                **conv_fields(x.shape, y.shape, whole, node.attrs, live),
                "odds": int(odd.sum()),
                "pairs": cut.pairs,
                "block": cut.block,
                "held": int(cut.held),
                "x_zero": x.q.z,
                "y_zero": y.q.z,
                "y_min": limits[0],
                "y_max": limits[1],
            },
        )

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        whole, live = self._shape(graph, node)
        cut = self._tiling(graph, node)
        assert cut is not None
        return cut.bytes(prod(whole[1:3]) * live) + (whole[3] if self._pads(graph, node) else 0)

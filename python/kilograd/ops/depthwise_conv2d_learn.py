"""depthwise_conv2d that learns, for cores with the DSP extension: learned weights and biases, clamp masks
(csrc/ops/depthwise_conv2d/depthwise_conv2d_learn.c). Scaled as conv2d_learn does it."""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import DType, Graph, Kind, Node, Shape
from kilograd.ops import fields, operator, support
from kilograd.ops.base import Blob, KernelCall, Operand, Scratch, prod
from kilograd.ops.conv2d_learn import scaling
from kilograd.ops.depthwise_conv2d import DepthwiseConv2D
from kilograd.ops.dsp_planes import MAX_TAPS, block_of, scratch, tap_words
from kilograd.ops.fixed_point import quantize_multipliers
from kilograd.ops.linear import layer_parts, weight_zero
from kilograd.ops.variant import Variant, register_variant
from kilograd.ops.windows import shape_fields


@register_variant
class DepthwiseConv2DLearn(Variant):
    """Windows over planes of four channels, then results and masks."""

    op = "depthwise_conv2d"
    name = "learn"
    needs = frozenset({"dsp"})
    kernels = ("depthwise_conv2d_learn_s8",)

    @staticmethod
    def _sizes(graph: Graph, node: Node) -> tuple[Shape, Shape, int, int]:
        """Images that are read and written, taps, and channels that learn."""
        x, w, y = (graph[t].shape for t in (*node.inputs[:2], node.outputs[0]))
        return x, y, prod(w[1:3]), layer_parts(graph, node).live_count(graph)

    def fits(self, graph: Graph, node: Node) -> bool:
        x, w = graph[node.inputs[0]], graph[node.inputs[1]]
        bias, split = fields.optional(node, 2), layer_parts(graph, node)
        learns = bool(split.live or support.mask_name(node) or (bias and graph[bias].kind is not Kind.CONST))
        if not learns or x.dtype is not DType.INT8 or weight_zero(graph, w.name) or (split.frozen and w.kind is not Kind.CONST):
            return False
        sizes = self._sizes(graph, node)
        if sizes[0][3] != sizes[1][3] or sizes[0][3] % 8 or sizes[3] % 4 or w.shape[2] > MAX_TAPS:
            return False
        return tuple(node.attrs["dilation"]) == (1, 1) and block_of(*sizes, 8) > 0

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, y, w = graph[node.inputs[0]], graph[node.outputs[0]], graph[node.inputs[1]].shape
        sizes, split, layer = self._sizes(graph, node), layer_parts(graph, node), operator(node.op)
        assert isinstance(layer, DepthwiseConv2D)
        real = layer.multipliers(graph, node)
        limits = fields.activation_range(graph, y.name, node.attrs["activation"])
        table, odd = scaling(*quantize_multipliers(real), y.q.z, limits)
        frozen = graph[split.frozen].data if split.frozen else None
        return KernelCall(
            "depthwise_conv2d_learn_s8",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "w_frozen": Blob(tap_words(frozen[0])) if frozen is not None else None,
                "w_live": fields.operand(split.live),
                "bias": fields.operand(fields.optional(node, 2)),
                "scaling": Blob(table),
                "odd": Blob(np.flatnonzero(odd).astype(np.int32)) if odd.any() else None,
                **fields.requantization(real),
                "mask": fields.operand(support.mask_name(node)),
                "scratch": Scratch(),
                **shape_fields(x.shape, y.shape[1:3], {"multiplier": 1}, w[1:3], node.attrs, sizes[3]),
                "odds": int(odd.sum()),
                "block": block_of(*sizes, 8),
                "x_zero": x.q.z,
                "y_zero": y.q.z,
                "y_min": limits[0],
                "y_max": limits[1],
            },
        )

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        sizes = self._sizes(graph, node)
        return scratch(*sizes, block_of(*sizes, 8))

"""conv2d for cores with the DSP extension: frozen int8 weights, tiles of two channels by four pixels (csrc/common/dsp/gemm.h).

Inputs are multiplied by 256 when they become pairs, biases and zero point fold into one start value, gemmlowp's two roundings become one
addend and one shift (ops/dsp_scaling.py). That is exact while every channel's sum stays below 2^23, which the weights tell at compile time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Shape
from kilograd.ops import fields, operator, support
from kilograd.ops.base import Blob, KernelCall, Operand, Scratch, prod
from kilograd.ops.conv2d import Conv2D
from kilograd.ops.dsp_rounding import start_values, sum_range
from kilograd.ops.dsp_scaling import Rounding, Scaling
from kilograd.ops.fixed_point import quantize_multipliers
from kilograd.ops.linear import layer_parts, weight_zero
from kilograd.ops.variant import Variant, register_variant
from kilograd.ops.windows import conv_fields

TILE = 4  # pixels
SCRATCH = 3072  # bytes that pairs, sums and lines share
MAX_WEIGHTS = 2**24
SMALLEST_CHUNK = 32


def in_order(weights: Array) -> Array:
    """int8 [out, inputs] from [out, k_h, k_w, in], as kg_conv2d_dsp_inputs says: the fours of all rows, then what is left of them."""
    out, k_h = weights.shape[:2]
    rows = weights.reshape(out, k_h, -1)
    fours = rows.shape[2] // 4 * 4
    rest = rows[:, :, fours:].transpose(0, 2, 1)
    columns = np.zeros((out, rest.shape[1], -(-k_h // 4) * 4), np.int8)
    columns[:, :, :k_h] = rest
    return np.concatenate([rows[:, :, :fours].reshape(out, -1), columns.reshape(out, -1)], axis=1)


@dataclass(frozen=True)
class Tiling:
    """How a convolution goes through the scratch memory (kg_conv2d_dsp_args)."""

    inputs: int
    tile: int
    chunk: int
    block: int  # 0: all inputs at once
    lines: int  # bytes

    @property
    def scratch(self) -> int:
        """Bytes."""
        return 2 * self.tile * self.chunk + 16 * self.block + self.lines


def _copies(x: Shape, y: Shape, w: Shape, node: Node) -> bool:
    """Some window reaches beyond the image, or has rows with gaps."""
    (sh, sw), (dh, dw), (top, _, left, _) = (node.attrs[k] for k in ("stride", "dilation", "padding"))
    bottom, right = (y[1] - 1) * sh - top + (w[1] - 1) * dh, (y[2] - 1) * sw - left + (w[2] - 1) * dw
    return bool(top > 0 or left > 0 or bottom >= x[1] or right >= x[2] or (dw > 1 and w[2] > 1))


def tiling(x: Shape, y: Shape, w: Shape, node: Node) -> Tiling:
    """The fastest way that fits the scratch memory: whole windows, parts of them, or single pixels."""
    row, pixels = w[2] * w[3], y[1] * y[2]
    inputs = w[1] * (row // 4 * 4) + row % 4 * (-(-w[1] // 4) * 4)
    line = row if _copies(x, y, w, node) else 0
    whole = Tiling(inputs, TILE, inputs, 0, TILE * line)
    if pixels < TILE:
        return Tiling(inputs, 1, inputs, 0, line)
    if whole.scratch <= SCRATCH:
        return whole
    if row % 4 or w[0] % 2:
        return Tiling(inputs, 1, inputs, 0, line)
    parts = []
    for count in range(1, w[0] // 2 + 1):
        block = -(-w[0] // (2 * count)) * 2
        room = (SCRATCH - TILE * line - 16 * block) // (2 * TILE) // 4 * 4
        if room >= SMALLEST_CHUNK:
            chunks = -(-inputs // room)
            cost = 5 * inputs * count + 20 * chunks * w[0] // 2
            parts.append((cost, Tiling(inputs, TILE, -(-inputs // (4 * chunks)) * 4, block, TILE * line)))
    return min(parts, key=lambda p: p[0])[1] if parts else Tiling(inputs, 1, inputs, 0, line)


def stream(weights: Array, start: Array, scales: Array, chunk: int, block: int) -> Array:
    """uint8: what the tiles read. weights int8 [out, inputs] in windows' order, start [out], scales int32 [out, 3]."""
    out, inputs = weights.shape
    even = out + out % 2
    weights, start, scales = (np.pad(v, [(0, even - out)] + [(0, 0)] * (v.ndim - 1)) for v in (weights, start, scales))
    # four inputs make the pairs (0, 2), (1, 3); a word has [c0 k0, c1 k0, c0 k1, c1 k1]
    fours = weights.reshape(even // 2, 2, inputs // 4, 2, 2)  # couple, channel, four, k, pair
    words = np.ascontiguousarray(fours.transpose(0, 2, 4, 3, 1).reshape(even // 2, 2 * inputs)).view(np.uint8)
    heads = (start * 256).astype(np.int32).reshape(-1, 2).view(np.uint8)
    tails = np.ascontiguousarray(scales.reshape(-1, 6)).view(np.uint8)
    parts = []
    for first in range(0, even // 2, block // 2 or even):
        couples = slice(first, first + (block // 2 or even))
        for k in range(0, inputs, chunk):
            some = [heads[couples]] if k == 0 else []
            some.append(words[couples, 2 * k : 2 * (k + chunk)])
            some += [tails[couples]] if k + chunk >= inputs else []
            parts.append(np.concatenate(some, axis=1).reshape(-1))
    return np.concatenate(parts)


@register_variant
class Conv2DDsp(Variant):
    """Tiles of a matrix product with SMLAD."""

    op = "conv2d"
    name = "dsp"
    needs = frozenset({"dsp"})
    kernels = ("conv2d_dsp_s8",)

    @staticmethod
    def _tiling(graph: Graph, node: Node) -> Tiling:
        x, w, y = (graph[t].shape for t in (*node.inputs[:2], node.outputs[0]))
        return tiling(x, y, w, node)

    def _operands(self, graph: Graph, node: Node) -> tuple[Array, Array]:
        """Weights int8 [out, inputs] and start values int64 [out]."""
        w = graph[node.inputs[1]]
        assert w.data is not None
        weights = in_order(w.data)
        bias = graph[node.inputs[2]].data if fields.optional(node, 2) else None
        return weights, start_values(weights, bias, graph[node.inputs[0]].q.z)

    def _settled(self, graph: Graph, node: Node) -> tuple[Rounding, Scaling | None]:
        layer, y = operator(node.op), graph[node.outputs[0]]
        assert isinstance(layer, Conv2D)
        multiplier, shift = (v.astype(np.int64) for v in quantize_multipliers(layer.multipliers(graph, node)))
        rounding = Rounding(multiplier, shift, y.q.z, fields.activation_range(graph, y.name, node.attrs["activation"]))
        return rounding, rounding.settle(*sum_range(*self._operands(graph, node)))

    def fits(self, graph: Graph, node: Node) -> bool:
        x, w, bias = graph[node.inputs[0]], graph[node.inputs[1]], fields.optional(node, 2)
        constant = w.kind is Kind.CONST and (not bias or graph[bias].kind is Kind.CONST)
        plain = x.dtype is DType.INT8 and not layer_parts(graph, node).live and not weight_zero(graph, w.name)
        if not (plain and constant) or support.mask_name(node) or w.shape[3] != x.shape[3] or node.attrs.get("transposed", False):
            return False
        t = self._tiling(graph, node)
        if prod(w.shape[1:]) > 2**15 or w.shape[0] * t.inputs > MAX_WEIGHTS:
            return False
        return self._settled(graph, node)[1] is not None

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        weights, start = self._operands(graph, node)
        t = self._tiling(graph, node)
        rounding, scaling = self._settled(graph, node)
        assert scaling is not None
        weights = np.where(scaling.constant[:, None], 0, weights).astype(np.int8)
        packed = stream(weights, np.where(scaling.constant, 0, start), scaling.words, t.chunk, t.block)
        return KernelCall(
            "conv2d_dsp_s8",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "stream": Blob(packed),
                "scratch": Scratch(),
                **conv_fields(x.shape, y.shape, w.shape, node.attrs),
                "tile": t.tile,
                "form": scaling.form,
                "chunk": t.chunk,
                "block": t.block,
                "x_zero": x.q.z,
                "y_min": rounding.limits[0],
                "y_max": rounding.limits[1],
            },
        )

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        return self._tiling(graph, node).scratch

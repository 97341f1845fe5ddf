"""depthwise_conv2d for cores with the DSP extension: frozen int8 weights, four channels at a time, each expanded into a plane of pairs
(csrc/common/dsp/depthwise.h).

The input's zero point stands in the borders and is folded into a start value; sums are scaled as in dsp_rounding. 3x3 windows keep all
weights in registers; there weights take as many bits of fraction as give the shift that needs no instruction of its own, or, for large
sums, as fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Kind, Node
from kilograd.ops import fields, operator, support
from kilograd.ops.base import Blob, KernelCall, Operand, Scratch
from kilograd.ops.depthwise_conv2d import DepthwiseConv2D
from kilograd.ops.dsp_rounding import Rounding, Scaling, start_values, sum_range
from kilograd.ops.fixed_point import quantize_multipliers
from kilograd.ops.linear import layer_parts, weight_zero
from kilograd.ops.variant import Variant, register_variant
from kilograd.ops.windows import shape_fields

CHANNELS = 4  # KG_DEPTHWISE_CHANNELS
MAX_TAPS = 7  # KG_DEPTHWISE_MAX_TAPS
LIKED_SHIFT = 10  # KG_DEPTHWISE_SHIFT
FRACTION = range(2, 9)  # bits of weights below one that the two roundings need, and that int16 have room for
LARGEST_SHIFT = 23  # results of 8 bits, shifted, stay within 31 bits
MAX_SCRATCH = 3072


def window_strips(k_h: int, stride: int) -> int:
    """Strips of two rows that a window reaches into; with an odd stride some windows start in a strip's lower row."""
    return (k_h + 1 + stride % 2) // 2


@dataclass(frozen=True)
class Shape:
    """Rows and columns as the kernel takes them: heights stand first, unless they are swapped."""

    out: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]

    def swap(self) -> Shape:
        """Columns for rows."""
        (h, w), (k_h, k_w), (s_h, s_w) = self.out, self.kernel, self.stride
        return Shape((w, h), (k_w, k_h), (s_w, s_h))

    def columns(self, cols: int) -> int:
        """Of a plane, for so many results."""
        return (cols - 1) * self.stride[1] + (self.kernel[1] | 1)

    def strips(self, rows: int) -> int:
        """For so many rows of results."""
        return (rows - 1) * self.stride[0] // 2 + window_strips(self.kernel[0], self.stride[0])

    def scratch(self, rows: int, cols: int) -> int:
        """Bytes of planes, and of pairs of weights."""
        return 4 * CHANNELS * self.columns(cols) * self.strips(rows) + -(-self.words() // 4) * 32

    def words(self) -> int:
        """Of packed weights, where they do not stay in registers."""
        return window_strips(self.kernel[0], self.stride[0]) * (self.kernel[1] // 2 + 1) * (1 + self.stride[0] % 2)

    def instructions(self, rows: int, cols: int) -> int:
        """About what a channel takes for so many results, from planes to results."""
        taps = self.kernel[1] | 1
        if self.kernel == (3, 3) and self.stride == (1, 1):
            return 33 + rows // 2 * (24 * cols + 7 * (cols % 2) + 19) + rows % 2 * (17 * cols + 5 * (cols % 2) + 19)
        if self.kernel == (3, 3) and self.stride == (2, 2):
            return 33 + rows * (15 * cols + 7 * (cols % 4 > 1) + 6 * (cols % 2) + 24)
        strip = [n * taps + ((n - 1) * self.stride[1] + taps + 1) // 2 + 5 for n in (1, 2, 4)]
        tiles, depth = [cols % 2, cols // 2 % 2, cols // 4], window_strips(self.kernel[0], self.stride[0])
        per_row = 30 + sum(count * (depth * strip[i] + 26 + 5 * 2**i) for i, count in enumerate(tiles))
        return 50 + 13 * -(-self.words() // 4) + rows * per_row


@dataclass(frozen=True)
class Blocks:
    """How many results are computed from one filling of the planes, and which way round."""

    shape: Shape
    swapped: bool
    rows: int
    cols: int

    @property
    def scratch(self) -> int:
        """Bytes."""
        return self.shape.scratch(self.rows, self.cols)

    def instructions(self) -> int:
        """About what a channel takes."""
        total, shape = 0, self.shape
        for first_col in range(0, shape.out[1], self.cols):
            cols = min(self.cols, shape.out[1] - first_col)
            moved = max(window_strips(shape.kernel[0], shape.stride[0]) - shape.stride[0] / 2, 0)
            total += round(shape.strips(shape.out[0]) * (6 * shape.columns(cols) + 20) / 4)
            for first_row in range(0, shape.out[0], self.rows):
                total += shape.instructions(min(self.rows, shape.out[0] - first_row), cols) + 40
                total += round(1.25 * moved * shape.columns(cols)) if first_row else 0
        return total


def split(shape: Shape, swapped: bool) -> list[Blocks]:
    """Every number of columns that fits, with as many rows as fit."""
    if shape.kernel[1] > MAX_TAPS or shape.stride[1] > 2:
        return []
    out, step = shape.out, 1 if shape.stride[0] % 2 == 0 else 2
    least, found = min(step, out[0]), []
    for cols in (*range(4, out[1], 4), out[1]):
        if shape.scratch(least, cols) <= MAX_SCRATCH:
            rows = max(r for r in (*range(least, out[0], step), out[0]) if shape.scratch(r, cols) <= MAX_SCRATCH)
            turns = -(-out[0] // rows)
            even = min(-(-out[0] // (turns * step)) * step, rows)  # blocks of much the same size
            found.append(Blocks(shape, swapped, even, cols))
    return found


def choose_blocks(shape: Shape) -> Blocks | None:
    """The way round and the blocks that take least; None where nothing fits."""
    return min(split(shape, False) + split(shape.swap(), True), key=Blocks.instructions, default=None)


def pairs(upper: Array, lower: Array) -> Array:
    """Words of two int16."""
    return ((upper & 0xFFFF) | (lower & 0xFFFF) << 16).astype(np.uint32)


@dataclass(frozen=True)
class Fractions:
    """Scaling of 3x3 windows: weights and start values times 2^fraction, int64 [c]."""

    fraction: Array
    scaling: Scaling


def settle_fractions(rounding: Rounding, low: Array, high: Array) -> Fractions | None:
    """Any fraction of 2 to 8 bits is exact while shift and sum have room: floor((t + 2^(n-2) + 2^(s+n-2)) / 2^(s+n-1)) with
    t = floor(2^n sum m / 2^32) (see Rounding.scaling, where n = 8)."""
    right, size = -rounding.shift, np.maximum(np.abs(low), np.abs(high))
    found = np.zeros(right.shape, np.int64)
    candidates = [LIKED_SHIFT + 1 - right, *(np.full(right.shape, n) for n in reversed(FRACTION))]
    for n in candidates:
        fits = (n >= FRACTION[0]) & (n <= FRACTION[-1]) & (right >= 1) & (right + n - 1 <= LARGEST_SHIFT)
        fits &= size < np.int64(1) << (31 - np.clip(n, 0, 31))
        found = np.where((found == 0) & fits, n, found)
    n, exact = np.where(found, found, 8), found > 0
    shift = np.clip(right, 1, LARGEST_SHIFT) + n - 1
    offset = (np.int64(1) << (shift - 1)) + (rounding.zero << shift) + (1 << (n - 2))
    multiplier, constant = rounding.multiplier, np.zeros(right.shape, bool)
    if not exact.all():
        rest = Rounding(multiplier[~exact], rounding.shift[~exact], rounding.zero, rounding.limits).settle(low[~exact], high[~exact])
        if rest is None:
            return None
        multiplier = multiplier.copy()
        multiplier[~exact], offset[~exact], shift[~exact], constant[~exact] = rest.multiplier, rest.offset, rest.shift, rest.constant
    return Fractions(n, Scaling(multiplier, offset, shift, constant))


def whole_records(weights: Array, start: Array, f: Fractions) -> Array:
    """uint32 [c, 10] for 3x3 windows; weights int8 [c, 3, 3]."""
    w = weights.astype(np.int64) << f.fraction[:, None, None]
    columns = np.stack([pairs(w[:, 0], w[:, 1]), pairs(w[:, 1], w[:, 2])], axis=2).reshape(-1, 6)
    head = (start << f.fraction).astype(np.int32)[:, None]
    return np.concatenate([columns, head.view(np.uint32), f.scaling.words().view(np.uint32)], axis=1)


def weight_sets(weights: Array, stride: int) -> Array:
    """uint32 [c, words]: two columns a word, for windows that start in an upper row, then for those that start in a lower one."""
    count, k_h, k_w = weights.shape
    strips, width = window_strips(k_h, stride), (k_w | 1) + 1
    sets = []
    for first in range(1 + stride % 2):
        w = np.zeros((count, 2 * strips, width), np.int8)
        w[:, first : first + k_h, :k_w] = weights
        words = w.reshape(count, strips, 2, width // 2, 2).transpose(0, 1, 3, 2, 4)  # channel, strip, word, row, column
        sets.append(np.ascontiguousarray(words).reshape(count, -1).view(np.uint32))
    return np.concatenate(sets, axis=1)


def records(weights: Array, start: Array, s: Scaling, stride: int) -> Array:
    """uint32 [c, words] for windows of any height."""
    scaling = np.concatenate([start[:, None].astype(np.int32), s.words()], axis=1)
    return np.concatenate([weight_sets(weights, stride), scaling.view(np.uint32)], axis=1)


@register_variant
class DepthwiseConv2DDsp(Variant):
    """Planes of pairs with SMLAD."""

    op = "depthwise_conv2d"
    name = "dsp"
    needs = frozenset({"dsp"})
    kernels = ("depthwise_conv2d_dsp_s8", "depthwise_conv2d_dsp3x3_s8")

    @staticmethod
    def _operands(graph: Graph, node: Node) -> tuple[Array, Array]:
        """Weights int8 [c, k_h, k_w] and start values int64 [c]."""
        w = graph[node.inputs[1]]
        assert w.data is not None
        weights = w.data[0].transpose(2, 0, 1)
        bias = graph[node.inputs[2]].data if fields.optional(node, 2) else None
        return weights, start_values(weights.reshape(weights.shape[0], -1), bias, graph[node.inputs[0]].q.z)

    @staticmethod
    def _rounding(graph: Graph, node: Node) -> Rounding:
        layer, y = operator(node.op), graph[node.outputs[0]]
        assert isinstance(layer, DepthwiseConv2D)
        multiplier, shift = (v.astype(np.int64) for v in quantize_multipliers(layer.multipliers(graph, node)))
        return Rounding(multiplier, shift, y.q.z, fields.activation_range(graph, y.name, node.attrs["activation"]))

    def _settled(self, graph: Graph, node: Node) -> Fractions | Scaling | None:
        """How sums are scaled; fractions where all weights of a window stay in registers."""
        weights, start = self._operands(graph, node)
        rounding, (low, high) = self._rounding(graph, node), sum_range(weights.reshape(weights.shape[0], -1), start)
        if weights.shape[1:] == (3, 3) and node.attrs["stride"] in ((1, 1), (2, 2)) and rounding.rectified:
            return settle_fractions(rounding, low, high)
        return rounding.settle(low, high)

    @staticmethod
    def _blocks(graph: Graph, node: Node) -> Blocks | None:
        (_, h, w, _), (_, k_h, k_w, _) = graph[node.outputs[0]].shape, graph[node.inputs[1]].shape
        return choose_blocks(Shape((h, w), (k_h, k_w), node.attrs["stride"]))

    def fits(self, graph: Graph, node: Node) -> bool:
        x, w, bias = graph[node.inputs[0]], graph[node.inputs[1]], fields.optional(node, 2)
        constant = w.kind is Kind.CONST and (not bias or graph[bias].kind is Kind.CONST)
        plain = x.dtype is DType.INT8 and not layer_parts(graph, node).live and not weight_zero(graph, w.name)
        if not (plain and constant) or support.mask_name(node) or w.shape[3] != x.shape[3] or x.shape[3] < CHANNELS:
            return False
        if node.attrs["dilation"] != (1, 1) or self._blocks(graph, node) is None:
            return False
        return self._settled(graph, node) is not None

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        weights, start = self._operands(graph, node)
        rounding, blocks = self._rounding(graph, node), self._blocks(graph, node)
        settled = self._settled(graph, node)
        assert settled is not None and blocks is not None
        constant = settled.scaling.constant if isinstance(settled, Fractions) else settled.constant
        weights, start = np.where(constant[:, None, None], 0, weights).astype(np.int8), np.where(constant, 0, start)
        if blocks.swapped:
            weights = weights.transpose(0, 2, 1)
        if isinstance(settled, Fractions):
            packed = whole_records(weights, start, settled)
        else:
            packed = records(weights, start, settled, blocks.shape.stride[0])
        return KernelCall(
            self.kernels[isinstance(settled, Fractions)],
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "stream": Blob(packed),
                "scratch": Scratch(),
                **shape_fields(x.shape, y.shape[1:3], {"multiplier": 1}, w.shape[1:3], node.attrs, 0),
                "swapped": int(blocks.swapped),
                "block_h": blocks.rows,
                "block_w": blocks.cols,
                "whole": int(isinstance(settled, Fractions)),
                "rectified": int(rounding.rectified),
                "x_zero": x.q.z,
                "y_min": rounding.limits[0],
                "y_max": rounding.limits[1],
            },
        )

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        blocks = self._blocks(graph, node)
        assert blocks is not None
        return blocks.scratch

"""conv2d for cores with the DSP extension: frozen int8 weights, tiles of two channels by four pixels or four by two
(csrc/common/dsp/gemm.h).

Inputs are multiplied by 256 when they become pairs, biases and zero point fold into one start value, gemmlowp's two roundings become one
addend and one shift. That is exact while every channel's sum stays below 2^23, which the weights tell at compile time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Kind, Node
from kilograd.ops import fields, operator, support
from kilograd.ops.base import Blob, KernelCall, Operand, Scratch, prod
from kilograd.ops.conv2d import Conv2D
from kilograd.ops.fixed_point import quantize_multipliers, requantize
from kilograd.ops.linear import layer_parts, weight_zero
from kilograd.ops.variant import Variant, register_variant
from kilograd.ops.windows import conv_fields

STEP = 8  # KG_GEMM_STEP
WIDE, NARROW = 4, 2  # pixels of a tile
WIDE_BYTES = 3072  # of pairs: longer sums take the narrow tile
SUM_LIMIT = 2**23
SHIFTS = range(1, 16)  # right shifts; with 7 bits of fraction and 8 of a zero point all stay within 31 bits


def padded(count: int) -> int:
    """Inputs rounded up to whole steps."""
    return -(-count // STEP) * STEP


def start_values(weights: Array, bias: Array | None, x_zero: int) -> Array:
    """Bias with the zero point of the input folded in, int64 [out]; weights [out, inputs]."""
    folded: Array = (0 if bias is None else bias.astype(np.int64)) - x_zero * weights.astype(np.int64).sum(axis=1)
    return folded


def sum_range(weights: Array, start: Array) -> tuple[Array, Array]:
    """Smallest and largest sum of each channel over all int8 inputs."""
    w = weights.astype(np.int64)
    up, down = np.maximum(w, 0).sum(axis=1), np.minimum(w, 0).sum(axis=1)
    return start - 128 * up + 127 * down, start + 127 * up - 128 * down


@dataclass(frozen=True)
class Scaling:
    """How sums become results, channel by channel: int64 [out] each. Channels whose result never changes have constant weights of 0."""

    multiplier: Array
    offset: Array
    shift: Array
    constant: Array  # bool

    def words(self) -> Array:
        """int32 [out, 3], as the streams hold them."""
        return np.stack([self.multiplier, self.offset, self.shift], axis=1).astype(np.int32)


@dataclass(frozen=True)
class Rounding:
    """The reference's way from a sum to a result, for one layer. `multiplier` and `shift` int64 [out], as kg_requantize takes them."""

    multiplier: Array
    shift: Array
    zero: int
    limits: tuple[int, int]

    @property
    def rectified(self) -> bool:
        """Nothing below the zero point is wanted."""
        return self.limits[0] >= self.zero

    def exact(self, sums: Array) -> Array:
        """Results for one sum a channel, as the reference computes them."""
        return np.clip(requantize(sums, self.multiplier, self.shift) + self.zero, *self.limits)

    def tiled(self, sums: Array, s: Scaling) -> Array:
        """The same as the tiles compute them (common/dsp/gemm.h)."""
        t = ((256 * sums * s.multiplier) >> 32) + (0 if self.rectified else 64)
        t = t + s.offset - (0 if self.rectified else np.where(t < 0, 128, 0))
        return np.clip(np.clip(t >> s.shift, -128, 127), *self.limits)

    def scaling(self, right: Array, multiplier: Array) -> Scaling:
        """With t = floor(256 sum m / 2^32): round(round(sum m / 2^31) / 2^s) = floor((t + 64 + 2^(s+6)) / 2^(s+7)) for positive values;
        halves of negative ones go down by one more unit of the first rounding, 128."""
        offset = (1 << (right + 6)) + (self.zero << (right + 7)) + (64 if self.rectified else 0)
        return Scaling(multiplier, offset, right + 7, np.zeros(right.shape, bool))

    def settle(self, low: Array, high: Array) -> Scaling | None:
        """Scaling with the bits of the reference for all sums in low..high, None where some channel has none.

        Channels that models have lost (huge biases, multipliers next to nothing) mostly give one result, whatever comes in. Shifts beyond
        the largest are taken with fewer bits of the multiplier; that this changes no result is proved step by step of the result.
        """
        right = np.clip(-self.shift, SHIFTS[0], SHIFTS[-1])
        excess = -self.shift - right
        found = self.scaling(right, np.where(excess > 0, rounded_shift(self.multiplier, excess), self.multiplier))
        inside = (low > -SUM_LIMIT) & (high < SUM_LIMIT)
        whole = (low >= -(2**31)) & (high < 2**31)
        first, last = self.exact(low), self.exact(high)
        constant = whole & (first == last) & ~(inside & (excess == 0))
        settled = constant | (inside & (excess == 0))
        if not settled.all():
            settled |= inside & (excess > 0) & self._steps_agree(low, high, found)
        if not settled.all():
            return None
        one = np.where(constant, 7, found.shift)
        offset = np.where(constant, first << 7, found.offset)
        return Scaling(np.where(constant, 0, found.multiplier), offset, one, constant)

    def _steps_agree(self, low: Array, high: Array, s: Scaling) -> Array:
        """True for channels in which both ways step from each result to the next at the same sum (both rise with the sum)."""
        agree = np.asarray((self.exact(low) == self.tiled(low, s)) & (self.exact(high) == self.tiled(high, s)))
        for value in range(int(self.exact(low).min()) + 1, int(self.exact(high).max()) + 1):
            below, above = low.copy(), high.copy()  # exact(below) < value <= exact(above), where there is such a step
            there = (self.exact(low) < value) & (self.exact(high) >= value)
            while (above - below > 1)[there].any():
                middle = (below + above) >> 1
                reached = self.exact(middle) >= value
                below, above = np.where(reached, below, middle), np.where(reached, middle, above)
            agree &= ~there | ((self.tiled(below, s) < value) & (self.tiled(above, s) >= value))
        return agree


def rounded_shift(value: Array, shift: Array) -> Array:
    """Value / 2^shift to the nearest."""
    up = np.maximum(shift, 1)
    return np.where(shift > 0, (value + (np.int64(1) << (up - 1))) >> up, value)


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

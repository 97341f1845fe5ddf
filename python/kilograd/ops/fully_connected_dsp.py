"""fully_connected for cores with the DSP extension: frozen int8 weights, four features at a time (csrc/common/dsp/fc4.h).

The input's zero point is folded into the biases; the single rounding becomes SMMLA, one addend and a shift, which is exact while the
multiplier is below 1/4 and the addend fits 32 bits.
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Kind, Node
from kilograd.ops import fields, operator, support
from kilograd.ops.base import Blob, KernelCall, Operand, Scratch, prod
from kilograd.ops.fixed_point import quantize_multipliers
from kilograd.ops.fully_connected import FullyConnected
from kilograd.ops.linear import layer_parts, weight_zero
from kilograd.ops.variant import Variant, register_variant

STEP = 16  # KG_FC4_STEP
LARGEST_SHIFT = 23  # zero points of 8 bits, shifted, and the rounding stay within 31 bits


def padded(count: int) -> int:
    """Inputs rounded up to whole steps."""
    return -(-count // STEP) * STEP


def rounding(multiplier: Array, shift: Array, zero: int) -> tuple[Array, Array, Array]:
    """(multiplier, addend, right shift) of clamp((smmla(acc, multiplier, addend)) >> shift) for a result with zero point `zero`.

    floor((a m + 2^(30 + s)) / 2^(31 + s)) = floor((floor(a m / 2^32) + 2^(s - 2)) / 2^(s - 1)), s = -shift >= 2: nested floors.
    """
    right = -shift.astype(np.int64) - 1
    return multiplier, (1 << (right - 1)) + (zero << right), right


def stream(weights: Array, bias: Array, multiplier: Array, shift: Array, x_zero: int, y_zero: int) -> Array:
    """uint8: groups of four features as kg_fc4_s8 reads them. weights int8 [out, in], bias int64 [out]."""
    out, features = weights.shape
    groups, width = -(-out // 4), padded(features)
    w = np.zeros((4 * groups, width), np.int8)
    w[:out, :features] = weights
    tail = np.zeros((4 * groups, 3), np.int64)
    tail[:out] = np.stack(rounding(multiplier, shift, y_zero), axis=1)
    folded = np.zeros(4 * groups, np.int64)
    folded[:out] = bias - x_zero * weights.astype(np.int64).sum(axis=1)
    head = folded.astype(np.uint64).astype(np.uint32).view(np.int32).reshape(groups, 4)
    words = w.reshape(groups, 4, width // 4, 4).transpose(0, 2, 1, 3).reshape(groups, -1)
    parts = [head.view(np.uint8).reshape(groups, -1), words.view(np.uint8), tail.astype(np.int32).reshape(groups, 12).view(np.uint8)]
    return np.concatenate(parts, axis=1).reshape(-1)


@register_variant
class FullyConnectedDsp(Variant):
    """Four features at a time with SMLAD."""

    op = "fully_connected"
    name = "dsp"
    needs = frozenset({"dsp"})
    kernels = ("fully_connected_dsp_s8",)

    def fits(self, graph: Graph, node: Node) -> bool:
        x, w, bias = graph[node.inputs[0]], graph[node.inputs[1]], fields.optional(node, 2)
        constant = w.kind is Kind.CONST and (not bias or graph[bias].kind is Kind.CONST)
        plain = x.dtype is DType.INT8 and not layer_parts(graph, node).live and not weight_zero(graph, w.name)
        if not (plain and constant) or support.mask_name(node):
            return False
        _, shift = self._multipliers(graph, node)
        return bool((shift <= -2).all() and (shift >= -LARGEST_SHIFT).all())

    @staticmethod
    def _multipliers(graph: Graph, node: Node) -> tuple[Array, Array]:
        layer = operator(node.op)
        assert isinstance(layer, FullyConnected)
        return quantize_multipliers(layer.multipliers(graph, node))

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
        out, features = w.shape
        bias = graph[node.inputs[2]].data if fields.optional(node, 2) else None
        assert w.data is not None
        packed = stream(
            w.data, np.zeros(out, np.int64) if bias is None else bias.astype(np.int64), *self._multipliers(graph, node), x.q.z, y.q.z
        )
        lo, hi = fields.activation_range(graph, y.name, node.attrs["activation"])
        return KernelCall(
            "fully_connected_dsp_s8",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "stream": Blob(packed),
                "scratch": Scratch(),
                "rows": prod(x.shape) // features,
                "in": features,
                "out": out,
                "y_min": lo,
                "y_max": hi,
            },
        )

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        return 2 * padded(graph[node.inputs[1]].shape[1])

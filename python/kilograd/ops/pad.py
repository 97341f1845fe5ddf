"""Padding with a constant or by mirroring.

Operand: x. Attributes: padding, one (before, after) an axis; mode, 'constant' (default), 'reflect' (the border element is not repeated) or
'symmetric' (it is); value, the stored constant (default: the zero point, real 0), real_value in a float model.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops.base import TensorType, register
from kilograd.ops.strided_copy import Move, MoveOperator, strides

MODES = ("constant", "reflect", "symmetric")
Part = tuple[int, int, int, int]  # count, first in x, step in x (1 or -1), first in y


@register
class Pad(MoveOperator):
    """y = x inside, a constant or mirrored elements around it."""

    name = "pad"
    tflite = ("PAD", "PADV2", "MIRROR_PAD")
    onnx = ("Pad",)
    whole_input = "mirrored rows come from elsewhere"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, padding = graph[node.inputs[0]], node.attrs["padding"]
        mode = node.attrs.get("mode", "constant")
        if len(padding) != len(x.shape) or any(b < 0 or a < 0 for b, a in padding):
            raise GraphError(f"pad '{node.name}': padding {padding} does not fit shape {list(x.shape)} (two counts from 0 for each axis)")
        if mode not in MODES:
            raise GraphError(f"pad '{node.name}': mode '{mode}' is not known; there are {', '.join(MODES)}")
        less = 1 if mode == "reflect" else 0
        if mode != "constant" and any(max(p) > d - less for p, d in zip(padding, x.shape, strict=True)):
            raise GraphError(f"pad '{node.name}': {list(x.shape)} has too few elements to be mirrored by {padding}")
        if mode == "constant" and x.dtype is not DType.FLOAT32:
            limits = np.iinfo(x.dtype.numpy)
            if not limits.min <= self._value(graph, node) <= limits.max:
                raise GraphError(f"pad '{node.name}': constant {self._value(graph, node)} is no {x.dtype.value}")
        return self.moved(graph, node, tuple(d + b + a for d, (b, a) in zip(x.shape, padding, strict=True)))

    @staticmethod
    def _value(graph: Graph, node: Node) -> float:
        x, value = graph[node.inputs[0]], node.attrs.get("value")
        if x.dtype is DType.FLOAT32:
            return float(node.attrs.get("real_value", 0.0))
        return (x.quant.z if x.quant is not None else 0) if value is None else int(value)

    def compute(self, graph: Graph, node: Node, inputs: list[Array]) -> Array:
        mode, padding = node.attrs.get("mode", "constant"), node.attrs["padding"]
        if mode == "constant":
            return np.pad(inputs[0], padding, constant_values=self._value(graph, node))
        return np.pad(inputs[0], padding, mode=mode)

    def background(self, graph: Graph, node: Node) -> Array | None:
        if node.attrs.get("mode", "constant") != "constant" or not np.any(node.attrs["padding"]):
            return None
        return np.array(self._value(graph, node), graph[node.inputs[0]].dtype.numpy)

    def moves(self, graph: Graph, node: Node) -> list[Move]:
        x, mode = graph[node.inputs[0]].shape, node.attrs.get("mode", "constant")
        per_axis: list[list[Part]] = []
        for d, (before, after) in zip(x, node.attrs["padding"], strict=True):
            parts = [(d, 0, 1, before)]
            if mode != "constant":
                skip = 1 if mode == "reflect" else 0
                parts += [(before, before - 1 + skip, -1, 0)] if before else []
                parts += [(after, d - 1 - skip, -1, before + d)] if after else []
            per_axis.append(parts)
        sx, sy = strides(x), strides(graph[node.outputs[0]].shape)
        return [self._move(parts, sx, sy) for parts in product(*per_axis)]

    @staticmethod
    def _move(parts: tuple[Part, ...], sx: tuple[int, ...], sy: tuple[int, ...]) -> Move:
        steps = tuple(p[2] * s for p, s in zip(parts, sx, strict=True))
        offsets = (sum(p[k] * s for p, s in zip(parts, ss, strict=True)) for k, ss in ((1, sx), (3, sy)))
        return Move(tuple(p[0] for p in parts), steps, sy, *offsets)

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        x = graph[node.inputs[0]]
        if len(x.shape) != 4 or node.attrs.get("mode", "constant") != "constant":
            return None
        top = node.attrs["padding"][1][0]
        return max(0, first - top), min(x.shape[1] - 1, last - top)

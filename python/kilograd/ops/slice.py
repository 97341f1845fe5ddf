"""Part of a tensor: every step-th element from a first one on along each axis, also backwards.

slice: operand x; attributes begin, step (may be negative) and size, one number an axis; shape, that of the result where axes of size 1 are
dropped or added. Reversal, the parts of a split and the slices of an unpacked tensor are slices too.
channel_slice: the first `channels` of the last axis (what the backward pass saves of a partly learning layer's input).
"""

from __future__ import annotations

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Node
from kilograd.ops.base import TensorType, prod, register
from kilograd.ops.strided_copy import Move, MoveOperator, strides


@register
class Slice(MoveOperator):
    """y[i, j, ..] = x[begin_0 + i * step_0, begin_1 + j * step_1, ..]."""

    name = "slice"
    tflite = ("SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "UNPACK", "REVERSE_V2")
    onnx = ("Slice", "Split")
    whole_input = "rows are left out, reversed or no longer rows"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, (begin, step, size) = graph[node.inputs[0]], self._parts(node)
        if not len(begin) == len(step) == len(size) == len(x.shape):
            raise GraphError(f"slice '{node.name}': begin {begin}, step {step} and size {size} do not fit shape {list(x.shape)}")
        for b, s, n, d in zip(begin, step, size, x.shape, strict=True):
            if n < 1 or s == 0 or not 0 <= b < d or not 0 <= b + (n - 1) * s < d:
                raise GraphError(f"slice '{node.name}': {n} elements from {b} on by {s} are not all in an axis of {d} of {list(x.shape)}")
        shape = tuple(node.attrs.get("shape", size))
        if prod(shape) != prod(size):
            raise GraphError(f"slice '{node.name}': {list(size)} elements do not make the shape {list(shape)}")
        return self.moved(graph, node, shape)

    @staticmethod
    def _parts(node: Node) -> tuple[list[int], list[int], list[int]]:
        begin = [int(v) for v in node.attrs["begin"]]
        return begin, [int(v) for v in node.attrs.get("step", [1] * len(begin))], [int(v) for v in node.attrs["size"]]

    def compute(self, graph: Graph, node: Node, inputs: list[Array]) -> Array:
        ranges = [b + np.arange(n) * s for b, s, n in zip(*self._parts(node), strict=True)]
        return inputs[0][np.ix_(*ranges)].reshape(graph[node.outputs[0]].shape)

    def moves(self, graph: Graph, node: Node) -> list[Move]:
        x, (begin, step, size) = strides(graph[node.inputs[0]].shape), self._parts(node)
        offset = sum(b * d for b, d in zip(begin, x, strict=True))
        return [Move(tuple(size), tuple(s * d for s, d in zip(step, x, strict=True)), strides(tuple(size)), offset)]

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        begin, step, _ = self._parts(node)
        if len(begin) != 4 or len(graph[node.outputs[0]].shape) != 4 or step[1] < 0 or "shape" in node.attrs:
            return None
        return begin[1] + first * step[1], begin[1] + last * step[1]


@register
class ChannelSlice(MoveOperator):
    """y = x[.., :channels], saved for the backward pass. Attribute: channels (default: what the result has)."""

    name = "channel_slice"
    internal = True
    no_gradient = "it only saves a value for the backward pass"

    @staticmethod
    def _channels(graph: Graph, node: Node) -> int:
        return int(node.attrs.get("channels", graph[node.outputs[0]].shape[-1]))

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, n = graph[node.inputs[0]], self._channels(graph, node)
        if not 1 <= n <= x.shape[-1]:
            raise GraphError(f"channel_slice '{node.name}': {n} channels are not in {list(x.shape)}")
        return self.moved(graph, node, (*x.shape[:-1], n))

    def compute(self, graph: Graph, node: Node, inputs: list[Array]) -> Array:
        return inputs[0][..., : self._channels(graph, node)]

    def moves(self, graph: Graph, node: Node) -> list[Move]:
        x, y = graph[node.inputs[0]].shape, graph[node.outputs[0]].shape
        return [Move(y, strides(x), strides(y))]

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        return first, last

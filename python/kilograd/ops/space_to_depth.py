"""Blocks of pixels into channels, and channels back into blocks. Operand: x [batch][height][width][channels]. Attribute: block.

depth_to_space has the attribute mode: 'DCR' (default: the block is the outer part of a channel's index, as TensorFlow Lite and ONNX by
default have it) or 'CRD' (the inner part).
"""

from __future__ import annotations

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Node, Shape
from kilograd.ops.base import TensorType, register
from kilograd.ops.strided_copy import Move, MoveOperator, strides


def check(graph: Graph, node: Node) -> tuple[Shape, int]:
    """Shape of the operand and size of a block."""
    x, block = graph[node.inputs[0]].shape, int(node.attrs["block"])
    if len(x) != 4 or block < 1:
        raise GraphError(f"{node.op} '{node.name}': shape {list(x)} and blocks of {block} do not fit; rank 4 and at least 1 are needed")
    return x, block


@register
class SpaceToDepth(MoveOperator):
    """y[b, i, j, (p * block + q) * channels + c] = x[b, i * block + p, j * block + q, c]."""

    name = "space_to_depth"
    tflite = ("SPACE_TO_DEPTH",)
    onnx = ("SpaceToDepth",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        (n, h, w, c), k = check(graph, node)
        if h % k or w % k:
            raise GraphError(f"space_to_depth '{node.name}': {h} x {w} pixels are not whole blocks of {k}")
        return self.moved(graph, node, (n, h // k, w // k, c * k * k))

    def compute(self, graph: Graph, node: Node, inputs: list[Array]) -> Array:
        (n, h, w, c), k = check(graph, node)
        blocks = inputs[0].reshape(n, h // k, k, w // k, k, c).transpose(0, 1, 3, 2, 4, 5)
        return blocks.reshape(n, h // k, w // k, c * k * k)

    def moves(self, graph: Graph, node: Node) -> list[Move]:
        (n, h, w, c), k = check(graph, node)
        sizes = (n * h // k, w // k, k, k, c)
        return [Move(sizes, (k * w * c, k * c, w * c, c, 1), strides(sizes))]

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        k = int(node.attrs["block"])
        return first * k, last * k + k - 1


@register
class DepthToSpace(MoveOperator):
    """y[b, i * block + p, j * block + q, c] = x[b, i, j, (p * block + q) * channels + c]."""

    name = "depth_to_space"
    tflite = ("DEPTH_TO_SPACE",)
    onnx = ("DepthToSpace",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        (n, h, w, c), k = check(graph, node)
        if c % (k * k) or node.attrs.get("mode", "DCR") not in ("DCR", "CRD"):
            raise GraphError(f"depth_to_space '{node.name}': {c} channels are not whole blocks of {k} x {k}, or the mode is unknown")
        return self.moved(graph, node, (n, h * k, w * k, c // (k * k)))

    def compute(self, graph: Graph, node: Node, inputs: list[Array]) -> Array:
        (n, h, w, c), k = check(graph, node)
        c //= k * k
        if node.attrs.get("mode", "DCR") == "DCR":
            blocks = inputs[0].reshape(n, h, w, k, k, c).transpose(0, 1, 3, 2, 4, 5)
        else:
            blocks = inputs[0].reshape(n, h, w, c, k, k).transpose(0, 1, 4, 2, 5, 3)
        return blocks.reshape(n, h * k, w * k, c)

    def moves(self, graph: Graph, node: Node) -> list[Move]:
        (n, h, w, c), k = check(graph, node)
        last = c // (k * k)
        p, q, channel = (k * last, last, 1) if node.attrs.get("mode", "DCR") == "DCR" else (k, 1, k * k)
        sizes = (n * h, k, w, k, last)
        return [Move(sizes, (w * c, p, c, q, channel), strides(sizes))]

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        k = int(node.attrs["block"])
        return first // k, last // k

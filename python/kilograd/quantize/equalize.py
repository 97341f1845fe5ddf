"""Cross-layer equalisation: channels scaled between two layers, which computes the same and quantizes better.

Where a layer's channels (after relu or no activation at all) go to one other layer alone, channel c may leave the first layer k_c times as
large if the second divides by k_c. 'weights' (Nagel 2019) makes both layers' weight ranges of a channel equal. 'activations' makes the
channels of the activation between them, which has one scale for all, fill their range, weighed against the weights of the second layer.
Channels below a relu6 are raised only as far as they stay below 6 on the calibration samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from kilograd.ir.graph import Array, Graph, Node
from kilograd.quantize.config import Equalize
from kilograd.quantize.observe import Statistics
from kilograd.quantize.prepare import along_channels, constant, only_reader, set_constant, weighted

ROUNDS = 10
LIMIT = 32.0  # of the factor of one channel, up or down
CEILING = 6.0 * 0.95
#: operators that treat channels (the last axis) one by one and let a positive factor through
CHANNELWISE = ("average_pool2d", "max_pool2d", "pad", "mean", "reshape", "relu")


@dataclass(frozen=True)
class Pair:
    """Two layers, the activation that the first gives, and which activation function lies between."""

    first: Node
    second: Node
    tensor: str
    activation: str


def pairs(graph: Graph) -> Iterator[Pair]:
    """All pairs of layers between which channels can be scaled."""
    for first in graph.nodes:
        if not weighted(graph, first) or first.attrs.get("activation", "none") not in ("none", "relu", "relu6"):
            continue
        channels, tensor = graph[first.outputs[0]].shape[-1], first.outputs[0]
        reader = only_reader(graph, tensor)
        while reader is not None and _passes(graph, reader, channels):
            reader = only_reader(graph, reader.outputs[0])
        if reader is not None and weighted(graph, reader) and reader.inputs[0] != reader.inputs[1] and _fits(graph, reader, channels):
            yield Pair(first, reader, first.outputs[0], first.attrs.get("activation", "none"))


def _passes(graph: Graph, node: Node, channels: int) -> bool:
    x, y = graph[node.inputs[0]].shape, graph[node.outputs[0]].shape
    if node.op not in CHANNELWISE or node.attrs.get("activation", "none") != "none" or node.attrs.get("real_value", 0.0) != 0.0:
        return False
    if node.op == "mean" and len(x) - 1 in {a % len(x) for a in node.attrs["axes"]}:
        return False
    if node.op == "reshape":
        return y[-1] % channels == 0
    return y[-1] == x[-1]


def _fits(graph: Graph, node: Node, channels: int) -> bool:
    """True when the weights of the second layer can be divided channel by channel."""
    w = graph[node.inputs[1]].shape
    if node.op == "fully_connected":
        return w[1] % channels == 0
    return node.op == "conv2d" and w[3] == channels or node.op == "depthwise_conv2d" and w[3] % channels == 0


def input_channels(node: Node, weights: Array, channels: int) -> Array:
    """The weights of the second layer as [channels, all that reads the channel]."""
    if node.op == "fully_connected":
        return weights.reshape(len(weights), -1, channels).transpose(2, 0, 1).reshape(channels, -1)
    if node.op == "depthwise_conv2d":
        return weights.reshape(-1, channels, weights.shape[3] // channels).transpose(1, 0, 2).reshape(channels, -1)
    return weights.reshape(-1, channels).T


def divided(node: Node, weights: Array, factor: Array) -> Array:
    """Weights of the second layer that undo the factors of its input channels."""
    if node.op == "fully_connected":
        return weights / np.tile(factor, weights.shape[1] // len(factor))
    return weights / np.repeat(factor, weights.shape[3] // len(factor))


def equalize(graph: Graph, how: Equalize, seen: Mapping[str, Statistics], dense_per_channel: bool = False, real_data: bool = True) -> Graph:
    """The graph with scaled channels; `seen` are the statistics of its activations.

    Without real data nobody knows which channels stay below a relu6, so those are left alone.
    """
    out = graph.copy()
    total: dict[str, Array] = {}
    for _ in range(ROUNDS if how == "weights" else 1):
        largest = 0.0
        for pair in [p for p in pairs(out) if real_data or p.activation != "relu6"]:
            before = total.get(pair.tensor, np.ones(out[pair.tensor].shape[-1]))
            factor = _factor(out, pair, how, seen[pair.tensor], before, dense_per_channel)
            _scale(out, pair, factor)
            total[pair.tensor] = before * factor
            largest = max(largest, float(np.abs(np.log(factor)).max()))
        if largest < 1e-2:
            break
    out.drop_unused()
    return out


def _factor(graph: Graph, pair: Pair, how: Equalize, s: Statistics, before: Array, dense_per_channel: bool) -> Array:
    """What the channels of the activation are multiplied by; `before`: what they have been multiplied by already."""
    channels = graph[pair.tensor].shape[-1]
    width = np.maximum(np.abs(s.channel_high), np.abs(s.channel_low)).astype(np.float64) * before
    second = np.abs(input_channels(pair.second, constant(graph, pair.second.inputs[1]), channels)).max(axis=1)
    if how == "weights":
        w = constant(graph, pair.first.inputs[1])
        axis = int(np.argmax(along_channels(pair.first, w, np.ones(channels)).shape)) if channels > 1 else 0
        first = np.abs(w).max(axis=tuple(i for i in range(w.ndim) if i != axis)).reshape(-1)
        first = np.broadcast_to(first, (channels,))
        useful = (first > 0) & (second > 0)
        factor = np.where(useful, np.sqrt(np.where(useful, second, 1) / np.where(useful, first, 1)), 1.0)
        middle = np.exp(np.mean(np.log(factor[useful]))) if useful.any() else 1.0
        factor = np.where(useful, factor / middle, 1.0)
    else:
        useful = (width > 1e-3 * width.max(initial=0.0)) & (second > 0)
        gain = np.where(useful, width.max(initial=1e-30) / np.where(useful, width, 1), 1.0)
        if pair.second.op == "depthwise_conv2d":  # its weights have a scale for each channel
            factor = gain
        else:
            factor = np.maximum(np.sqrt(gain * np.where(useful, second, 1) / max(float(second.max(initial=0.0)), 1e-30)), 1.0)
        factor = np.where(useful, factor, 1.0)
        if pair.first.op == "fully_connected" and not dense_per_channel:  # one scale for all rows: none may outgrow the largest
            rows = np.abs(constant(graph, pair.first.inputs[1])).max(axis=1)
            factor = np.minimum(factor, np.maximum(rows.max(initial=0.0) / np.maximum(rows, 1e-30), 1.0))
    factor = np.clip(factor, 1 / LIMIT, LIMIT)
    if pair.activation == "relu6":  # a channel that is clamped at 6 stays as it is; others stay below
        factor = np.where(width >= CEILING, 1.0, np.clip(factor, None, CEILING / np.maximum(width, 1e-6)))
        factor = np.maximum(factor, 1.0)
    return factor


def _scale(graph: Graph, pair: Pair, factor: Array) -> None:
    first, second = pair.first, pair.second
    w = constant(graph, first.inputs[1])
    set_constant(graph, first, 1, w * along_channels(first, w, factor), first.inputs[1])
    if len(first.inputs) > 2 and first.inputs[2]:
        set_constant(graph, first, 2, constant(graph, first.inputs[2]) * factor, first.inputs[2])
    set_constant(graph, second, 1, divided(second, constant(graph, second.inputs[1]), factor), second.inputs[1])
    _note(graph, first, "out", factor)
    _note(graph, second, "in", factor)
    promised = graph.meta.get("batch_norm", {})
    if pair.tensor in promised:
        mean, deviation = promised[pair.tensor]
        graph.meta["batch_norm"] = {**promised, pair.tensor: (mean * factor, deviation * factor)}


def _note(graph: Graph, layer: Node, side: str, factor: Array) -> None:
    """`graph.meta["equalized"]`: what a layer's output channels were multiplied by, and its input channels divided by, in all."""
    known = graph.meta.get("equalized", {})
    entry = known.get(layer.name, {})
    total = np.asarray(entry.get(side, np.ones(len(factor)))) * factor
    graph.meta["equalized"] = {**known, layer.name: {**entry, side: total.tolist()}}

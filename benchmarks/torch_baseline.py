"""Float fine-tuning in PyTorch, tensor for tensor what an update scheme trains: what the integer training is compared with.

The network is the dequantized form of an int8 graph: float weights and biases, activations clamped to the range that their int8 form can
hold, no rounding anywhere. Nothing before the first layer that learns changes, so its results are computed once an image (`FloatNet.cache`)
and only the rest, the tail, is run at every step. Batch 1, plain SGD, no momentum, no weight decay, no augmentation.

    accuracy = fine_tune(graph, "schemes.json:mcunet-5fps/49kb", classes, dataset, order, config)

does everything; the pieces, to measure more with:

    net = FloatNet(graph, resolve(parse_scheme(scheme), graph), classes)
    train_cache, test_cache = net.cache(x_train), net.cache(x_test)
    train(net, train_cache, y_train, order, rate(config))
    accuracy = evaluate(net, test_cache, y_test)

Needs numpy and torch; the graph comes from any kilograd frontend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kilograd.data import Dataset
from kilograd.errors import SchemeError, UnsupportedOperator
from kilograd.ir.graph import Graph, Node
from kilograd.ops.fields import activation_range, optional
from kilograd.train.config import TrainConfig
from kilograd.train.scheme import Selection, layers, parse_scheme, resolve

Cache = dict[str, Tensor]
Images = npt.NDArray[np.int8]
Labels = npt.NDArray[Any]
Order = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

CONVOLUTIONS = ("conv2d", "depthwise_conv2d")
LINEAR = (*CONVOLUTIONS, "fully_connected")
AVERAGES = ("average_pool2d", "avg_pool2d")
#: operators that change shapes only
SHAPES = ("reshape", "squeeze", "expand_dims")
#: operators after the classifier that the loss brings along itself
AFTER_HEAD = (*SHAPES, "softmax", "log_softmax", "dequantize")


def weight_in_real_numbers(graph: Graph, name: str) -> Reals:
    """A weight tensor, dequantized, in its own layout."""
    t = graph[name]
    if t.data is None:
        raise UnsupportedOperator(f"the weights '{name}' are computed, not constant")
    shape = [1] * len(t.shape)
    if t.q.axis is not None:
        shape[t.q.axis] = -1
    scale, zero = t.q.scale.astype(np.float64).reshape(shape), t.q.zero_point.astype(np.float64).reshape(shape)
    return np.asarray((t.data.astype(np.float64) - zero) * scale, np.float64)


def clamp_range(graph: Graph, tensor: str, activation: str = "none") -> tuple[float, float]:
    """Real numbers that the int8 tensor can hold after the activation."""
    q = graph[tensor].q
    low, high = activation_range(graph, tensor, activation)
    return (low - q.z) * q.s, (high - q.z) * q.s


def _live(array: Reals, axis: int, k: int) -> tuple[nn.Parameter | None, Tensor | None]:
    """Split along `axis` into the first k slices, which learn, and the rest."""
    whole = torch.tensor(array, dtype=torch.float32)
    size = whole.shape[axis]
    live = nn.Parameter(whole.narrow(axis, 0, k).clone()) if k else None
    frozen = whole.narrow(axis, k, size - k).clone() if k < size else None
    return live, frozen


def flat(x: Tensor) -> Tensor:
    """Features [n, f] in the order of the graph, whose images are NHWC (those here are NCHW)."""
    return (x.permute(0, 2, 3, 1) if x.dim() == 4 else x).flatten(1)


class Linear(nn.Module):
    """Convolution, depthwise convolution or fully connected layer with a clamped result.

    Weights are [out, in, k, k], [channels, 1, k, k] or [out, in]; the part that learns is a parameter of its own.
    """

    def __init__(self, graph: Graph, node: Node, live_channels: int, learn_bias: bool) -> None:
        super().__init__()
        x, w = graph[node.inputs[0]], graph[node.inputs[1]]
        real = weight_in_real_numbers(graph, w.name)
        self.depthwise = node.op == "depthwise_conv2d"
        self.spatial = node.op in CONVOLUTIONS
        if self.depthwise:
            real = real.transpose(3, 0, 1, 2)  # 1,kh,kw,c -> c,1,kh,kw
        elif self.spatial:
            real = real.transpose(0, 3, 1, 2)  # o,kh,kw,i -> o,i,kh,kw
        self.axis = 0 if self.depthwise else 1
        if not 0 <= live_channels <= real.shape[self.axis]:
            raise SchemeError(f"layer '{node.name}' has {real.shape[self.axis]} input channels, the scheme wants {live_channels}")
        live, frozen = _live(np.ascontiguousarray(real), self.axis, live_channels)
        self.weight = live
        self.frozen_weight: Tensor | None
        self.register_buffer("frozen_weight", frozen)
        bias = np.zeros(real.shape[0])
        name = optional(node, 2)
        if name:
            data = graph[name].data
            if data is None:
                raise UnsupportedOperator(f"the bias '{name}' is computed, not constant")
            bias = data.astype(np.float64) * (float(x.q.s) * w.q.scale.astype(np.float64))
        self.bias = nn.Parameter(torch.tensor(bias, dtype=torch.float32), requires_grad=learn_bias)
        self.stride: tuple[int, int] = tuple(node.attrs.get("stride", (1, 1)))
        self.dilation: tuple[int, int] = tuple(node.attrs.get("dilation", (1, 1)))
        self.padding: tuple[int, int, int, int] = tuple(node.attrs.get("padding", (0, 0, 0, 0)))
        self.low, self.high = clamp_range(graph, node.outputs[0], node.attrs.get("activation", "none"))

    def whole_weight(self) -> Tensor:
        """Both parts in one piece."""
        parts: list[Tensor] = [p for p in (self.weight, self.frozen_weight) if p is not None]
        return torch.cat(parts, self.axis) if len(parts) > 1 else parts[0]

    def forward(self, x: Tensor) -> Tensor:
        weight = self.whole_weight()
        if not self.spatial:
            return F.linear(flat(x), weight, self.bias).clamp(self.low, self.high)
        top, bottom, left, right = self.padding
        if (top, left) == (bottom, right):
            pad = (top, left)
        else:
            x, pad = F.pad(x, (left, right, top, bottom)), (0, 0)
        groups = x.shape[1] if self.depthwise else 1
        return F.conv2d(x, weight, self.bias, self.stride, pad, self.dilation, groups).clamp(self.low, self.high)


class Head(nn.Module):
    """The new classifier: zero weights, zero biases, logits that nothing clamps."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, features))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(flat(x), self.weight, self.bias)


class FloatNet(nn.Module):
    """An int8 graph in real numbers, its last layer replaced by a new head of `classes` outputs that always learns."""

    def __init__(self, graph: Graph, selection: Selection, classes: int) -> None:
        super().__init__()
        self.graph, self.selection = graph, selection
        head = _head(graph)
        self.nodes = graph.nodes[: graph.index(head)]
        for node in self.nodes:
            if node.op in LINEAR:
                layer = Linear(graph, node, selection.weights.get(node.name, 0), node.name in selection.biases)
                self.add_module(_key(node), layer)
        self.feature = self._through_shapes(head.inputs[0])
        self.head = Head(math.prod(graph[head.inputs[0]].shape[1:]), classes)
        self.prefix, self.tail, self.boundary = self._split()

    def _through_shapes(self, tensor: str) -> str:
        node = self.graph.producer(tensor)
        return self._through_shapes(node.inputs[0]) if node is not None and node.op in SHAPES else tensor

    def _split(self) -> tuple[list[Node], list[Node], list[str]]:
        """Nodes that depend on nothing that learns, the others, and the results of the former that the latter read."""
        learning, changing = {*self.selection.biases, *self.selection.weights}, set[str]()
        prefix: list[Node] = []
        tail: list[Node] = []
        for node in self.nodes:
            moves = node.name in learning or any(t in changing for t in node.reads())
            changing.update(node.writes() if moves else ())
            (tail if moves else prefix).append(node)
        made = {t for node in tail for t in node.writes()}
        read = [t for node in tail for t in activations(self.graph, node)] + [self.feature]
        boundary = list(dict.fromkeys(t for t in read if t not in made))
        return _needed(prefix, boundary), tail, boundary

    def _run(self, nodes: Iterable[Node], values: Cache) -> Cache:
        for node in nodes:
            values[node.outputs[0]] = self._result(node, values)
        return values

    def _result(self, node: Node, values: Cache) -> Tensor:
        x = values[node.inputs[0]]
        if node.op in LINEAR:
            result: Tensor = self.get_submodule(_key(node))(x)
            return result
        if node.op == "add":
            low, high = clamp_range(self.graph, node.outputs[0], node.attrs.get("activation", "none"))
            return (x + values[node.inputs[1]]).clamp(low, high)
        if node.op == "pad":
            _, (top, bottom), (left, right), _ = node.attrs["padding"]
            return F.pad(x, (left, right, top, bottom))
        if node.op in AVERAGES:
            return self._average(node, x)
        if node.op == "mean" and tuple(node.attrs["axes"]) == (1, 2):
            return x.mean((2, 3), keepdim=bool(node.attrs["keep_dims"]))
        if node.op in SHAPES:
            return x
        raise UnsupportedOperator(f"the float baseline has no operator '{node.op}' (layer '{node.name}')")

    def _average(self, node: Node, x: Tensor) -> Tensor:
        if any(node.attrs["padding"]):
            raise UnsupportedOperator(f"the float baseline has no padded average pool (layer '{node.name}')")
        low, high = clamp_range(self.graph, node.outputs[0], node.attrs.get("activation", "none"))
        return F.avg_pool2d(x, tuple(node.attrs["filter"]), tuple(node.attrs["stride"])).clamp(low, high)

    @torch.no_grad()
    def cache(self, images: Images, batch: int = 16) -> Cache:
        """Results of the frozen part for int8 images [n, h, w, c]: one tensor for each name in `boundary`."""
        name = self.graph.inputs[0]
        q = self.graph[name].q
        parts: dict[str, list[Tensor]] = {t: [] for t in self.boundary}
        for i in range(0, len(images), batch):
            x = torch.from_numpy(np.ascontiguousarray(images[i : i + batch].transpose(0, 3, 1, 2))).float()
            values = self._run(self.prefix, {name: (x - q.z) * q.s})
            for t in self.boundary:
                parts[t].append(values[t])
        return {t: torch.cat(p) for t, p in parts.items()}

    def forward(self, values: Cache) -> Tensor:
        """Logits from a batch of cached results."""
        logits: Tensor = self.head(self._run(self.tail, dict(values))[self.feature])
        return logits


def _key(node: Node) -> str:
    return "layer_" + node.name.replace(".", "_").replace("/", "_")


def _head(graph: Graph) -> Node:
    """The last layer; nothing but shapes and softmax may follow it."""
    found = layers(graph)
    after = graph.nodes[graph.index(found[-1]) + 1 :] if found else []
    if not found or any(node.op not in AFTER_HEAD for node in after):
        raise UnsupportedOperator(f"graph '{graph.name}' does not end in a linear classifier")
    return found[-1]


def _needed(nodes: Sequence[Node], wanted: Sequence[str]) -> list[Node]:
    """Those of `nodes` whose results are needed for `wanted`."""
    want, kept = set(wanted), list[Node]()
    for node in reversed(nodes):
        if want.intersection(node.outputs):
            want.update(node.reads())
            kept.append(node)
    return kept[::-1]


def activations(graph: Graph, node: Node) -> list[str]:
    """Operands that are computed (or fed), not constants."""
    return [t for t in node.reads() if graph[t].data is None]


def rate(config: TrainConfig) -> Callable[[int], float]:
    """Learning rate of step t = 1, 2, ...: linear from 0 over the warm-up steps, then constant or falling to 0 at the last step."""
    lr, warmup, total = config.learning_rate, config.warmup_steps, config.total_steps

    def at(t: int) -> float:
        if t <= warmup:
            return lr * t / warmup
        if config.schedule == "constant":
            return lr
        u = min(1.0, (t - warmup) / max(1, total - warmup))
        return lr * (1.0 - u if config.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * u)))

    return at


def train(net: FloatNet, cache: Cache, labels: Labels, order: Order, rate: Callable[[int], float]) -> float:
    """Train in place, one sample a step; the mean loss of the last tenth of the steps."""
    targets = torch.from_numpy(np.asarray(labels, np.int64))
    parameters = [p for p in net.parameters() if p.requires_grad]
    losses: list[float] = []
    net.train()
    for t, index in enumerate(order.tolist(), 1):
        logits = net({name: values[index : index + 1] for name, values in cache.items()})
        loss = F.cross_entropy(logits, targets[index : index + 1])
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for p, g in zip(parameters, gradients, strict=True):
                p.sub_(g, alpha=rate(t))
        losses.append(loss.item())
    return float(np.mean(losses[-max(1, len(losses) // 10) :]))


@torch.no_grad()
def evaluate(net: FloatNet, cache: Cache, labels: Labels, batch: int = 50) -> float:
    """Share of samples classified rightly, 0..1."""
    net.eval()
    right = 0
    for i in range(0, len(labels), batch):
        logits = net({name: values[i : i + batch] for name, values in cache.items()})
        right += int((logits.argmax(1).numpy() == labels[i : i + batch]).sum())
    return right / len(labels)


def fine_tune(graph: Graph, scheme: str, classes: int, data: Dataset, order: Order, config: TrainConfig) -> float:
    """Train what `scheme` (as the command line takes it) says, on the samples of `order`; test accuracy, 0..1."""
    torch.set_num_threads(1)  # at batch 1 the layers are too small to share
    net = FloatNet(graph, resolve(parse_scheme(scheme), graph), classes)
    train(net, net.cache(data.x_train), data.y_train, order, rate(config))
    return evaluate(net, net.cache(data.x_test), data.y_test)

"""A net that passes its gradient through every operator without weights: the compiled plan learns in C as the graph does in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from kilograd.ir.graph import DType, Graph, Node, QuantParams, Tensor
from kilograd.ops import operator
from kilograd.train.autodiff import training_graph
from kilograd.train.config import TrainConfig
from kilograd.train.scheme import Scheme
from tests.train.nets import NetBuilder
from tests.train.test_simulated import assert_same_training

UNIT = QuantParams.per_tensor(1 / 256, -128)


def layer(n: NetBuilder, name: str, op: str, inputs: list[str], attrs: dict[str, Any], quant: QuantParams | None = None) -> str:
    """Append a node; its result has the quantization of the first operand unless another is given."""
    graph = n.graph
    graph.add(Tensor(name, (), DType.INT8, quant=quant or graph[inputs[0]].q))
    node = Node(op, inputs, [name], attrs, name)
    graph.set(name, shape=operator(op).infer(graph, node)[0].shape)
    graph.nodes.append(node)
    graph.outputs = [name]
    return name


def net() -> Graph:
    """Convolution, then all the rest, then a dense layer."""
    n = NetBuilder((1, 6, 6, 3))
    stem = n.conv("stem", "x", 6, k=3, activation="none")
    s = n.graph[stem].q.s
    pool = {"filter": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0)}
    high = layer(n, "max", "max_pool2d", [stem], {**pool, "activation": "relu6"})
    low = layer(n, "average", "average_pool2d", [stem], {**pool, "activation": "none"})
    wide = layer(n, "joined", "concatenation", [high, low], {"axis": 3})
    wide = layer(n, "padded", "pad", [wide], {"padding": [[0, 0], [1, 0], [0, 1], [0, 0]]})
    finer = layer(n, "finer", "quantize", [wide], {}, QuantParams.per_tensor(s * 0.7, 5))
    bent = layer(n, "bent", "relu", [finer], {}, QuantParams.per_tensor(s * 0.8, -128))
    bent = layer(n, "capped", "relu6", [bent], {}, QuantParams.per_tensor(s * 0.6, -128))
    gate = layer(n, "gate", "logistic", [wide], {}, UNIT)
    share = layer(n, "share", "softmax", [bent], {"beta": 2.0}, UNIT)
    both = layer(n, "both", "concatenation", [gate, share], {"axis": 3}, UNIT)
    turned = layer(n, "turned", "transpose", [both], {"permutation": (0, 3, 1, 2)})
    mean = layer(n, "mean", "mean", [turned], {"axes": (2,), "keep_dims": False}, QuantParams.per_tensor(1 / 200, -120))
    flat = layer(n, "flat", "reshape", [mean], {"shape": (1, n.graph[mean].size)})
    rng = np.random.default_rng(3)
    n.real[flat] = (rng.integers(-128, 128, (4, n.graph[flat].size)) + 120) / 200
    n.dense("head", flat, 4)
    return n.graph


def test_training_step() -> None:
    graph, rng = net(), np.random.default_rng(0)
    ops = {n.op for n in training_graph(graph, Scheme(everything=True), TrainConfig()).nodes}
    gradients = {
        "average_pool2d_grad", "max_pool2d_grad", "mean_grad", "softmax_grad", "lut_grad", "clamp_grad", "grad_sum", "strided_copy",
    }  # fmt: skip
    assert gradients <= ops, f"the backward pass lacks {sorted(gradients - ops)}"
    samples = [(rng.integers(-128, 128, (1, 6, 6, 3)).astype(np.int8), np.array([i % 4], np.int32)) for i in range(12)]
    assert_same_training(graph, Scheme(everything=True), TrainConfig(learning_rate=0.1, exponent_start=-15), samples)


def moved() -> Graph:
    """The operators that move elements and give images another size, between a convolution and a dense layer."""
    n = NetBuilder((1, 6, 6, 3))
    stem = n.conv("stem", "x", 4, k=3, activation="none")
    deep = layer(n, "deep", "space_to_depth", [stem], {"block": 2})
    flat = layer(n, "undone", "depth_to_space", [deep], {"block": 2})
    border = layer(n, "mirrored", "pad", [flat], {"padding": [[0, 0], [1, 1], [0, 2], [0, 0]], "mode": "reflect"})
    small = layer(n, "small", "resize_bilinear", [border], {"height": 4, "width": 3, "half_pixel_centers": True})
    large = layer(n, "large", "resize_nearest_neighbor", [small], {"height": 5, "width": 4})
    taken = layer(n, "taken", "gather", [large], {"axis": 2, "indices": [3, 0, 3]})
    part = layer(n, "part", "slice", [taken], {"begin": [0, 4, 0, 0], "step": [1, -2, 1, 1], "size": [1, 2, 3, 4]})
    many = layer(n, "many", "tile", [part], {"multiples": (1, 1, 2, 1)})
    both = layer(n, "both", "concatenation", [many, many], {"axis": 1, "stack": True})
    flat = layer(n, "flat", "reshape", [both], {"shape": (1, n.graph[both].size)})
    q = n.graph[flat].q
    n.real[flat] = (np.random.default_rng(3).integers(-128, 128, (4, n.graph[flat].size)) - q.z) * q.s
    n.dense("head", flat, 4)
    return n.graph


def test_training_step_of_moves() -> None:
    graph, rng = moved(), np.random.default_rng(0)
    ops = {n.op for n in training_graph(graph, Scheme(everything=True), TrainConfig()).nodes}
    assert {"strided_copy", "strided_sum", "gather_grad", "resize_bilinear_grad", "grad_sum"} <= ops
    samples = [(rng.integers(-128, 128, (1, 6, 6, 3)).astype(np.int8), np.array([i % 4], np.int32)) for i in range(12)]
    assert_same_training(graph, Scheme(everything=True), TrainConfig(learning_rate=0.1, exponent_start=-15), samples)

"""The assembly of conv2d for cores with the DSP extension, on such cores: a plan of many random convolutions gives the simulator's bits."""

from __future__ import annotations

import numpy as np
import pytest

import kilograd as kg
from kilograd.device.bench import bench
from kilograd.errors import GraphError
from kilograd.ir.graph import DType, Graph, Node, Tensor
from kilograd.ops import operator
from tests.firmware.plans import need
from tests.ops.nodes import Bench, activation_quant

COUNT = 60
#: height and width, channels in and out, kernel, stride, padding, dilation: every path of the kernel at least once
FIXED = [
    ((8, 8), 3, 8, (3, 3), (2, 2), (0, 1, 0, 1), (1, 1)), ((6, 6), 16, 7, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
    ((4, 4), 64, 6, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)), ((3, 3), 480, 10, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
    ((1, 1), 320, 5, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)), ((9, 5), 1, 4, (10, 4), (2, 2), (4, 5, 1, 1), (1, 1)),
    ((3, 5), 128, 4, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)), ((7, 7), 2, 3, (3, 3), (1, 1), (2, 2, 2, 2), (2, 2)),
    ((3, 3), 340, 170, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)), ((5, 5), 49, 2, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
]  # fmt: skip


def _random(
    rng: np.random.Generator,
) -> tuple[tuple[int, ...], int, int, tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    def pair(low: int, high: int) -> tuple[int, int]:
        return int(rng.integers(low, high)), int(rng.integers(low, high))

    padding = (*pair(0, 3), *pair(0, 3))
    return pair(1, 9), int(rng.choice([1, 2, 3, 4, 8, 12, 16, 24])), int(rng.integers(1, 12)), pair(1, 4), pair(1, 3), padding, pair(1, 3)


def many(seed: int) -> Graph:
    """A graph of convolutions that have nothing to do with each other, with and without activations."""
    rng, b, nodes = np.random.default_rng(seed), Bench(seed), 0
    g = b.graph
    while nodes < COUNT:
        hw, in_c, out, kernel, stride, padding, dilation = FIXED[nodes] if nodes < len(FIXED) else _random(rng)
        zero = int(rng.choice([-128, 0, 4]))
        x = b.int8(f"x{nodes}", (1, *hw, in_c), quant=activation_quant(0.04, zero))
        w = b.weights(f"w{nodes}", (out, *kernel, in_c), 0, bool(rng.integers(2)))
        bias = b.bias(f"b{nodes}", out, 20000)
        attrs = {"stride": stride, "dilation": dilation, "padding": padding, "activation": ["none", "relu", "relu6"][int(rng.integers(3))]}
        y = f"y{nodes}"
        g.add(Tensor(y, (1, 1, 1, out), DType.INT8, quant=activation_quant(float(rng.choice([0.02, 0.05, 0.5])), zero)))
        node = Node("conv2d", [x, w, bias], [y], attrs, f"conv{nodes}")
        try:
            shape = operator("conv2d").infer(g, node)[0].shape
        except GraphError:
            shape = (0,)
        if min(shape) < 1:
            for name in (x, w, bias, y):
                del g.tensors[name]
            continue
        g.set(y, shape=shape)
        g.nodes.append(node)
        g.inputs.append(x)
        g.outputs.append(y)
        nodes += 1
    return g


@pytest.mark.parametrize(("name", "seed"), [("mps2-an386", 1), ("mps2-an500", 2), ("mps2-an505", 3), ("mps2-an386", 4)])
def test_many_random_convolutions(name: str, seed: int) -> None:
    board = need(name)
    plan = kg.compile(many(seed), target=board.core, optimize=False)
    assert {c.kernel for c in plan.calls} == {"conv2d_dsp_s8"}
    result = bench(plan, board, samples=3)
    assert result["bit_exact"], result["difference"]

"""Assembly of depthwise_conv2d on emulated cores: many random layers in one plan give the bits of the simulator."""

from __future__ import annotations

import os

import numpy as np
import pytest

import kilograd as kg
from kilograd.device.bench import bench
from tests.firmware.plans import need
from tests.ops.nodes import Bench
from tests.ops.test_depthwise_conv2d_dsp import DSP, layer

KERNELS = [(3, 3)] * 6 + [(5, 5), (7, 7), (3, 5), (1, 3), (5, 1), (2, 2), (4, 6), (1, 7), (9, 1)]
LAYERS = 24
SEED = int(os.environ.get("KG_SHAPES_SEED", "0"))  # other shapes than always


def many_layers(seed: int) -> tuple[Bench, int]:
    """Layers of random shapes, each with an input of its own; and how many keep all weights in registers."""
    b, whole = Bench(seed), 0
    for i in range(LAYERS):
        rng = np.random.default_rng([seed, i])
        stride = [(1, 1), (2, 2), (1, 1), (2, 2), (1, 2), (2, 1), (3, 1)][rng.integers(7)]
        attrs = {
            "stride": stride,
            "padding": tuple(int(p) for p in rng.integers(0, 4, 4)),
            "activation": ["relu", "relu", "relu6", "none"][rng.integers(4)],
        }
        channels, zero = int(rng.choice([4, 5, 6, 8])), int(rng.choice([-128, 127, -5]))
        hw = (int(rng.integers(1, 20)), int(rng.integers(1, 24 if i % 8 else 90)))
        kernel = KERNELS[rng.integers(len(KERNELS))]
        scale, spread = float(rng.choice([0.02, 0.05, 0.5])), float(rng.choice([3, 6]))
        node = layer(b, hw, channels, kernel, attrs, zero, scale, spread=spread, suffix=str(i))
        if node is None:
            continue
        assert DSP.fits(b.graph, node)
        call = DSP.lower(b.graph, node)
        assert not isinstance(call, list)
        whole += call.fields["whole"] == 1
        b.graph.inputs.append(node.inputs[0])
        b.graph.outputs.append(node.outputs[0])
    return b, whole


@pytest.mark.parametrize("name", ["mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547"])
def test_many_layers(name: str) -> None:
    board = need(name)
    b, whole = many_layers(SEED)
    plan = kg.compile(b.graph, target=board.core, optimize=False)
    assert {c.kernel for c in plan.calls} == set(DSP.kernels)
    assert 2 < whole < len(plan.calls) - 2
    result = bench(plan, board, samples=2)
    assert result["bit_exact"], result["difference"]

"""Training steps with the kernels of a core, on that core: its assembly leaves the state of the simulator, in fewer instructions."""

from __future__ import annotations

import pytest

import kilograd as kg
from kilograd.device.bench import bench
from tests.firmware.plans import need
from tests.train.test_core_kernels import SCHEMES, wide_net


@pytest.mark.parametrize("name", ["mps2-an386", "mps2-an500", "mps2-an505"])
@pytest.mark.parametrize("index", range(len(SCHEMES)))
def test_training_with_the_kernels_of_the_core(name: str, index: int) -> None:
    board, (scheme, config) = need(name), SCHEMES[index]
    plans = [kg.compile(wide_net(index), train=scheme, config=config, target=t) for t in ("reference", board.core)]
    reference, chosen = (bench(plan, board, samples=12) for plan in plans)
    assert chosen["bit_exact"], chosen["difference"]
    if board.ticks_exact:
        assert chosen["instructions_step"] < 0.6 * reference["instructions_step"]

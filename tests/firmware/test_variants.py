"""Kernels chosen for a core, on that core: assembly that no host runs gives the bits of the simulator, and takes fewer instructions."""

from __future__ import annotations

import pytest

import kilograd as kg
from kilograd.device.bench import bench
from tests.firmware.plans import need
from tests.train.nets import small_net


@pytest.mark.parametrize("name", ["mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547"])
def test_inference_with_the_kernels_of_the_core(name: str) -> None:
    board = need(name)
    plans = [kg.compile(small_net(), target=target) for target in ("reference", board.core)]
    assert {c.kernel for c in plans[0].calls} != {c.kernel for c in plans[1].calls}
    reference, chosen = (bench(plan, board, samples=10) for plan in plans)
    assert chosen["bit_exact"], chosen["difference"]
    if board.ticks_exact:
        assert chosen["instructions_infer"] < reference["instructions_infer"]

"""Choice of kernels for a target: what is chosen, what it costs in memory, and that the bits stay."""

from __future__ import annotations

import numpy as np
import pytest

import kilograd as kg
from kilograd.errors import PlanError
from kilograd.plan.target import TARGETS, find_target
from tests.train.nets import small_net


def kernels(target: str, **options: object) -> set[str]:
    return {c.kernel for c in kg.compile(small_net(), target=target, **options).calls}  # type: ignore[arg-type]


def test_kernels_of_the_target() -> None:
    assert "fully_connected_dsp_s8" in kernels("cortex-m4") and "fully_connected_dsp_s8" not in kernels("cortex-m0")
    assert "fully_connected_dsp_s8" not in kernels("cortex-m4", scratch=0)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_same_bits(target: str) -> None:
    graph = small_net()
    x = np.random.default_rng(1).integers(-128, 128, (20, *graph[graph.inputs[0]].shape)).astype(np.int8)
    plans = [kg.compile(graph, target=t) for t in ("reference", target)]
    a, b = (kg.Simulator(p).infer(x[:, 0]) for p in plans)
    np.testing.assert_array_equal(a, b)


def test_packed_weights_stand_once() -> None:
    """A tensor that a variant packed takes no memory beside its stream."""
    plans = [kg.compile(small_net(), target=t) for t in ("reference", "cortex-m4")]
    packed = plans[0].tensors.keys() - plans[1].tensors.keys()
    assert packed and all(plans[0].tensors[t].kind.value == "const" for t in packed)


def test_names() -> None:
    assert find_target("cortex-m4f").name == "cortex-m4" and find_target("rv32imac").name == "rv32"
    with pytest.raises(PlanError, match="there is no target 'z80'; there are reference"):
        find_target("z80")

"""Every emulated board gives the simulator's bits: each output, each loss, the state after each step, each mutable tensor at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from kilograd.device.bench import Generator, bench, parse, run, scale, simulate
from kilograd.device.build import Options, build
from kilograd.ir.graph import DType, Kind
from kilograd.plan.plan import PlanTensor
from tests.firmware.plans import EMULATED, need, small


@pytest.mark.parametrize("name", EMULATED)
def test_fifty_inferences_and_fifty_steps(name: str) -> None:
    board, plan = need(name), small()
    found = bench(plan, board)
    assert found["bit_exact"], found["difference"]
    assert found["samples"] == 50
    assert found["tensors_compared"] == sum(t.kind is Kind.STATE for t in plan.tensors.values())
    # memory: planned and measured differ by the stack, and everything fits
    assert found["sram_bytes_measured"] - found["sram_bytes_planned"] == found["stack_bytes"]
    assert 256 < found["stack_bytes"] <= found["stack_bytes_planned"] == found["stack_reserved_bytes"]
    assert found["sram_bytes_measured"] < board.ram.bytes
    assert found["instructions_exact"] == board.ticks_exact
    assert found["instructions_step"] > found["instructions_infer"] > 2 * plan.report["macs_forward"]


def test_counts_are_repeatable(tmp_path: Path) -> None:
    board, plan = need("mps2-an386"), small()
    firmware = build(board, plan, tmp_path, Options(app="bench", samples=3))
    a, b = run(board, firmware, plan, 3), run(board, firmware, plan, 3)
    worth, again = scale(board, a), scale(board, b)
    assert worth.proved and again.proved and len(a.loops) == 3
    # ticks differ by the moment at which the host answered, instructions do not
    for mine, theirs in ((a.infer_ticks, b.infer_ticks), (a.step_ticks, b.step_ticks)):
        assert [worth.instructions(t) for t in mine] == [again.instructions(t) for t in theirs]


def test_a_difference_is_found_and_named() -> None:
    plan = small()
    good, bad = simulate(plan, 3), simulate(plan, 3)
    assert good.first_difference(bad, plan) == ""
    bad.step[1][1] = "00000000"
    assert good.first_difference(bad, plan).startswith("training step 1:")
    bad.step, bad.tensor = good.step, {**good.tensor, max(good.tensor): "00000000"}
    assert list(plan.tensors)[max(good.tensor)] in good.first_difference(bad, plan)
    assert "0 and 3" in parse("").first_difference(good, plan)


def test_the_generator_is_the_congruence() -> None:
    generator, x = Generator(6), 7
    tensor = PlanTensor("x", (3, 5), DType.INT8, Kind.ARENA, 0, None)
    for value in generator.fill(tensor).reshape(-1):
        x = (x * 1664525 + 1013904223) % 2**32
        assert int(value) % 256 == x >> 24
    label = generator.label(PlanTensor("y", (1,), DType.INT32, Kind.ARENA, 0, None), 10)
    assert int(label[0]) == ((x * 1664525 + 1013904223) % 2**32 >> 16) % 10

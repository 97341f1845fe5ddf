"""Reports: the picture is well-formed and true to the plan, the terminal pictures show what they should."""

from __future__ import annotations

from xml.dom import minidom

import pytest

import kilograd as kg
from kilograd.cli.demo import ASSET, float_step
from kilograd.errors import PlanError
from kilograd.ir.serialize import load_graph
from kilograd.plan.plan import Plan
from kilograd.report.figures import KINDS, arena, figures, state, steps
from kilograd.report.html import html_report
from kilograd.report.memory_map import memory_map
from kilograd.report.terminal import loss_curve, memory_summary


@pytest.fixture(scope="module")
def plan() -> Plan:
    return kg.compile(load_graph(ASSET), train="last:3")


def test_figures(plan: Plan) -> None:
    total = figures(plan)
    assert total["sram_bytes"] == plan.arena_bytes + len(plan.state)
    assert sum(s.macs for s in steps(plan)) == total["macs_step"] > total["macs_forward"] > 0
    blocks = arena(plan)
    assert {b.kind for b in blocks} >= {"input", "activation", "saved", "mask", "error"} and {b.kind for b in blocks} <= set(KINDS)
    assert max(b.offset + b.nbytes for b in blocks) <= plan.arena_bytes
    assert {b.kind for b in state(plan)} == {"weights", "bias", "exponent", "training"}


def test_blocks_that_meet_do_not_overlap(plan: Plan) -> None:
    blocks = arena(plan)
    for i, a in enumerate(blocks):
        for b in blocks[:i]:
            meet = a.first <= b.last and b.first <= a.last
            assert not meet or a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset, (a, b)


def test_memory_map(plan: Plan) -> None:
    document = minidom.parseString(memory_map(plan))
    titles = [t.firstChild.data for t in document.getElementsByTagName("title") if t.firstChild is not None]
    for block in (*arena(plan), *state(plan)):
        assert any(t.startswith(f"{block.name}: {block.kind}, ") for t in titles)
    assert "peak" in memory_map(plan)


def test_names_are_escaped(plan: Plan) -> None:
    hostile = Plan(**{**plan.__dict__, "name": "<script>&\"'"})
    minidom.parseString(memory_map(hostile))
    assert "<script>" not in html_report(hostile)


def test_html(plan: Plan) -> None:
    text = html_report(plan)
    assert all(s.name in text for s in steps(plan)) and "http://www.w3.org/2000/svg" in text and "src=" not in text


def test_plan_without_report(plan: Plan) -> None:
    with pytest.raises(PlanError, match="no report"):
        figures(Plan(**{**plan.__dict__, "meta": {}}))


def test_loss_curve() -> None:
    lines = loss_curve([4.0, 2.0, 1.0, 0.5], width=20, height=4).splitlines()
    assert len(lines) == 5 and lines[0].startswith("   4.000") and lines[3].startswith("   0.000")
    assert all(len(line) == 30 for line in lines)
    assert loss_curve([]) == "(no losses)" and loss_curve([0.0]) and loss_curve([1.0] * 500)


def test_memory_summary(plan: Plan) -> None:
    text = memory_summary(plan)
    assert f"{figures(plan)['sram_bytes']:,}" in text and "peak at" in text and "training step" in text


def test_float_step(plan: Plan) -> None:
    graph = load_graph(ASSET)
    step = float_step(graph, plan)
    learned = ["block2/pointwise", "block3/depthwise", "block3/pointwise", "head"]
    assert step.gradients == 4 * sum(graph[f"{name}/{part}"].size for name in learned for part in ("weights", "bias"))
    kept = ["block2/depthwise", *learned, "pool"]
    assert step.activations == 4 * sum(graph[name].size for name in kept)

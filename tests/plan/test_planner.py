"""Order, lifetimes and placement on random programs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.ir.graph import Phase
from kilograd.plan.lifetime import Lifetimes, lifetimes
from kilograd.plan.place import align, aligned_bound, disjoint, exact, greedy, place
from kilograd.plan.program import Program, Step
from kilograd.plan.schedule import schedule

PHASES = [Phase.FROZEN, Phase.FORWARD, Phase.BACKWARD]


@st.composite
def programs(draw: st.DrawFn, most: int = 12) -> Program:
    """Random directed acyclic programs: each step reads earlier buffers and writes a new one, some in place."""
    n = draw(st.integers(1, most))
    phases = sorted((draw(st.sampled_from(PHASES)) for _ in range(n)), key=PHASES.index)
    sizes = {"in": draw(st.integers(1, 40))}
    writer: dict[str, int] = {}
    steps = []
    for i in range(n):
        reads = tuple(sorted(draw(st.sets(st.sampled_from(sorted(sizes)), min_size=1, max_size=3))))
        y = f"t{i}"
        source = draw(st.sampled_from(reads))
        inplace = source != "in" and draw(st.booleans())
        sizes[y] = sizes[source] if inplace else draw(st.integers(1, 40))
        after = frozenset(writer[r] for r in reads if r in writer)
        scratch = draw(st.sampled_from([0, 0, 7]))
        steps.append(Step(f"n{i}", phases[i], reads, (y,), scratch, ((y, source),) if inplace else (), after))
        writer[y] = i
    return Program(tuple(steps), sizes, frozenset({"in"}), frozenset({f"t{n - 1}"} if phases[-1] is not Phase.BACKWARD else ()))


def orders(program: Program) -> list[tuple[int, ...]]:
    """Every order that keeps phases and dependencies (small programs only)."""
    result = []
    for order in itertools.permutations(range(len(program.steps))):
        position = {s: i for i, s in enumerate(order)}
        if all(position[d] < position[i] for i, s in enumerate(program.steps) for d in s.after) and all(
            PHASES.index(program.steps[a].phase) <= PHASES.index(program.steps[b].phase) for a, b in itertools.pairwise(order)
        ):
            result.append(order)
    return result


def check_order(program: Program, order: tuple[int, ...]) -> None:
    assert sorted(order) == list(range(len(program.steps)))
    position = {s: i for i, s in enumerate(order)}
    for i, step in enumerate(program.steps):
        assert all(position[d] < position[i] for d in step.after)
    assert [program.steps[i].phase for i in order] == [s.phase for s in program.steps]


def check_places(lives: Lifetimes, offsets: list[int], size: int) -> None:
    for a, b in itertools.combinations(range(len(lives.buffers)), 2):
        x, y = lives.buffers[a], lives.buffers[b]
        if x.meets(y):
            assert offsets[a] + x.nbytes <= offsets[b] or offsets[b] + y.nbytes <= offsets[a], (x, y)
    for b, offset in zip(lives.buffers, offsets, strict=True):
        assert offset % 4 == 0 and 0 <= offset and offset + b.nbytes <= size


@given(programs())
def test_order_lifetimes_and_places_hold_together(program: Program) -> None:
    order = schedule(program)
    check_order(program, order.order)
    lives = lifetimes(program, order.order)
    found = place(lives.buffers, "greedy")
    check_places(lives, found.offsets, found.size)
    assert lives.bound <= aligned_bound(lives.buffers) <= found.size
    apart = disjoint(lifetimes(program, order.order, merge=False).buffers)
    assert apart.size >= found.size


@given(programs())
def test_every_operand_is_live_at_its_step(program: Program) -> None:
    order = schedule(program).order
    lives = lifetimes(program, order)
    for t, index in enumerate(order):
        for name in program.steps[index].touches:
            buffer = lives.buffers[lives.buffer_of[name]]
            assert buffer.first <= t <= buffer.last


@given(programs())
def test_in_place_results_do_not_destroy_what_is_read_later(program: Program) -> None:
    order = schedule(program).order
    lives = lifetimes(program, order)
    holder: dict[int, str] = {lives.buffer_of["in"]: "in"}
    for index in order:
        step = program.steps[index]
        for name in step.reads:
            assert holder[lives.buffer_of[name]] == name
        for name in step.writes:
            holder[lives.buffer_of[name]] = name


@given(programs(most=6))
@settings(max_examples=60, deadline=None)
def test_the_schedule_has_the_lowest_peak(program: Program) -> None:
    found = schedule(program)
    assert found.exact
    best = min(max(lifetimes(program, o).live) for o in orders(program))
    assert lifetimes(program, found.order).bound == best


@given(programs(most=12))
@settings(max_examples=40, deadline=None)
def test_a_narrow_beam_still_gives_an_order(program: Program) -> None:
    narrow = schedule(program, beam=1)
    check_order(program, narrow.order)
    assert lifetimes(program, narrow.order).bound >= lifetimes(program, schedule(program).order).bound or not schedule(program).exact


@given(programs(most=10))
@settings(max_examples=25, deadline=None)
def test_exact_placement_is_never_worse(program: Program) -> None:
    pytest.importorskip("ortools", reason="exact placement needs ortools")
    lives = lifetimes(program, schedule(program).order)
    fast = greedy(lives.buffers, tries=0)
    slow = exact(lives.buffers, fast, seconds=1.0)
    check_places(lives, slow.offsets, slow.size)
    assert aligned_bound(lives.buffers) <= slow.size <= fast.size


def test_alignment() -> None:
    assert [align(n) for n in (0, 1, 4, 5)] == [0, 4, 4, 8] and align(17, 16) == 32


def test_without_the_solver_the_greedy_placement_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    steps = tuple(Step(f"n{i}", Phase.FORWARD, ("in",), (f"t{i}",), 0, (), frozenset()) for i in range(3))
    lives = lifetimes(Program(steps, {"in": 8, "t0": 4, "t1": 4, "t2": 4}, frozenset({"in"})), (0, 1, 2))
    hint = disjoint(lives.buffers)
    found = exact(lives.buffers, hint)
    assert found.size == hint.size and "kilograd[plan]" in found.note

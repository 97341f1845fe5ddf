"""Offsets of buffers in the arena: greedy by size, or exact by constraint programming (extra `plan`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from kilograd.plan.lifetime import Buffer

ALIGN = 4
ARENA_ALIGN = 16
Method = Literal["auto", "greedy", "exact", "disjoint"]
EXACT_SECONDS = 10.0  # deterministic seconds of the solver
EXACT_MAX_BUFFERS = 400


@dataclass(frozen=True)
class Placement:
    """Offset of each buffer, bytes of the arena, and how they were found ('greedy', 'exact', 'disjoint'); `proved`: nothing is smaller."""

    offsets: list[int]
    size: int
    method: str
    proved: bool
    note: str = ""


def align(n: int, to: int = ALIGN) -> int:
    """Round up to a multiple."""
    return (n + to - 1) // to * to


def aligned_bound(buffers: Sequence[Buffer]) -> int:
    """Most bytes live at once when every buffer takes a multiple of the alignment."""
    events: dict[int, int] = {}
    for b in buffers:
        events[b.first] = events.get(b.first, 0) + align(b.nbytes)
        events[b.last + 1] = events.get(b.last + 1, 0) - align(b.nbytes)
    best = live = 0
    for t in sorted(events):
        live += events[t]
        best = max(best, live)
    return best


def _first_fit(buffers: Sequence[Buffer], order: Sequence[int]) -> tuple[list[int], int]:
    offsets = [0] * len(buffers)
    placed: list[int] = []
    top = 0
    for i in order:
        size = align(buffers[i].nbytes)
        taken = sorted((offsets[j], offsets[j] + align(buffers[j].nbytes)) for j in placed if buffers[i].meets(buffers[j]))
        at = 0
        for low, high in taken:
            if at + size <= low:
                break
            at = max(at, high)
        offsets[i] = at
        top = max(top, at + size)
        placed.append(i)
    return offsets, top


_ORDERS: tuple[Callable[[Buffer], tuple[int, ...]], ...] = (
    lambda b: (-b.nbytes, b.first),
    lambda b: (-b.nbytes, -(b.last - b.first), b.first),
    lambda b: (-b.nbytes * (b.last - b.first + 1), b.first),
    lambda b: (-(b.last - b.first), -b.nbytes, b.first),
    lambda b: (b.first, -b.nbytes),
    lambda b: (-b.last, -b.nbytes),
)


def greedy(buffers: Sequence[Buffer], tries: int = 300) -> Placement:
    """First fit in several orders, then with the buffers that stick out moved to the front; the best is kept."""
    bound = aligned_bound(buffers)
    best: tuple[list[int], int] = ([0] * len(buffers), 0) if not buffers else ([], 1 << 62)
    best_order: list[int] = []
    for rule in _ORDERS:
        order = sorted(range(len(buffers)), key=lambda i: (*rule(buffers[i]), i))
        found = _first_fit(buffers, order)
        if found[1] < best[1]:
            best, best_order = found, order
    order = list(best_order)
    for _ in range(tries):
        if best[1] <= bound:
            break
        offsets, top = _first_fit(buffers, order)
        if top < best[1]:
            best = (offsets, top)
        worst = next(i for i in reversed(order) if offsets[i] + align(buffers[i].nbytes) == top)
        at = order.index(worst)
        if at == 0:
            break
        order.remove(worst)
        order.insert(at // 2, worst)
    return Placement(best[0], best[1], "greedy", best[1] <= bound)


def exact(buffers: Sequence[Buffer], hint: Placement, seconds: float = EXACT_SECONDS) -> Placement:
    """The smallest arena by CP-SAT; `hint` is what is known already, and the answer when the solver is missing or does not finish."""
    if hint.proved:
        return hint
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        note = "exact placement needs ortools (pip install 'kilograd[plan]'); placed greedily"
        return Placement(hint.offsets, hint.size, hint.method, hint.proved, note)
    model = cp_model.CpModel()
    low, high = aligned_bound(buffers) // ALIGN, hint.size // ALIGN
    height = model.new_int_var(low, high, "height")
    starts, times, places = [], [], []
    for i, b in enumerate(buffers):
        units = align(b.nbytes) // ALIGN
        start = model.new_int_var(0, max(high - units, 0), f"o{i}")
        model.add(start + units <= height)
        model.add_hint(start, hint.offsets[i] // ALIGN)
        starts.append(start)
        if units:
            times.append(model.new_fixed_size_interval_var(b.first, b.last - b.first + 1, f"t{i}"))
            places.append(model.new_fixed_size_interval_var(start, units, f"p{i}"))
    model.add_no_overlap_2d(times, places)
    model.minimize(height)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1  # one worker and deterministic time: the same plan on every machine
    solver.parameters.max_deterministic_time = seconds
    solver.parameters.random_seed = 1
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Placement(hint.offsets, hint.size, hint.method, False, "the exact placement did not finish; placed greedily")
    proved = status == cp_model.OPTIMAL
    note = "" if proved else "the exact placement did not finish; its best is used"
    return Placement([solver.value(s) * ALIGN for s in starts], solver.value(height) * ALIGN, "exact", proved, note)


def disjoint(buffers: Sequence[Buffer]) -> Placement:
    """Every buffer in a place of its own: all tensors stay readable after a run."""
    offsets, top = [], 0
    for b in buffers:
        offsets.append(top)
        top += align(b.nbytes)
    return Placement(offsets, top, "disjoint", False)


def place(buffers: Sequence[Buffer], method: Method = "auto", seconds: float = EXACT_SECONDS) -> Placement:
    """Place buffers. 'auto' is greedy, and exact where greedy does not meet the bound."""
    if method == "disjoint":
        return disjoint(buffers)
    found = greedy(buffers)
    if method == "greedy" or found.proved or (method == "auto" and len(buffers) > EXACT_MAX_BUFFERS):
        return found
    return exact(buffers, found, seconds)

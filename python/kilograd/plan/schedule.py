"""Order of steps that keeps peak memory low, phase by phase.

Dynamic programming over the sets of steps that are done (down-sets): what is live depends on the set alone, so of all orders that reach a
set only the one with the lowest peak is kept. Where there are more sets of one size than the beam holds, the best stay and the
result is no longer proved to be the best.
"""

from __future__ import annotations

from dataclasses import dataclass

from kilograd.ir.graph import Phase
from kilograd.plan.program import PHASES, Program

BEAM = 400


@dataclass(frozen=True)
class Schedule:
    """Steps (indices into the program) in running order. `exact`: no order of any phase has a lower peak."""

    order: tuple[int, ...]
    exact: bool


@dataclass(frozen=True)
class _Path:
    """A way to reach a set of done steps: highest memory on the way, memory live now, steps that may follow, last step, way before it."""

    peak: int
    live: int
    ready: tuple[int, ...]
    step: int = -1
    before: _Path | None = None


@dataclass(frozen=True)
class _Local:
    """One step within its phase, as bit sets over the steps of the phase."""

    before: int
    added: int  # bytes that it allocates
    scratch: int
    uses: tuple[tuple[int, int], ...]  # (steps of the phase that touch a buffer that dies in the phase, its bytes)
    merge: tuple[tuple[int, int], ...]  # in-place candidates: (steps that touch the read buffer, bytes saved)


class _Phase:
    """Memory model of one phase."""

    def __init__(self, program: Program, members: list[int]) -> None:
        self.members = members
        steps = [program.steps[i] for i in members]
        phase = steps[0].phase
        later = self._needed_later(program, phase)
        earlier = set(program.inputs)
        for s in program.steps:
            if PHASES.index(s.phase) < PHASES.index(phase):
                earlier.update(s.writes)
        users: dict[str, int] = {}
        for k, s in enumerate(steps):
            for b in s.touches:
                users[b] = users.get(b, 0) | 1 << k
        self.start = sum(program.sizes[b] for b in earlier if b in users or b in later)
        bit = {index: k for k, index in enumerate(members)}
        self.local: list[_Local] = []
        written: set[str] = set()
        for s in steps:
            new = [b for b in s.writes if b not in earlier]
            # memory of a buffer starts with its first writer; a second writer comes after it by its dependencies
            earlier_writer = [b for b in new if b in written]
            written.update(s.writes)
            self.local.append(
                _Local(
                    sum(1 << bit[d] for d in s.after if d in bit),
                    sum(program.sizes[b] for b in new if b not in earlier_writer),
                    s.scratch,
                    tuple((users[b], program.sizes[b]) for b in s.touches if b not in later),
                    tuple((users[x], program.sizes[y]) for y, x in s.inplace if x not in later and y in new),
                )
            )

        self.followers: list[list[int]] = [[] for _ in steps]
        for k, s in enumerate(steps):
            for d in s.after:
                if d in bit:
                    self.followers[bit[d]].append(k)
        self.first = tuple(k for k, local in enumerate(self.local) if local.before == 0)

    @staticmethod
    def _needed_later(program: Program, phase: Phase) -> set[str]:
        later: set[str] = set()
        for s in program.steps:
            if PHASES.index(s.phase) > PHASES.index(phase):
                later.update(s.touches)
        if PHASES.index(phase) <= PHASES.index(Phase.FORWARD):
            later |= program.outputs
        return later

    def run(self, done: int, k: int, live: int) -> tuple[int, int]:
        """(memory while step k runs, memory live after it), from a set of done steps."""
        s = self.local[k]
        after = done | 1 << k
        freed = sum(size for users, size in s.uses if users & ~after == 0)
        saved = max((size for users, size in s.merge if users & ~after == 0), default=0)
        return live + s.added + s.scratch - saved, live + s.added - freed

    def floor(self) -> int:
        """A memory that no order stays below."""
        best = self.start
        for s in self.local:
            best = max(best, s.added + s.scratch - max((m for _, m in s.merge), default=0))
        return best


def _advance(phase: _Phase, done: int, path: _Path) -> tuple[int, int] | None:
    """A step that is free to take now, and the live memory after it. It raises neither peak nor live memory: no order is better without."""
    for k in path.ready:
        during, live = phase.run(done, k, path.live)
        if during <= path.peak and live <= path.live:
            return k, live
    return None


def _order_phase(phase: _Phase, beam: int) -> tuple[list[int], bool]:
    n = len(phase.local)
    exact = True
    layers: list[dict[int, _Path]] = [{} for _ in range(n + 1)]
    layers[0][0] = _Path(phase.floor(), phase.start, phase.first)
    for count in range(n):
        states = sorted(layers[count].items(), key=lambda item: (item[1].peak, item[1].live, item[0]))
        if len(states) > beam:
            states, exact = states[:beam], False
        for done, path in states:
            free = _advance(phase, done, path)
            if free is not None:
                _keep(phase, layers[count + 1], done, path, free[0], path.peak, free[1])
                continue
            for k in path.ready:
                during, live = phase.run(done, k, path.live)
                _keep(phase, layers[count + 1], done, path, k, max(path.peak, during), live)
        layers[count].clear()
    (final,) = layers[n].values()
    order: list[int] = []
    while final.before is not None:
        order.append(final.step)
        final = final.before
    return order[::-1], exact


def _keep(phase: _Phase, layer: dict[int, _Path], done: int, path: _Path, k: int, peak: int, live: int) -> None:
    """Remember the way that takes step k next, unless there is one to the same set with no higher peak."""
    after = done | 1 << k
    old = layer.get(after)
    if old is None or peak < old.peak:
        freed = [f for f in phase.followers[k] if phase.local[f].before & ~after == 0]
        layer[after] = _Path(peak, live, tuple(sorted({*path.ready, *freed} - {k})), k, path)


def schedule(program: Program, beam: int = BEAM) -> Schedule:
    """Order every phase of the program for the lowest peak memory."""
    order: list[int] = []
    exact = True
    for phase in PHASES:
        members = [i for i, s in enumerate(program.steps) if s.phase is phase]
        if members:
            local, proved = _order_phase(_Phase(program, members), beam)
            order += [members[k] for k in local]
            exact = exact and proved
    return Schedule(tuple(order), exact)

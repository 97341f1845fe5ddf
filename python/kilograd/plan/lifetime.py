"""Which buffers exist at which step, once the order is fixed: merging in place, live intervals, and the liveness bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kilograd.plan.program import Program

BEFORE = -1  # the step before the first: inputs are set there


@dataclass
class Buffer:
    """Memory that is live from step `first` to step `last`, both included."""

    name: str
    nbytes: int
    first: int
    last: int
    scratch: bool = False

    def meets(self, other: Buffer) -> bool:
        """Both are live at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Lifetimes:
    """Buffers after merging; `buffer_of` maps tensors that own memory (and scratch of step i: "scratch@i") to buffers."""

    buffers: list[Buffer]
    buffer_of: dict[str, int]
    live: list[int]  # bytes at each step

    @property
    def bound(self) -> int:
        """No placement of these buffers takes less memory."""
        return max(self.live, default=0)

    def at(self, step: int) -> list[Buffer]:
        """Buffers that are live at a step, largest first."""
        return sorted((b for b in self.buffers if b.first <= step <= b.last), key=lambda b: (-b.nbytes, b.name))

    def peak_step(self) -> int:
        """First step with the most live bytes."""
        return self.live.index(self.bound) if self.live else 0


def scratch_name(step: int) -> str:
    """Key of a step's scratch memory."""
    return f"scratch@{step}"


def _intervals(program: Program, order: Sequence[int]) -> dict[str, tuple[int, int]]:
    spans = {b: (BEFORE, BEFORE) for b in sorted(program.inputs)}  # sorted: the same plan from the same model, always
    for t, index in enumerate(order):
        for b in sorted(program.steps[index].touches):
            first, _ = spans.get(b, (t, t))
            spans[b] = (first, t)
    end = program.last_forward() - 1
    for b in program.outputs:
        spans[b] = (spans[b][0], max(spans[b][1], end))
    return spans


def lifetimes(program: Program, order: Sequence[int], merge: bool = True) -> Lifetimes:
    """Live intervals in the given order. With `merge`, operators work in place where their operand dies."""
    spans = _intervals(program, order)
    joined: dict[str, str] = {}

    def root(name: str) -> str:
        while name in joined:
            name = joined[name]
        return name

    if merge:
        for t, index in enumerate(order):
            taken: set[str] = set()
            for y, x in program.steps[index].inplace:
                r = root(x)
                if spans[y][0] == t and y not in joined and spans[r][1] == t and r not in taken and r not in program.inputs:
                    joined[y] = r
                    spans[r] = (spans[r][0], spans[y][1])
                    taken.add(r)
    buffers: list[Buffer] = []
    buffer_of: dict[str, int] = {}
    for name, (first, last) in spans.items():
        if name not in joined:
            buffer_of[name] = len(buffers)
            buffers.append(Buffer(name, program.sizes[name], first, last))
    for name in joined:
        buffer_of[name] = buffer_of[root(name)]
    for t, index in enumerate(order):
        if program.steps[index].scratch:
            buffer_of[scratch_name(index)] = len(buffers)
            buffers.append(Buffer(f"scratch@{program.steps[index].name}", program.steps[index].scratch, t, t, scratch=True))
    live = [0] * (len(order) + 1)
    for b in buffers:
        for t in range(b.first + 1, b.last + 2):
            live[t] += b.nbytes
    return Lifetimes(buffers, buffer_of, [max(live[0], live[1]), *live[2:]] if order else live)

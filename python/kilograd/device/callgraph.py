"""Functions, their frames and their calls; and the deepest chain of calls."""

from __future__ import annotations

from dataclasses import dataclass, field

from kilograd.errors import BoardError


@dataclass
class Graph:
    """Functions: bytes of their frame, whom they call, and from where they call through a pointer ("file:line:column")."""

    frames: dict[str, int] = field(default_factory=dict)
    calls: dict[str, set[str]] = field(default_factory=dict)
    indirect: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Graph) -> None:
        """Take in the functions of another graph."""
        for name, size in other.frames.items():
            self.frames[name] = max(size, self.frames.get(name, 0))
        for name, called in other.calls.items():
            self.calls.setdefault(name, set()).update(called)
        self.indirect += other.indirect

    def deepest(self, root: str) -> tuple[int, tuple[str, ...]]:
        """Most bytes that a call of `root` can need, and the chain of calls that needs them."""
        known: dict[str, tuple[int, tuple[str, ...]]] = {}
        chain: list[str] = []

        def visit(name: str) -> tuple[int, tuple[str, ...]]:
            if name in chain:
                cycle = [*chain[chain.index(name) :], name]
                raise BoardError(f"no bound for the stack: recursion {' -> '.join(map(short, cycle))}")
            if name not in known:
                if name not in self.frames:
                    caller = f", which {short(chain[-1])} calls" if chain else ""
                    raise BoardError(f"no bound for the stack: nothing is known about '{name}'{caller}")
                chain.append(name)
                below = max((visit(c) for c in sorted(self.calls.get(name, ()))), default=(0, ()))
                chain.pop()
                known[name] = (self.frames[name] + below[0], (name, *below[1]))
            return known[name]

        return visit(root)


def short(title: str) -> str:
    """A function's name without the folders of its file."""
    return title.rpartition("/")[2]

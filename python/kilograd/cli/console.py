"""What goes to the terminal: results to stdout, progress to stderr; with --json one JSON object on stdout and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Report:
    """Output of one command."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False)

    def say(self, thing: object = "") -> None:
        """Print for people; silent with --json."""
        if not self.as_json:
            self.out.print(thing, markup=False) if isinstance(thing, str) else self.out.print(thing)

    def result(self, values: dict[str, Any]) -> None:
        """Print for programs; silent without --json."""
        if self.as_json:
            print(json.dumps(values, default=_plain))

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar on stderr; gives a function that takes the number done so far."""
        if self.as_json or not self.err.is_terminal:
            yield lambda done: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.err, transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda done: bar.update(task, completed=done)


def _plain(value: object) -> object:
    """NumPy numbers and arrays for json."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


def kilobytes(count: int) -> str:
    """'12,345 B (12.1 KB)'."""
    return f"{count:,} B ({count / 1024:.1f} KB)"

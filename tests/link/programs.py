"""Builds the board of tests/link, and talks to it."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import kilograd as kg
from kilograd._sources import csrc_dir, runtime_dir
from kilograd.plan.compile import plan_graph
from kilograd.plan.plan import Plan
from kilograd.train.autodiff import training_graph
from kilograd.train.scheme import parse_scheme
from tests.train.nets import small_net

HERE = Path(__file__).parent
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
FOLDER = TemporaryDirectory(prefix="kilograd-link-")  # goes when Python ends
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def _command(compiler: str, sources: list[Path], out: Path, flags: list[str]) -> list[str]:
    """Link, session and harness are built anew, with sanitizers; the kernels come from the last development build when there is one."""
    runtime, csrc = runtime_dir(), csrc_dir()
    archive = csrc.parent / "build" / "dev" / "libkilograd.a"
    kernels = [archive] if archive.is_file() else sorted(csrc.rglob("*.c"))
    own = [*sources, HERE / "board.c", *sorted((runtime / "link").glob("*.c")), *sorted((runtime / "session").glob("*.c"))]
    base = [compiler, "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O1", "-g", "-ffp-contract=off", *WARNINGS, *flags]
    return [*base, f"-I{runtime / 'include'}", f"-I{csrc}", *map(str, own), *map(str, kernels), "-o", str(out)]


def build(compiler: str, source: str, flags: list[str]) -> Path:
    """A program of this folder."""
    out = Path(FOLDER.name) / Path(source).stem
    subprocess.run(_command(compiler, [HERE / source], out, flags), check=True)
    return out


@cache
def board_program() -> Path:
    """The board on standard input and output, with sanitizers where the compiler has them."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler is here")
    try:
        return build(compiler, "main.c", SANITIZE)
    except subprocess.CalledProcessError:
        return build(compiler, "main.c", [])


def training_plan(train: str = "full", **config: Any) -> Plan:
    """The small network with a training step."""
    graph = small_net()
    plan = plan_graph(training_graph(graph, parse_scheme(train, graph), kg.TrainConfig(learning_rate=0.05, **config)))
    plan.meta = {}
    return plan


class Pipe:
    """A Transport to a board that is a process."""

    def __init__(self, plan: Path | None, payload: int = 128, busy: int = 0) -> None:
        arguments = [str(plan) if plan else "-", str(payload), str(busy)]
        self.process = subprocess.Popen([board_program(), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None and self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._in, view) :]

    def read(self) -> bytes:
        ready, _, _ = select.select([self._out], [], [], 0.002)
        return os.read(self._out, 65536) if ready else b""

    def close(self) -> None:
        """Ends the board; it must not have crashed."""
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        assert self.process.wait(10) == 0, "the board crashed"

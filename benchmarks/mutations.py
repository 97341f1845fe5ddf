"""Damaged files: bit-flips and truncations of every model file at hand, imported, compiled and given to the command line.

    python -m benchmarks.mutations [--count N] [--seed S] [--only PART --case N] [--json]

Reads the shared data ($KILOGRAD_DATA). Each file, and the plan that each compiles to (.kgp; in every second case its checksum is made right
again, so that damage reaches what lies behind it), is damaged N / files times: a third truncated, a third with one bit flipped anywhere, a
third with 1 to 8 bits flipped outside the large constants. A worker process imports what came out and compiles it where that works; plans
are opened in the C runtime and run once; every 20th case goes through `kilograd inspect`, `compile` or (plans) `emit`. The system kills the
worker after 5 s of processor time a case; to import a file it may allocate 10 times its size + 100 MB. Failures are a crash, a kill, memory
that ran out, and any exception but kilograd's own. Exits with 1 when there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gc
import io
import json
import os
import resource
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import kilograd as kg
from kilograd.cli.app import run as command_line
from kilograd.errors import KilogradError
from kilograd.frontends import load
from kilograd.frontends.onnx import import_onnx
from kilograd.frontends.tflite import import_tflite
from kilograd.frontends.tflite_file import read_tflite
from kilograd.ir.graph import Graph
from kilograd.plan.kgp import CRC_FROM, parse
from tests.shared_data import shared_data

SECONDS = 5.0  # of processor time for one case
WALL = 120.0  # of a busy machine; only a case that sleeps gets there
FACTOR, MEGABYTES = 10, 100  # memory that import may take: times the file, and in addition
COMPILE_MEGABYTES = 1024
COMMAND_EVERY = 20
LARGE = 64  # bytes from which a constant counts as large
KINDS = ("truncated", "one bit", "structure")
RESULTS = Path(__file__).parent / "results" / "mutations.csv"


@dataclass
class Victim:
    """A file to damage, and the bytes in it that are no large constants."""

    name: str
    data: bytes
    structure: np.ndarray[Any, np.dtype[np.int64]] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def kind(self) -> str:
        """tflite, onnx or kgp."""
        return self.name.rsplit(".", 1)[1]


def victim(name: str, data: bytes) -> Victim:
    """With its structure found."""
    solid = np.zeros(len(data), bool)
    for start, size in constants(name, data):
        solid[start : start + size] = True
    return Victim(name, data, np.flatnonzero(~solid))


def constants(name: str, data: bytes) -> Iterator[tuple[int, int]]:
    """Offset and size of the large constants of a file."""
    if name.endswith(".tflite"):
        found: list[Any] = [t.data.tobytes() for t in read_tflite(data).tensors if t.data is not None]
    elif name.endswith(".onnx"):
        import onnx

        found = [t.raw_data for t in onnx.ModelProto.FromString(data).graph.initializer]
    else:
        found = [parse(data).constant]
    for content in found:
        if len(content) >= LARGE and (at := data.find(content)) >= 0:
            yield at, len(content)


def damage(v: Victim, number: int, seed: int = 0) -> tuple[str, bytes]:
    """Case `number` of a file: what was done, and the bytes."""
    rng = np.random.default_rng([seed, zlib.crc32(v.name.encode()), number])
    kind, data = KINDS[number % len(KINDS)], bytearray(v.data)
    if kind == "truncated":
        del data[int(rng.integers(len(data))) :]
    elif kind == "one bit" or not v.structure.size:
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    else:
        for at in rng.choice(v.structure, int(rng.integers(1, 9))):
            data[int(at)] ^= 1 << int(rng.integers(8))
    if v.kind == "kgp" and number % 2 and len(data) > CRC_FROM:
        struct.pack_into("<I", data, 8, len(data))
        struct.pack_into("<I", data, 12, zlib.crc32(data[CRC_FROM:]))
    return kind, bytes(data)


def limit_memory(megabytes: float) -> None:
    """Of the address space, beyond what the process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(megabytes * 1e6), hard))


def attempt(v: Victim, data: bytes) -> str:
    """What becomes of damaged bytes: refused, imported or compiled (opened or ran, of a plan); another exception passes through."""
    if v.kind == "kgp":
        return attempt_plan(data)
    limit_memory(FACTOR * len(v.data) / 1e6 + MEGABYTES)
    try:
        graph: Graph = import_tflite(data) if v.kind == "tflite" else import_onnx(data)
    except KilogradError as error:
        if _out_of_memory(error):
            raise
        return "refused"
    limit_memory(COMPILE_MEGABYTES)
    try:
        kg.compile(graph, placement="greedy")
    except KilogradError as error:
        if _out_of_memory(error):
            raise
        return "imported"
    return "compiled"


def attempt_plan(data: bytes, limited: bool = True) -> str:
    if limited:
        limit_memory(COMPILE_MEGABYTES)
    try:
        plan = parse(data)
    except KilogradError:
        return "refused"
    try:
        simulator = kg.Simulator(plan)
        samples = [np.zeros(plan.tensors[n].shape, plan.tensors[n].dtype.numpy) for n in plan.inputs]
        if len(samples) == 1:
            simulator.infer(samples[0])
    except KilogradError:
        return "imported"
    return "compiled"


def _out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def attempt_command(v: Victim, data: bytes, number: int, folder: Path) -> str:
    """The same through the command line: an exit code and a paragraph, never a traceback."""
    limit_memory(COMPILE_MEGABYTES)
    path = folder / f"damaged.{v.kind}"
    path.write_bytes(data)
    command = ["inspect", str(path)] if number // COMMAND_EVERY % 2 and v.kind != "kgp" else ["compile", str(path), "--placement", "greedy"]
    if v.kind == "kgp":
        command = ["emit", str(path), "-o", str(folder / "out")]
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = command_line(command)
    if code not in (0, 1) or "Traceback" in told.getvalue():
        raise RuntimeError(f"kilograd {command[0]} ended with {code}: {told.getvalue()[-300:]}")
    return f"command line {code}"


def work(cases: list[tuple[Victim, int]], seed: int, pipe: int) -> None:
    """The worker: one line of JSON before each case and one behind it."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(pipe, "w", buffering=1)
    with tempfile.TemporaryDirectory() as folder:
        for v, number in cases:
            kind, data = damage(v, number, seed)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            start, why = time.process_time(), ""
            try:
                outcome = attempt_command(v, data, number, Path(folder)) if number % COMMAND_EVERY == 7 else attempt(v, data)
            except Exception as error:  # a finding
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_AS)[1]))
                outcome = "out of memory" if _out_of_memory(error) else "exception"
                why = "".join(traceback.format_exception(error)[-2:]).replace("\n", " ")[-500:]
            signal.setitimer(signal.ITIMER_PROF, 0)
            out.write(json.dumps([kind, outcome, time.process_time() - start, why]) + "\n")
            if number % 50 == 0:
                gc.collect()
    out.close()


def campaign(victims: list[Victim], count: int, seed: int = 0) -> Iterator[tuple[Victim, int, str, str, float, str]]:
    """Run `count` cases spread over the files; gives victim, number, kind, outcome, seconds and why for each."""
    cases = [(v, n) for n in range(-(-count // len(victims))) for v in victims]
    done = 0
    while done < len(cases):
        read, write = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os.close(read)
            status = 1
            try:
                work(cases[done:], seed, write)
                status = 0
            finally:
                os._exit(status)
        os.close(write)
        for line in _lines(read, child):
            (v, n), (kind, outcome, seconds, why) = cases[done], json.loads(line)
            yield v, n, kind, outcome, seconds, why
            done += 1
        _, status = os.waitpid(child, 0)
        if done < len(cases):
            v, n = cases[done]
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            slow = number in (signal.SIGPROF, signal.SIGKILL)
            yield v, n, KINDS[n % len(KINDS)], "hang" if slow else "crash", SECONDS if slow else 0.0, f"signal {number}, status {status}"
            done += 1


def _lines(pipe: int, child: int) -> Iterator[str]:
    """Lines of the worker, until it ends or says nothing for too long."""
    pending = b""
    with os.fdopen(pipe, "rb", buffering=0) as stream:
        while True:
            if not select.select([stream], [], [], WALL)[0]:
                os.kill(child, signal.SIGKILL)
            chunk = stream.read(1 << 16)
            if not chunk:
                return
            *whole, pending = (pending + chunk).split(b"\n")
            yield from (line.decode() for line in whole)


FAILURES = ("crash", "hang", "out of memory", "exception")


def shared_victims(root: Path) -> list[Victim]:
    """Every model file, and the plan of every model that compiles."""
    found = []
    for path in sorted(p for p in (root / "models").rglob("*") if p.suffix in (".tflite", ".onnx")):
        name = path.relative_to(root / "models").as_posix()
        found.append(victim(name, path.read_bytes()))
        with contextlib.suppress(KilogradError):
            found.append(victim(f"{name}.kgp", kg.compile(load(path), placement="greedy").to_bytes()))
    return found


def main() -> int:
    """Run the campaign, or one case of it with its traceback."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="part of a file's name")
    parser.add_argument("--case", type=int, help="run this case of --only in this process")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    root = shared_data()
    if root is None:
        print("the shared data is not here: set KILOGRAD_DATA", file=sys.stderr)
        return 2
    victims = [v for v in shared_victims(root) if not args.only or args.only in v.name]
    if args.case is not None:
        print(attempt(victims[0], damage(victims[0], args.case, args.seed)[1]))
        return 0
    counts: Counter[tuple[str, str, str]] = Counter()
    failures, slowest, start = [], (0.0, "", 0), time.perf_counter()
    try:
        for v, n, kind, outcome, seconds, why in campaign(victims, args.count, args.seed):
            counts[v.kind, kind, outcome] += 1
            slowest = max(slowest, (seconds, v.name, n))
            if outcome in FAILURES:
                failures.append({"file": v.name, "case": n, "kind": kind, "outcome": outcome, "why": why})
                print(f"{outcome}: --only {v.name} --case {n} ({kind}): {why}", file=sys.stderr, flush=True)
            if sum(counts.values()) % 1000 == 0:
                elapsed = time.perf_counter() - start
                print(f"{sum(counts.values())} cases, {len(failures)} failures, {elapsed:.0f} s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("stopped: the counts are of the cases so far", file=sys.stderr)
    rows = [{"file": f, "damage": k, "outcome": o, "count": n} for (f, k, o), n in sorted(counts.items())]
    if not args.only:
        with RESULTS.open("w", newline="") as stream:
            table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    if args.json:
        print(json.dumps({"rows": rows, "failures": failures, "slowest": slowest}, indent=2))
    else:
        for row in rows:
            print(f"{row['file']:8s} {row['damage']:10s} {row['outcome']:16s} {row['count']:7d}")
        print(f"{sum(counts.values())} cases, {len(failures)} failures, slowest {slowest[0]:.2f} s: {slowest[1]} case {slowest[2]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

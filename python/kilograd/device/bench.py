"""The bench: firmware that runs a plan on generated samples, compared run by run with the simulator.

What is counted are instructions, not cycles: the emulator gives each the same time. They are exact where the board's counter is
(board.toml, time.exact), which a loop of known length proves at every run.
"""

from __future__ import annotations

import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kilograd.device.boards import Board, find_board
from kilograd.device.build import Firmware, Options, build
from kilograd.device.emulator import Emulator
from kilograd.errors import BoardError
from kilograd.ir.graph import DType, Kind
from kilograd.plan.plan import Plan, PlanTensor
from kilograd.simulate.simulator import Simulator

SAMPLES = 50
HELLO = b"kilograd bench 1\n"
MULTIPLIER, INCREMENT = 1664525, 1013904223
INSTRUCTIONS_A_SECOND = 20e6  # of the emulator, at the least
Bytes = npt.NDArray[np.uint8]


class Generator:
    """The twin of the generator in firmware/app/bench.c."""

    def __init__(self, index: int) -> None:
        self.state = index + 1

    def words(self, count: int) -> npt.NDArray[np.uint32]:
        """The next numbers: x_n = a^n x_0 + c (1 + a + ... + a^(n-1)), modulo 2^32."""
        with np.errstate(over="ignore"):
            powers = np.cumprod(np.full(count, MULTIPLIER, np.uint32), dtype=np.uint32)
            sums = np.cumsum(np.concatenate([np.ones(1, np.uint32), powers[:-1]]), dtype=np.uint32)
            values = powers * np.uint32(self.state) + np.uint32(INCREMENT) * sums
        self.state = int(values[-1])
        return values

    def fill(self, tensor: PlanTensor) -> npt.NDArray[Any]:
        """The value of a tensor."""
        if tensor.dtype is DType.FLOAT32:
            steps = (self.words(tensor.nbytes // 4) >> np.uint32(24)).astype(np.uint8).view(np.int8)
            return (steps.astype(np.float32) * np.float32(0.03125)).reshape(tensor.shape)
        raw = (self.words(tensor.nbytes) >> np.uint32(24)).astype(np.uint8)
        return raw.view(tensor.dtype.numpy).reshape(tensor.shape)

    def label(self, tensor: PlanTensor, classes: int) -> npt.NDArray[Any]:
        """A class, or a target like the output."""
        if tensor.dtype is not DType.INT32:
            return self.fill(tensor)
        return np.full(tensor.shape, int(self.words(1)[0] >> 16) % classes, np.int32)


@dataclass
class Trace:
    """What a run of the bench says: a line for each run of the plan, ticks apart."""

    infer: list[list[str]] = field(default_factory=list)
    step: list[list[str]] = field(default_factory=list)
    tensor: dict[int, str] = field(default_factory=dict)
    infer_ticks: list[int] = field(default_factory=list)
    step_ticks: list[int] = field(default_factory=list)
    loops: dict[int, int] = field(default_factory=dict)
    stack: int = 0

    def first_difference(self, other: Trace, plan: Plan) -> str:
        """'' when both are the same."""
        for what, mine, theirs in (("inference", self.infer, other.infer), ("training step", self.step, other.step)):
            if len(mine) != len(theirs):
                return f"{len(mine)} and {len(theirs)} {what}s"
            for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
                if a != b:
                    return f"{what} {i}: {' '.join(a)} and {' '.join(b)}"
        names = list(plan.tensors)
        wrong = [names[i] for i in sorted({*self.tensor, *other.tensor}) if self.tensor.get(i) != other.tensor.get(i)]
        return f"tensors {', '.join(wrong)}" if wrong else ""


def parse(text: str) -> Trace:
    """The trace from what the board printed."""
    trace = Trace()
    for line in text.splitlines():
        match line.split():
            case ["infer", ticks, *rest]:
                trace.infer.append(rest)
                trace.infer_ticks.append(int(ticks))
            case ["step", ticks, *rest]:
                trace.step.append(rest)
                trace.step_ticks.append(int(ticks))
            case ["tensor", index, crc]:
                trace.tensor[int(index)] = crc
            case ["loop", instructions, ticks]:
                trace.loops[int(instructions)] = int(ticks)
            case ["stack", count]:
                trace.stack = int(count)
            case ["error", *words]:
                raise BoardError(f"the board refuses the plan: {' '.join(words)}")
    return trace


def _crc(raw: bytes) -> str:
    return f"{zlib.crc32(raw):08x}"


def simulate(plan: Plan, samples: int = SAMPLES) -> Trace:
    """The same runs on the host."""
    simulator, trace = Simulator(plan), Trace()
    classes = int(plan.tensors[plan.outputs[0]].shape[-1]) if plan.tensors[plan.outputs[0]].shape else 1

    def put(index: int) -> Generator:
        generator = Generator(index)
        for name in plan.inputs:
            simulator.write(name, generator.fill(plan.tensors[name]))
        return generator

    for i in range(samples if "infer" in plan.entries else 0):
        put(i)
        simulator.run("infer")
        trace.infer.append([_crc(simulator.read(n).tobytes()) for n in plan.outputs])
    for i in range(samples if simulator.trains else 0):
        generator = put(i)
        if plan.label:
            simulator.write(plan.label, generator.label(plan.tensors[plan.label], classes))
        simulator.run("train_step")
        train = simulator.state()[plan.tensors["train"].offset :]
        trace.step.append([f"{int.from_bytes(train[16:20], 'little'):08x}", _crc(simulator.state())])
    state = simulator.state()
    for i, t in enumerate(plan.tensors.values()):
        if t.kind is Kind.STATE:
            trace.tensor[i] = _crc(state[t.offset : t.offset + t.nbytes])
    return trace


def run(board: Board, firmware: Firmware, plan: Plan, samples: int = SAMPLES) -> Trace:
    """Run bench firmware in the emulator."""
    macs = float(plan.report.get("macs_forward", 0)) + float(plan.report.get("macs_step", 0))
    seconds = 60 + samples * 60 * macs / INSTRUCTIONS_A_SECOND  # 60 instructions for a MAC is far more than there are
    with Emulator(board, firmware.elf) as emulator:
        emulator.start(HELLO)
        text = emulator.read_until(b"\nend\n", seconds).decode(errors="replace")
    return parse(text)


@dataclass(frozen=True)
class Scale:
    """Instructions from ticks: instructions = ticks * factor - overhead of reading the counter."""

    factor: float
    overhead: int
    proved: bool  # loops of known length came out right

    def instructions(self, ticks: int) -> int:
        return round(ticks * self.factor) - self.overhead


def scale(board: Board, trace: Trace) -> Scale:
    """What a tick is worth, checked with the loops that the board ran."""
    assert board.run is not None
    factor = 1e9 / board.ticks_hz / 2.0**board.run.icount_shift
    extra = [round(ticks * factor) - length for length, ticks in trace.loops.items()]
    return Scale(factor, min(extra, default=0), len(extra) > 1 and max(extra) == min(extra) and 0 <= extra[0] < 64)


def bench(plan_path: Plan | str | Path, board: Board | str, samples: int = SAMPLES, directory: Path | None = None) -> dict[str, Any]:
    """Build, run, compare; the figures for `kilograd device bench`."""
    chosen = find_board(board) if isinstance(board, str) else board
    plan = plan_path if isinstance(plan_path, Plan) else Plan.load(plan_path)
    options = Options(app="bench", samples=samples)
    with tempfile.TemporaryDirectory() as temporary:
        firmware = build(chosen, plan, directory or Path(temporary), options)
        trace = run(chosen, firmware, plan, samples)
    difference = trace.first_difference(simulate(plan, samples), plan)
    worth = scale(chosen, trace)
    infer = [worth.instructions(t) for t in trace.infer_ticks]
    step = [worth.instructions(t) for t in trace.step_ticks]
    planned = len(plan.state) + plan.arena_bytes + firmware.static_bytes
    return {
        "plan": plan.name,
        "board": chosen.name,
        "core": chosen.core,
        "samples": samples,
        "bit_exact": not difference,
        "difference": difference,
        "tensors_compared": len(trace.tensor),
        "instructions_infer": round(float(np.mean(infer))) if infer else None,
        "instructions_infer_max": max(infer, default=None),
        "instructions_step": round(float(np.mean(step))) if step else None,
        "instructions_step_max": max(step, default=None),
        "instructions_exact": worth.proved and chosen.ticks_exact,
        "stack_bytes": trace.stack,
        "stack_bytes_planned": firmware.stack_bytes_planned,
        "stack_path": list(firmware.stack_path),
        "stack_reserved_bytes": firmware.stack_bytes,
        "sram_bytes_planned": planned,
        "sram_bytes_measured": firmware.data_bytes + firmware.bss_bytes + firmware.memory_bytes + trace.stack,
        "static_bytes": firmware.static_bytes,
        "text_bytes": firmware.text_bytes,
        "rodata_bytes": firmware.rodata_bytes,
        "plan_bytes": firmware.plan_bytes,
    }

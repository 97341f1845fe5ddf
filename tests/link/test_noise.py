"""A bad line: whatever is lost, changed, doubled or made up, each request is done once and each result is right."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import kilograd as kg
from kilograd.device.client import Device
from kilograd.device.frames import Command, Frame, cobs_encode, encode
from kilograd.device.transport import Transport
from kilograd.ir.graph import Kind
from kilograd.plan.plan import Plan
from tests.link.programs import SANITIZE, Pipe, build, training_plan
from tests.link.test_device import samples

Noise = Callable[[random.Random, bytes], bytes]
SECONDS = 8  # of fuzzing


def random_bytes(rng: random.Random, data: bytes) -> bytes:
    """Garbage before or behind."""
    garbage = rng.randbytes(rng.randrange(1, 200))
    return garbage + data if rng.random() < 0.5 else data + garbage


def dropped_frame(rng: random.Random, data: bytes) -> bytes:
    return b""


def dropped_bytes(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 9) :]


def doubled(rng: random.Random, data: bytes) -> bytes:
    return data * rng.randrange(2, 4)


def flipped_bit(rng: random.Random, data: bytes) -> bytes:
    raw = bytearray(data)
    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(raw)


def half(rng: random.Random, data: bytes) -> bytes:
    """Then silence, until the host has lost patience."""
    return data[: rng.randrange(len(data))]


def oversize(rng: random.Random, data: bytes) -> bytes:
    """Before the frame: a right one that is too long, one with a wrong length, one with a length and nothing behind it."""
    wrong = b"\1\4\0\0\xff\xff" + rng.randbytes(8)
    return rng.choice([encode(Frame(Command.INFER | 0x80, 0, bytes(4000))), b"\0" + cobs_encode(wrong) + b"\0", cobs_encode(wrong)]) + data


def echo(rng: random.Random, data: bytes) -> bytes:
    """Answers that nobody asked for: old ones come again."""
    return encode(Frame(Command.TRAIN | 0x80, rng.randrange(65536), bytes(13))) + data


NOISE: list[Noise] = [random_bytes, dropped_frame, dropped_bytes, doubled, flipped_bit, half, oversize, echo]


class Noisy:
    """A line that spoils some of what is sent and some of what comes back."""

    def __init__(self, line: Transport, noise: list[Noise], seed: int, share: float) -> None:
        self._line, self._noise, self._random, self._share = line, noise, random.Random(seed), share
        self.spoiled = 0

    def _spoil(self, data: bytes) -> bytes:
        if not data or self._random.random() >= self._share:
            return data
        self.spoiled += 1
        return self._random.choice(self._noise)(self._random, data)

    def write(self, data: bytes) -> None:
        self._line.write(self._spoil(data))

    def read(self) -> bytes:
        return self._spoil(self._line.read())

    def close(self) -> None:
        self._line.close()


def learn(plan: Plan, path: Path, noise: list[Noise], share: float) -> int:
    """Train and infer over a bad line; everything must be as in the Simulator. Gives how often the line was bad."""
    simulator, (x, y) = kg.Simulator(plan), samples(15)
    transport = Noisy(Pipe(path), noise, len(noise), share)
    with Device(transport, timeout=0.02) as device:
        for i in range(len(x)):
            assert device.train_step(x[i], y[i]) == simulator.train_step(x[i], y[i]), i
        assert np.array_equal(device.infer(x), simulator.infer(x))
        assert device.evaluate(x, y) == simulator.evaluate(x, y)
        for tensor in plan.tensors.values():
            if tensor.kind is Kind.STATE and tensor.nbytes < 1000:
                assert device.read_bytes(tensor.name) == simulator.read(tensor.name).tobytes(), tensor.name
    return transport.spoiled


@pytest.fixture(scope="module")
def plan() -> Plan:
    return training_plan()


@pytest.fixture(scope="module")
def plan_file(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("noise") / "net.kgp"
    plan.save(path)
    return path


@pytest.mark.parametrize("noise", NOISE, ids=lambda n: n.__name__)
def test_each_noise(plan: Plan, plan_file: Path, noise: Noise) -> None:
    assert learn(plan, plan_file, [noise], 0.15) > 5


def test_all_noises(plan: Plan, plan_file: Path) -> None:
    assert learn(plan, plan_file, NOISE, 0.4) > 40


def test_a_plan_arrives_over_a_bad_line(plan_file: Path) -> None:
    smaller, (x, y) = training_plan("last:1"), samples(4)
    simulator = kg.Simulator(smaller)
    with Device(Noisy(Pipe(plan_file), NOISE, 3, 0.2), timeout=0.02) as device:
        device.update_plan(smaller)
        assert np.array_equal(device.train(x, y), simulator.train(x, y))


def test_fuzz(plan_file: Path, tmp_path: Path) -> None:
    """libFuzzer with address and undefined-behaviour sanitizers, for a few seconds; `make fuzz` takes longer."""
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("fuzzing needs clang")
    try:
        program = build(clang, "fuzz.c", ["-fsanitize=fuzzer,address,undefined", *SANITIZE[1:]])
    except subprocess.CalledProcessError:
        pytest.skip("this clang has no libFuzzer")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    write_seeds(corpus)
    seconds = int(os.environ.get("KILOGRAD_FUZZ_SECONDS", SECONDS))
    command = [program, corpus, f"-max_total_time={seconds}", "-seed=1", "-max_len=2000", "-timeout=10", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, env={**os.environ, "FUZZ_PLAN": str(plan_file)}, capture_output=True, text=True, timeout=seconds + 120)
    assert done.returncode == 0, done.stderr[-4000:]


def write_seeds(folder: Path) -> None:
    """One input that uses each command, in the form of fuzz.c."""

    def frame(command: int, payload: bytes = b"") -> bytes:
        return bytes([command, len(payload)]) + payload

    zeros = bytes(4)
    sample = frame(Command.INFER, bytes(112)) + frame(Command.TRAIN, bytes(116)) + frame(Command.EVALUATE, bytes(112))
    tensor = b"\0\0\1\0\0\0"
    memory = frame(Command.FIND, b"train") + frame(Command.DESCRIBE, tensor) + frame(Command.READ, tensor + zeros + b"\4\0")
    memory += frame(Command.WRITE, tensor + zeros + b"1234")
    flash = frame(Command.SAVE) + frame(Command.LOAD) + frame(Command.FACTORY_RESET) + frame(Command.STATISTICS)
    update = frame(Command.PLAN_BEGIN, b"\x10\0\0\0" + zeros) + frame(Command.PLAN_WRITE, zeros + bytes(16)) + frame(Command.PLAN_COMMIT)
    noise = frame(0xFF, b"\0\5\1\x0c\x34\x12\1\5\xef\x87\x85\xdf\0")
    for i, content in enumerate([sample, memory, flash, update, noise, sample + memory + flash + update + noise]):
        (folder / f"seed{i}").write_bytes(b"\2" + content)
        (folder / f"late{i}").write_bytes(b"\3" + content)
    (folder / "raw").write_bytes(b"\0" + encode(Frame(Command.INFO, 0, b"")) * 2 + b"\0\x03\x01\xff")

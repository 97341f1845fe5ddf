"""Flash that fails while a board saves, and requests that come while it saves: a clear status each, and no state is lost.

The flash driver is the emulated board's own with faults put into it. Words in the file behind its memory say which erase, program or read
from now on fails, so that the host chooses the moment."""

from __future__ import annotations

import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import kilograd as kg
from kilograd._sources import firmware_dir
from kilograd.device.build import Firmware, Options, build
from kilograd.device.client import Device
from kilograd.device.emulator import Emulator, prepare
from kilograd.device.frames import Command, Frame, Status
from kilograd.errors import DeviceError
from kilograd.ir.graph import Kind
from kilograd.plan.plan import Plan
from tests.firmware.plans import need, small
from tests.firmware.test_remembers import samples
from tests.link.test_device import same_state
from tests.train.nets import NetBuilder

pytest.importorskip("serial")

FAULTS = 8 << 20  # place in the file, far behind the store
ERASE, PROGRAM, READ = range(3)
DRIVER = "common/flash/ram_window.c"
COUNTDOWN = """
/* Counts down to the call that fails; 0 and what erased memory holds mean none. */
static int32_t fails(uint32_t which) {
  volatile uint32_t *const left = (volatile uint32_t *)(uintptr_t)(KG_STORE_ORIGIN + FAULTS_AT) + which;
  if (*left == 0u || *left > 100000u) return 0;
  *left -= 1u;
  return *left == 0u;
}

static int32_t inside("""


@cache
def paged() -> Plan:
    """Its state takes two sectors and some twenty pages."""
    net = NetBuilder((1, 6, 6, 3))
    net.dense("head", net.dense("hidden", net.flat("flat", "x"), 40), 4)
    return kg.compile(net.graph, train="full", config=kg.TrainConfig(learning_rate=0.02))


def driver(folder: Path) -> Path:
    """The board's driver, whose functions look at the countdown first."""
    text = (firmware_dir() / DRIVER).read_text()
    for which, name in enumerate(("erase", "program", "read_bytes")):
        text, count = re.subn(rf"(static int32_t {name}\(.*\n  \(void\)context;\n)", rf"\1  if (fails({which}u)) return 9;\n", text)
        assert count == 1, name
    assert text.count("static int32_t inside(") == 1
    out = folder / Path(DRIVER).name
    out.write_text(text.replace("static int32_t inside(", COUNTDOWN.replace("FAULTS_AT", f"{FAULTS:#x}u").lstrip("\n")))
    return out


@dataclass
class Rig:
    """Firmware with faults in its flash, and the file that is its memory."""

    firmware: Firmware
    memory: Path

    def arm(self, which: int, call: int) -> None:
        """That call from now on fails."""
        with self.memory.open("r+b") as file:
            file.seek(FAULTS + 4 * which)
            file.write(struct.pack("<I", call))

    @contextmanager
    def start(self) -> Iterator[Device]:
        with Emulator("mps2-an386", self.firmware.elf, self.memory) as emulator, Device.open(emulator.url, paged(), timeout=5) as device:
            yield device
            emulator.kill()


@pytest.fixture
def rig(tmp_path: Path) -> Callable[..., Rig]:
    def make(options: Options, quiet_ms: int) -> Rig:
        board = need("mps2-an386")
        failing = driver(tmp_path)
        board = replace(
            board,
            sources=tuple(failing if s.name == failing.name else s for s in board.sources),
            defines={**board.defines, "KG_SAVE_QUIET_MS": quiet_ms},
        )
        assert failing in board.sources
        memory = tmp_path / "flash.bin"
        prepare(board, memory)
        return Rig(build(board, paged(), tmp_path / "out", replace(options, stack_bytes=4096)), memory)

    return make


def ended(device: Device) -> int:
    """Wait for the save: what became of it."""
    while (saving := device.stats().saving) == 1:
        pass
    return saving


def same_learning(device: Device, simulator: kg.Simulator) -> None:
    """Step count, loss and the output layer: enough to tell states apart, and quickly read."""
    for name in ("train", next(n for n, t in simulator.plan.tensors.items() if t.kind is Kind.STATE and t.shape[:2] == (4, 40))):
        assert device.read_bytes(name) == simulator.read(name).tobytes(), name


PAGES = 1 + -(-(len(paged().state) - 188) // 256)  # header and marks take 68 bytes of the first
MOMENTS = {
    "first erase": (ERASE, 1),
    "last erase": (ERASE, 2),
    "header": (PROGRAM, 1),
    "state": (PROGRAM, PAGES // 2),
    "commit mark": (PROGRAM, PAGES + 2),
    "read back": (READ, 9),
}
SEAL = (PROGRAM, PAGES + 3)


def test_a_background_save_that_fails(rig: Callable[..., Rig]) -> None:
    """The checkpoint before stays, learning goes on, and the next save works."""
    bench, learner = rig(Options(snapshot=True), 2), kg.Simulator(paged())
    x, y = samples(paged(), 6)
    with bench.start() as device:
        for moment, fault in MOMENTS.items():
            assert np.array_equal(device.train(x[:2], y[:2]), learner.train(x[:2], y[:2]))
            device.save()
            saved, number = learner.snapshot(), device.stats().saved_sequence
            assert np.array_equal(device.train(x[2:4], y[2:4]), learner.train(x[2:4], y[2:4]))
            bench.arm(*fault)
            device.save(wait=False)
            assert np.array_equal(device.train(x[4:], y[4:]), learner.train(x[4:], y[4:]))
            assert ended(device) == 2 and device.stats().saved_sequence == number, moment
            same_learning(device, learner)
            bench.arm(*fault)
            with pytest.raises(DeviceError, match="could not save") as error:
                device.save()
            assert error.value.status == "FLASH_ERROR"
            device.load()
            learner.restore(saved)
            same_learning(device, learner)
        same_state(device, learner)
        # the last word of all: told as failed, but the checkpoint is complete, and it is the newest
        assert np.array_equal(device.train(x[:2], y[:2]), learner.train(x[:2], y[:2]))
        bench.arm(*SEAL)
        with pytest.raises(DeviceError, match="could not save"):
            device.save()
        device.train(x, y)  # never saved
    with bench.start() as device:
        same_state(device, learner)
        assert np.array_equal(device.train(x[:2], y[:2]), learner.train(x[:2], y[:2]))
        device.save()
        assert device.stats().saving == 0 and device.stats().saved_sequence > number
    with bench.start() as device:
        same_state(device, learner)


def test_a_save_that_holds_everything_up_fails(rig: Callable[..., Rig]) -> None:
    """So do a load, which leaves factory state and not half of another, and a reset, which leaves all as it was."""
    bench, learner = rig(Options(), 2), kg.Simulator(paged())
    x, y = samples(paged(), 4)
    with bench.start() as device:
        assert np.array_equal(device.train(x, y), learner.train(x, y))
        device.save()
        for moment, act in (*((m, device.save) for m in MOMENTS.values()), ((ERASE, 1), device.reset), ((PROGRAM, 1), device.reset)):
            bench.arm(*moment)
            with pytest.raises(DeviceError) as error:
                act()
            assert error.value.status == "FLASH_ERROR" and device.stats().saving == 0
            same_learning(device, learner)
        same_state(device, learner)
        bench.arm(READ, 1)
        with pytest.raises(DeviceError) as error:
            device.load()
        assert error.value.status == "FLASH_ERROR"
        same_state(device, kg.Simulator(paged()))
        device.load()
        same_state(device, learner)


def answer(device: Device, command: Command, content: bytes = b"") -> Status:
    """The answer to one request; a Device asks again while it is BUSY."""
    link = device._link
    link._sequence = (link._sequence + 1) & 0xFFFF
    return Status(link._exchange(command, Frame(command, link._sequence, content), time.monotonic() + 30).payload[0])


def test_requests_while_a_save_is_under_way(rig: Callable[..., Rig]) -> None:
    """What would get in its way is told BUSY and changes nothing; the rest is served. The line is never quiet for long enough here, so that
    the save goes on by one page with each request."""
    options, other = Options(snapshot=True, all_kernels=True, arena_bytes=4096), small("last:2")
    bench, learner = rig(options, 100_000), kg.Simulator(paged())
    x, y = samples(paged(), 3)
    file, mine = other.to_bytes(), paged().to_bytes()[12:16]
    with bench.start() as device:
        assert np.array_equal(device.train(x, y), learner.train(x, y))
        saved = learner.snapshot()
        device.save(wait=False)
        assert np.array_equal(device.train(x, y), learner.train(x, y))
        for command in (Command.SAVE, Command.LOAD, Command.FACTORY_RESET):
            assert answer(device, command, mine) is Status.BUSY
        assert np.array_equal(device.infer(x), learner.infer(x))
        assert device.stats().saving == 1
        assert ended(device) == 0 and device.stats().saved_sequence == 1
        same_state(device, learner)
        device.load()
        learner.restore(saved)
        same_state(device, learner)
        device._link.request(Command.PLAN_BEGIN, struct.pack("<II", len(file), zlib.crc32(file)))
        for at in range(0, len(file), 1016):
            device._link.request(Command.PLAN_WRITE, struct.pack("<I", at) + file[at : at + 1016])
        device.save(wait=False)
        assert answer(device, Command.PLAN_COMMIT) is Status.BUSY
        assert np.array_equal(device.train(x, y), learner.train(x, y))  # still the old plan
        assert device.stats().saving == 1
        device._link.request(Command.PLAN_COMMIT)  # waits; what was sent need not be sent again
        device._expect(other)
        device.connect()
        assert device.stats().saving == 0
        further = kg.Simulator(other)
        assert np.array_equal(device.train(x, y), further.train(x, y))
        same_state(device, further)

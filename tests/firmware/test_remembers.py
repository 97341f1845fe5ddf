"""Firmware over its link, with flash that outlives the emulator: what was learned is there after a power cut, and so is a new plan."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import kilograd as kg
from kilograd.device.boards import Region
from kilograd.device.build import Options, build
from kilograd.device.client import Device
from kilograd.device.emulator import Emulator
from kilograd.errors import BudgetError, DeviceError, KilogradError
from kilograd.plan.plan import Plan
from tests.firmware.plans import need, small
from tests.link.test_device import same_state
from tests.train.nets import NetBuilder

pytest.importorskip("serial")


def samples(plan: Plan, count: int, seed: int = 3) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return rng.integers(-128, 128, (count, *plan.tensors["x"].shape[1:])).astype(np.int8), rng.integers(0, 4, count)


@pytest.mark.parametrize("name", ["mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547", "riscv-virt"])
def test_learned_saved_cut_and_found(name: str, tmp_path: Path) -> None:
    board, plan = need(name), small()
    firmware, memory = build(board, plan, tmp_path), tmp_path / "flash.bin"
    x, y = samples(plan, 6)
    simulator = kg.Simulator(plan)
    with Emulator(board, firmware.elf, memory) as emulator, Device.open(emulator.url, plan, timeout=5) as device:
        assert np.array_equal(device.train(x[:4], y[:4]), simulator.train(x[:4], y[:4]))
        device.save()
        device.train(x[4:], y[4:])  # never saved
        emulator.kill()
    with Emulator(board, firmware.elf, memory) as emulator, Device.open(emulator.url, plan, timeout=5) as device:
        assert np.array_equal(device.infer(x), simulator.infer(x))
        assert np.array_equal(device.train(x[4:], y[4:]), simulator.train(x[4:], y[4:]))  # and it goes on, bit for bit
        device.reset()
        assert np.array_equal(device.infer(x), kg.Simulator(plan).infer(x))
        emulator.kill()
    with Emulator(board, firmware.elf, memory) as emulator, Device.open(emulator.url, plan, timeout=5) as device:
        assert device.stats().saved_sequence == 2 or device.stats().saved_sequence == 0
        assert np.array_equal(device.infer(x), kg.Simulator(plan).infer(x))


@pytest.mark.parametrize("name", ["mps2-an386", "riscv-virt"])
def test_a_new_plan_without_reflashing(name: str, tmp_path: Path) -> None:
    board, first, second = need(name), small(None), small()
    options = Options(all_kernels=True, arena_bytes=second.arena_bytes, state_bytes=len(second.state))
    firmware, memory = build(board, first, tmp_path, options), tmp_path / "flash.bin"
    x = np.random.default_rng(4).integers(-128, 128, (2, *first.tensors["x"].shape[1:])).astype(np.int8)
    with Emulator(board, firmware.elf, memory) as emulator, Device.open(emulator.url, first, timeout=5) as device:
        with pytest.raises(KilogradError):
            device.train_step(x[0], 1)
        device.update_plan(second)
        simulator = kg.Simulator(second)
        assert device.train_step(x[0], 1) == simulator.train_step(x[0], 1)
        device.save()
        emulator.kill()
    with Emulator(board, firmware.elf, memory) as emulator, Device.open(emulator.url, second, timeout=5) as device:
        assert np.array_equal(device.infer(x), simulator.infer(x))
        with pytest.raises(KilogradError):
            device.update_plan(b"KGP\n" + bytes(60))
        assert np.array_equal(device.infer(x), simulator.infer(x))
        device.update_plan(first)  # into the other slot
        assert not device.info.trains
        emulator.kill()
    with Emulator(board, firmware.elf, memory) as emulator, Device.open(emulator.url, first, timeout=5) as device:
        assert not device.info.trains and np.array_equal(device.infer(x), kg.Simulator(first).infer(x))


def test_a_flash_controller(tmp_path: Path) -> None:
    """The nRF51's, as QEMU has it: nothing outlives that emulator, so all within one session."""
    board, plan = need("microbit"), small("last:2")
    x, y = samples(plan, 6)
    simulator, further = kg.Simulator(plan), kg.Simulator(plan)
    with Emulator(board, build(board, plan, tmp_path).elf) as emulator, Device.open(emulator.url, plan, timeout=5) as device:
        with pytest.raises(DeviceError) as error:
            device.load()
        assert error.value.status == "NOTHING_SAVED"
        for number in (1, 2):
            assert np.array_equal(device.train(x[:3], y[:3]), simulator.train(x[:3], y[:3]))
            device.save()
            assert device.stats().saved_sequence == number and device.stats().erases >= number
            further = kg.Simulator(plan)
            for _ in range(number):
                further.train(x[:3], y[:3])
            assert np.array_equal(device.train(x[3:], y[3:]), further.train(x[3:], y[3:]))
            same_state(device, further)
            device.load()
            same_state(device, simulator)
        device.reset()
        same_state(device, kg.Simulator(plan))


@cache
def wide() -> Plan:
    """Its state takes many pages of flash."""
    net = NetBuilder((1, 6, 6, 3))
    net.dense("head", net.dense("wide", net.flat("flat", "x"), 128), 4)
    return kg.compile(net.graph, train="full", config=kg.TrainConfig(learning_rate=0.02))


def test_learning_goes_on_during_a_save(tmp_path: Path) -> None:
    board, plan = need("mps2-an386"), wide()
    unhurried = replace(board, defines={**board.defines, "KG_SAVE_QUIET_MS": 100})  # else it has ended before the host can ask
    firmware, memory = build(unhurried, plan, tmp_path, Options(snapshot=True)), tmp_path / "flash.bin"
    assert firmware.memory_bytes >= 2 * len(plan.state) + plan.arena_bytes
    x, y = samples(plan, 8)
    simulator, further = kg.Simulator(plan), kg.Simulator(plan)
    simulator.train(x[:3], y[:3])
    with Emulator(board, firmware.elf, memory) as emulator, Device.open(emulator.url, plan, timeout=5) as device:
        assert np.array_equal(device.train(x[:3], y[:3]), further.train(x[:3], y[:3]))
        device.save(wait=False)
        assert np.array_equal(device.train(x[3:], y[3:]), further.train(x[3:], y[3:]))
        assert device.stats().saving == 1 and device.stats().saved_sequence == 0
        while device.stats().saving:
            device.infer(x[:1])
        assert device.stats().saved_sequence == 1
        same_state(device, further)
        emulator.kill()
    with Emulator(board, firmware.elf, memory) as emulator, Device.open(emulator.url, plan, timeout=5) as device:
        same_state(device, simulator)  # the moment of the request
        assert np.array_equal(device.train(x[3:], y[3:]), simulator.train(x[3:], y[3:]))
        device.save(wait=False)
        device.load()  # waits for it
        assert device.stats().saving == 0 and device.stats().saved_sequence == 2
        same_state(device, further)


def test_a_snapshot_counts(tmp_path: Path) -> None:
    board, plan = need("mps2-an386", emulator=False), wide()
    tight = replace(board, memory={**board.memory, "ram": Region(board.ram.origin, 2 * len(plan.state))})
    with pytest.raises(BudgetError, match=r"state .* B \+ snapshot .* B \+ stack"):
        build(tight, plan, tmp_path, Options(snapshot=True))


def sealed(file: bytes, at: int, word: bytes) -> bytes:
    """The plan file with other bytes at one place, and the right checksum."""
    changed = file[:at] + word + file[at + len(word) :]
    return changed[:12] + struct.pack("<I", zlib.crc32(changed[16:])) + changed[16:]


def test_what_the_board_says_of_plans_that_it_cannot_take(tmp_path: Path) -> None:
    board, plan, larger = need("mps2-an386"), small("last:2"), wide()
    firmware, memory = build(board, plan, tmp_path, Options(all_kernels=True)), tmp_path / "flash.bin"
    file = plan.to_bytes()
    calls = struct.unpack_from("<I", file, 28 + 3 * 16 + 4)[0]
    assert board.store is not None
    room = board.store.plan_sectors // 2 * board.store.sector_bytes - 512
    cases: list[tuple[bytes, str, str]] = [
        (bytes(room + 1), "FLASH_FULL", f"does not fit.*{room} bytes"),
        (sealed(file, calls, struct.pack("<I", 60000)), "PLAN_REFUSED", "kernel that the board's firmware lacks"),
        (sealed(file, 4, struct.pack("<I", 77)), "PLAN_REFUSED", "of a version that"),
        (file[:-9] + bytes([file[-9] ^ 4]) + file[-8:], "PLAN_REFUSED", "it is damaged"),
        (file[:-16], "PLAN_REFUSED", "it is not complete"),
        (bytes(256), "PLAN_REFUSED", "it is no plan file"),
        (larger.to_bytes(), "TOO_SMALL", f"{len(larger.state) + larger.arena_bytes} bytes"),
    ]
    x, y = samples(plan, 4)
    simulator = kg.Simulator(plan)
    with Emulator(board, firmware.elf, memory) as emulator, Device.open(emulator.url, plan, timeout=5) as device:
        for bad, status, words in cases:
            assert np.array_equal(device.train(x, y), simulator.train(x, y))
            with pytest.raises(DeviceError, match=words) as error:
                device.update_plan(bad)
            assert error.value.status == status
            same_state(device, simulator)
        device.save()
        emulator.kill()
    with Emulator(board, firmware.elf, memory) as emulator, Device.open(emulator.url, plan, timeout=5) as device:
        same_state(device, simulator)
        assert np.array_equal(device.train(x, y), simulator.train(x, y))


def test_a_plan_whose_kernels_are_not_there_is_refused(tmp_path: Path) -> None:
    board, first, second = need("mps2-an386"), small(None), small()
    firmware = build(board, first, tmp_path)  # with the kernels of inference
    x = np.zeros((1, *first.tensors["x"].shape[1:]), np.int8)
    with Emulator(board, firmware.elf) as emulator, Device.open(emulator.url, first, timeout=5) as device:
        with pytest.raises(KilogradError, match="refuses the new plan.*kernel that the board's firmware lacks"):
            device.update_plan(second)
        assert np.array_equal(device.infer(x), kg.Simulator(first).infer(x))

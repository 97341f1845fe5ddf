"""Firmware over its link, with flash that outlives the emulator: what was learned is there after a power cut, and so is a new plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kilograd as kg
from kilograd.device.build import Options, build
from kilograd.device.client import Device
from kilograd.device.emulator import Emulator
from kilograd.errors import KilogradError
from tests.firmware.plans import need, small

pytest.importorskip("serial")


@pytest.mark.parametrize("name", ["mps2-an386", "mps2-an500"])
def test_learned_saved_cut_and_found(name: str, tmp_path: Path) -> None:
    board, plan = need(name), small()
    firmware, memory = build(board, plan, tmp_path), tmp_path / "flash.bin"
    rng = np.random.default_rng(3)
    x, y = rng.integers(-128, 128, (6, *plan.tensors["x"].shape[1:])).astype(np.int8), rng.integers(0, 4, 6)
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


def test_a_new_plan_without_reflashing(tmp_path: Path) -> None:
    board, first, second = need("mps2-an386"), small(None), small()
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


def test_a_plan_that_is_too_large_is_refused(tmp_path: Path) -> None:
    board, first, second = need("mps2-an386"), small(None), small()
    firmware = build(board, first, tmp_path)  # no room, and not all kernels
    x = np.zeros((1, *first.tensors["x"].shape[1:]), np.int8)
    with Emulator(board, firmware.elf) as emulator, Device.open(emulator.url, first, timeout=5) as device:
        with pytest.raises(KilogradError, match="refuses the new plan"):
            device.update_plan(second)
        assert np.array_equal(device.infer(x), kg.Simulator(first).infer(x))

"""The link on emulated boards, with their interrupts and UARTs: the same bits as the Simulator, also over a bad line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import kilograd as kg
from kilograd.device.boards import find_board
from kilograd.device.build import build
from kilograd.device.client import Device
from kilograd.device.emulator import Emulator
from kilograd.device.opening import open_board
from kilograd.device.transport import SerialTransport
from tests.link.programs import training_plan
from tests.link.test_device import same_state, samples
from tests.link.test_noise import NOISE, Noisy

pytest.importorskip("serial")


@pytest.fixture(autouse=True)
def tools() -> None:
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not here")


@pytest.mark.parametrize("name", ["microbit", "mps2-an386"])
def test_a_board_learns_as_the_simulator(name: str) -> None:
    plan, (x, y) = training_plan("last:2"), samples(6)
    simulator = kg.Simulator(plan)
    with open_board(f"qemu:{name}", plan) as device:
        assert device.info.board == name
        for i in range(len(x)):
            assert device.train_step(x[i], y[i]) == simulator.train_step(x[i], y[i])
        assert np.array_equal(device.infer(x), simulator.infer(x))
        same_state(device, simulator)
        assert device.stats().unit == "instructions" and device.stats().train_ticks > device.stats().infer_ticks > 0


def test_a_board_on_a_bad_line(tmp_path: Path) -> None:
    plan, (x, y) = training_plan("last:2"), samples(10)
    simulator, board = kg.Simulator(plan), find_board("mps2-an386")
    with Emulator(board, build(board, plan, tmp_path).elf) as emulator:
        line = Noisy(SerialTransport(emulator.url), NOISE, 5, 0.15)
        with Device(line, timeout=0.3) as device:
            assert np.array_equal(device.train(x, y), simulator.train(x, y))
            same_state(device, simulator)
        assert line.spoiled > 3

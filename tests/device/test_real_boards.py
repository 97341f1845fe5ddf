"""Boards of hardware: firmware for them builds without a warning and stands where the chip looks for it. None of it was run on hardware."""

from __future__ import annotations

import shutil
import struct
from functools import cache
from pathlib import Path

import pytest

import kilograd as kg
from kilograd.cli.demo import ASSET
from kilograd.device.boards import boards, find_board
from kilograd.device.build import Firmware, build
from kilograd.device.images import Elf, boot2_checksum, flat
from kilograd.errors import BoardError
from kilograd.ir.serialize import load_graph
from kilograd.plan.plan import Plan
from tests.device.test_images import read_uf2

REAL = [b.name for b in boards() if not b.emulated and not b.external]


@cache
def plan() -> Plan:
    return kg.compile(load_graph(ASSET), train="head")


def firmware(board: str, directory: Path) -> Firmware:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    return build(board, plan(), directory)


def test_there_are_boards() -> None:
    assert set(REAL) == {"nucleo-f446re", "stm32f746g-disco", "nrf52840-dk", "rp2040-pico"}


@pytest.mark.parametrize("name", REAL)
def test_firmware(tmp_path: Path, name: str) -> None:
    board, made = find_board(name), firmware(name, tmp_path)
    image = flat(made.elf)
    assert image.address == board.flash.origin and len(image.data) <= board.flash.bytes
    assert (tmp_path / "firmware.bin").read_bytes() == image.data
    start = 256 if name == "rp2040-pico" else 0
    stack, reset, fault = struct.unpack_from("<3I", image.data, start)
    assert stack % 8 == 0 and board.ram.origin < stack <= board.ram.origin + board.ram.bytes
    for handler in (reset, fault):
        assert handler & 1 and board.flash.origin < handler < board.flash.origin + made.text_bytes + 512
    assert plan().to_bytes() in image.data and (image.address + image.data.index(plan().to_bytes())) % 16 == 0


@pytest.mark.parametrize("name", REAL)
def test_store_is_apart_from_code_and_matches_the_chip(name: str) -> None:
    board = find_board(name)
    store = board.store
    assert store is not None
    size = store.sector_bytes * (store.sectors + store.plan_sectors)
    assert board.flash.origin + board.flash.bytes <= store.origin
    assert store.origin % store.sector_bytes == 0
    end = {"nucleo-f446re": 0x08080000, "stm32f746g-disco": 0x08100000, "nrf52840-dk": 0x100000, "rp2040-pico": 0x10200000}[name]
    assert store.origin + size <= end


def test_second_boot_stage(tmp_path: Path) -> None:
    """The build puts the checksum there, in every file that it makes; what runs while the flash is busy stands in RAM."""
    made = firmware("rp2040-pico", tmp_path)
    image = flat(made.elf).data
    assert struct.unpack_from("<I", image, 252)[0] == boot2_checksum(image[:252])
    address, family, content = read_uf2((tmp_path / "firmware.uf2").read_bytes())
    assert (address, family) == (0x10000000, 0xE48BFF56) and content[: len(image)] == image
    assert Elf(made.elf).section(".data") is not None and 64 <= made.data_bytes <= 512
    assert {"firmware.bin", "firmware.uf2"} <= set(made.files)


def test_board_that_another_framework_builds(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="ESP-IDF.*README.md"):
        build("esp32-c3", plan(), tmp_path)

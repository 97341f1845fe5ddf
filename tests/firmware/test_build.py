"""Building: what is linked, what is refused and in which words, and how large it is."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import kilograd as kg
from kilograd.device import build as building
from kilograd.device.boards import Region
from kilograd.device.build import Options, build
from kilograd.device.uf2 import uf2
from kilograd.errors import BoardError, BudgetError
from tests.firmware.plans import need, small
from tests.shared_data import require


def test_only_the_kernels_of_the_plan_are_there(tmp_path: Path) -> None:
    board = need("mps2-an386", emulator=False)
    firmware = build(board, small(None), tmp_path, Options(app="bench"))
    symbols = subprocess.run(["arm-none-eabi-nm", firmware.elf], capture_output=True, text=True, check=True).stdout
    assert "kg_conv2d_ref_s8" in symbols and "grad" not in symbols and "malloc" not in symbols and "printf" not in symbols
    assert firmware.data_bytes == firmware.bss_bytes == 0
    assert firmware.memory_bytes == building.round_up(len(small(None).state)) + small(None).arena_bytes
    everything = build(board, small(None), tmp_path, Options(app="bench", all_kernels=True))
    assert everything.text_bytes > 2 * firmware.text_bytes


def test_code_of_an_inference_firmware_is_small(tmp_path: Path) -> None:
    model = require("models/mlperf_tiny/vww_96_int8.tflite")
    board = need("mps2-an386", emulator=False)
    assert build(board, kg.compile(kg.load(model)), tmp_path, Options(app="bench")).text_bytes <= 25 * 1024


@pytest.mark.parametrize("name", ["stm32vldiscovery", "sifive_e"])
def test_what_the_application_keeps_for_itself(name: str, tmp_path: Path) -> None:
    firmware = build(need(name, emulator=False), small(), tmp_path)
    assert firmware.data_bytes == 0 and firmware.bss_bytes < 640  # two frames, plan, session, link
    assert firmware.sram_bytes == firmware.bss_bytes + firmware.memory_bytes + firmware.stack_bytes <= 8192


def test_too_little_ram(tmp_path: Path) -> None:
    board = need("stm32vldiscovery", emulator=False)
    with pytest.raises(BudgetError, match=r"RAM of stm32vldiscovery: arena .* \+ state .* \+ stack .*there are 8,192 B"):
        build(board, small(), tmp_path, Options(arena_bytes=8192))
    stack = build(board, small(), tmp_path).stack_bytes
    tight = replace(board, memory={**board.memory, "ram": Region(board.ram.origin, building.round_up(sum_of(stack)))})
    with pytest.raises(BudgetError, match=r"RAM of stm32vldiscovery: .* are needed .*variables"):
        build(tight, small(), tmp_path)


def sum_of(stack: int) -> int:
    return stack + sum(building.memory_sizes(small(), Options()))


def test_too_little_flash(tmp_path: Path) -> None:
    board = need("stm32vldiscovery", emulator=False)
    little = replace(board, memory={**board.memory, "flash": Region(board.flash.origin, 16384)})
    with pytest.raises(BudgetError, match=r"flash of stm32vldiscovery: .* B are needed \(the plan file .*there are 16,384 B"):
        build(little, small(), tmp_path)


def test_compiler_missing_or_unhappy(tmp_path: Path) -> None:
    board = need("microbit", emulator=False)
    with pytest.raises(BoardError, match="needs the compiler nowhere-gcc"):
        build(replace(board, prefix="nowhere-"), small(), tmp_path)
    with pytest.raises(BoardError, match="could not build for microbit"):
        build(replace(board, flags=(*board.flags, "-DKG_KERNEL=broken(")), small(), tmp_path)
    with pytest.raises(BoardError, match="no firmware application 'game'; there are serve, bench"):
        build(board, small(), tmp_path, Options(app="game"))


@pytest.mark.parametrize("level", ["-Os", "-O3"])
def test_other_levels_build_without_warnings(level: str, tmp_path: Path) -> None:
    build(need("netduinoplus2", emulator=False), small(), tmp_path, Options(optimize=level))


def test_uf2_blocks() -> None:
    image = bytes(range(256)) + b"tail"
    file = uf2(image, 0x10000000, 0xE48BFF56)
    assert len(file) == 1024 and file[:8] == b"UF2\nWQ]\x9e" and file[508:512] == b"\x30\x6f\xb1\x0a"
    assert file[32:288] == image[:256] and file[512 + 12 : 512 + 16] == bytes.fromhex("00010010") and file[512 + 32 : 512 + 36] == b"tail"

"""Faults end the program and say where; a stack that is too small is a fault, never damage."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from kilograd.device import build as building
from kilograd.device.bench import HELLO
from kilograd.device.boards import Board
from kilograd.device.build import Options, build
from kilograd.device.emulator import Emulator
from kilograd.errors import BoardError
from tests.firmware.plans import need, small

CORES = ["microbit", "mps2-an386", "mps2-an505", "riscv-virt"]


def last_words(board: Board, elf: Path, hello: bytes) -> str:
    with Emulator(board, elf) as emulator:
        with pytest.raises(BoardError) as error:
            emulator.start(hello)
            emulator.read_until(b"\nend\n", 30)
        assert emulator.returncode == 70
    return str(error.value)


@pytest.mark.parametrize("name", CORES)
def test_a_small_stack_overflows_into_a_fault(name: str, tmp_path: Path) -> None:
    board = need(name)
    firmware = build(board, small(), tmp_path, Options(app="bench", samples=1, stack_bytes=512, stack_unchecked=True))
    said = last_words(board, firmware.elf, HELLO)
    limit = f"{board.ram.origin:08x}"
    assert re.search(rf"fault \d+ .*stack-overflow.*stack overflow: sp=[0-9a-f]{{8}} limit={limit} reserved=512", said), said
    # the place, or the deepest return address that is left: in the chain of calls that needs most
    address = re.search(r"called-from=([0-9a-f]{8})", said) or re.search(r" lr=([0-9a-f]{8})", said)
    assert address, said
    tool = [f"{board.prefix}addr2line", "-fse", str(firmware.elf), hex(int(address[1], 16) - 2)]
    function = subprocess.run(tool, capture_output=True, text=True, check=True).stdout.split()[0]
    assert function.startswith("kg_") or any(function in name for name in firmware.stack_path), function


@pytest.mark.parametrize("name", CORES)
def test_a_fault_says_where(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = need(name)
    monkeypatch.setitem(building.APPS, "culprit", (str(Path(__file__).with_name("culprit.c")), "memory.c"))
    firmware = build(board, small(), tmp_path, Options(app="culprit"))
    said = last_words(board, firmware.elf, b"hello\n")
    at = re.search(r"fault \d+ .*pc=([0-9a-f]{8}) lr=[0-9a-f]{8}", said)
    assert at and "stack-overflow" not in said, said
    symbols = subprocess.run([f"{board.prefix}nm", firmware.elf], capture_output=True, text=True, check=True).stdout
    start = re.search(r"^(\w+) T culprit$", symbols, re.M)
    assert start and 0 <= int(at[1], 16) - int(start[1], 16) < 8

"""Board descriptions: all that travel with kilograd are sound, and a mistake is named with the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from kilograd._sources import firmware_dir
from kilograd.device.boards import boards, find_board, read_board
from kilograd.errors import BoardError

EXPECTED = {
    "microbit", "stm32vldiscovery", "netduinoplus2", "mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547", "sifive_e", "riscv-virt",
}  # fmt: skip


def test_all_boards_are_read() -> None:
    found = {b.name: b for b in boards()}
    assert {n for n, b in found.items() if b.emulated} == EXPECTED
    for board in found.values():
        if board.store:
            start = board.store.origin
            end = start + board.store.sector_bytes * (board.store.sectors + board.store.plan_sectors)
            assert start >= board.flash.origin + board.flash.bytes or end <= board.flash.origin, f"{board.name}: firmware over store"


def test_names_and_folders() -> None:
    assert find_board("qemu:microbit") == find_board("microbit") == find_board(str(firmware_dir() / "boards/microbit"))
    with pytest.raises(BoardError, match="there are .*microbit"):
        find_board("nonsense")
    hardware = next((b.name for b in boards() if not b.emulated), None)
    if hardware:
        with pytest.raises(BoardError, match="hardware"):
            find_board(f"qemu:{hardware}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('core = "cortex-m0"', "core = 3", "'core' must be of type str"),
        ("clock_hz = 16_000_000", "", "'clock_hz' is missing"),
        ("defines", "define", "'build.define' is not known"),
        ("linker =", "stack_bytes = 2048\nlinker =", "'build.stack_bytes' is for boards that a framework builds"),
        ("common/uart/nrf51.c", "common/uart/none.c", "neither in the board's folder"),
        ("sectors = 32", "sectors = 1", "'store.sectors' must be at least 2"),
        ('name = "microbit"', 'name = "other"', "the folder is 'microbit'"),
        ("[run]", "[run", "board.toml: "),
        ("[run]", "[program]", "'run' is missing"),
        ("icount_shift = 8", 'memory = ["-drive"]', "'run.memory' has {file} in an argument"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (firmware_dir() / "boards/microbit/board.toml").read_text()
    folder = tmp_path / "microbit"
    folder.mkdir()
    (folder / "board.toml").write_text(text.replace(old, new))
    with pytest.raises(BoardError) as error:
        read_board(folder)
    assert message in str(error.value) and "board.toml" in str(error.value)

"""Flash drivers of the boards of hardware, on models of their controllers: locks, keys, order of steps, waiting, errors.

The drivers are the files that firmware is built of, compiled for the host: gcc calls the model before each volatile access
(tests/firmware/flash_drivers/bus.h). Each model knows what its reference manual forbids and says so. One line of the RP2040's is
changed: it finds the boot ROM through half-words at addresses 0x14 and 0x18, and a host has nothing there."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import pytest

from kilograd._sources import firmware_dir, runtime_dir
from kilograd.device.boards import find_board

HERE = Path(__file__).parent / "flash_drivers"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
HOOKS = ["-fsanitize=thread", "--param=tsan-distinguish-volatile=1"]
NOTHING_HERE = 77  # exit code: the addresses are taken on this host
FOLDER = TemporaryDirectory(prefix="kilograd-flash-")  # goes when Python ends
FAKE = "uintptr_t fake_rom_half(uintptr_t address);\n"
ROM = "*(const volatile uint16_t *)address"


@dataclass(frozen=True)
class Chip:
    """A board, its driver, the model, and what the model has to know of the chip."""

    driver: str
    model: str
    sectors_kb: str = "0"


CHIPS = {
    "nucleo-f446re": Chip("common/flash/stm32f4.c", "stm32.c", "16, 16, 16, 16, 64, 128, 128, 128"),
    "stm32f746g-disco": Chip("common/flash/stm32f4.c", "stm32.c", "32, 32, 32, 32, 128, 256, 256, 256"),
    "nrf52840-dk": Chip("common/flash/nvmc.c", "nrf5.c"),
    "microbit": Chip("common/flash/nvmc.c", "nrf5.c"),
    "rp2040-pico": Chip("boards/rp2040-pico/flash.c", "rp2040.c"),
}


def config(name: str) -> str:
    """What of kg_config.h a flash driver sees, and the chip's sectors."""
    board = find_board(name)
    assert board.store is not None
    values = {
        "KG_STORE_ORIGIN": board.store.origin, "KG_STORE_SECTOR_BYTES": board.store.sector_bytes, "KG_STORE_SECTORS": board.store.sectors,
        "KG_STORE_PLAN_SECTORS": board.store.plan_sectors, "KG_STORE_PROGRAM_BYTES": board.store.program_bytes, **board.defines,
    }  # fmt: skip
    lines = [f"#define {key} {value}u" for key, value in values.items() if isinstance(value, int)]
    return "\n".join([*lines, f"#define MODEL_SECTORS_KB {CHIPS[name].sectors_kb}", ""])


def compiled(name: str, patches: tuple[tuple[str, str], ...] = ()) -> Path:
    """The driver with its model. `patches` break the driver on purpose."""
    if not sys.platform.startswith("linux") or platform.architecture()[0] != "64bit" or shutil.which("gcc") is None:
        pytest.skip("the models need gcc, and a 64-bit Linux, where a chip's addresses are free")
    folder = Path(mkdtemp(dir=FOLDER.name))
    (folder / "kg_config.h").write_text(config(name))
    source = firmware_dir() / CHIPS[name].driver
    text = source.read_text()
    if ROM in text:
        assert text.count(ROM) == 1
        text = text.replace(ROM, "fake_rom_half(address)").replace("static uintptr_t rom_half", f"{FAKE}static uintptr_t rom_half")
    for old, new in patches:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    (folder / "driver.c").write_text(text)
    # a host's assembler does not know Arm's barriers
    (folder / "barriers.h").write_text('__asm__(".macro dsb\\n.endm\\n.macro isb\\n.endm");\n')
    include = [f"-I{p}" for p in (folder, HERE, firmware_dir() / "common", source.parent, runtime_dir() / "include")]
    base = ["gcc", "-std=c11", "-O2", "-fPIE", *include]
    driver = [*base, *([] if patches else WARNINGS), *HOOKS, "-fno-toplevel-reorder", "-include", str(folder / "barriers.h")]
    subprocess.run([*driver, "-c", str(folder / "driver.c"), "-o", str(folder / "driver.o")], check=True)
    others = [
        HERE / "main.c",
        HERE / "bus.c",
        HERE / CHIPS[name].model,
        *(runtime_dir() / "store" / f for f in ("ring.c", "open.c", "save.c")),
    ]
    subprocess.run([*base, *WARNINGS, "-pie", *map(str, others), str(folder / "driver.o"), "-o", str(folder / "driver")], check=True)
    return folder / "driver"


@cache
def program(name: str) -> Path:
    """The driver of a board as it is."""
    return compiled(name)


def run(path: Path, *arguments: object) -> list[str]:
    """What it said: events of the model, results of the driver (after '='), broken rules (after '!')."""
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    if done.returncode == NOTHING_HERE:
        pytest.skip(f"the chip's addresses are taken on this host: {done.stderr.strip()}")
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


def broken_rules(said: list[str]) -> list[str]:
    return [line for line in said if line.startswith("!")]


def stm32(first: int, words: tuple[int, int], cache: list[str]) -> list[str]:
    unlock = ["key 45670123", "key cdef89ab", "clear f2"]
    lock = ["lock 0", *cache]
    erase = [*unlock, f"erase {first + 1:x}", *lock, "= erase 0"]
    return [*erase, *unlock, "program 0", *(f"word {w:x}" for w in words), *lock, "= program 0"]


def nrf5(sector: int) -> list[str]:
    erase = ["mode 2", f"erase {sector:x}", "mode 0", "= erase 0"]
    return [*erase, "mode 1", f"word {sector:x}", f"word {sector + 4:x}", "mode 0", "= program 0"]


def rp2040(sector: int) -> list[str]:
    begin, end = ["connect 0", "exit_xip 0"], ["flush 0", "enable 0", "enable 1"]
    return [*begin, "erase 0", *end, "= erase 0", *begin, "program 0", f"at {sector:x}", *end, "= program 0"]


EXPECTED = {
    "nucleo-f446re": stm32(6, (0x08060000, 0x08060004), ["cache cleared 0", "cache on 0"]),
    "stm32f746g-disco": stm32(6, (0x080C0000, 0x080C0004), []),
    "nrf52840-dk": nrf5(0xA1000),
    "microbit": nrf5(0x38400),
    "rp2040-pico": rp2040(0x101000),
}


@pytest.mark.parametrize("name", CHIPS)
def test_every_step_in_its_order(name: str) -> None:
    """Erase of the store's sector 1, then two units in it: sector and addresses are the chip's, what was unlocked is locked again."""
    read = ["= read 0", "= same 1", "= read the rest 0", "= erased 1"]
    assert run(program(name), "once") == [*EXPECTED[name], *read]


@pytest.mark.parametrize("name", CHIPS)
def test_what_lies_outside_is_refused_and_not_touched(name: str) -> None:
    said = run(program(name), "refused")
    assert len(said) == 7 and all(line.startswith("= ") and line.endswith(" 1") for line in said), said


@pytest.mark.parametrize("name", CHIPS)
def test_a_store_on_it(name: str) -> None:
    said = run(program(name), "store")
    assert not broken_rules(said)
    results = [line for line in said if line.startswith("=")]
    assert results == ["= open 2", *["= save 0"] * 3, "= open 0", "= load 0", "= same 1", "= save 0"]


@pytest.mark.parametrize("fault", [(1, 0), (0, 1), (0, 3), (0, 40)], ids=["erase", "first word", "third word", "state"])
@pytest.mark.parametrize("name", CHIPS)
def test_flash_that_fails(name: str, fault: tuple[int, int]) -> None:
    """The controller's error comes out of the driver; where a controller has none, reading back finds it. The save before stays."""
    if name == "rp2040-pico" and fault == (0, 40):
        fault = (0, 4)  # it programs pages, not words
    said = run(program(name), "fail", *fault)
    assert not broken_rules([line for line in said if "twice" not in line]), said
    results = [line for line in said if line.startswith("=")]
    flags = CHIPS[name].model == "stm32.c"
    words = "erase" if fault[0] and flags else "program"
    assert words in results[4] and results[5:] == ["= open 0", "= load 0", "= same 1", "= save 0"], results


BROKEN = {
    "no key": ("nucleo-f446re", "    FLASH->key = 0xCDEF89ABu;\n", ""),
    "keys in the wrong order": ("stm32f746g-disco", "FLASH->key = 0x45670123u;", "FLASH->key = 0xCDEF89ABu;"),
    "not locked": ("nucleo-f446re", "  FLASH->control = 1u << 31;\n", ""),
    "no waiting": ("nucleo-f446re", "FLASH->status & (uint32_t)BUSY", "0"),
    "bytes, not words": ("nucleo-f446re", "WORDS = 2 << 8", "WORDS = 0 << 8"),
    "another sector": ("stm32f746g-disco", "(KG_FLASH_FIRST_SECTOR + sector)", "(KG_FLASH_FIRST_SECTOR + 1u + sector)"),
    "error flags left alone": ("nucleo-f446re", "FLASH->status = (uint32_t)ERRORS", "(void)FLASH->status"),
    "cache cleared while on": ("nucleo-f446re", "FLASH->access &= ~KG_FLASH_CACHE_ENABLE", "(void)FLASH->access"),
    "erase without the mode": ("nrf52840-dk", "mode(ERASE)", "mode(READ_ONLY)"),
    "write without the mode": ("nrf52840-dk", "mode(WRITE)", "mode(READ_ONLY)"),
    "left writable": ("microbit", "    }\n  }\n  mode(READ_ONLY);", "    }\n  }"),
    "flash not let go": ("rp2040-pico", "  r->exit_xip();\n", ""),
    "stale cache": ("rp2040-pico", "  r->flush();\n", ""),
    "interface not put back": ("rp2040-pico", "  SSI(SSI_SPI_CTRLR0) = SSI_READ_03_ADDRESS_24;\n", ""),
    "set while enabled": ("rp2040-pico", "  SSI(SSI_SSIENR) = 0; /* as the second boot stage had it */\n", ""),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_broken_driver_is_caught(mistake: str) -> None:
    name, old, new = BROKEN[mistake]
    read = ["= read 0", "= same 1", "= read the rest 0", "= erased 1"]
    assert run(compiled(name, ((old, new),)), "once") != [*EXPECTED[name], *read]

"""Checkpoints on an emulated board whose flash outlives the emulator: the power fails after a chosen store, and the next start looks.

Every start looks at what the cut before it left, and is cut itself in one of its three saves: one run of QEMU for each cut, at every
store of three saves, on each kind of place that the ring can be in. KILOGRAD_POWER_CUTS=one cuts the second save alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from kilograd._sources import firmware_dir, runtime_dir
from kilograd.device.boards import find_board

HERE = Path(__file__).parent
NVM_BYTES = find_board("mps2-an386").run.memory_bytes  # type: ignore[union-attr]
SECTOR, SECTORS, STACK = 256, 3, 2048
CUT = 77  # exit code of the plugin
BROKEN = (
    ("save.c", "% ring;\n  return overlap(place, keep, ring) ? KG_STORE_FULL : KG_STORE_OK;", "% ring * 0;\n  return KG_STORE_OK;"),
    ("open.c", "if (!found || is_valid(s, newest)) return found;", "return found;"),
)


@dataclass
class Bench:
    """Firmware, plugin, and the file that is the flash."""

    elf: Path
    plugin: Path
    memory: Path

    def run(self, cut: int) -> tuple[int, list[tuple[str, int]]]:
        """One start, cut after that store (0: not at all): exit code, and the words with numbers that the board said."""
        machine = "mps2-an386,memory-backend=nv"
        window = f"from={find_board('mps2-an386').store.origin:#x},bytes={SECTOR * SECTORS}"  # type: ignore[union-attr]
        done = subprocess.run(
            [
                "qemu-system-arm", "-M", machine, "-object",
                f"memory-backend-file,id=nv,mem-path={self.memory},size={NVM_BYTES},share=on", "-nographic", "-monitor", "none",
                "-serial", "stdio", "-semihosting-config", "enable=on,target=native",
                "-plugin", f"{self.plugin},{window},cut={cut},count={self.plugin.with_suffix('.txt')}", "-kernel", str(self.elf),
            ],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert not done.stderr.strip(), done.stderr
        return done.returncode, [(word, int(n)) for word, n in re.findall(r"^(\w+) (\d+)$", done.stdout, re.M)]

    @property
    def stores(self) -> int:
        """How many stores the last start made."""
        return int(self.plugin.with_suffix(".txt").read_text())

    def erase(self) -> None:
        with self.memory.open("wb") as f:
            f.write(b"\xff" * (SECTOR * SECTORS))
            f.truncate(NVM_BYTES)


def make(folder: Path, patches: tuple[tuple[str, str, str], ...] = ()) -> Bench:
    board = find_board("mps2-an386")
    for tool in (f"{board.prefix}gcc", "qemu-system-arm", "gcc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    assert board.store is not None and board.linker is not None
    store = folder / "store"
    shutil.copytree(runtime_dir() / "store", store)
    for name, text, instead in patches:
        source = (store / name).read_text()
        assert source.count(text) == 1
        (store / name).write_text(source.replace(text, instead))
    defines = {
        "KG_CLOCK_HZ": board.clock_hz, "KG_STORE_ORIGIN": board.store.origin, "KG_STORE_SECTOR_BYTES": SECTOR,
        "KG_STORE_SECTORS": SECTORS, "KG_STORE_PLAN_SECTORS": 0, "KG_STORE_PROGRAM_BYTES": board.store.program_bytes, **board.defines,
    }  # fmt: skip
    (folder / "kg_config.h").write_text("".join(f"#define {name} {value}u\n" for name, value in defines.items()))
    regions = "".join(
        f"{name.upper()} ({'rx' if name == 'flash' else 'rwx'}) : ORIGIN = {r.origin:#x}, LENGTH = {r.bytes:#x}\n"
        for name, r in board.memory.items()
    )
    (folder / "memory.ld").write_text(f"MEMORY\n{{\n{regions}}}\n_stack_bytes = {STACK};\n")
    sources = [HERE / "store_power_cut" / "main.c", firmware_dir() / "common/text.c", *board.sources]
    sources += [store / name for name in ("ring.c", "open.c", "save.c")]
    include = [f"-I{d}" for d in (folder, *board.include, firmware_dir() / "common", runtime_dir() / "include")]
    flags = [
        *board.flags,
        "-std=c11",
        "-O2",
        "-ffunction-sections",
        "-fdata-sections",
        *([] if patches else ["-Wall", "-Wextra", "-Werror"]),
    ]
    link = [*board.link, "-nostartfiles", "-static", "-Wl,--gc-sections", f"-L{folder}", "-T", str(board.linker)]
    bench = Bench(folder / "power_cut.elf", folder / "power_cut.so", folder / "flash.bin")
    subprocess.run([f"{board.prefix}gcc", *flags, *include, *map(str, sources), *link, "-o", str(bench.elf)], check=True)
    plugin = ["gcc", "-std=c11", "-D_POSIX_C_SOURCE=200112L", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*plugin, str(HERE / "plugin" / "power_cut.c"), "-o", str(bench.plugin)], check=True)
    bench.erase()
    return bench


def cut_one_after_the_other(bench: Bench, cuts: range) -> list[str]:
    """Starts that found a state that is not the last one saved, nor one begun since."""
    bad: list[str] = []
    saved, begun = 0, 0
    for cut in (*cuts, 0):
        code, said = bench.run(cut)
        found = [n for word, n in said if word == "found"]
        if code not in (0, CUT) or len(found) != 1 or not saved <= found[0] <= begun:
            bad.append(f"before cut {cut}: wanted {saved} to {begun}, the board said {said} and left with {code}")
        if not found:
            bench.erase()  # a broken store: from the start again
            saved = begun = 0
            continue
        # the next start may find what this one found, too: a save that was nearly done when the power failed
        begun = max([found[0], *(n for word, n in said if word == "begin")])
        saved = max([min(saved, found[0]), *(n for word, n in said if word == "saved")])
    return bad


def test_cut_at_every_store(tmp_path: Path) -> None:
    bench = make(tmp_path)
    assert bench.run(0) == (0, [("found", 0), *((word, n) for n in (1, 2, 3) for word in ("begin", "saved"))])
    total = bench.stores
    assert total == 3 * (SECTOR + 36 + 16 + 16 + 100) // 4  # words of erase, header, mark, seal, state
    bench.erase()
    cuts = range(total // 3 + 1, 2 * total // 3 + 1) if os.environ.get("KILOGRAD_POWER_CUTS") == "one" else range(1, total + 1)
    assert cut_one_after_the_other(bench, cuts) == []
    print(f"{len(cuts)} power cuts, 0 bad states")


def test_a_broken_store_is_caught(tmp_path: Path) -> None:
    bench = make(tmp_path, BROKEN)
    bench.run(0)
    total = bench.stores
    bench.erase()
    assert cut_one_after_the_other(bench, range(total // 3 + 1, total, 23))

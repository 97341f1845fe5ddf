"""The store and the flash model, compiled for the host and called through ctypes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_uint32, c_uint64, c_void_p
from pathlib import Path

import pytest

from kilograd._sources import runtime_dir

HERE = Path(__file__).parent
STATUSES = (
    "OK MORE EMPTY OTHER_PLAN OTHER_SIZE OTHER_VERSION TOO_SMALL FULL CHANGED BUSY "
    "READ_FAILED PROGRAM_FAILED ERASE_FAILED BAD_FLASH BAD_ARGUMENT REFUSED"
).split()
TEARS = 6  # kinds of torn stores in flash_model.h; this number means one drawn for each cut
UNSTABLE = 5
READ, PROGRAM, ERASE = range(3)


class Place(Structure):
    _fields_ = [(n, c_uint32) for n in ("sector", "sectors", "sequence", "bytes", "plan_checksum", "checksum", "erases")]


class Store(Structure):
    _fields_ = [
        ("flash", c_void_p),
        *((n, c_uint32) for n in ("state_bytes", "plan_checksum", "found", "has_newest", "has_kept")),
        *((n, Place) for n in ("newest", "kept", "writing")),
        ("source", c_void_p),
        *((n, c_uint32) for n in ("phase", "done", "checksum", "last_sequence", "erases")),
    ]


class Statistics(Structure):
    _fields_ = [(n, c_uint32) for n in ("sequence", "erases", "sectors", "checkpoint_bytes", "ring")]


class Sweep(Structure):
    _fields_ = [(n, c_uint64) for n in ("cuts", "bad", "stuck", "rules", "new_seen")]


class FlashModel(Structure):
    """The fields of struct flash_model."""

    _fields_ = [
        ("context", c_void_p),
        *((n, c_uint32) for n in ("sector_bytes", "sectors", "program_bytes")),
        *((n, c_void_p) for n in ("read", "program", "erase", "cells", "unstable", "programmed")),
        ("erases", POINTER(c_uint32)),
        ("random", c_uint64),
        *((n, c_uint32) for n in ("stores", "cut_at", "tear", "dead", "starts")),
        ("calls", c_uint32 * 3),
        ("fail_at", c_uint32 * 3),
        *((n, c_uint32) for n in ("lie_at", "violations")),
    ]


def build(folder: Path, patches: Sequence[tuple[str, str, str]] = ()) -> ctypes.CDLL:
    """Shared library of runtime/store and the model; `patches` (file, text, instead) break a copy on purpose."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler is here")
    store = folder / "store"
    shutil.copytree(runtime_dir() / "store", store)
    for name, text, instead in patches:
        source = (store / name).read_text()
        assert source.count(text) == 1, f"{name}: {text!r} is there {source.count(text)} times"
        (store / name).write_text(source.replace(text, instead))
    out = folder / "store.so"
    sources = [*(store / name for name in ("ring.c", "open.c", "save.c")), HERE / "flash_model.c", HERE / "sweep.c"]
    include = [f"-I{runtime_dir() / 'include'}", f"-I{HERE}"]
    flags = ["-std=c11", "-O1", "-shared", "-fPIC", *([] if patches else ["-Wall", "-Wextra", "-Wconversion", "-Werror"])]
    subprocess.run([compiler, *flags, *include, *map(str, sources), "-o", str(out)], check=True)
    lib = ctypes.CDLL(str(out))
    lib.sweep.argtypes = [c_uint32] * 9 + [c_uint64, POINTER(Sweep)]
    lib.sweep.restype = None
    lib.flash_new.argtypes, lib.flash_new.restype = [c_uint32, c_uint32, c_uint32, c_uint64], POINTER(FlashModel)
    lib.kg_store_status_text.argtypes, lib.kg_store_status_text.restype = [c_int], c_char_p
    return lib


def sweep(
    lib: ctypes.CDLL, flash: tuple[int, int, int], state: int, *, before: int, saves: int, steps: bool, depth: int, tear: int, seed: int = 1
) -> Sweep:
    result = Sweep()
    lib.sweep(*flash, state, before, saves, steps, depth, tear, seed, byref(result))
    return result


class Device:
    """A store on a flash model; statuses are words."""

    def __init__(self, lib: ctypes.CDLL, flash: tuple[int, int, int], state_bytes: int, *, plan: int = 7, seed: int = 0) -> None:
        self.lib, self.state_bytes, self.plan = lib, state_bytes, plan
        self.model = lib.flash_new(*flash, seed)
        self.store = Store()
        self.found = self.open()

    def close(self) -> None:
        self.lib.flash_free(self.model)

    def open(self, *, plan: int | None = None, state_bytes: int | None = None) -> str:
        self.plan, self.state_bytes = plan or self.plan, state_bytes or self.state_bytes
        self.found = STATUSES[self.lib.kg_store_open(byref(self.store), self.model, self.state_bytes, c_uint32(self.plan))]
        return self.found

    def restart(self) -> str:
        """Power off and on again: RAM is lost."""
        self.lib.flash_restart(self.model)
        ctypes.memset(byref(self.store), 0xCC, ctypes.sizeof(self.store))
        return self.open()

    def save(self, state: bytes) -> str:
        return STATUSES[self.lib.kg_store_save(byref(self.store), state)]

    def load(self) -> tuple[str, bytes]:
        state = ctypes.create_string_buffer(self.state_bytes)
        status = STATUSES[self.lib.kg_store_load(byref(self.store), state)]
        return status, state.raw

    def forget(self) -> str:
        return STATUSES[self.lib.kg_store_forget(byref(self.store))]

    def cut(self, store: int, tear: int) -> None:
        """Cut the power in the store of that number from now, 0: not at all."""
        self.model[0].stores, self.model[0].cut_at, self.model[0].tear = 0, store, tear

    def fail(self, kind: int, call: int) -> None:
        """Let the driver refuse that call of a kind, counted from now; 0: none."""
        self.model[0].calls[kind], self.model[0].fail_at[kind] = 0, call

    @property
    def dead(self) -> bool:
        return bool(self.model[0].dead)

    @property
    def wear(self) -> list[int]:
        return list(self.model[0].erases[: self.model[0].sectors])

    def statistics(self) -> Statistics:
        statistics = Statistics()
        self.lib.kg_store_get_statistics(byref(self.store), byref(statistics))
        return statistics

"""New plans in flash: verified before they become active, and the old one stays through every power cut before that."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import zlib
from ctypes import c_uint32
from pathlib import Path

import pytest

import kilograd as kg
from kilograd._sources import csrc_dir, runtime_dir
from kilograd.plan.compile import plan_graph
from kilograd.train.autodiff import training_graph
from kilograd.train.scheme import parse_scheme
from tests.store.model import ERASE, HERE, PROGRAM, STATUSES, TEARS, FlashModel
from tests.train.nets import small_net

FLASH = (1024, 20, 64)
PIECE = 192


class Slot:
    """A plan slot on a flash model. The structures stay opaque: 1 KB is more than either needs."""

    def __init__(self, lib: ctypes.CDLL, *, firmware: int = 5, seed: int = 0) -> None:
        self.lib, self.firmware = lib, firmware
        self.model = lib.flash_new(*FLASH, seed)
        self.slot, self.plan = ctypes.create_string_buffer(1024), ctypes.create_string_buffer(1024)

    def open(self) -> str:
        mapped = ctypes.c_void_p(self.model[0].cells)
        return STATUSES[self.lib.kg_plan_slot_open(self.slot, self.model, mapped, self.firmware, self.plan)]

    def restart(self) -> str:
        self.lib.flash_restart(self.model)
        return self.open()

    @property
    def active(self) -> bytes:
        """The plan file that is active: address and size are the first fields of kg_plan."""
        where = ctypes.c_void_p.from_buffer(self.plan).value or 0
        return ctypes.string_at(where, c_uint32.from_buffer(self.plan, ctypes.sizeof(ctypes.c_void_p)).value)

    def send(self, file: bytes, *, crc: int | None = None, drop: int = 0) -> str:
        told = STATUSES[self.lib.kg_plan_slot_begin(self.slot, len(file), c_uint32(zlib.crc32(file) if crc is None else crc))]
        for at in range(0, len(file) - drop, PIECE):
            if told != "OK":
                return told
            piece = file[at : at + PIECE]
            told = STATUSES[self.lib.kg_plan_slot_write(self.slot, at, piece, len(piece))]
        return STATUSES[self.lib.kg_plan_slot_commit(self.slot, self.plan, None)] if told == "OK" else told


@pytest.fixture(scope="module")
def plans() -> tuple[bytes, bytes, bytes]:
    """Three plan files of the same network."""
    graph = small_net()
    files = []
    for seed in (1, 2, 3):
        plan = plan_graph(training_graph(graph, parse_scheme("head", graph), kg.TrainConfig(seed=seed)))
        plan.meta.clear()
        files.append(plan.to_bytes())
    assert len(set(files)) == 3
    return files[0], files[1], files[2]


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler is here")
    out = tmp_path_factory.mktemp("slot") / "slot.so"
    sources: list[Path] = [*(runtime_dir() / "store").glob("*.c"), *(runtime_dir() / "session").glob("*.c"), *csrc_dir().rglob("*.c")]
    include = [f"-I{runtime_dir() / 'include'}", f"-I{csrc_dir()}", f"-I{HERE}"]
    flags = ["-std=c11", "-O1", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, *include, *map(str, sources), str(HERE / "flash_model.c"), "-o", str(out)], check=True)
    made = ctypes.CDLL(str(out))
    made.flash_new.argtypes, made.flash_new.restype = [c_uint32] * 3 + [ctypes.c_uint64], ctypes.POINTER(FlashModel)
    return made


def test_plans_replace_each_other(lib: ctypes.CDLL, plans: tuple[bytes, ...]) -> None:
    slot = Slot(lib)
    assert slot.open() == "EMPTY"
    for n in range(7):
        assert slot.send(plans[n % 3]) == "OK" and slot.active == plans[n % 3]
        assert slot.restart() == "OK" and slot.active == plans[n % 3]
    assert slot.model[0].violations == 0
    slot.firmware = 6
    assert slot.restart() == "EMPTY"


def test_what_is_wrong_is_refused_and_the_old_plan_stays(lib: ctypes.CDLL, plans: tuple[bytes, ...]) -> None:
    slot = Slot(lib)
    slot.open()
    assert slot.send(plans[0]) == "OK"
    damaged = bytearray(plans[1])
    damaged[len(damaged) // 2] ^= 1
    room = lib.kg_plan_slot_room(slot.slot)
    assert room == 10 * 1024 - 512
    assert slot.send(plans[1], crc=1) == "REFUSED"
    assert slot.send(bytes(damaged)) == "REFUSED"  # the announced checksum is right, the plan's own is not
    assert slot.send(plans[1], drop=PIECE) == "REFUSED"
    assert slot.send(bytes(room + 1)) == "TOO_SMALL"
    assert STATUSES[lib.kg_plan_slot_write(slot.slot, 0, b"x", 1)] == "BAD_ARGUMENT"
    assert STATUSES[lib.kg_plan_slot_commit(slot.slot, slot.plan, None)] == "REFUSED"
    assert slot.restart() == "OK" and slot.active == plans[0]
    for kind, status in ((ERASE, "ERASE_FAILED"), (PROGRAM, "PROGRAM_FAILED")):
        for call in (1, 2, 3):
            slot.model[0].calls[kind], slot.model[0].fail_at[kind] = 0, call
            assert slot.send(plans[1]) == status
            slot.model[0].fail_at[kind] = 0
            assert slot.restart() == "OK" and slot.active == plans[0]
    assert slot.send(plans[1]) == "OK" and slot.restart() == "OK" and slot.active == plans[1]


def test_a_check_changes_nothing(lib: ctypes.CDLL, plans: tuple[bytes, ...]) -> None:
    slot, why = Slot(lib), ctypes.c_int()
    slot.open()
    assert slot.send(plans[0]) == "OK"
    arrived = ctypes.create_string_buffer(1024)
    assert STATUSES[lib.kg_plan_slot_check(slot.slot, arrived, ctypes.byref(why))] == "REFUSED" and why.value != 0
    assert STATUSES[lib.kg_plan_slot_begin(slot.slot, len(plans[1]), c_uint32(zlib.crc32(plans[1])))] == "OK"
    for at in range(0, len(plans[1]), PIECE):
        piece = plans[1][at : at + PIECE]
        assert STATUSES[lib.kg_plan_slot_write(slot.slot, at, piece, len(piece))] == "OK"
    stores = slot.model[0].stores
    assert STATUSES[lib.kg_plan_slot_check(slot.slot, arrived, ctypes.byref(why))] == "OK" and why.value == 0
    assert slot.model[0].stores == stores and slot.active == plans[0]
    assert STATUSES[lib.kg_plan_slot_commit(slot.slot, slot.plan, None)] == "OK"
    assert slot.active == plans[1] and slot.restart() == "OK" and slot.active == plans[1]


@pytest.mark.parametrize("tear", range(TEARS))
def test_power_cut_at_every_store_of_an_update(lib: ctypes.CDLL, plans: tuple[bytes, ...], tear: int) -> None:
    cut = 0
    while True:
        cut += 1
        slot = Slot(lib, seed=cut)
        slot.open()
        assert slot.send(plans[0]) == "OK"
        slot.model[0].stores, slot.model[0].cut_at, slot.model[0].tear = 0, cut, tear
        told = slot.send(plans[1])
        for _ in range(2):
            assert slot.restart() == "OK"
            assert slot.active == plans[1] if told == "OK" else slot.active in plans[:2]
        slot.model[0].stores, slot.model[0].cut_at, slot.model[0].tear = 0, 1 + cut % 40, tear  # and in the next one, too
        slot.send(plans[2])
        assert slot.restart() == "OK" and slot.active in (plans[1:] if told == "OK" else plans)
        assert slot.send(plans[2]) == "OK" and slot.restart() == "OK" and slot.active == plans[2]
        assert slot.model[0].violations == 0
        lib.flash_free(slot.model)
        if told == "OK":
            break
    assert cut > len(plans[1]) // FLASH[2]

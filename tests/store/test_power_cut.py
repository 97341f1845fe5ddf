"""Power cuts at every single store of three saves, and at every store of the save after each: the payload itself is compared."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from tests.store.model import TEARS, UNSTABLE, build, sweep

# sector bytes, sectors, unit of a program; bytes of state
FLASHES = {
    "two slots": ((256, 2, 4), 150),
    "ring of two and a half": ((256, 5, 8), 300),
    "ring of six": ((1024, 6, 8), 700),
    "sectors that wrap": ((128, 7, 2), 90),
    "pages of serial flash": ((1024, 4, 256), 150),
    "large unit in a small ring": ((512, 5, 64), 500),
}


@pytest.mark.parametrize("tear", range(TEARS + 1))
@pytest.mark.parametrize("name", FLASHES)
def test_cut_at_every_store(lib: ctypes.CDLL, name: str, tear: int) -> None:
    flash, state = FLASHES[name]
    for before in range(4):
        result = sweep(lib, flash, state, before=before, saves=3, steps=before % 2 == 1, depth=0, tear=tear, seed=tear)
        assert result.cuts >= 3 * (state // flash[2])
        assert (result.bad, result.stuck, result.rules) == (0, 0, 0)
        assert 0 < result.new_seen  # both outcomes happen: the sweep looks at the right window


@pytest.mark.parametrize("tear", range(TEARS + 1))
@pytest.mark.parametrize("name", ["two slots", "ring of two and a half", "pages of serial flash", "large unit in a small ring"])
def test_cut_again_in_the_save_after_a_cut(lib: ctypes.CDLL, name: str, tear: int) -> None:
    flash, state = FLASHES[name]
    for before in (0, 1, 2):
        result = sweep(lib, flash, state // 2, before=before, saves=2, steps=False, depth=1, tear=tear, seed=9 + tear)
        assert (result.bad, result.stuck, result.rules) == (0, 0, 0)


def test_three_cuts_in_a_row(lib: ctypes.CDLL) -> None:
    for tear in (UNSTABLE, TEARS):
        result = sweep(lib, (1024, 4, 64), 300, before=2, saves=1, steps=False, depth=2, tear=tear)
        assert result.cuts > 500
        assert (result.bad, result.stuck, result.rules) == (0, 0, 0)


# A store with one thing wrong: the sweeps above have to see it.
BROKEN: dict[str, list[tuple[str, str, str]]] = {
    "the mark is written before the state": [
        ("save.c", "store->writing.bytes != 0 ? KG_STORE_STATE : KG_STORE_COMMITTING;", "KG_STORE_COMMITTING;"),
        ("save.c", "if (store->checksum != store->writing.checksum) return KG_STORE_CHANGED;", ""),
        ("save.c", "store->phase = KG_STORE_SEALING;", "store->phase = KG_STORE_STATE;"),
        (
            "save.c",
            "if (store->done == store->writing.bytes) store->phase = KG_STORE_COMMITTING;",
            "if (store->done == store->writing.bytes) store->phase = KG_STORE_SEALING;",
        ),
        ("open.c", "return crc == place->checksum;", "return 1;"),
    ],
    "mark and checksum are not looked at": [("open.c", "if (!found || is_valid(s, newest)) return found;", "return found;")],
    "a save goes over the newest": [
        (
            "save.c",
            "% ring;\n  return overlap(place, keep, ring) ? KG_STORE_FULL : KG_STORE_OK;",
            "% ring;\n  place->sector = newest->sector;\n  return KG_STORE_OK;",
        )
    ],
    "nothing is erased": [
        ("save.c", "if (store->flash->erase(store->flash->context, sector) != 0) return KG_STORE_ERASE_FAILED;", "(void)sector;")
    ],
    "numbers of torn checkpoints are given again": [("open.c", "s->last_sequence = newest->sequence;", "s->last_sequence = 0;")],
    "the seal is not looked at": [("open.c", "if (!has_mark(&s, &store->newest, KG_STORE_SEAL, kg_store_seal_at(flash)))", "if (0)")],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_store_is_caught(name: str, tmp_path: Path) -> None:
    broken = build(tmp_path, BROKEN[name])
    found = 0
    for flash, state in FLASHES.values():
        for tear in range(TEARS + 1):
            result = sweep(broken, flash, state // 2, before=2, saves=3, steps=False, depth=int(flash[2] > 2), tear=tear)
            found += result.bad + result.stuck + result.rules
        if found:
            return
    pytest.fail("not seen")

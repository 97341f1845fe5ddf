"""What the store says and does: statuses, refused calls of the driver, wear, steps, forgetting."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.model import ERASE, PROGRAM, READ, STATUSES, TEARS, Device

FLASH = (256, 7, 8)
SIZE = 300  # two sectors for each checkpoint


def state(n: int, size: int = SIZE) -> bytes:
    return bytes((n * 89 + i * (n + 7) + (i >> 3)) & 255 for i in range(size))


@pytest.fixture
def device(lib: ctypes.CDLL) -> Device:
    return Device(lib, FLASH, SIZE)


def test_empty_then_saved_then_found_again(device: Device) -> None:
    assert device.found == "EMPTY" and device.load()[0] == "EMPTY"
    for n in range(20):
        assert device.save(state(n)) == "OK"
        assert device.load() == ("OK", state(n))
        assert device.restart() == "OK"
        assert device.load() == ("OK", state(n))
        assert device.statistics().sequence == n + 1
    assert device.model[0].violations == 0


def test_another_plan_and_another_size_are_told_and_left_alone(device: Device) -> None:
    device.save(state(1))
    assert device.open(plan=8) == "OTHER_PLAN" and device.load()[0] == "OTHER_PLAN"
    assert device.open(plan=7, state_bytes=SIZE + 1) == "OTHER_SIZE" and device.load()[0] == "OTHER_SIZE"
    assert device.open(state_bytes=SIZE) == "OK" and device.load() == ("OK", state(1))
    assert device.open(plan=8) == "OTHER_PLAN" and device.save(state(2)) == "OK"
    assert device.restart() == "OK" and device.load() == ("OK", state(2))


def test_an_area_too_small_for_two_is_refused(lib: ctypes.CDLL) -> None:
    device = Device(lib, (256, 6, 8), 600)
    assert device.save(state(1, 600)) == "OK"  # three sectors and three
    assert device.open(state_bytes=800) == "TOO_SMALL"
    assert device.save(state(2, 800)) == device.forget() == device.load()[0] == "TOO_SMALL"
    assert device.open(state_bytes=600) == "OK" and device.load() == ("OK", state(1, 600))


def test_what_is_saved_is_given_up_only_on_request(lib: ctypes.CDLL) -> None:
    """A firmware with a smaller area, where the checkpoint of the plan before leaves no room."""
    device = Device(lib, (256, 10, 8), 1200)
    device.save(state(1, 1200))
    device.model[0].sectors = 6
    assert device.open(plan=9, state_bytes=600) == "OTHER_PLAN"
    assert device.save(state(2, 600)) == "FULL"
    assert device.restart() == "OTHER_PLAN"
    assert device.forget() == "OK" and device.save(state(2, 600)) == "OK"
    assert device.restart() == "OK" and device.load() == ("OK", state(2, 600))


def test_bad_geometry_is_refused(lib: ctypes.CDLL) -> None:
    for flash in ((256, 4, 3), (256, 4, 512), (100, 4, 8), (64, 4, 32), (256, 1, 8)):
        device = Device(lib, flash, 10)
        assert device.found in ("BAD_FLASH", "TOO_SMALL")
        assert device.save(state(1, 10)) == device.found == device.forget() == device.load()[0]


def test_words_for_every_status(lib: ctypes.CDLL) -> None:
    texts = [lib.kg_store_status_text(i).decode() for i in range(len(STATUSES) + 1)]
    assert len(set(texts)) == len(texts) and texts[-1] == "unknown status"


@pytest.mark.parametrize(("kind", "status"), [(READ, "READ_FAILED"), (PROGRAM, "PROGRAM_FAILED"), (ERASE, "ERASE_FAILED")])
@pytest.mark.parametrize("act", ["save", "open", "load", "forget"])
def test_every_refused_call_has_its_status_and_costs_nothing(lib: ctypes.CDLL, kind: int, status: str, act: str) -> None:
    acts: dict[str, Callable[[Device], str]] = {
        "save": lambda d: d.save(state(5)),
        "open": lambda d: d.open(),
        "load": lambda d: d.load()[0],
        "forget": lambda d: d.forget(),
    }
    for call in range(1, 1000):
        device = Device(lib, FLASH, SIZE)
        for n in range(4):
            device.save(state(n))
        device.fail(kind, call)
        told = acts[act](device)
        failed = device.model[0].calls[kind] >= call
        device.fail(kind, 0)
        if act == "open" and failed:
            device.open()  # as it says: opening again is better
        assert told == (status if failed else "OK") or (act == "forget" and told == "OK")
        loaded = device.load()
        assert loaded in [("OK", state(3)), ("OK", state(5))] if act != "forget" else loaded in [("OK", state(3)), ("EMPTY", bytes(SIZE))]
        device.restart()
        assert device.load() in [("OK", state(3)), ("OK", state(5)), ("EMPTY", bytes(SIZE))]
        assert device.save(state(6)) == "OK" and device.load() == ("OK", state(6))
        assert device.restart() == "OK" and device.load() == ("OK", state(6))
        assert device.model[0].violations == 0
        device.close()
        if not failed:
            assert call > 1 or (act, kind) in [("open", PROGRAM), ("open", ERASE), ("load", PROGRAM), ("load", ERASE)]
            return


def test_a_program_that_does_nothing_is_seen(lib: ctypes.CDLL) -> None:
    for call in range(1, 7):
        device = Device(lib, FLASH, SIZE)
        device.save(state(3))
        device.model[0].calls[PROGRAM], device.model[0].lie_at = 0, call
        told = device.save(state(4))
        assert told == ("PROGRAM_FAILED" if device.model[0].calls[PROGRAM] >= call else "OK")
        assert device.restart() == "OK" and device.load()[1] in (state(3), state(4))


def test_a_flipped_bit_anywhere_gives_the_checkpoint_before(lib: ctypes.CDLL) -> None:
    device = Device(lib, FLASH, SIZE)
    device.save(state(1))
    device.save(state(2))
    cells = (ctypes.c_uint8 * (256 * 7)).from_address(device.model[0].cells)
    start = 256 * 2
    for i in [*range(0, 36), *range(40, 56), *range(72, 72 + SIZE)]:  # header, mark, state
        cells[start + i] ^= 1 << i % 8
        assert device.restart() == "OK" and device.load() == ("OK", state(1))
        cells[start + i] ^= 1 << i % 8
    assert device.restart() == "OK" and device.load() == ("OK", state(2))


@pytest.mark.parametrize(("flash", "size"), [((256, 2, 4), 100), ((256, 7, 8), 300), ((128, 16, 2), 300), ((4096, 5, 256), 4000)])
def test_wear_is_spread_and_counted(lib: ctypes.CDLL, flash: tuple[int, int, int], size: int) -> None:
    device = Device(lib, flash, size)
    for n in range(100):
        assert device.save(state(n, size)) == "OK"
        if n % 7 == 0:
            device.restart()
        assert max(device.wear) - min(device.wear) <= 1
        assert device.statistics().erases == sum(device.wear)
    assert device.forget() == "OK"
    assert device.statistics().erases == sum(device.wear)
    assert device.restart() == "EMPTY" and device.statistics().erases == sum(device.wear)


def test_sequence_numbers_wrap(lib: ctypes.CDLL) -> None:
    device = Device(lib, FLASH, SIZE)
    device.store.last_sequence = 0xFFFFFFFB
    seen = []
    for n in range(12):
        assert device.save(state(n)) == "OK"
        assert device.restart() == "OK" and device.load() == ("OK", state(n))
        seen.append(device.statistics().sequence)
    assert seen == [0xFFFFFFFC, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF, *range(1, 9)]


def test_steps_with_and_without_a_snapshot(lib: ctypes.CDLL) -> None:
    device = Device(lib, FLASH, SIZE)
    step, begin = lib.kg_store_step, lib.kg_store_begin
    assert STATUSES[step(byref(device.store))] == "BAD_ARGUMENT"
    live, snapshot = ctypes.create_string_buffer(state(1), SIZE), ctypes.create_string_buffer(SIZE)
    assert STATUSES[begin(byref(device.store), live, snapshot)] == "OK"
    assert STATUSES[begin(byref(device.store), live, snapshot)] == "BUSY" and device.forget() == "BUSY"
    steps = 0
    while (told := STATUSES[step(byref(device.store))]) == "MORE":
        live[steps] = bytes([steps ^ 0x77])  # training goes on
        calls = device.model[0].calls[PROGRAM] + device.model[0].calls[ERASE]
        steps += 1
        assert calls == steps and device.load()[0] == ("EMPTY" if steps < 6 else "OK")
    assert told == "OK" and steps == 6  # two erases, header, two pages, mark; then the seal
    assert device.load() == ("OK", state(1))

    for byte in range(0, SIZE, 13):  # in place, and the memory changes before the last step
        assert STATUSES[begin(byref(device.store), live, None)] == "OK"
        for _ in range(3):
            assert STATUSES[step(byref(device.store))] == "MORE"
        live[byte] = bytes([live.raw[byte] ^ 1])
        while (told := STATUSES[step(byref(device.store))]) == "MORE":
            pass
        assert told == "CHANGED" and device.load() == ("OK", state(1))
        live[byte] = bytes([live.raw[byte] ^ 1])

    assert STATUSES[begin(byref(device.store), live, None)] == "OK"
    assert STATUSES[step(byref(device.store))] == "MORE"
    lib.kg_store_cancel(byref(device.store))
    assert device.restart() == "OK" and device.load() == ("OK", state(1))


@pytest.mark.parametrize("tear", range(TEARS))
def test_forgetting_is_all_or_nothing(lib: ctypes.CDLL, tear: int) -> None:
    for cut in range(1, 1000):
        device = Device(lib, FLASH, SIZE, seed=cut)
        for n in range(4):
            device.save(state(n))
        device.cut(cut, tear)
        told = device.forget()
        found = device.restart()
        assert (found, device.load()[1]) in [("OK", state(3)), ("EMPTY", bytes(SIZE))]
        assert told == "OK" or cut < 30
        if found == "OK":
            assert device.forget() == "OK" and device.restart() == "EMPTY"
        assert device.save(state(9)) == "OK" and device.restart() == "OK" and device.load() == ("OK", state(9))
        device.close()
        if told == "OK":
            assert cut > 7
            return


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("save"), st.integers(0, 100), st.integers(0, TEARS - 1)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
        st.tuples(st.just("forget"), st.integers(0, 40), st.integers(0, TEARS - 1)),
        st.tuples(st.just("fail"), st.integers(1, 8), st.integers(0, 2)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(acts=ACTS, sectors=st.integers(4, 9), unit=st.sampled_from([1, 4, 16]), seed=st.integers(0, 2**32))
def test_any_sequence(lib: ctypes.CDLL, acts: list[tuple[str, int, int]], sectors: int, unit: int, seed: int) -> None:
    """Saves, cuts, refused calls and starts in any order: what is found is the last one saved, or one begun since."""
    device = Device(lib, (256, sectors, unit), SIZE, seed=seed)
    allowed: list[bytes | None] = [None]  # None: nothing is saved
    for n, (act, number, detail) in enumerate(acts):
        if act == "fail":
            device.fail(detail, number)
            continue
        if act in ("save", "forget"):
            device.cut(number, detail)
            target = state(n) if act == "save" else None
            if (device.save(state(n)) if act == "save" else device.forget()) == "OK":
                allowed = [target]
            else:
                allowed.append(target)
        if device.dead or act == "restart":
            for kind in (READ, PROGRAM, ERASE):
                device.fail(kind, 0)
            device.restart()
        status, loaded = device.load()
        assert (loaded if status == "OK" else None) in allowed or status == "READ_FAILED"
        assert status in ("OK", "EMPTY", "READ_FAILED")
    device.fail(READ, 0)
    device.fail(PROGRAM, 0)
    device.fail(ERASE, 0)
    device.cut(0, 0)
    assert device.save(state(77)) == "OK" and device.restart() == "OK" and device.load() == ("OK", state(77))
    assert device.model[0].violations == 0
    device.close()

"""Plan files: what is written is read back; damage is named."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

import kilograd as kg
from kilograd import _core
from kilograd.errors import PlanError
from kilograd.plan import kgp
from kilograd.plan.compile import plan_graph
from kilograd.plan.plan import Plan
from kilograd.train.autodiff import training_graph
from kilograd.train.scheme import parse_scheme
from tests.train.nets import small_net


@pytest.fixture(scope="module")
def plan() -> Plan:
    graph = small_net()
    return plan_graph(training_graph(graph, parse_scheme("last:2", graph), kg.TrainConfig()))


def test_round_trip(plan: Plan, tmp_path: Path) -> None:
    size = plan.save(tmp_path / "net.kgp")
    assert size == (tmp_path / "net.kgp").stat().st_size
    back = Plan.load(tmp_path / "net.kgp")
    names = "name calls regions entries constant state arena_bytes inputs outputs label boundary meta"
    for name in names.split():
        assert getattr(back, name) == getattr(plan, name), name
    assert list(back.tensors) == list(plan.tensors)
    for a, b in zip(back.tensors.values(), plan.tensors.values(), strict=True):
        assert (a.shape, a.dtype, a.kind, a.ref, a.first, a.last) == (b.shape, b.dtype, b.kind, b.ref, b.first, b.last)
        assert (a.quant is None) == (b.quant is None) and (a.quant is None or a.quant.same_as(b.quant))
    assert back.to_bytes() == plan.to_bytes()


def test_the_layout_is_the_one_of_the_specification(plan: Plan) -> None:
    raw = plan.to_bytes()
    magic, version, size, crc, sections, arena, _ = struct.unpack_from("<4sIIIIII", raw)
    assert (magic, version, size, sections, arena) == (b"KGP\n", 1, len(raw), 12, plan.arena_bytes)
    assert crc == zlib.crc32(raw[16:])
    end = 28 + 12 * 16
    sizes = [1, 68, 8, 16, 4, 24, 12, 4, 8, 1, 1, 1]
    for i in range(12):
        kind, offset, nbytes, records = struct.unpack_from("<IIII", raw, 28 + 16 * i)
        assert kind == i + 1 and offset >= end and offset % (16 if kind == 10 else 4) == 0 and records * sizes[i] == nbytes
        assert not any(raw[end:offset])
        end = offset + nbytes


@pytest.mark.parametrize("cut", [0, 3, 20, 27, 100, 500, 2000, -1])
def test_truncated_files_are_refused(plan: Plan, tmp_path: Path, cut: int) -> None:
    (tmp_path / "cut.kgp").write_bytes(plan.to_bytes()[:cut])
    with pytest.raises(PlanError, match="no plan file|truncated"):
        Plan.load(tmp_path / "cut.kgp")


def test_flipped_bits_are_refused(plan: Plan) -> None:
    raw = plan.to_bytes()
    for at in range(0, len(raw), 5):
        broken = bytearray(raw)
        broken[at] ^= 1 << at % 8
        with pytest.raises(PlanError):
            kgp.parse(bytes(broken))
        with pytest.raises(RuntimeError):
            _core.Session(bytes(broken))


def mend(raw: bytearray) -> bytes:
    """Set the checksum right."""
    struct.pack_into("<I", raw, 12, zlib.crc32(raw[16:]))
    return bytes(raw)


def test_with_a_right_checksum_damage_is_still_a_plan_error_or_harmless(plan: Plan) -> None:
    raw = plan.to_bytes()
    for at in range(16, len(raw), 3):
        broken = bytearray(raw)
        broken[at] ^= 0x81
        mended = mend(broken)
        try:
            kgp.parse(mended)
        except PlanError:
            pass
        try:
            session = _core.Session(mended)
        except RuntimeError:
            continue
        session.run("infer")


def test_other_versions_and_other_files(plan: Plan, tmp_path: Path) -> None:
    raw = bytearray(plan.to_bytes())
    struct.pack_into("<I", raw, 4, 2)
    with pytest.raises(PlanError, match="version 2, this kilograd reads version 1"):
        kgp.parse(bytes(raw))
    with pytest.raises(PlanError, match="no plan file"):
        kgp.parse(b"TFL3" * 100)
    with pytest.raises(PlanError, match="cannot be read"):
        Plan.load(tmp_path / "missing.kgp")


def test_a_kernel_that_is_missing_is_named(plan: Plan) -> None:
    calls = [replace(plan.calls[0], kernel="nothing_ref_s8"), *plan.calls[1:]]
    with pytest.raises(PlanError, match="needs the kernel 'nothing_ref_s8'"):
        replace(plan, calls=calls).to_bytes()


def test_an_arena_that_is_too_small_is_refused(plan: Plan) -> None:
    with pytest.raises(PlanError, match="cannot run: a tensor"):
        kg.Simulator(replace(plan, arena_bytes=16))


def test_a_call_that_reaches_outside_is_refused(plan: Plan) -> None:
    last = plan.calls[-1]
    words = {name: (w + 0x00100000 if w >> 30 == 3 else w) for name, w in last.words.items()}
    with pytest.raises(PlanError, match=f"call {len(plan.calls) - 1}"):
        kg.Simulator(replace(plan, calls=[*plan.calls[:-1], replace(last, words=words)]))

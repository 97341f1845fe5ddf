"""The plan file `.kgp`: Plan -> bytes -> Plan. docs/plan-format.md specifies every byte; the C reader is in runtime/session."""

from __future__ import annotations

import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from kilograd.errors import PlanError
from kilograd.ir.graph import DType, Kind, QuantParams
from kilograd.plan.plan import Call, Entry, Plan, PlanTensor, Region

MAGIC = b"KGP\n"
VERSION = 1
HEADER = struct.Struct("<4sIIIIII")  # magic, version, file bytes, CRC-32, sections, arena bytes, name
SECTION = struct.Struct("<IIII")  # kind, offset, bytes, records
CRC_FROM = 16
(STRINGS, TENSORS, QUANT, CALLS, ARGS, REGIONS, ENTRIES, ENTRY_REGIONS, IO, CONST, STATE, META) = range(1, 13)
SECTIONS = 12
TENSOR = struct.Struct("<4I6iII2Ii2i")  # name, dtype, kind, rank, dims, ref, bytes, quant first, quant count, axis, first, last
CALL = struct.Struct("<IIII")  # kernel id, offset of its arguments, node, op
REGION = struct.Struct("<IIIIIi")  # name, first, count, kind, guard ref, guard value
ENTRY = struct.Struct("<III")  # name, first in ENTRY_REGIONS, count
RANK = 6
DTYPES = [DType.INT8, DType.UINT8, DType.INT16, DType.INT32, DType.FLOAT32, DType.BITS, DType.INT64]
KINDS = {Kind.CONST: 1, Kind.STATE: 2, Kind.ARENA: 3}
INPUT, OUTPUT, LABEL, BOUNDARY, VARIABLE = range(1, 6)
SEGMENT_ALIGN = 16


def _kernel_ids() -> dict[str, tuple[int, int]]:
    from kilograd import _core

    return dict(_core.kernels())


class _Strings:
    """Pool of NUL-terminated UTF-8 strings; offset 0 is the empty string."""

    def __init__(self) -> None:
        self.bytes = bytearray(b"\0")
        self._known = {"": 0}

    def put(self, text: str) -> int:
        if text not in self._known:
            self._known[text] = len(self.bytes)
            self.bytes += text.replace("\0", "?").encode() + b"\0"
        return self._known[text]


def _pad(raw: bytes | bytearray, to: int = 4) -> bytes:
    return bytes(raw) + b"\0" * (-len(raw) % to)


def _tensor_records(plan: Plan, strings: _Strings) -> tuple[bytes, bytes]:
    tensors, quants, count = bytearray(), bytearray(), 0
    for t in plan.tensors.values():
        if len(t.shape) > RANK:
            raise PlanError(f"tensor '{t.name}' has {len(t.shape)} dimensions, a plan file holds {RANK}")
        n = 0 if t.quant is None else t.quant.scale.size
        axis = -1 if t.quant is None or t.quant.axis is None else t.quant.axis
        dims = [*t.shape, *[1] * (RANK - len(t.shape))]
        head = (strings.put(t.name), DTYPES.index(t.dtype), KINDS[t.kind], len(t.shape))
        tensors += TENSOR.pack(*head, *dims, t.ref, t.nbytes, count, n, axis, t.first, t.last)
        if t.quant is not None:
            zeros = np.broadcast_to(t.quant.zero_point, (n,))
            for scale, zero in zip(t.quant.scale, zeros, strict=True):
                quants += struct.pack("<fi", float(scale), int(zero))
        count += n
    return bytes(tensors), bytes(quants)


def _call_records(plan: Plan, strings: _Strings, ids: dict[str, tuple[int, int]]) -> tuple[bytes, bytes, dict[str, Any]]:
    calls, args, kernels = bytearray(), bytearray(), {}
    for c in plan.calls:
        if c.kernel not in ids:
            raise PlanError(f"node '{c.node}' needs the kernel '{c.kernel}', which this build of kilograd does not have")
        number, size = ids[c.kernel]
        if size != 4 * len(c.words):
            raise PlanError(f"node '{c.node}': kernel '{c.kernel}' takes {size} bytes of arguments, the operator gives {4 * len(c.words)}")
        calls += CALL.pack(number, len(args), strings.put(c.node), strings.put(c.op))
        args += np.array([w & 0xFFFFFFFF for w in c.words.values()], "<u4").tobytes()
        kernels[str(number)] = [c.kernel, list(c.words)]
    return bytes(calls), bytes(args), kernels


def dump(plan: Plan) -> bytes:
    """The file's bytes."""
    try:
        return _dump(plan)
    except (struct.error, OverflowError) as error:
        raise PlanError(f"plan '{plan.name}' holds a number that a plan file has no room for ({error})") from None


def _dump(plan: Plan) -> bytes:
    strings = _Strings()
    name = strings.put(plan.name)
    tensors, quants = _tensor_records(plan, strings)
    calls, args, kernels = _call_records(plan, strings, _kernel_ids())
    regions, entries, indices = bytearray(), bytearray(), bytearray()
    for r in plan.regions:
        if r.kind != "calls":
            raise PlanError(f"region '{r.name}' is of kind '{r.kind}', which a plan file of version {VERSION} cannot hold")
        regions += REGION.pack(strings.put(r.name), r.first, r.count, 0, r.guard_ref, r.guard_value)
    for e in plan.entries.values():
        entries += ENTRY.pack(strings.put(e.name), len(indices) // 4, len(e.regions))
        indices += struct.pack(f"<{len(e.regions)}I", *e.regions)
    position = {n: i for i, n in enumerate(plan.tensors)}
    roles = [
        (INPUT, plan.inputs), (OUTPUT, plan.outputs), (LABEL, [plan.label] if plan.label else []), (BOUNDARY, plan.boundary),
        (VARIABLE, plan.variables),
    ]  # fmt: skip
    io = b"".join(struct.pack("<II", role, position[n]) for role, names in roles for n in names)
    meta = json.dumps({"kernels": kernels, "meta": plan.meta}, separators=(",", ":"), default=str).encode()
    content: list[tuple[bytes | bytearray, int]] = [
        (strings.bytes, len(strings.bytes)), (tensors, len(plan.tensors)), (quants, len(quants) // 8), (calls, len(plan.calls)),
        (args, len(args) // 4), (regions, len(plan.regions)), (entries, len(plan.entries)), (indices, len(indices) // 4),
        (io, len(io) // 8), (plan.constant, len(plan.constant)), (plan.state, len(plan.state)), (meta, len(meta)),
    ]  # fmt: skip
    return _assemble(content, plan.arena_bytes, name)


def _assemble(content: list[tuple[bytes | bytearray, int]], arena_bytes: int, name: int) -> bytes:
    table, body = bytearray(), bytearray()
    start = HEADER.size + SECTIONS * SECTION.size
    for kind, (raw, records) in enumerate(content, 1):
        at = start + len(body)
        gap = -at % (SEGMENT_ALIGN if kind == CONST else 4)
        body += b"\0" * gap
        table += SECTION.pack(kind, at + gap, len(raw), records)
        body += raw
    body = bytearray(_pad(body))
    rest = struct.pack("<III", SECTIONS, arena_bytes, name) + table + body
    return HEADER.pack(MAGIC, VERSION, start + len(body), zlib.crc32(rest), SECTIONS, arena_bytes, name) + bytes(table) + bytes(body)


def save(plan: Plan, path: str | Path) -> int:
    """Write a plan file; gives its size in bytes."""
    raw = dump(plan)
    Path(path).write_bytes(raw)
    return len(raw)


#: what readers of `Plan.meta` rely on: a type, a list of one form, or a dict of forms that must all be there
REPORT: dict[str, Any] = {
    **dict.fromkeys((
        "arena_bytes", "state_bytes", "weights_mutable_bytes", "saved_bytes", "sram_bytes", "const_bytes", "args_bytes", "flash_bytes",
        "macs_forward", "macs_step", "liveness_bound_bytes",
    ), int),
    "schedule": {"exact": bool},
    "placement": {"method": str, "proved": bool, "note": str},
    "peak": {"step": int, "name": str, "tensors": [{"name": str, "bytes": int}]},
    "buffers": [{"name": str, "bytes": int, "offset": int, "first": int, "last": int}],
    "operators": [{
        "name": str, "op": str, "phase": str, "macs": int, "bytes_in": int, "bytes_out": int, "live_bytes": int, "calls": int,
    }],
}  # fmt: skip
META_FORMS: dict[str, Any] = {
    "report": REPORT, "macs": [int], "uint8": [str], "source": str, "target": str, "train": {"config": dict}, "learned": dict,
}  # fmt: skip


def _fits(value: Any, form: Any) -> bool:
    if isinstance(form, dict):
        return isinstance(value, dict) and all(k in value and _fits(value[k], f) for k, f in form.items())
    if isinstance(form, list):
        return isinstance(value, list) and all(_fits(v, form[0]) for v in value)
    return isinstance(value, form)


class _Reader:
    """Sections of a file whose frame is sound."""

    def __init__(self, raw: bytes, where: str) -> None:
        self.where = where
        if len(raw) < HEADER.size or raw[:4] != MAGIC:
            raise self.error("this is no plan file (it does not begin with 'KGP')")
        _, version, size, crc, sections, self.arena_bytes, self.name = HEADER.unpack_from(raw)
        if version != VERSION:
            raise self.error(f"it has version {version}, this kilograd reads version {VERSION}; compile the model again")
        if size != len(raw):
            raise self.error(f"it should have {size} bytes and has {len(raw)}: it is truncated or damaged")
        if zlib.crc32(raw[CRC_FROM:]) != crc:
            raise self.error("its checksum is wrong: it is damaged")
        if sections != SECTIONS:
            raise self.error(f"it has {sections} sections, version {VERSION} has {SECTIONS}")
        self.sections: dict[int, bytes] = {}
        if len(raw) < HEADER.size + SECTIONS * SECTION.size:
            raise self.error(f"it has {len(raw)} bytes, fewer than the list of its sections needs")
        for i in range(SECTIONS):
            kind, offset, size, _ = SECTION.unpack_from(raw, HEADER.size + i * SECTION.size)
            if kind != i + 1 or offset + size > len(raw):
                raise self.error(f"section {i} lies outside the file")
            self.sections[kind] = raw[offset : offset + size]

    def error(self, what: str) -> PlanError:
        return PlanError(f"{self.where}: {what}")

    def text(self, offset: int) -> str:
        pool = self.sections[STRINGS]
        end = pool.find(b"\0", offset)
        if end < 0:
            raise self.error("a name lies outside the file")
        return pool[offset:end].decode(errors="replace")

    def records(self, kind: int, form: struct.Struct) -> list[tuple[Any, ...]]:
        return list(form.iter_unpack(self.sections[kind]))


def _read_tensors(f: _Reader) -> dict[str, PlanTensor]:
    quants = f.records(QUANT, struct.Struct("<fi"))
    kinds = {v: k for k, v in KINDS.items()}
    tensors = {}
    for record in f.records(TENSORS, TENSOR):
        name, dtype, kind, rank = record[:4]
        ref, nbytes, q_first, q_count, axis, first, last = record[10:]
        shape, quant = tuple(record[4 : 4 + rank]), None
        if rank > RANK or DTYPES[dtype].nbytes(math.prod(shape)) != nbytes:
            raise f.error(f"tensor '{f.text(name)}' of shape {list(shape)} does not have the {nbytes} bytes that it states")
        if q_count:
            pairs = quants[q_first : q_first + q_count]
            scale, zero = np.array([s for s, _ in pairs], np.float32), np.array([z for _, z in pairs], np.int32)
            quant = QuantParams(scale, zero, None if axis < 0 else axis)
        t = PlanTensor(f.text(name), shape, DTYPES[dtype], kinds[kind], ref, quant, first, last)
        tensors[t.name] = t
    return tensors


def parse(raw: bytes, where: str = "plan file") -> Plan:
    """Plan from the bytes of a file. Sizes and operands of calls are verified by the runtime, when the plan is opened to run."""
    f = _Reader(raw, where)
    try:
        meta = json.loads(f.sections[META])
        kernels, notes = meta["kernels"], meta["meta"]
        wrong = [k for k, form in META_FORMS.items() if k in notes and not _fits(notes[k], form)]
        if wrong:
            raise f.error(f"its note '{wrong[0]}' is not of the form that kilograd writes")
        tensors = _read_tensors(f)
        names = list(tensors)
        args = np.frombuffer(f.sections[ARGS], "<u4")
        calls = []
        for number, offset, node, op in f.records(CALLS, CALL):
            kernel, fields = kernels[str(number)]
            words = args[offset // 4 : offset // 4 + len(fields)].tolist()
            calls.append(Call(kernel, dict(zip(fields, words, strict=True)), f.text(node), f.text(op)))
        regions = [Region(f.text(n), first, count, "calls", ref, value) for n, first, count, _, ref, value in f.records(REGIONS, REGION)]
        indices = np.frombuffer(f.sections[ENTRY_REGIONS], "<u4").tolist()
        if any(r.first + r.count > len(calls) for r in regions) or any(i >= len(regions) for i in indices):
            raise f.error("a region or an entry point lies outside the program")
        entries = {f.text(n): Entry(f.text(n), tuple(indices[i : i + count])) for n, i, count in f.records(ENTRIES, ENTRY)}
        roles: dict[int, list[str]] = {INPUT: [], OUTPUT: [], LABEL: [], BOUNDARY: [], VARIABLE: []}
        for role, index in f.records(IO, struct.Struct("<II")):
            roles[role].append(names[index])
        return Plan(
            f.text(f.name), tensors, calls, regions, entries, f.sections[CONST], f.sections[STATE], f.arena_bytes, roles[INPUT],
            roles[OUTPUT], roles[LABEL][0] if roles[LABEL] else "", roles[BOUNDARY], roles[VARIABLE], notes,
        )  # fmt: skip
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, RecursionError, struct.error) as e:
        raise f.error(f"its content is inconsistent ({type(e).__name__}: {e})") from None


def load(path: str | Path) -> Plan:
    """Read a plan file."""
    try:
        raw = Path(path).read_bytes()
    except OSError as e:
        raise PlanError(f"{path}: cannot be read ({e.strerror})") from None
    return parse(raw, str(path))

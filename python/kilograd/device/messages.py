"""What the answers hold, as Python values."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from kilograd.errors import DeviceError
from kilograd.ir.graph import DType, Kind, QuantParams
from kilograd.plan.plan import SEGMENT, PlanTensor, make_ref

DTYPES = (DType.INT8, DType.UINT8, DType.INT16, DType.INT32, DType.FLOAT32, DType.BITS, DType.INT64)
KINDS = {1: Kind.CONST, 2: Kind.STATE, 3: Kind.ARENA}
UNITS = ("", "cycles", "instructions", "microseconds")

_INFO = struct.Struct("<BBHHHIIIIIIIIIBBB")
_TENSOR = struct.Struct("<IIHH6iIfi")
_STATISTICS = struct.Struct("<IQQ10I")
HAS_PLAN, TRAINS, SAVES, UPDATES = 1, 2, 4, 8


@dataclass(frozen=True)
class DeviceInfo:
    """What a board says of itself and of its plan."""

    protocol: int
    board: str
    plan: str  # name, '' when there is none; long names are cut
    has_plan: bool
    trains: bool
    saves: bool
    updates: bool
    max_request: int  # payload bytes
    max_answer: int
    plan_unit: int  # a new plan goes over in multiples of this
    plan_room: int  # largest plan file that fits
    checksum: int  # of the plan file, its header's
    plan_bytes: int
    state_bytes: int
    arena_bytes: int
    input_bytes: int  # all inputs together
    output_bytes: int  # the first output
    label_bytes: int
    tensors: int
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Statistics:
    """Counters of a board. Ticks are of the last run, in `unit` ('' when the board does not count); an emulator counts instructions, not
    cycles."""

    unit: str
    infer_ticks: int
    train_ticks: int
    stack_bytes: int
    stack_used: int
    arena_bytes: int
    state_bytes: int
    erases: int
    saved_sequence: int
    frames: int
    damaged_frames: int
    repeated_requests: int
    saving: int  # 0 no save is under way, 1 one is, 2 the last one failed


def _short(what: str) -> DeviceError:
    return DeviceError(f"the board's answer ({what}) is shorter than it must be: its firmware does not fit this program")


def parse_info(content: bytes) -> DeviceInfo:
    """Answer to INFO."""
    if len(content) < _INFO.size:
        raise _short("info")
    protocol, flags, *numbers, n = _INFO.unpack_from(content)
    names = content[_INFO.size :]
    board, plan = names[:n].decode(errors="replace"), names[n:].decode(errors="replace")
    can = [bool(flags & f) for f in (HAS_PLAN, TRAINS, SAVES, UPDATES)]
    return DeviceInfo(protocol, board, plan, *can, *numbers)


def parse_tensor(content: bytes) -> tuple[int, PlanTensor]:
    """Answer to DESCRIBE and FIND: index in the table of tensors, and the tensor."""
    if len(content) < _TENSOR.size:
        raise _short("tensor")
    index, dtype, kind, rank, *dims, size, scale, zero_point = _TENSOR.unpack_from(content)
    if dtype >= len(DTYPES) or kind not in KINDS or rank > 6:
        raise DeviceError("the board describes a tensor of a type that this program does not know")
    quant = QuantParams.per_tensor(scale, zero_point) if scale else None
    name = content[_TENSOR.size :].decode(errors="replace")
    tensor = PlanTensor(name, tuple(dims[:rank]), DTYPES[dtype], KINDS[kind], make_ref(SEGMENT[KINDS[kind]], 0), quant)
    if tensor.nbytes != size:
        raise DeviceError(f"the board's tensor '{name}' has {size} bytes, its type and shape give {tensor.nbytes}")
    return index, tensor


def parse_statistics(content: bytes) -> Statistics:
    """Answer to STATISTICS."""
    if len(content) < _STATISTICS.size:
        raise _short("statistics")
    unit, *rest = _STATISTICS.unpack_from(content)
    return Statistics(UNITS[unit] if unit < len(UNITS) else "", *rest)

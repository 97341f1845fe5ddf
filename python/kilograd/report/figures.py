"""Numbers of a plan and what its memory holds, for tables, pictures and --json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kilograd.errors import PlanError
from kilograd.ir.graph import Kind
from kilograd.plan.plan import Plan

KEYS = (
    "arena_bytes", "state_bytes", "weights_mutable_bytes", "saved_bytes", "sram_bytes", "const_bytes", "flash_bytes",
    "macs_forward", "macs_step", "liveness_bound_bytes",
)  # fmt: skip

#: kinds of memory, in the order of the legend
KINDS = ("input", "activation", "saved", "mask", "error", "scratch", "weights", "bias", "exponent", "training")


@dataclass(frozen=True)
class Block:
    """`nbytes` bytes at `offset`, used from step `first` to step `last`, both included (-1: before the first step)."""

    name: str
    kind: str  # one of KINDS
    offset: int
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Step:
    """One operator of the program."""

    name: str
    op: str
    phase: str
    macs: int
    bytes_in: int
    bytes_out: int
    live_bytes: int


def _report(plan: Plan) -> dict[str, Any]:
    found = plan.meta.get("report")
    if not isinstance(found, dict):
        raise PlanError(f"plan '{plan.name}' carries no report: compile the model again")
    return found


def figures(plan: Plan) -> dict[str, Any]:
    """Totals by the names that --json prints: bytes and MACs."""
    found = _report(plan)
    return {key: found[key] for key in KEYS}


def steps(plan: Plan) -> list[Step]:
    """Operators in the order in which they run."""
    names = Step.__dataclass_fields__
    return [Step(**{key: row[key] for key in names}) for row in _report(plan)["operators"]]


def _arena_kind(plan: Plan, name: str, first: int, last: int, forward: int) -> str:
    if name.startswith("scratch@"):
        return "scratch"
    if name in plan.inputs or name == plan.label:
        return "input"
    if name.endswith(".mask"):
        return "mask"
    if name.startswith("d/"):
        return "error"
    return "saved" if first < forward <= last and name not in plan.outputs else "activation"


def arena(plan: Plan) -> list[Block]:
    """What lies in the arena, and when."""
    program = steps(plan)
    forward = sum(s.phase in ("begin", "frozen", "forward") for s in program)
    return [
        Block(b["name"], _arena_kind(plan, b["name"], b["first"], b["last"], forward), b["offset"], b["bytes"], b["first"], b["last"])
        for b in _report(plan)["buffers"]
    ]


def _state_kind(plan: Plan, name: str) -> str:
    if name.endswith(".exponent"):
        return "exponent"
    if name == "train":
        return "training"
    return "bias" if plan.tensors[name].dtype.value in ("int32", "int16") and len(plan.tensors[name].shape) == 1 else "weights"


def state(plan: Plan) -> list[Block]:
    """What lies in the state segment: it is there at all times."""
    last = len(steps(plan)) - 1
    tensors = sorted((t for t in plan.tensors.values() if t.kind is Kind.STATE), key=lambda t: t.offset)
    return [Block(t.name, _state_kind(plan, t.name), t.offset, t.nbytes, -1, last) for t in tensors]

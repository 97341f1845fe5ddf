"""The Plan: one memory-planned program, executed by the runtime from a `.kgp` file or emitted as plain C."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kilograd.ir.graph import DType, Kind, QuantParams, Shape

SEG_NONE, SEG_CONST, SEG_STATE, SEG_ARENA = range(4)
SEGMENT = {Kind.CONST: SEG_CONST, Kind.STATE: SEG_STATE, Kind.ARENA: SEG_ARENA}
REF_OFFSET_BITS = 30


def make_ref(segment: int, offset: int) -> int:
    """kg_ref: segment in the two top bits, byte offset in the rest."""
    return (segment << REF_OFFSET_BITS) | offset


@dataclass(frozen=True)
class PlanTensor:
    """A tensor that can be read (and, outside the constants, written) by name. `first`..`last` are the calls between which an arena tensor
    holds its value (-1: set before the first call)."""

    name: str
    shape: Shape
    dtype: DType
    kind: Kind
    ref: int
    quant: QuantParams | None
    first: int = -1
    last: int = 0

    @property
    def offset(self) -> int:
        """Byte offset in its segment."""
        return self.ref & ((1 << REF_OFFSET_BITS) - 1)

    @property
    def nbytes(self) -> int:
        """Bytes of storage."""
        n = 1
        for d in self.shape:
            n *= d
        return self.dtype.nbytes(n)


@dataclass(frozen=True)
class Call:
    """One kernel call. `words` is the argument struct, field name (C path, "shape.in_h") to 32-bit value, in C order."""

    kernel: str
    words: dict[str, int]
    node: str  # name of the graph node, for reports and errors
    op: str


@dataclass(frozen=True)
class Region:
    """Calls [first, first + count). With a guard the region runs only when the int32 word at `guard_ref` equals `guard_value`.

    `kind` is 'calls' today; streamed chains and fused blocks will be further kinds.
    """

    name: str  # value of the Phase
    first: int
    count: int
    kind: str = "calls"
    guard_ref: int = 0
    guard_value: int = 0


@dataclass(frozen=True)
class Entry:
    """An entry point: indices of regions, run in this order."""

    name: str  # infer, train_step
    regions: tuple[int, ...]


@dataclass
class Plan:
    """All that a back end needs; nothing here refers to a Graph."""

    name: str
    tensors: dict[str, PlanTensor]
    calls: list[Call]
    regions: list[Region]
    entries: dict[str, Entry]
    constant: bytes
    state: bytes  # initial content
    arena_bytes: int
    inputs: list[str]  # model inputs (without the label)
    outputs: list[str]
    label: str = ""  # int32[1] class, or the int8 target tensor of mean squared error; '' for inference
    boundary: list[str] = field(default_factory=list)  # arena tensors alive between the frozen and the learning part
    variables: list[str] = field(default_factory=list)  # state of the model itself, which the forward pass changes
    meta: dict[str, Any] = field(default_factory=dict)  # provenance, training configuration, report

    def save(self, path: str | Path) -> int:
        """Write the plan file (.kgp); gives its size in bytes."""
        from kilograd.plan.kgp import save

        return save(self, path)

    @staticmethod
    def load(path: str | Path) -> Plan:
        """Read a plan file."""
        from kilograd.plan.kgp import load

        return load(path)

    def to_bytes(self) -> bytes:
        """The bytes of the plan file."""
        from kilograd.plan.kgp import dump

        return dump(self)

    def emit(self, directory: str | Path, **options: Any) -> Any:
        """Write the plan as plain C into a folder; see kilograd.emit.emit."""
        from kilograd.emit import emit

        return emit(self, directory, **options)

    def to_torch_state(self, module: Any, learned: Any = None) -> dict[str, Any]:
        """The state_dict of a PyTorch module with what was learned, for plans that began with kilograd.from_torch(module, ...)."""
        from kilograd.frontends.torch_state import to_torch_state

        return to_torch_state(self, module, learned)

    @property
    def report(self) -> dict[str, Any]:
        """Costs and memory: totals, per operator, and the peak (docs/plan-format.md lists the keys)."""
        return dict(self.meta.get("report", {}))

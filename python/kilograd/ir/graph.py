"""The graph: tensors and nodes in a fixed, sequential order.

A graph is a *program*: the list order of its nodes is its meaning, and a node may change a state tensor in place
(`Node.mutates`). Passes and the scheduler may reorder nodes only where no read or write of the same tensor is swapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from kilograd.errors import GraphError

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class DType(Enum):
    """Element types. `BITS` is a mask of one bit an element, packed little-endian (element i: byte i//8, bit i%8)."""

    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT32 = "float32"
    BITS = "bits"

    def nbytes(self, elements: int) -> int:
        """Bytes that `elements` values take."""
        if self is DType.BITS:
            return (elements + 7) // 8
        return elements * int(np.dtype(self.value).itemsize)

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy type of the stored array (masks are stored as packed uint8)."""
        return np.dtype("uint8" if self is DType.BITS else self.value)


class Kind(Enum):
    """Where a tensor lives (DESIGN: tensors by tier)."""

    CONST = "const"  # read-only, in flash
    STATE = "state"  # persistent and mutable, in RAM; `data` is its initial value
    ARENA = "arena"  # lives from the call that writes it to the last that reads it


class Phase(Enum):
    """Part of a training step to which a node belongs; phases run in this order and nodes never leave theirs."""

    BEGIN = "begin"  # step counter and learning rate
    FROZEN = "frozen"  # forward, depends on nothing that learns
    FORWARD = "forward"
    LOSS = "loss"
    BACKWARD = "backward"  # guarded: left out when the loss says that there is nothing to learn
    APPLY = "apply"  # guarded: runs on every N-th sample under gradient accumulation


@dataclass(frozen=True)
class QuantParams:
    """Affine quantization: real = scale * (q - zero_point).

    Per-tensor: `scale` and `zero_point` have one element and `axis` is None. Per-channel: one element a slice of `axis`.
    """

    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int32]
    axis: int | None = None

    @staticmethod
    def per_tensor(scale: float, zero_point: int = 0) -> QuantParams:
        """Quantization with one scale and one zero point."""
        return QuantParams(np.array([scale], np.float32), np.array([zero_point], np.int32))

    @property
    def s(self) -> float:
        """The only scale of a per-tensor quantization."""
        if self.scale.size != 1:
            raise GraphError(f"a per-tensor scale is needed here, this one has {self.scale.size} channels")
        return float(self.scale[0])

    @property
    def z(self) -> int:
        """The only zero point of a per-tensor quantization."""
        if self.zero_point.size != 1:
            raise GraphError(f"a per-tensor zero point is needed here, this one has {self.zero_point.size} channels")
        return int(self.zero_point[0])

    def same_as(self, other: QuantParams | None) -> bool:
        """True when both describe the same numbers exactly."""
        return (
            other is not None
            and self.axis == other.axis
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )


@dataclass(frozen=True)
class Tensor:
    """A value of the graph.

    `data` is the content of a CONST tensor or the initial content of a STATE tensor (packed uint8 for BITS).
    `exponent` names the STATE tensor (int32[2], see kg_exponent) of an error tensor: an error tensor holds the gradient with respect to
    the *real* value of an activation as int8 q, gradient = q * 2^e.
    """

    name: str
    shape: Shape
    dtype: DType
    kind: Kind = Kind.ARENA
    quant: QuantParams | None = None
    data: Array | None = None
    exponent: str | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        n = 1
        for d in self.shape:
            n *= d
        return n

    @property
    def nbytes(self) -> int:
        """Bytes of storage."""
        return self.dtype.nbytes(self.size)

    @property
    def q(self) -> QuantParams:
        """Quantization that must be there."""
        if self.quant is None:
            raise GraphError(f"tensor '{self.name}' has no quantization parameters")
        return self.quant


@dataclass
class Node:
    """One operator application.

    `op` is a name of the operator registry. An optional operand that is absent is the empty string.
    """

    op: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    phase: Phase = Phase.FORWARD
    mutates: tuple[str, ...] = ()  # STATE tensors that this node changes in place
    variant: str = ""  # which kernel computes it, '' for the reference (ops/variant.py)

    def reads(self) -> list[str]:
        """Names of the operands that are present."""
        return [t for t in self.inputs if t]

    def writes(self) -> list[str]:
        """Names of the results that are wanted."""
        return [t for t in self.outputs if t]


@dataclass
class Graph:
    """Tensors by name, nodes in program order, and the names of what goes in and comes out."""

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        try:
            return self.tensors[name]
        except KeyError:
            raise GraphError(f"graph '{self.name}' has no tensor '{name}'") from None

    def add(self, tensor: Tensor) -> Tensor:
        """Add a tensor under a name that must be free."""
        if tensor.name in self.tensors:
            raise GraphError(f"graph '{self.name}' already has a tensor '{tensor.name}'")
        self.tensors[tensor.name] = tensor
        return tensor

    def set(self, name: str, **changes: Any) -> Tensor:
        """Replace fields of a tensor."""
        self.tensors[name] = replace(self[name], **changes)
        return self.tensors[name]

    def fresh(self, stem: str) -> str:
        """A tensor name that is not taken yet, `stem` itself when it is free."""
        if stem not in self.tensors:
            return stem
        i = 1
        while f"{stem}.{i}" in self.tensors:
            i += 1
        return f"{stem}.{i}"

    def producer(self, tensor: str) -> Node | None:
        """The node that writes `tensor`, None for inputs, constants and state."""
        for node in self.nodes:
            if tensor in node.outputs:
                return node
        return None

    def consumers(self, tensor: str) -> list[Node]:
        """Nodes that read `tensor`, in program order."""
        return [node for node in self.nodes if tensor in node.inputs]

    def index(self, node: Node) -> int:
        """Position of a node in the program."""
        for i, other in enumerate(self.nodes):
            if other is node:
                return i
        raise GraphError(f"node '{node.name}' is not in graph '{self.name}'")

    def state(self) -> Iterator[Tensor]:
        """The persistent mutable tensors, in insertion order."""
        return (t for t in self.tensors.values() if t.kind is Kind.STATE)

    def copy(self) -> Graph:
        """A copy whose nodes and tensor table can be changed freely (array contents are shared)."""
        nodes = [replace(n, inputs=list(n.inputs), outputs=list(n.outputs), attrs=dict(n.attrs)) for n in self.nodes]
        return Graph(self.name, dict(self.tensors), nodes, list(self.inputs), list(self.outputs), dict(self.meta))

    def drop_unused(self) -> None:
        """Remove tensors that no node, input or output mentions."""
        used = {*self.inputs, *self.outputs}
        for node in self.nodes:
            used.update(node.reads(), node.writes(), node.mutates)
        used |= {e for t in used if t in self.tensors and (e := self.tensors[t].exponent)}
        self.tensors = {k: t for k, t in self.tensors.items() if k in used}

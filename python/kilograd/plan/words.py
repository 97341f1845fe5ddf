"""Argument structs as 32-bit words: fields of a KernelCall resolved to references and integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Graph
from kilograd.ops.base import Blob, ExponentOf, FieldValue, KernelCall, Operand, Scratch
from kilograd.plan.plan import REF_OFFSET_BITS


@dataclass(frozen=True)
class Places:
    """Where things are: functions that give the reference (kg_ref) of a tensor, of constant bytes and of a call's scratch memory."""

    tensor: Callable[[str], int]
    blob: Callable[[Blob], int]
    scratch: Callable[[], int]


def exponent_name(graph: Graph, error: str) -> str:
    """The STATE tensor with the exponent of an error tensor."""
    exponent = graph[error].exponent
    if exponent is None:
        raise GraphError(f"tensor '{error}' is used as an error tensor but has no exponent")
    return exponent


def resolve(graph: Graph, value: FieldValue, places: Places) -> int:
    """One field as an unsigned 32-bit word."""
    match value:
        case None:
            return 0
        case Operand(tensor, offset):
            return _advance(places.tensor(tensor), offset)
        case ExponentOf(tensor):
            return places.tensor(exponent_name(graph, tensor))
        case Blob():
            return places.blob(value)
        case Scratch(offset):
            return _advance(places.scratch(), offset)
        case _:
            return int(value) & 0xFFFFFFFF


def _advance(ref: int, offset: int) -> int:
    if (ref & ((1 << REF_OFFSET_BITS) - 1)) + offset >= 1 << REF_OFFSET_BITS:
        raise GraphError("an operand lies beyond 1 GiB in its segment")
    return ref + offset


def call_words(graph: Graph, call: KernelCall, places: Places) -> dict[str, int]:
    """All fields of a call, in C order."""
    return {name: resolve(graph, value, places) for name, value in call.fields.items()}


def pack_words(words: dict[str, int]) -> bytes:
    """The bytes of the argument struct."""
    return np.array([w & 0xFFFFFFFF for w in words.values()], "<u4").tobytes()


def calls_of(lowered: KernelCall | list[KernelCall]) -> list[KernelCall]:
    """What Operator.lower returned, as a list."""
    return [lowered] if isinstance(lowered, KernelCall) else lowered

"""One function an operator of TensorFlow Lite: its operands and options become operands and attributes of a kilograd node.

A handler gets the importer (which declares tensors and reads constants) and the operator as the file states it, and returns a `Converted`.
Which operator of the registry runs it is not decided here: `Operator.tflite` names the builtins that map to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.tflite_file import RawOperator

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer

ACTIVATIONS = {0: "none", 1: "relu", 2: "relu_n1_to_1", 3: "relu6"}
MAX_WINDOW = 1 << 15  # largest stride, dilation or filter that is accepted


@dataclass
class Converted:
    """Operand tensors by name ('' absent), attributes and changed state of the node to be."""

    inputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    mutates: tuple[str, ...] = ()  # state that the node changes


#: None: it becomes no node; a list: a node for each result
Handler = Callable[["Importer", RawOperator], Converted | list[Converted] | None]


@dataclass(frozen=True)
class Rule:
    """How a builtin is read: number of operands it may have, class of its options ('' when none are read), handler."""

    operands: tuple[int, int]
    options: str
    handler: Handler
    optional: bool = False  # options may be missing
    results: tuple[int, int] = (1, 1)  # number of results it may have
    symmetric: bool = True  # int16 operands and results must have zero point 0


def activation(op: RawOperator) -> str:
    """The fused activation; 'none' for operators stored without options."""
    if op.options is None:
        return "none"
    code = int(op.options.FusedActivationFunction())
    if code not in ACTIVATIONS:
        raise UnsupportedOperator(
            f"{op.where} has the fused activation {code}; kilograd runs {', '.join(ACTIVATIONS.values())}. "
            "Export the model with one of these."
        )
    return ACTIVATIONS[code]


def sizes(op: RawOperator, what: str, h: int, w: int) -> tuple[int, int]:
    """A pair of window sizes, each at least 1."""
    if not (1 <= h <= MAX_WINDOW and 1 <= w <= MAX_WINDOW):
        raise ModelError(f"{op.where} has {what} {h} x {w}; both must lie in 1 to {MAX_WINDOW}. The file is damaged: export it again.")
    return h, w


def same_or_valid(
    op: RawOperator, size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[int, int]:  # fmt: skip
    """Pixels of padding in both directions, in front and behind together."""
    code = int(op.options.Padding())
    if code not in (0, 1):
        raise ModelError(f"{op.where} has padding {code}; it must be 0 (SAME) or 1 (VALID). The file is damaged: export it again.")
    if code == 1:
        return (0, 0)
    total = [max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0) for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)]
    return (total[0], total[1])


def padding(
    importer: Importer, op: RawOperator, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    """SAME or VALID as explicit pixels (top, bottom, left, right): SAME puts the odd pixel behind."""
    h, w = same_or_valid(op, importer.shape(op, 0, rank=4)[1:3], kernel, stride, dilation)
    return (h // 2, h - h // 2, w // 2, w - w // 2)

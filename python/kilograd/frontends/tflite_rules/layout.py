"""Operators that move elements and leave their values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kilograd.errors import ModelError
from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import MAX_WINDOW, Converted, Rule, activation

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer


def pad(importer: Importer, op: RawOperator) -> Converted:
    """PAD with the zero point."""
    rank = len(importer.shape(op, 0))
    flat = importer.integers(op, 1)
    if len(flat) != 2 * rank or any(not 0 <= v <= MAX_WINDOW for v in flat):
        raise ModelError(
            f"{op.where} pads by {flat[:16]}; for rank {rank} it needs {2 * rank} numbers from 0 to {MAX_WINDOW}. Export the model again."
        )
    return Converted([importer.activation(op, 0)], {"padding": [[flat[2 * i], flat[2 * i + 1]] for i in range(rank)]})


def reshape(importer: Importer, op: RawOperator) -> Converted:
    """RESHAPE to the static shape of its result; a shape operand must be constant and agree."""
    before, after = importer.shape(op, 0), importer.result_shape(op)
    if math.prod(before) != math.prod(after):
        raise ModelError(f"{op.where} turns shape {list(before)} into {list(after)}, which has another number of elements.")
    if len(op.inputs) > 1 and op.inputs[1] >= 0:
        wanted = importer.integers(op, 1)
        fits = len(wanted) == len(after) and all(a in (-1, b) for a, b in zip(wanted, after, strict=True))
        # A leading batch may be written as a size although the model was exported with a dynamic one, and the other way round.
        if not fits:
            raise ModelError(f"{op.where} asks for shape {wanted} and its result is declared {list(after)}. Export the model again.")
    return Converted([importer.activation(op, 0)], {"shape": after})


def transpose(importer: Importer, op: RawOperator) -> Converted:
    """TRANSPOSE by a constant permutation."""
    rank = len(importer.shape(op, 0))
    order = tuple(importer.axis(op, a, rank) for a in importer.integers(op, 1))
    if sorted(order) != list(range(rank)):
        raise ModelError(f"{op.where} permutes by {list(order)}, which is no permutation of {rank} axes. Export the model again.")
    return Converted([importer.activation(op, 0)], {"permutation": order})


def concatenation(importer: Importer, op: RawOperator) -> Converted:
    """CONCATENATION along an axis counted from the front."""
    axis = importer.axis(op, int(op.options.Axis()), len(importer.shape(op, 0)))
    operands = [importer.activation(op, i) for i in range(len(op.inputs))]
    return Converted(operands, {"axis": axis, "activation": activation(op)})


RULES: dict[str, Rule] = {
    "PAD": Rule((2, 2), "", pad),
    "RESHAPE": Rule((1, 2), "ReshapeOptions", reshape, optional=True),
    "TRANSPOSE": Rule((2, 2), "", transpose),
    "CONCATENATION": Rule((1, 64), "ConcatenationOptions", concatenation),
}

"""Operators on two tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import Converted, Rule, activation

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer


def pair(importer: Importer, op: RawOperator) -> list[str]:
    """Both operands."""
    return [importer.activation(op, 0), importer.activation(op, 1)]


def clamped(importer: Importer, op: RawOperator) -> Converted:
    """MUL, DIV: with a fused activation."""
    return Converted(pair(importer, op), {"activation": activation(op)})


def rescaled(importer: Importer, op: RawOperator) -> Converted:
    """ADD, SUB: int16 scales that are powers of two are handled by shifts, unless the options say no."""
    attrs = {"activation": activation(op)}
    if importer.element_type(op, 0) == "INT16":
        return Converted(pair(importer, op), {**attrs, "power_of_two": op.options is not None and bool(op.options.PotScaleInt16())})
    return Converted(pair(importer, op), attrs)


def plain(importer: Importer, op: RawOperator) -> Converted:
    """MAXIMUM, MINIMUM, SQUARED_DIFFERENCE."""
    return Converted(pair(importer, op), {})


def matmul(importer: Importer, op: RawOperator) -> Converted:
    """BATCH_MATMUL."""
    return Converted(pair(importer, op), {"adj_x": bool(op.options.AdjX()), "adj_y": bool(op.options.AdjY())})


RULES: dict[str, Rule] = {
    "ADD": Rule((2, 2), "AddOptions", rescaled, optional=True),
    "SUB": Rule((2, 2), "SubOptions", rescaled, optional=True),
    "MUL": Rule((2, 2), "MulOptions", clamped, optional=True),
    "DIV": Rule((2, 2), "DivOptions", clamped, optional=True),
    "MAXIMUM": Rule((2, 2), "MaximumMinimumOptions", plain, optional=True),
    "MINIMUM": Rule((2, 2), "MaximumMinimumOptions", plain, optional=True),
    "SQUARED_DIFFERENCE": Rule((2, 2), "SquaredDifferenceOptions", plain, optional=True),
    "BATCH_MATMUL": Rule((2, 2), "BatchMatMulOptions", matmul),
}

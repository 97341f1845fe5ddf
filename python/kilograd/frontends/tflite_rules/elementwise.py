"""Operators on one tensor, element by element or along the last axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kilograd.errors import ModelError
from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import Converted, Rule

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer


def unary(importer: Importer, op: RawOperator) -> Converted:
    """Functions of one operand without options."""
    return Converted([importer.activation(op, 0)])


def leaky_relu(importer: Importer, op: RawOperator) -> Converted:
    """LEAKY_RELU."""
    alpha = float(op.options.Alpha())
    if not abs(alpha) <= 1e6:  # false for NaN too
        raise ModelError(f"{op.where} has alpha {alpha}; it must be a number. The file is damaged: export it again.")
    return Converted([importer.activation(op, 0)], {"alpha": alpha})


def prelu(importer: Importer, op: RawOperator) -> Converted:
    """PRELU with constant slopes."""
    return Converted([importer.activation(op, 0), importer.activation(op, 1)])


def gelu(importer: Importer, op: RawOperator) -> Converted:
    """GELU, exact or by tanh."""
    return Converted([importer.activation(op, 0)], {"approximate": bool(op.options.Approximate())})


def softmax(importer: Importer, op: RawOperator) -> Converted:
    """SOFTMAX over the last axis."""
    beta = float(op.options.Beta())
    if not (math.isfinite(beta) and 0 < beta <= 1e6):
        raise ModelError(f"{op.where} has beta {beta}; it must be positive. The file is damaged: export it again.")
    return Converted([importer.activation(op, 0)], {"beta": beta})


RULES: dict[str, Rule] = {
    "SOFTMAX": Rule((1, 1), "SoftmaxOptions", softmax, symmetric=False),
    "LEAKY_RELU": Rule((1, 1), "LeakyReluOptions", leaky_relu),
    "PRELU": Rule((2, 2), "", prelu),
    "GELU": Rule((1, 1), "GeluOptions", gelu),
}
RULES |= {
    name: Rule((1, 1), "", unary)
    for name in (
        "ABS", "ELU", "EXP", "HARD_SWISH", "LOG", "LOGISTIC", "LOG_SOFTMAX", "NEG", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "RSQRT",
        "SQRT", "SQUARE", "TANH",
    )
}  # fmt: skip

"""Operators on one or two tensors, element by element or along the last axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kilograd.errors import ModelError
from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import Converted, Rule, activation

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer


def binary(importer: Importer, op: RawOperator) -> Converted:
    """ADD, MUL."""
    return Converted([importer.activation(op, 0), importer.activation(op, 1)], {"activation": activation(op)})


def unary(importer: Importer, op: RawOperator) -> Converted:
    """LOGISTIC, RELU, RELU6."""
    return Converted([importer.activation(op, 0)])


def softmax(importer: Importer, op: RawOperator) -> Converted:
    """SOFTMAX over the last axis."""
    beta = float(op.options.Beta())
    if not (math.isfinite(beta) and 0 < beta <= 1e6):
        raise ModelError(f"{op.where} has beta {beta}; it must be positive. The file is damaged: export it again.")
    return Converted([importer.activation(op, 0)], {"beta": beta})


RULES: dict[str, Rule] = {
    "ADD": Rule((2, 2), "AddOptions", binary, optional=True),
    "MUL": Rule((2, 2), "MulOptions", binary, optional=True),
    "SOFTMAX": Rule((1, 1), "SoftmaxOptions", softmax),
    "LOGISTIC": Rule((1, 1), "", unary),
    "RELU": Rule((1, 1), "", unary),
    "RELU6": Rule((1, 1), "", unary),
}

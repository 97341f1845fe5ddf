"""Where real numbers become integers and back, and integers other integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import Converted, Rule

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer


def quantize(importer: Importer, op: RawOperator) -> Converted:
    """QUANTIZE: from float32, or from one quantization to another."""
    return Converted([importer.activation(op, 0)])


def dequantize(importer: Importer, op: RawOperator) -> Converted:
    """DEQUANTIZE: integers to float32."""
    return Converted([importer.activation(op, 0)])


def cast(importer: Importer, op: RawOperator) -> Converted:
    """CAST: stored integers or float32 to another type."""
    attrs = {"x_unsigned": importer.unsigned(op, 0), "y_unsigned": importer.raw.tensors[op.outputs[0]].type == "UINT8"}
    return Converted([importer.activation(op, 0)], attrs)


RULES: dict[str, Rule] = {
    "QUANTIZE": Rule((1, 1), "", quantize, symmetric=False),
    "DEQUANTIZE": Rule((1, 1), "", dequantize, symmetric=False),
    "CAST": Rule((1, 1), "", cast, symmetric=False),
}

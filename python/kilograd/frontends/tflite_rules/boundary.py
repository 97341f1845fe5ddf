"""Where real numbers become integers and back."""

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
    """DEQUANTIZE: int8 to float32."""
    return Converted([importer.activation(op, 0)])


RULES: dict[str, Rule] = {
    "QUANTIZE": Rule((1, 1), "", quantize),
    "DEQUANTIZE": Rule((1, 1), "", dequantize),
}

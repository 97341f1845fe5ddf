"""Pooling and reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import Converted, Rule, activation, padding, sizes

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer


def pool(importer: Importer, op: RawOperator) -> Converted:
    """AVERAGE_POOL_2D, MAX_POOL_2D. The uint8 kernel rounds halves of the average up, the int8 one away from zero."""
    o = op.options
    stride = sizes(op, "stride", o.StrideH(), o.StrideW())
    window = sizes(op, "filter", o.FilterHeight(), o.FilterWidth())
    pads = padding(importer, op, window, stride, (1, 1))
    attrs: dict[str, Any] = {"filter": window, "stride": stride, "padding": pads, "activation": activation(op)}
    if op.name == "AVERAGE_POOL_2D":
        attrs["rounding"] = "half_up" if importer.unsigned(op, 0) else "half_away"
    return Converted([importer.activation(op, 0)], attrs)


def mean(importer: Importer, op: RawOperator) -> Converted:
    """MEAN over constant axes."""
    rank = len(importer.shape(op, 0))
    axes = tuple(sorted({importer.axis(op, a, rank) for a in importer.integers(op, 1)}))
    return Converted([importer.activation(op, 0)], {"axes": axes, "keep_dims": bool(op.options.KeepDims())})


RULES: dict[str, Rule] = {
    "AVERAGE_POOL_2D": Rule((1, 1), "Pool2DOptions", pool),
    "MAX_POOL_2D": Rule((1, 1), "Pool2DOptions", pool),
    "MEAN": Rule((2, 2), "ReducerOptions", mean),
}

"""Pooling and reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilograd.errors import ModelError
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


def reduction(importer: Importer, op: RawOperator) -> Converted:
    """MEAN, SUM, REDUCE_MAX, REDUCE_MIN over constant axes."""
    rank = len(importer.shape(op, 0))
    axes = tuple(sorted({importer.axis(op, a, rank) for a in importer.integers(op, 1)}))
    return Converted([importer.activation(op, 0)], {"axes": axes, "keep_dims": bool(op.options.KeepDims())})


def position(importer: Importer, op: RawOperator) -> Converted:
    """ARG_MAX, ARG_MIN along a constant axis."""
    axes = importer.integers(op, 1)
    if len(axes) != 1:
        raise ModelError(f"{op.where} names {len(axes)} axes, one is needed. The file is damaged: export it again.")
    axis = importer.axis(op, axes[0], len(importer.shape(op, 0)))
    return Converted([importer.activation(op, 0)], {"axis": axis, "result": importer.result_type(op).lower()})


RULES: dict[str, Rule] = {
    "AVERAGE_POOL_2D": Rule((1, 1), "Pool2DOptions", pool),
    "MAX_POOL_2D": Rule((1, 1), "Pool2DOptions", pool),
    "MEAN": Rule((2, 2), "ReducerOptions", reduction),
    "SUM": Rule((2, 2), "ReducerOptions", reduction),
    "REDUCE_MAX": Rule((2, 2), "ReducerOptions", reduction),
    "REDUCE_MIN": Rule((2, 2), "ReducerOptions", reduction),
    "ARG_MAX": Rule((2, 2), "ArgMaxOptions", position),
    "ARG_MIN": Rule((2, 2), "ArgMinOptions", position),
}

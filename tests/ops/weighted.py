"""Finite-difference checks of layers with weights and a bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from kilograd.ir.graph import Kind, QuantParams, Shape
from tests.ops.finite_difference import Real, check_gradients, dequantize
from tests.ops.nodes import Bench, activation_quant

Layer = Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def check_layer(
    op: str,
    x_shape: Shape,
    w_shape: Shape,
    channel_axis: int,
    y_shape: Shape,
    attrs: dict[str, Any],
    layer: Layer,
    live: int = 0,
    w_zero: int = 0,
) -> None:
    """Gradients of x, of the weights (the first `live` of the last axis, 0 for all) and of the bias of one layer.

    `layer` maps real x and weights to the real result without bias; about a tenth of the results are clamped.
    """
    b = Bench(5)
    x = b.int8("x", x_shape, quant=activation_quant(0.03, -20))
    w = b.weights("w", w_shape, channel_axis, per_channel=not w_zero, zero=w_zero, kind=Kind.STATE)
    q, part = b.graph[w].q, ""
    if live:
        whole, split_scales = b.values.pop(w), channel_axis % len(w_shape) == len(w_shape) - 1
        del b.graph.tensors[w]
        for name, data, kind, s in (
            ("w", whole[..., live:], Kind.CONST, slice(live, None)),
            ("live", whole[..., :live], Kind.STATE, slice(live)),
        ):
            quant = QuantParams(q.scale[s], q.zero_point[s], q.axis) if split_scales and not w_zero else q
            b.tensor(name, np.ascontiguousarray(data), b.graph[x].dtype, kind, quant)
        part = "live"
    channels = y_shape[-1]
    unit = np.broadcast_to(b.graph[x].q.s * q.scale.astype(np.float64), (channels,))
    bias = b.bias("b", channels, 300, Kind.STATE)
    inputs = [x, w, bias, *([part] if part else [])]

    def forward(real: Real) -> npt.NDArray[np.float64]:
        weights = np.concatenate([real["live"], real["w"]], axis=-1) if part else real["w"]
        return layer(real["x"], weights) + real["b"]

    real = {t: dequantize(b.graph[t], b.values[t]) for t in inputs} | {"b": b.values["b"] * unit}
    raw = forward(real)
    y = b.output("y", y_shape, float(np.quantile(np.abs(raw), 0.9)) / 120, 2)
    node = b.node(op, inputs, [y], attrs)
    check_gradients(b.graph, node, b.values, forward, ["x"], real={"b": real["b"]})

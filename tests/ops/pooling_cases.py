"""Random geometries of pooling layers, and their models for LiteRT."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from kilograd.ir.graph import Array, Shape
from tests.ops.cases import signed, unsigned
from tests.ops.litert_model import Value, options, run_one

ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 3}
SCALE, ZERO = 0.05, -20


def same_padding(size: int, k: int, stride: int) -> tuple[int, int]:
    """Padding before and after that TensorFlow's SAME gives."""
    total = max(0, (-(-size // stride) - 1) * stride + k - size)
    return total // 2, total - total // 2


@st.composite
def geometries(draw: st.DrawFn) -> tuple[Shape, dict[str, Any], bool]:
    """Input shape, attributes, and whether the padding is SAME."""
    h, w, c = draw(st.integers(1, 8)), draw(st.integers(1, 8)), draw(st.integers(1, 5))
    k, stride = (draw(st.integers(1, 4)), draw(st.integers(1, 4))), (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    same = draw(st.booleans())
    padding = (0, 0, 0, 0)
    if same:
        padding = (*same_padding(h, k[0], stride[0]), *same_padding(w, k[1], stride[1]))
    else:
        h, w = max(h, k[0]), max(w, k[1])
    activation = draw(st.sampled_from(sorted(ACTIVATIONS)))
    return (1, h, w, c), {"filter": k, "stride": stride, "padding": padding, "activation": activation}, same


def litert(op: str, x: Array, y_shape: Shape, attrs: dict[str, Any], same: bool, is_unsigned: bool) -> Array:
    """What LiteRT gives for the same layer, as int8."""
    kind, shift = ("uint8", 128) if is_unsigned else ("int8", 0)
    chosen = options(
        "Pool2DOptions",
        Padding=0 if same else 1,
        StrideH=attrs["stride"][0],
        StrideW=attrs["stride"][1],
        FilterHeight=attrs["filter"][0],
        FilterWidth=attrs["filter"][1],
        FusedActivationFunction=ACTIVATIONS[attrs["activation"]],
    )
    value, result = Value(x.shape, kind, SCALE, ZERO + shift), Value(y_shape, kind, SCALE, ZERO + shift)
    y = run_one(op, [value], result, chosen, [unsigned(x) if is_unsigned else x])
    return signed(y) if is_unsigned else y

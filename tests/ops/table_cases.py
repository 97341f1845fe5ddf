"""What the tests of table operators (relu, relu6, logistic, int8 quantize) share."""

from __future__ import annotations

from typing import Any

import numpy as np

from kilograd.ir.graph import QuantParams
from kilograd.ops import operator
from tests.ops import cases
from tests.ops.litert_model import Value, run_one

ALL = np.arange(-128, 128, dtype=np.int8).reshape(2, 128)


def check_forward(op: str, x: QuantParams, y: QuantParams) -> None:
    """C equals NumPy for every int8, with and without mask; the mask is asked for exactly when a value is clamped."""
    for results in (("y",), ("y", "mask")):
        graph, node = cases.forward(op, [cases.activation("x", ALL.shape, x)], {}, y, results)
        got = cases.same(graph, node, {"x": ALL})
    if operator(op).clamps:
        bits = np.unpackbits(got["mask"], bitorder="little")
        assert operator(op).can_clamp(graph, node) is bool((bits == 0).any())


def check_litert(op: str, builtin: str, x: QuantParams, y: QuantParams, is_unsigned: bool, chosen: Any = None) -> None:
    """C equals LiteRT for every value."""
    graph, node = cases.forward(op, [cases.activation("x", ALL.shape, x)], {}, y)
    kind, shift = ("uint8", 128) if is_unsigned else ("int8", 0)
    feed = cases.unsigned(ALL) if is_unsigned else ALL
    want = run_one(builtin, [Value(ALL.shape, kind, x.s, x.z + shift)], Value(ALL.shape, kind, y.s, y.z + shift), chosen, [feed])
    np.testing.assert_array_equal(cases.same(graph, node, {"x": ALL})["y"], cases.signed(want) if is_unsigned else want)

"""What the tests of operators of one operand share."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from hypothesis import strategies as st

from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams
from kilograd.ops import operator
from kilograd.ops.lut import FunctionOperator
from tests.ops import cases
from tests.ops.finite_difference import Real, check_gradients
from tests.ops.litert_model import Value, run_one

ALL = np.arange(-128, 128, dtype=np.int8).reshape(2, 128)
quants = st.builds(QuantParams.per_tensor, st.floats(0.005, 0.3), st.integers(-128, 127))
wide_quants = st.builds(QuantParams.per_tensor, st.floats(1e-5, 1e-3), st.just(0))
TIE = 1e-4  # of a step: LiteRT's functions of float32 err by some units of the last place, ours are correctly rounded


def check_forward(op: str, x: QuantParams, y: QuantParams, attrs: dict[str, Any] | None = None) -> None:
    """C equals NumPy for every int8, with and without mask; the mask is asked for exactly when a value is clamped."""
    for results in (("y",), ("y", "mask")):
        graph, node = cases.forward(op, [cases.activation("x", ALL.shape, x)], attrs or {}, y, results)
        got = cases.same(graph, node, {"x": ALL})
    if operator(op).clamps:
        bits = np.unpackbits(got["mask"], bitorder="little")
        assert operator(op).can_clamp(graph, node) is bool((bits == 0).any())


def check_litert(
    op: str, builtin: str, x: QuantParams, y: QuantParams, is_unsigned: bool, chosen: Any = None, *,
    attrs: dict[str, Any] | None = None, lowest: int = -128,
) -> None:  # fmt: skip
    """C equals LiteRT for every value from `lowest` on; functions of float32 may round a tie either way."""
    graph, node = cases.forward(op, [cases.activation("x", ALL.shape, x)], attrs or {}, y)
    values = np.maximum(ALL, lowest).astype(np.int8)
    kind, shift = ("uint8", 128) if is_unsigned else ("int8", 0)
    feed = cases.unsigned(values) if is_unsigned else values
    want = run_one(builtin, [Value(ALL.shape, kind, x.s, x.z + shift)], Value(ALL.shape, kind, y.s, y.z + shift), chosen, [feed])
    want = cases.signed(want) if is_unsigned else want
    got = cases.same(graph, node, {"x": values})["y"]
    np.testing.assert_array_equal(np.where(is_tie(graph, node, values, want), want, got), want)


def is_tie(graph: Graph, node: Node, values: Array, want: Array) -> Array:
    """Where a function of real numbers lies between two integers and both neighbours are right."""
    op = operator(node.op)
    if not isinstance(op, FunctionOperator) or op.name in ("hard_swish", "rsqrt", "sqrt"):  # these are defined in integers, or cut
        return np.zeros(values.shape, bool)
    x, y = graph[node.inputs[0]].q, graph[node.outputs[0]].q
    with np.errstate(all="ignore"):
        steps = op.function(node, (values.astype(np.float64) - x.z) * np.float64(x.s)) / y.s + y.z
        return cast(Array, np.abs(np.abs(steps - want) - 0.5) < TIE)


def check_rounded(op: str, x: QuantParams, y: QuantParams, within: float = 0.5) -> None:
    """Every result is the nearest integer of the real function (`within` more where requantization rounds twice)."""
    graph, node = cases.forward(op, [cases.activation("x", ALL.shape, x)], {}, y)
    got = cases.same(graph, node, {"x": ALL})["y"]
    with np.errstate(all="ignore"):
        real = operator(op).real(graph, node, [(ALL.astype(np.float64) - x.z) * np.float64(x.s)])[0]
    assert np.abs(got - np.clip(real / y.s + y.z, -128, 127)).max() <= within + TIE


def check_table_gradient(op: str, x: QuantParams, y: QuantParams, attrs: dict[str, Any] | None = None, values: Array | None = None) -> None:
    """The backward rule against finite differences of `real`."""
    values = np.random.default_rng(0).permutation(np.arange(-120, 120, 6)).astype(np.int8).reshape(4, 10) if values is None else values
    graph, node = cases.forward(op, [cases.activation("x", values.shape, x)], attrs or {}, y)
    result = cases.same(graph, node, {"x": values})["y"]

    def forward(reals: Real) -> Any:
        return operator(op).real(graph, node, [reals["x"]])[0]

    check_gradients(graph, node, {"x": values, "y": result}, forward, ["x"])


def all16() -> Array:
    """Every int16."""
    return np.arange(-32768, 32768, dtype=np.int16).reshape(2, -1)


def run16(op: str, x: QuantParams, y: QuantParams, values: Array, attrs: dict[str, Any] | None = None) -> Array:
    """C, which equals NumPy, for int16 operands and results."""
    graph, node = cases.forward(op, [cases.activation("x", values.shape, x, DType.INT16)], attrs or {}, y)
    assert node.op == op and graph["y"].dtype is DType.INT16
    return cases.same(graph, node, {"x": values})["y"]


def check_litert16(
    op: str, builtin: str, x: QuantParams, y: QuantParams, chosen: Any = None, *, attrs: dict[str, Any] | None = None
) -> None:
    """C equals LiteRT for every int16."""
    values = all16()
    want = run_one(builtin, [Value(values.shape, "int16", x.s, x.z)], Value(values.shape, "int16", y.s, y.z), chosen, [values])
    np.testing.assert_array_equal(run16(op, x, y, values, attrs), want)

"""batch_matmul: C equals NumPy equals LiteRT; gradients of both operands agree with finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Kind, Node, QuantParams, Shape
from kilograd.ops import operator
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one
from tests.ops.nodes import Bench
from tests.ops.runner import assert_same

#: batches of both operands
BATCHES: list[tuple[Shape, Shape]] = [
    ((), ()),
    ((3,), (3,)),
    ((2, 3), (2, 3)),
    ((2, 3), (3,)),
    ((1, 3), (2, 1)),
    ((), (2, 3)),
    ((2, 1), (2, 3)),
]
scales = st.floats(0.005, 0.3)
zeros = st.integers(-128, 127)
sizes = st.integers(1, 7)


def swapped(value: Array, adjoint: bool) -> Array:
    return np.swapaxes(value, -1, -2) if adjoint else value


def shapes(batches: tuple[Shape, Shape], m: int, k: int, n: int, adjoints: tuple[bool, bool]) -> tuple[Shape, Shape, Shape]:
    """Of a, b and the result."""
    a, b = ((k, m) if adjoints[0] else (m, k)), ((n, k) if adjoints[1] else (k, n))
    return (*batches[0], *a), (*batches[1], *b), (*np.broadcast_shapes(*batches), m, n)


def build(
    shape: tuple[Shape, Shape, Shape], quants: list[QuantParams], adjoints: tuple[bool, bool], seed: int, mask: bool, extreme: bool
) -> tuple[Graph, Node, dict[str, Array]]:
    b = Bench(seed)
    b.int8("a", shape[0], extreme, quant=quants[0])
    b.int8("b", shape[1], extreme, kind=Kind.CONST if seed % 2 else Kind.ARENA, quant=quants[1])
    b.output("y", shape[2])
    b.graph.set("y", quant=quants[2])
    outputs = ["y", b.mask("m", shape[2])] if mask else ["y"]
    return b.graph, b.node("batch_matmul", ["a", "b"], outputs, {"adj_x": adjoints[0], "adj_y": adjoints[1]}), b.values


@needs_litert
@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(BATCHES), sizes, sizes, sizes, st.tuples(st.booleans(), st.booleans()), st.tuples(scales, scales, scales),
    st.tuples(zeros, zeros, zeros), st.booleans(), st.integers(0, 999),
)  # fmt: skip
def test_forward_equals_litert(
    batches: tuple[Shape, Shape],
    m: int,
    k: int,
    n: int,
    adjoints: tuple[bool, bool],
    s: tuple[float, float, float],
    z: tuple[int, int, int],
    extreme: bool,
    seed: int,
) -> None:
    shape = shapes(batches, m, k, n, adjoints)
    quants = [QuantParams.per_tensor(*q) for q in zip(s, z, strict=True)]
    graph, node, values = build(shape, quants, adjoints, seed, True, extreme)
    tensors = [Value(d, "int8", q.s, q.z) for d, q in zip(shape, quants, strict=True)]
    chosen = options("BatchMatMulOptions", AdjX=adjoints[0], AdjY=adjoints[1])
    want = run_one("BATCH_MATMUL", tensors[:2], tensors[2], chosen, [values["a"], values["b"]])
    np.testing.assert_array_equal(assert_same(graph, node, values)["y"], want)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(BATCHES), sizes, sizes, sizes, st.tuples(st.booleans(), st.booleans()), st.integers(0, 1), st.integers(0, 999))
def test_gradient(batches: tuple[Shape, Shape], m: int, k: int, n: int, adjoints: tuple[bool, bool], side: int, seed: int) -> None:
    b, shape = Bench(seed), shapes(batches, m, k, n, adjoints)
    b.train(step=seed)
    gy, other = b.error("gy", shape[2]), b.int8("other", shape[1 - side], seed % 3 == 0, quant=cases.QUANT)
    gx = b.error("gx", shape[side], given=False)
    attrs = {"side": side, "adjoints": adjoints, "other_zero": -3, "other_scale": 0.05}
    assert_same(b.graph, b.node("batch_matmul_grad", [gy, other], [gx], attrs), b.values)


@pytest.mark.parametrize("batches", BATCHES)
@pytest.mark.parametrize("adjoints", [(False, False), (True, False), (False, True), (True, True)])
def test_finite_differences(batches: tuple[Shape, Shape], adjoints: tuple[bool, bool]) -> None:
    shape = shapes(batches, 3, 4, 2, adjoints)
    quants = [QuantParams.per_tensor(0.02, 4), QuantParams.per_tensor(0.05, -9), QuantParams.per_tensor(0.2, 3)]
    graph, node, values = build(shape, quants, adjoints, 4, False, False)

    def product(a: Array, b: Array) -> Array:
        return np.asarray(swapped(a, adjoints[0]) @ swapped(b, adjoints[1]))

    check_gradients(graph, node, values, lambda r: product(r["a"], r["b"]), ["a", "b"])
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, shape[0]), rng.normal(0, 1, shape[1])
    np.testing.assert_allclose(operator("batch_matmul").real(graph, node, [a, b])[0], product(a, b))


def test_sums_of_many_products() -> None:
    """The largest sums that are allowed, at the ends of the range, forward and backward."""
    quants = [QuantParams.per_tensor(0.02, 127), QuantParams.per_tensor(0.05, 127), QuantParams.per_tensor(9.0, 0)]
    graph, node, values = build(((1, 1 << 15), (1 << 15, 1), (1, 1)), quants, (False, False), 4, True, True)
    assert_same(graph, node, {name: np.full_like(v, -128) for name, v in values.items()})
    b = Bench(1)
    b.train()
    b.error("gy", (1 << 15, 1))
    b.values["gy"] = np.full((1 << 15, 1), -127, np.int8)
    b.tensor("other", np.full((1 << 15, 1), -128, np.int8), graph["a"].dtype, quant=cases.QUANT)
    attrs = {"side": 1, "adjoints": (False, False), "other_zero": 127, "other_scale": 0.05}
    assert_same(b.graph, b.node("batch_matmul_grad", ["gy", "other"], [b.error("gx", (1, 1), given=False)], attrs), b.values)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((3,), (3, 2), "2 to 4 axes"),
        ((2, 3, 4), (3, 4, 2), "do not fit"),
        ((2, 3), (2, 3), "cannot be multiplied"),
        ((1, 40000), (40000, 1), "at most"),
    ],
)
def test_wrong_operands(a: Shape, b: Shape, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        cases.forward("batch_matmul", [cases.activation("a", a), cases.activation("b", b)], {})

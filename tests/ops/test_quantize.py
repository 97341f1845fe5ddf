"""quantize: C equals NumPy equals LiteRT, from float32 and from int8; the gradient agrees with finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError, NoBackwardRule
from kilograd.ir.graph import Array, DType, Graph, Node, QuantParams
from kilograd.ops.base import infer_outputs
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.litert_model import Value, needs_litert, options, run_one
from tests.ops.table_cases import check_forward, check_litert

quants = st.builds(QuantParams.per_tensor, st.floats(0.005, 0.3), st.integers(-128, 127))


def from_float(x: Array, y: QuantParams) -> dict[str, Array]:
    graph, node = cases.forward("quantize", [cases.activation("x", x.shape, None, DType.FLOAT32)], {}, y, ("y", "mask"))
    return cases.same(graph, node, {"x": x})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=40), st.floats(1.2e-38, 1e30), st.integers(-128, 127))
def test_from_float(values: list[float], scale: float, zero: int) -> None:
    from_float(np.array(values, np.float32), QuantParams.per_tensor(scale, zero))


def test_extremes_saturate() -> None:
    big = np.finfo(np.float32).max
    x = np.array([big, -big, np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-45, 2.0**31, -(2.0**31), 2.0**30, 0.5, -0.5, 0.49999997], np.float32)
    y = from_float(x, QuantParams.per_tensor(1.0, 3))["y"]
    assert y.tolist() == [127, -128, 127, -128, -128, 3, 3, 3, 127, -128, 127, 4, 2, 3]


@needs_litert
@settings(max_examples=30, deadline=None)
@given(quants, st.booleans(), st.integers(0, 999))
def test_from_float_equals_litert(y: QuantParams, is_unsigned: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(0, 100 * y.s, 300), rng.integers(-300, 300, 200) * np.float64(np.float32(y.s)) / 2]).astype(np.float32)
    kind, shift = ("uint8", 128) if is_unsigned else ("int8", 0)
    want = run_one("QUANTIZE", [Value((500,), "float32")], Value((500,), kind, y.s, y.z + shift), options("QuantizeOptions"), [x])
    np.testing.assert_array_equal(from_float(x, y)["y"], cases.signed(want) if is_unsigned else want)


@settings(max_examples=60, deadline=None)
@given(quants, quants)
def test_from_int8(x: QuantParams, y: QuantParams) -> None:
    check_forward("quantize", x, y)


@needs_litert
@settings(max_examples=40, deadline=None)
@given(quants, quants, st.booleans())
def test_from_int8_equals_litert(x: QuantParams, y: QuantParams, is_unsigned: bool) -> None:
    check_litert("quantize", "QUANTIZE", x, y, is_unsigned, options("QuantizeOptions"))


def integers(source: str, target: str, x: QuantParams, y: QuantParams, values: Array) -> Array:
    """C, which equals NumPy."""
    graph, node = Graph("test"), Node("quantize", ["x"], ["y"], {}, "layer")
    graph.add(cases.activation("x", values.shape, x, DType(source)))
    graph.add(cases.activation("y", values.shape, y, DType(target)))
    infer_outputs(graph, node)
    graph.nodes.append(node)
    return cases.same(graph, node, {"x": values})["y"]


def any_integers(source: str, seed: int) -> Array:
    info = np.iinfo(source)
    small = np.random.default_rng(seed).integers(-40000, 40000, 300).clip(info.min, info.max)
    return np.append(small, [info.min, info.max, 0]).astype(source)


PAIRS = [("int8", "int16"), ("int16", "int8"), ("int16", "int16"), ("int16", "int32"), ("int32", "int8"), ("int32", "int16")]
any_scale = st.floats(1e-5, 0.3)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*PAIRS, ("int8", "int32"), ("int32", "int32")]), any_scale, any_scale, st.integers(-128, 127), st.integers(0, 999))
def test_between_widths(pair: tuple[str, str], x: float, y: float, zero: int, seed: int) -> None:
    integers(*pair, QuantParams.per_tensor(x, 0), QuantParams.per_tensor(y, zero), any_integers(pair[0], seed))


@needs_litert
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PAIRS), st.floats(0.001, 0.3), st.floats(0.001, 0.3), st.integers(-128, 127), st.integers(0, 999))
def test_between_widths_equals_litert(pair: tuple[str, str], x: float, y: float, zero: int, seed: int) -> None:
    source, target = pair
    zeros = (zero if source == "int8" else 0, zero if target == "int8" else 0)
    values = any_integers(source, seed)
    if source == "int32":
        values = np.clip(values, -(2**20), 2**20)  # larger ones leave 32 bits, where C++ leaves the answer open
    operand, result = Value(values.shape, source, x, zeros[0]), Value(values.shape, target, y, zeros[1])
    want = run_one("QUANTIZE", [operand], result, options("QuantizeOptions"), [values])
    q = [QuantParams.per_tensor(s, z) for s, z in zip((x, y), zeros, strict=True)]
    np.testing.assert_array_equal(integers(source, target, q[0], q[1], values), want)


@needs_litert
@settings(max_examples=20, deadline=None)
@given(st.floats(1e-4, 0.3), st.integers(0, 999))
def test_float_to_int16_equals_litert(scale: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(0, 20000 * scale, 300).astype(np.float32)
    want = run_one("QUANTIZE", [Value((300,), "float32")], Value((300,), "int16", scale, 0), options("QuantizeOptions"), [x])
    graph, node = Graph("test"), Node("quantize", ["x"], ["y"], {}, "layer")
    graph.add(cases.activation("x", x.shape, None, DType.FLOAT32))
    graph.add(cases.activation("y", x.shape, QuantParams.per_tensor(scale, 0), DType.INT16))
    infer_outputs(graph, node)
    np.testing.assert_array_equal(cases.same(graph, node, {"x": x})["y"], want)


@pytest.mark.parametrize(
    ("source", "target", "message"), [("int16", "int8", "is int16 and errors"), ("int8", "int16", "is int16 and errors")]
)
def test_no_gradient_beside_int16(source: str, target: str, message: str) -> None:
    graph, node = Graph("test"), Node("quantize", ["x"], ["y"], {}, "layer")
    graph.add(cases.activation("x", (4,), QuantParams.per_tensor(0.1, 0), DType(source)))
    graph.add(cases.activation("y", (4,), QuantParams.per_tensor(0.2, 0), DType(target)))
    with pytest.raises(NoBackwardRule, match=message):
        check_gradients(graph, node, {"x": np.zeros(4, source)}, lambda v: v["x"], ["x"])


def test_finite_differences() -> None:
    shape, y = (4, 10), QuantParams.per_tensor(0.03, -20)
    graph, node = cases.forward("quantize", [cases.activation("x", shape, QuantParams.per_tensor(0.05, 4))], {}, y)
    check_gradients(graph, node, {"x": cases.random_int8(1, shape)}, lambda v: v["x"], ["x"])


def test_no_gradient_into_float() -> None:
    graph, node = cases.forward("quantize", [cases.activation("x", (4,), None, DType.FLOAT32)], {})
    with pytest.raises(NoBackwardRule, match="float32 and errors are integers"):
        check_gradients(graph, node, {"x": np.zeros(4, np.float32)}, lambda v: v["x"], ["x"])


def test_wrong_scale() -> None:
    with pytest.raises(GraphError, match="positive normal"):
        cases.forward("quantize", [cases.activation("x", (4,), None, DType.FLOAT32)], {}, QuantParams.per_tensor(0.0, 0))

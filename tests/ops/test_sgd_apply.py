import numpy as np
import pytest

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Tensor
from kilograd.ops import operator
from kilograd.ops.fixed_point import ROUND_NEAREST, ROUND_STOCHASTIC
from tests.ops.runner import assert_same
from tests.ops.train_graph import assert_refused, loss_graph

COUNT = 301


def apply_graph(dtype: DType, pending: Array, fraction: bool = False) -> Graph:
    rng = np.random.default_rng(1)
    g = loss_graph(3, 0.1)
    info = np.iinfo(dtype.numpy)
    g.add(Tensor("p", (COUNT,), dtype, Kind.STATE, data=rng.integers(info.min, info.max, COUNT, endpoint=True).astype(dtype.numpy)))
    g.add(Tensor("pending", (COUNT,), DType.INT32, Kind.STATE, data=pending.astype(np.int32)))
    if fraction:
        g.add(Tensor("f", (COUNT,), DType.INT8, Kind.STATE, data=rng.integers(-128, 128, COUNT).astype(np.int8)))
    return g


def apply_node(lo: int, hi: int, rounding: int, fraction: bool = False) -> Node:
    f = "f" if fraction else ""
    attrs = {"rounding": rounding, "lo": lo, "hi": hi}
    return Node("sgd_apply", ["p", f, "pending", "train"], [], attrs, "apply", mutates=tuple(t for t in ("p", f, "pending") if t))


def steps(scale: float) -> Array:
    return np.clip(np.random.default_rng(2).normal(0, scale, COUNT), -(2**31), 2**31 - 1)


@pytest.mark.parametrize("scale", [0.0, 1e4, 1e6, 1e9, 1e11])
@pytest.mark.parametrize("rounding", [ROUND_STOCHASTIC, ROUND_NEAREST])
@pytest.mark.parametrize("fraction", [False, True])
def test_weights(scale: float, rounding: int, fraction: bool) -> None:
    graph, node = apply_graph(DType.INT8, steps(scale), fraction), apply_node(-127, 127, rounding, fraction)
    operator(node.op).infer(graph, node)
    before = graph["p"].data
    assert before is not None
    got = assert_same(graph, node, {})
    assert not got["pending"].any()
    wanted = (
        before.astype(np.float64) + (np.asarray(graph.tensors["f"].data) / 256 if fraction else 0) - steps(scale).astype(np.int32) / 65536
    )
    assert (np.abs(got["p"] - np.clip(wanted, -127, 127)) <= 1 + 1e-9).all()
    assert scale > 0 or fraction or (got["p"] == np.clip(before, -127, 127)).all()


@pytest.mark.parametrize("dtype", [DType.INT16, DType.INT32])
@pytest.mark.parametrize("scale", [0.0, 1e2, 1e6, 1e11])
def test_biases(dtype: DType, scale: float) -> None:
    limit = 32767 if dtype is DType.INT16 else 2**31 - 1 - 10**6
    graph, node = apply_graph(dtype, steps(scale)), apply_node(-limit, limit, ROUND_NEAREST)
    before = graph["p"].data
    assert before is not None
    got = assert_same(graph, node, {})
    step = steps(scale).astype(np.int32).astype(np.int64)
    wanted = np.clip((before.astype(np.int64) * 256 - step + 128) >> 8, -limit, limit)
    assert (got["p"] == np.where(step == 0, before, wanted)).all() and not got["pending"].any()


def test_pending_must_fit() -> None:
    graph, node = apply_graph(DType.INT8, steps(1.0)), apply_node(-127, 127, ROUND_NEAREST)
    graph.set("pending", shape=(COUNT - 1,))
    with pytest.raises(GraphError, match="shape of the parameter"):
        operator(node.op).infer(graph, node)


@pytest.mark.parametrize(("field", "bad"), [("count", -1), ("count", 1 << 20), ("rounding", 2), ("lo", -129), ("hi", 128)])
def test_kernel_refuses_bad_arguments(field: str, bad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, node = apply_graph(DType.INT8, steps(1.0)), apply_node(-127, 127, ROUND_NEAREST)
    assert_refused(graph, node, {}, field, bad, monkeypatch)

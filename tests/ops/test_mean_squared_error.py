import numpy as np
import pytest

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Node
from kilograd.ops import operator
from kilograd.ops.fixed_point import exponent_view, train_view
from tests.ops.runner import assert_same
from tests.ops.train_graph import assert_refused, loss_graph


def loss_node(threshold: float = 0.0) -> Node:
    return Node(
        "mean_squared_error", ["y", "target", "train"], ["error"], {"threshold": threshold}, "loss", mutates=("train", "error.exponent")
    )


def run(y: Array, target: Array, scale: float, threshold: float = 0.0) -> dict[str, Array]:
    graph, node = loss_graph(y.size, scale), loss_node(threshold)
    operator(node.op).infer(graph, node)
    return assert_same(graph, node, {"y": y[None].astype(np.int8), "target": target[None].astype(np.int8)})


@pytest.mark.parametrize("size", [1, 7, 640, 32768])
@pytest.mark.parametrize("scale", [0.0004, 0.03, 0.4, 9.0])
def test_loss_and_error_are_those_of_the_formula(size: int, scale: float) -> None:
    rng = np.random.default_rng(size)
    y, target = rng.integers(-128, 128, size), rng.integers(-128, 128, size)
    got = run(y, target, scale)
    real = (y - target) * scale
    train, e = train_view(got["train"]), int(exponent_view(got["error.exponent"])["e"][0])
    assert int(train["loss"][0]) / 65536 == pytest.approx(min(np.mean(real**2), 32768), rel=1e-6, abs=2**-16)
    assert int(train["predicted"][0]) == -1
    np.testing.assert_allclose(got["error"][0] * 2.0**e, 2 * real / size, rtol=2**-12, atol=2.0 ** (e - 1))


def test_extremes_and_nothing_to_learn() -> None:
    full, zero = np.full(9, 127), np.zeros(9)
    run(full, -full - 1, 0.5)
    got = run(zero, zero, 0.5)
    assert not got["error"].any() and int(train_view(got["train"])["loss"][0]) == 0


def test_threshold_is_in_real_units() -> None:
    for distance, skip in ((3, 1), (5, 0)):
        train = train_view(run(np.array([0, distance]), np.zeros(2), 0.1, threshold=0.45)["train"])
        assert (int(train["skip"][0]), int(train["skipped"][0])) == (skip, skip)


def test_too_many_values_are_refused() -> None:
    graph = loss_graph(32769, 0.1)
    with pytest.raises(GraphError, match="at most 32768"):
        operator("mean_squared_error").infer(graph, loss_node())


@pytest.mark.parametrize(("field", "bad"), [("size", 0), ("fold", 0), ("fold", 1 << 15), ("loss_mantissa", -1), ("loss_exponent", 200)])
def test_kernel_refuses_bad_arguments(field: str, bad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"y": np.zeros((1, 3), np.int8), "target": np.zeros((1, 3), np.int8)}
    assert_refused(loss_graph(3, 0.1), loss_node(), values, field, bad, monkeypatch)

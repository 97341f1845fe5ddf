import numpy as np
import pytest

from kilograd.errors import GraphError, SchemeError
from kilograd.ir.graph import Array, Node
from kilograd.ops import operator
from kilograd.ops.base import Blob
from kilograd.ops.fixed_point import train_view
from kilograd.train.config import TrainConfig
from kilograd.train.schedule import learning_rate_points
from tests.ops.runner import assert_same
from tests.ops.train_graph import assert_refused, loss_graph, train_state


def begin(points: list[tuple[int, float]], accumulate: int = 1) -> Node:
    return Node("train_begin", ["train"], [], {"points": points, "accumulate": accumulate}, "begin", mutates=("train",))


def after(points: list[tuple[int, float]], step: int, accumulate: int = 1) -> Array:
    """Train state after the begin of sample `step`."""
    graph, node = loss_graph(3, 0.1), begin(points, accumulate)
    operator(node.op).infer(graph, node)
    return train_view(assert_same(graph, node, {"train": train_state(step=step - 1, skip=1)})["train"])


def rate(points: list[tuple[int, float]], step: int) -> float:
    train = after(points, step)
    mantissa = int(train["lr_mantissa"][0])
    assert mantissa == 0 or 2**14 <= mantissa < 2**15
    return float(np.ldexp(mantissa, int(train["lr_exponent"][0])))


@pytest.mark.parametrize("value", [0.0, 1e-22, 1e-6, 0.003, 0.01, 0.5, 1.0, 3.7])
def test_constant(value: float) -> None:
    for step in (1, 2, 1000, 2**31 + 5):
        assert rate(learning_rate_points(TrainConfig(learning_rate=value)), step) == pytest.approx(value, rel=2**-14)


def test_tiny_rates_vanish() -> None:
    assert rate([(1, 1e-300)], 1) == 0.0


def test_linear_with_warm_up() -> None:
    points = learning_rate_points(TrainConfig(learning_rate=0.1, schedule="linear", warmup_steps=9, total_steps=109))
    assert [rate(points, t) for t in (1, 5, 10)] == pytest.approx([0.01, 0.05, 0.1], rel=1e-3)
    assert rate(points, 60) == pytest.approx(0.05, rel=1e-3)
    assert rate(points, 109) == pytest.approx(0.001, rel=1e-3)
    assert rate(points, 5000) == 0.0


@pytest.mark.parametrize("total", [3, 50, 1000, 100_000])
def test_cosine(total: int) -> None:
    points = learning_rate_points(TrainConfig(learning_rate=0.2, schedule="cosine", total_steps=total))
    for t in np.unique(np.linspace(1, total, 23).astype(int)):
        assert rate(points, int(t)) == pytest.approx(0.1 * (1 + np.cos(np.pi * (t - 1) / total)), rel=1e-3, abs=0.2 * 0.0005)


def test_counts_samples_and_clears_skip() -> None:
    train = after([(1, 0.1)], 17)
    assert (int(train["step"][0]), int(train["skip"][0])) == (17, 0)
    assert [int(after([(1, 0.1)], t, accumulate=4)["apply"][0]) for t in range(1, 9)] == [0, 0, 0, 1, 0, 0, 0, 1]


def test_step_wraps() -> None:
    assert int(after([(1, 0.1)], 2**32)["step"][0]) == 0


def test_bad_schedules_are_refused() -> None:
    with pytest.raises(SchemeError, match="learning rate is nan"):
        learning_rate_points(TrainConfig(learning_rate=float("nan")))
    with pytest.raises(SchemeError, match="total_steps"):
        learning_rate_points(TrainConfig(schedule="cosine"))
    with pytest.raises(SchemeError, match="warmup_steps"):
        learning_rate_points(TrainConfig(warmup_steps=-1))
    with pytest.raises(GraphError, match="ascending"):
        operator("train_begin").infer(loss_graph(3, 0.1), begin([(5, 0.1), (5, 0.2)]))


BAD_STEPS = Blob(np.array([[9, 1], [9, 1]], np.int32))


@pytest.mark.parametrize(
    ("field", "bad"), [("points", 0), ("points", 1 << 20), ("accumulate", 0), ("lr_exponent", -500), ("table", BAD_STEPS)]
)
def test_kernel_refuses_bad_arguments(field: str, bad: int | Blob, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused(loss_graph(3, 0.1), begin([(1, 0.1), (9, 0.0)]), {}, field, bad, monkeypatch)

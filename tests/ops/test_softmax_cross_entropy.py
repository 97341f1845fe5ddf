import numpy as np
import pytest

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import operator
from kilograd.ops.fixed_point import exponent_view, train_view
from tests.ops.runner import assert_same
from tests.ops.train_graph import assert_refused, loss_graph

SCALES = (0.005, 0.0302, 0.125, 0.37, 1.5)


def loss_node(threshold: float = 0.0) -> Node:
    return Node(
        "softmax_cross_entropy", ["y", "label", "train"], ["error"], {"threshold": threshold}, "loss", mutates=("train", "error.exponent")
    )


def run(graph: Graph, logits: Array, label: int, threshold: float = 0.0) -> dict[str, Array]:
    node = loss_node(threshold)
    operator(node.op).infer(graph, node)
    return assert_same(graph, node, {"y": logits[None].astype(np.int8), "label": np.array([label], np.int32)})


def exact(logits: Array, scale: float, label: int) -> tuple[float, Array]:
    z = logits.astype(np.float64) * scale
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    return float(-(z[label] - z.max() - np.log(np.exp(z - z.max()).sum()))), p - (np.arange(z.size) == label)


@pytest.mark.parametrize("classes", [1, 2, 10, 101, 1000])
@pytest.mark.parametrize("scale", SCALES)
def test_loss_and_error_are_those_of_softmax(classes: int, scale: float) -> None:
    rng = np.random.default_rng(classes)
    for _ in range(5):
        logits, label = rng.integers(-128, 128, classes), int(rng.integers(classes))
        got = run(loss_graph(classes, scale), logits, label)
        loss, gradient = exact(logits, scale, label)
        train, e = train_view(got["train"]), int(exponent_view(got["error.exponent"])["e"][0])
        assert abs(int(train["loss"][0]) / 65536 - loss) <= 0.01
        assert int(train["predicted"][0]) == int(np.argmax(logits))
        error = got["error"][0].astype(np.float64) * 2.0**e
        # half a unit of the int8, and the error of p: 2^-9 of itself (table) plus 2^-15 a class (rounding)
        assert (np.abs(error - gradient) <= 2.0 ** (e - 1) + 2.0**-8 * np.abs(gradient) + 2.0**-8 * 0.3 + 2.0**-15).all()
        assert e == -15 or np.abs(got["error"]).max() >= 63, "the smallest shift that fits uses the upper half of int8"


def test_extreme_logits() -> None:
    for logits, label in (([127, -128], 0), ([127, -128], 1), ([-128, -128, -128], 2), ([127] * 5, 0)):
        for scale in (*SCALES, 100.0):
            run(loss_graph(len(logits), scale), np.array(logits), label)


def test_ties_predict_the_first_maximum() -> None:
    got = run(loss_graph(4, 0.1), np.array([3, 9, 9, 1]), 0)
    assert int(train_view(got["train"])["predicted"][0]) == 1


@pytest.mark.parametrize("label", [-1, 4, 2**31 - 1, -(2**31)])
def test_label_out_of_range_learns_nothing(label: int) -> None:
    got = run(loss_graph(4, 0.1), np.array([3, 9, 9, 1]), label)
    train = train_view(got["train"])
    assert (int(train["loss"][0]), int(train["skip"][0]), int(train["skipped"][0])) == (-1, 1, 0)
    assert not got["error"].any()


def test_threshold_skips_what_is_known() -> None:
    known, unknown = np.array([100, 0, 0]), np.array([10, 0, 0])
    for logits, skip in ((known, 1), (unknown, 0)):
        train = train_view(run(loss_graph(3, 0.1), logits, 0, threshold=0.1)["train"])
        assert (int(train["skip"][0]), int(train["skipped"][0])) == (skip, skip)
    assert int(train_view(run(loss_graph(3, 0.1), known, 0)["train"])["skip"][0]) == 0, "threshold 0 never skips"


def test_types_are_checked() -> None:
    graph = loss_graph(3, 0.1)
    graph.set("label", dtype=DType.INT8)
    with pytest.raises(GraphError, match="int32 label"):
        operator("softmax_cross_entropy").infer(graph, loss_node())


@pytest.mark.parametrize(("field", "bad"), [("classes", 0), ("classes", 1 << 20), ("scale", 0), ("scale", 1 << 24), ("threshold", -1)])
def test_kernel_refuses_bad_arguments(field: str, bad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"y": np.zeros((1, 3), np.int8), "label": np.zeros(1, np.int32)}
    assert_refused(loss_graph(3, 0.1), loss_node(), values, field, bad, monkeypatch)

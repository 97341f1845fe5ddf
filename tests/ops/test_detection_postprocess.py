"""detection_postprocess: C equals NumPy; both agree with real numbers, and in tests/frontends/test_tflite_layout.py with LiteRT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError, ModelError, UnsupportedOperator
from kilograd.frontends import import_tflite
from kilograd.frontends.tflite_rules import detection
from kilograd.ir.graph import QuantParams
from kilograd.ops import operator
from tests.ops import cases
from tests.ops.finite_difference import dequantize
from tests.shared_data import require

ATTRS = {"max_detections": 4, "num_classes": 2, "score_threshold": 0.1, "iou_threshold": 0.5, "scales": [10.0, 10.0, 5.0, 5.0]}
RESULTS = ("boxes", "classes", "scores", "count")


def detector(n: int, classes: int = 3, **changes: Any) -> Any:
    quants = QuantParams.per_tensor(0.1, 7), QuantParams.per_tensor(1 / 256, -128), QuantParams.per_tensor(1 / 256, -128)
    shapes = ((1, n, 4), (1, n, classes), (n, 4))
    xs = [cases.activation(f"x{i}", s, q) for i, (s, q) in enumerate(zip(shapes, quants, strict=True))]
    return cases.forward("detection_postprocess", xs, {**ATTRS, **changes}, None, RESULTS)


def operands(graph: Any, seed: int, few: bool = False) -> dict[str, Any]:
    """Random operands; `few` scores, so that many are equal."""
    values = {f"x{i}": cases.random_int8(seed + i, graph[f"x{i}"].shape) for i in range(3)}
    values["x1"] = (values["x1"] // 64 * 64).astype(np.int8) if few else values["x1"]
    return values


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 60), st.integers(2, 3), st.integers(1, 8), st.floats(-1, 1.1), st.floats(0.05, 1.0), st.booleans(), st.integers(0, 999)
)
def test_forward(n: int, classes: int, most: int, score: float, iou: float, few: bool, seed: int) -> None:
    graph, node = detector(n, classes, max_detections=most, score_threshold=score, iou_threshold=iou)
    found = cases.same(graph, node, operands(graph, seed, few))
    count = int(found["count"][0])
    assert 0 <= count <= min(n, most)
    assert (np.diff(found["scores"][0, :count]) <= 0).all() and (found["scores"][0, :count] >= np.float32(score)).all()
    assert not found["boxes"][0, count:].any() and not found["scores"][0, count:].any()


@pytest.mark.parametrize("seed", range(8))
def test_real_numbers(seed: int) -> None:
    graph, node = detector(40)
    values = operands(graph, seed)
    real = operator(node.op).real(graph, node, [dequantize(graph[t], v) for t, v in values.items()])
    found = cases.same(graph, node, values)
    for name, value in zip(RESULTS, real, strict=True):
        np.testing.assert_allclose(found[name], value, rtol=2e-6, atol=2e-6, err_msg=name)


@pytest.mark.parametrize(("changes", "message"), [
    ({"num_classes": 5}, "out of range"), ({"max_detections": 0}, "out of range"), ({"iou_threshold": 0.0}, "must lie in"),
    ({"scales": [1.0, 0.0, 1.0, 1.0]}, "must lie in"),
])  # fmt: skip
def test_wrong_attributes(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        detector(5, **changes)


def test_wrong_shapes() -> None:
    xs = [cases.activation(f"x{i}", s) for i, s in enumerate([(1, 5, 3), (1, 5, 3), (5, 4)])]
    with pytest.raises(GraphError, match="do not fit"):
        cases.forward("detection_postprocess", xs, ATTRS, None, RESULTS)


def test_other_forms_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the tensors in front of which the model can be cut."""
    data = require("models/coral/traffic_model.tflite").read_bytes()
    with pytest.raises(ModelError, match="lacks the options max_detections"):
        import_tflite(data.replace(b"max_detections\0", b"max_detectionz\0"))
    read = detection._options
    monkeypatch.setattr(detection, "_options", lambda op: read(op) | {"use_regular_nms": True})
    with pytest.raises(UnsupportedOperator, match="Cut the model in front of it: its operands 'concat', 'convert_scores'"):
        import_tflite(data)

"""Passes keep every remaining tensor as it was, bit for bit, and leave a graph that the verifier accepts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kilograd.frontends import import_tflite, summarize
from kilograd.frontends.simplify import fold_constants, fuse_pad, merge_reshapes, simplify
from kilograd.ir import Graph, Kind, verify
from kilograd.ops.base import evaluate, infer_outputs
from tests.tflite_builder import INT8, ModelBuilder, small_cnn

CONV = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}


def check_same(before: Graph, after: Graph, seed: int = 0) -> None:
    """Verify `after`, then compare all tensors that both have."""
    verify(after, infer_outputs)
    x = before[before.inputs[0]]
    value = np.random.default_rng(seed).integers(-128, 128, x.shape).astype(x.dtype.numpy)
    a, b = evaluate(before, {x.name: value}).tensors, evaluate(after, {x.name: value}).tensors
    for t in after.tensors.values():
        if t.kind is Kind.ARENA and t.name in a:
            np.testing.assert_array_equal(a[t.name], b[t.name].reshape(a[t.name].shape), err_msg=t.name)


@pytest.mark.parametrize("unsigned", [False, True])
def test_simplify_is_exact(unsigned: bool) -> None:
    graph = import_tflite(small_cnn(unsigned=unsigned))
    out = simplify(graph)
    assert [n.op for n in graph.nodes][:2] == ["pad", "conv2d"] and out.nodes[0].op == "conv2d"
    assert out.nodes[0].attrs["padding"] == (1, 1, 1, 1) and "padded" not in out.tensors
    check_same(graph, out)
    assert summarize(out)["macs"] == summarize(graph)["macs"] > 0


def padded(pads: Any, reader: str = "CONV_2D", shared: bool = False, output: bool = False) -> Graph:
    """PAD of a 1x4x4x2 input, read by a 2x2 window (and by an ADD when `shared`, and as a model output when `output`)."""
    m = ModelBuilder()
    shape = tuple(d + a + b for d, (a, b) in zip((1, 4, 4, 2), pads, strict=True))
    x, p = m.tensor("x", (1, 4, 4, 2), INT8, 0.1, 9), m.tensor("p", shape, INT8, 0.1, 9)
    m.op("PAD", [x, m.constant("pads", np.array(pads, np.int32))], p)
    channels = 3 if reader == "CONV_2D" else shape[3]
    y = m.tensor("y", (1, shape[1] - 1, shape[2] - 1, channels), INT8, 0.1, 9)
    if reader == "CONV_2D":
        w = m.constant("w", np.random.default_rng(1).integers(-127, 128, (3, 2, 2, shape[3])).astype(np.int8), 0.02)
        m.op("CONV_2D", [p, w], y, "Conv2DOptions", Padding=1, **CONV)
    else:
        m.op(reader, [p], y, "Pool2DOptions", Padding=1, StrideH=1, StrideW=1, FilterHeight=2, FilterWidth=2)
    outputs = [y]
    if shared:
        outputs.append(m.tensor("r", shape, INT8, 0.1, 9))
        m.op("ADD", [p, p], outputs[-1], "AddOptions")
    return import_tflite(m.build([x], outputs + ([p] if output else [])))


EDGES = [[0, 0], [1, 2], [0, 3], [0, 0]]


@pytest.mark.parametrize(
    ("arguments", "fused"),
    [
        ({"pads": EDGES}, True),
        ({"pads": EDGES, "shared": True}, False),
        ({"pads": EDGES, "output": True}, False),
        ({"pads": [[0, 0], [0, 1], [1, 0], [0, 2]]}, False),
        ({"pads": [[0, 0], [0, 1], [1, 0], [0, 0]], "reader": "AVERAGE_POOL_2D"}, False),
    ],
)
def test_pads_are_fused_where_that_is_exact(arguments: dict[str, Any], fused: bool) -> None:
    graph = padded(**arguments)
    out = fuse_pad(graph)
    assert ("pad" not in [n.op for n in out.nodes]) is fused
    if fused:
        assert out.nodes[0].attrs["padding"] == (1, 2, 0, 3)
    check_same(graph, out)


def test_reshapes_merge() -> None:
    m = ModelBuilder()
    x, a, b, c = (m.tensor(n, s, INT8, 0.1) for n, s in (("x", (1, 12)), ("a", (1, 3, 4)), ("b", (1, 12)), ("c", (1, 12))))
    for i, o in ((x, a), (a, b), (b, c)):
        m.op("RESHAPE", [i], o)
    d, y = m.tensor("d", (1, 12), INT8, 0.2), m.tensor("y", (1, 6, 2), INT8, 0.2)
    m.op("ADD", [c, c], d, "AddOptions")
    m.op("RESHAPE", [d], y)
    graph = import_tflite(m.build([x], [y]))
    out = merge_reshapes(graph)
    assert [n.op for n in out.nodes] == ["add", "reshape"] and out.nodes[0].inputs == ["x", "x"]
    check_same(graph, out)


def test_constants_fold() -> None:
    m = ModelBuilder()
    x, y = m.tensor("x", (1, 4), INT8, 0.1), m.tensor("y", (1, 4), INT8, 0.2)
    real, q = m.constant("real", np.array([[0.5, -1, 2, 100]], np.float32)), m.tensor("q", (1, 4), INT8, 0.1, -3)
    m.op("QUANTIZE", [real], q)
    m.op("ADD", [x, q], y, "AddOptions")
    graph = import_tflite(m.build([x], [y]))
    out = fold_constants(graph)
    assert [n.op for n in out.nodes] == ["add"]
    assert out["q"].kind is Kind.CONST and out["q"].data is not None
    assert out["q"].data.tolist() == [[2, -13, 17, 127]]
    check_same(graph, out)

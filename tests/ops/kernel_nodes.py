"""One small node for every kernel, with all optional operands that it can have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Tensor
from kilograd.ops import operator
from kilograd.ops.variant import variants
from tests.ops import cases, runner
from tests.ops.nodes import Bench, activation_quant
from tests.ops.train_graph import loss_graph, train_state

Case = tuple[Graph, Node, dict[str, Array]]
GEOMETRY = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1)}
POOL = {"filter": (2, 3), "stride": (2, 1), "padding": (1, 0, 1, 1)}
MEAN, X = {"axes": (1, 2)}, (1, 4, 5, 6)
SUM = {"sizes": (4, 30), "strides": (60, 1), "many": (2,), "steps": (30,)}
WIDE = QuantParams.per_tensor(1 / 32768, 0)
PROBABILITY = QuantParams.per_tensor(1 / 256, -128)


def bench() -> Bench:
    """Activations x and x2, errors gy (8 channels) and gy6, an error gx to write."""
    b = Bench(1)
    b.train()
    b.int8("x", X, quant=activation_quant())
    b.int8("x2", (1, 1, 1, 6), quant=activation_quant())
    b.error("gy", (1, 4, 5, 8))
    b.error("gy6", X)
    b.error("gx", X, given=False)
    return b


def weighted(op: str) -> Case:
    """A forward node with weights of which a part is live, and a mask."""
    b = bench()
    frozen, live, out = {
        "conv2d": ((8, 3, 3, 4), (8, 3, 3, 2), (1, 4, 5, 8)),
        "depthwise_conv2d": ((1, 3, 3, 4), (1, 3, 3, 2), X),
        "fully_connected": ((8, 4), (8, 2), (20, 8)),
    }[op]
    axis = 3 if op == "depthwise_conv2d" else 0
    inputs = ["x", b.weights("w", frozen, axis, False), b.bias("b", out[-1]), b.weights("live", live, axis, False, kind=Kind.STATE)]
    node = b.node(op, inputs, [b.output("y", out), b.mask("m", out)], {**GEOMETRY, "activation": "relu"})
    return b.graph, node, b.values


def wide(op: str) -> Case:
    """A grouped convolution of int16 activations."""
    b = Bench(1)
    x = b.int16("x", X)
    b.graph.add(Tensor("y", (1, 4, 5, 8), DType.INT16, quant=QuantParams.per_tensor(0.01)))
    bias = b.tensor("b", b.rng.integers(-(2**40), 2**40, 8), DType.INT64, Kind.CONST)
    node = b.node("conv2d", [x, b.weights("w", (8, 3, 3, 3), 0, False), bias], ["y"], {**GEOMETRY, "activation": "relu"})
    return b.graph, node, b.values


def wide_pool(op: str) -> Case:
    """A pool of int16 activations."""
    quant = QuantParams.per_tensor(0.01)
    graph, node = cases.forward(op, [cases.activation("x", X, quant, DType.INT16)], {**POOL, "activation": "relu6"}, quant)
    return graph, node, {"x": np.random.default_rng(1).integers(-(2**15), 2**15, X).astype(np.int16)}


def pairwise(op: str) -> Case:
    """Element-wise with a repeated operand and a mask."""
    b = bench()
    node = b.node(op, ["x", "x2"], [b.output("y", X), b.mask("m", X)], {"activation": "relu"})
    return b.graph, node, b.values


def summed(name: str) -> Case:
    """A sum computed by one of its variants."""
    b = bench()
    node = b.node("add", ["x", "x2"], [b.output("y", X)], {"activation": "none"})
    node.variant = name
    assert variants("add")[name].fits(b.graph, node)
    return b.graph, node, b.values


def pairwise16(op: str) -> Case:
    """Element-wise on int16, one operand repeated."""
    b = bench()
    quant = QuantParams.per_tensor(0.001, 0)
    for name, shape in (("a", X), ("b", (1, 1, 1, 6))):
        b.tensor(name, b.rng.integers(-32768, 32768, shape).astype(np.int16), DType.INT16, quant=quant)
    b.output("y", X)
    b.graph.set("y", dtype=DType.INT16, quant=quant)
    return b.graph, b.node(op, ["a", "b"], ["y"], {"activation": "relu"}), b.values


def maximum(op: str) -> Case:
    b = bench()
    b.output("y", X)
    b.graph.set("y", quant=activation_quant())
    return b.graph, b.node(op, ["x", "x2"], ["y", b.mask("m1", X), b.mask("m2", X)], {}), b.values


def reduce_max(dtype: DType) -> Case:
    quant = QuantParams.per_tensor(0.1, 0)
    graph, node = cases.forward("reduce_max", [cases.activation("x", X, quant, dtype)], MEAN, quant, ("y", "winner"))
    return graph, node, {"x": cases.random_int8(1, X).astype(dtype.numpy) * 3}


def batch_matmul(op: str) -> Case:
    b = bench()
    b.int8("b", (4, 6, 7), quant=activation_quant())
    return b.graph, b.node(op, ["x", "b"], [b.output("y", (1, 4, 5, 7)), b.mask("m", (1, 4, 5, 7))], {}), b.values


def batch_matmul_grad(op: str) -> Case:
    b = bench()
    b.int8("b", (6, 8), quant=activation_quant())
    attrs = {"side": 0, "adjoints": (False, False), "other_zero": 3, "other_scale": 0.1}
    return b.graph, b.node(op, ["gy", "b"], ["gx"], attrs), b.values


def broadcast_grad(op: str) -> Case:
    b = bench()
    b.error("gs", (1, 1, 1, 6), given=False)
    return b.graph, b.node(op, ["gy6"], ["gs"], {"negative": True}), b.values


def mul_grad(op: str) -> Case:
    b = bench()
    return b.graph, b.node(op, ["gy6", "x2"], ["gx"], {"other_zero": 3, "other_scale": 0.1, "power": 2}), b.values


def squared_difference_grad(op: str) -> Case:
    b = bench()
    return b.graph, b.node(op, ["gy6", "x", "x2"], ["gx"], {"zeros": [3, -7], "factors": [0.1, 0.03]}), b.values


def grad_input(op: str) -> Case:
    b = bench()
    depthwise = op.startswith("depthwise")
    w = b.weights("w", (1, 3, 3, 6) if depthwise else (8, 3, 3, 6), 3 if depthwise else 0)
    return b.graph, b.node(op, ["gy6" if depthwise else "gy", w, ""], ["gx"], GEOMETRY), b.values


def grad_weights(op: str) -> Case:
    b = bench()
    depthwise = op.startswith("depthwise")
    w = b.weights("w", (1, 3, 3, 6) if depthwise else (8, 3, 3, 6), 3 if depthwise else 0, kind=Kind.STATE)
    attrs = {**GEOMETRY, "factor": np.full(6 if depthwise else 8, 3.0), "rounding": 0, "x_zero": -5}
    return b.graph, b.node(op, ["gy6" if depthwise else "gy", "x", w, "", "", "train"], [], attrs, (w,)), b.values


def bias_delta(op: str) -> Case:
    b = bench()
    delta = b.tensor("delta", np.arange(6, dtype=np.int16), DType.INT16, Kind.STATE)
    b.tensor("b", np.zeros(6, np.int32), DType.INT32)
    return b.graph, b.node(op, [b.bias("b0", 6), delta], ["b"], {"u": 3}), b.values


def bias_grad(dtype: DType) -> Case:
    b = bench()
    bias = b.tensor("b", np.arange(8).astype(dtype.numpy), dtype, Kind.STATE)
    attrs = {"factor": np.full(8, 3.0), "rounding": 1, "limit": 20000}
    return b.graph, b.node("bias_grad", ["gy", bias, "", "train"], [], attrs, (bias,)), b.values


def plain(op: str, attrs: dict[str, Any], quant: QuantParams | None = cases.QUANT, results: tuple[str, ...] = ("y",)) -> Case:
    """A forward node without weights."""
    graph, node = cases.forward(op, [cases.activation("x", X)], attrs, quant, results)
    return graph, node, {"x": cases.random_int8(1, X)}


def quantize(op: str) -> Case:
    graph, node = cases.forward(op, [cases.activation("x", X, None, DType.FLOAT32)], {}, cases.QUANT, ("y", "mask"))
    return graph, node, {"x": np.random.default_rng(1).normal(0, 4, X).astype(np.float32)}


def rescaled() -> Case:
    """A move through a table."""
    graph, node = cases.forward("concatenation", [cases.activation("x0", X, QuantParams.per_tensor(0.07, 4))], {"axis": 3})
    return graph, node, {"x0": cases.random_int8(0, X)}


def gather_grad(op: str) -> Case:
    attrs = {"sizes": (1, 4, 5, 6), "rows": np.array([3, 0, 3], np.int32), "columns": np.array([1, 1, 4, 0], np.int32)}
    return gradient(op, attrs, (1, 3, 4, 6))


def resize(dtype: DType, **attrs: Any) -> Case:
    graph, node = cases.forward("resize_bilinear", [cases.activation("x", X, dtype=dtype)], {"height": 3, "width": 7, **attrs})
    return graph, node, {"x": cases.random_int8(1, X).astype(dtype.numpy)}


def gradient(op: str, attrs: dict[str, Any], gy: tuple[int, ...] = X, gx: tuple[int, ...] = X, saved: DType | None = None) -> Case:
    """A node gy, saved -> gx; where the operator copies, gx has the exponent of gy."""
    graph = Graph("test")
    cases.error(graph, "gy", gy)
    cases.error(graph, "gx", gx)
    if op == "clamp_grad":
        graph.set("gx", exponent="gy.exponent")
    values, inputs = {"gy": cases.random_error(1, gy)}, ["gy"]
    if saved is not None:
        graph.add(cases.activation("saved", gy, PROBABILITY if saved is DType.INT8 else None, saved))
        size = graph["saved"].nbytes // np.dtype(saved.numpy).itemsize
        raw = np.random.default_rng(2).integers(0, 6, size).astype(saved.numpy)
        values["saved"] = raw if saved is DType.BITS else raw.reshape(gy)
        inputs.append("saved")
    node = Node(op, inputs, ["gx"], attrs, "layer")
    operator(op).infer(graph, node)
    return graph, node, values


def grad_sum(op: str) -> Case:
    graph = Graph("test")
    for name in ("a", "b", "sum"):
        cases.error(graph, name, X)
    return graph, Node(op, ["a", "b"], ["sum"], {}, "layer"), {"a": cases.random_error(1, X), "b": cases.random_error(2, X)}


def train_begin(op: str) -> Case:
    attrs = {"points": [(1, 0.1), (50, 0.2), (90, 0.01)], "accumulate": 3}
    return loss_graph(3, 0.1), Node(op, ["train"], [], attrs, "begin", mutates=("train",)), {"train": train_state(step=60)}


def loss(op: str) -> Case:
    graph, size = loss_graph(20, 0.1), 20
    graph.outputs = ["y"]
    y = cases.random_int8(1, (1, size))
    target, value = ("label", np.array([3], np.int32)) if op == "softmax_cross_entropy" else ("target", cases.random_int8(2, (1, size)))
    node = Node(op, ["y", target, "train"], ["error"], {"threshold": 0.01}, "loss", mutates=("train",))
    operator(op).infer(graph, node)
    return graph, node, {"y": y, target: value}


def sgd_apply(dtype: DType) -> Case:
    b = bench()
    p = b.tensor("p", np.arange(40).astype(dtype.numpy), dtype, Kind.STATE)
    fraction = b.int8("f", (40,), kind=Kind.STATE) if dtype is DType.INT8 else ""
    pending = b.tensor("pending", np.arange(40, dtype=np.int32) * 99999, DType.INT32, Kind.STATE)
    mutates = tuple(t for t in (p, fraction, pending) if t)
    attrs = {"rounding": 0, "lo": -127, "hi": 127}
    return b.graph, Node("sgd_apply", [p, fraction, pending, "train"], [], attrs, "apply", mutates=mutates), b.values


def svdf(op: str, dtype: DType = DType.INT16) -> Case:
    """SVDF with a mask, and the nodes of its backward pass."""
    b, time = bench(), QuantParams.per_tensor(0.002)
    b.int8("in", (2, 5), quant=activation_quant())
    feature = b.weights("feature", (6, 5), 0, False)
    weights, state = (b.rng.integers(-100, 101, n).astype(dtype.numpy) for n in ((6, 4), (2, 24)))
    kind = Kind.STATE if op == "svdf_grad_time" else Kind.CONST
    b.tensor("time", weights, dtype, kind, time)
    b.tensor("memory", state, dtype, Kind.STATE, QuantParams.per_tensor(0.01))
    b.error("gu", (2, 3))
    b.error("gf", (2, 6), given=False)
    if op == "svdf_grad_newest":
        return b.graph, b.node(op, ["gu", "time", "memory"], ["gf"], {"rank": 2}), b.values
    if op == "svdf_grad_time":
        attrs = {"rank": 2, "factor": np.full(6, 3.0), "rounding": 0}
        return b.graph, b.node(op, ["gu", "memory", "time", "", "train"], [], attrs, ("time",)), b.values
    results = [b.output("y", (2, 3)), b.mask("m", (2, 3))]
    inputs = ["in", feature, b.bias("b", 3), "", "time", "memory"]
    return b.graph, b.node(op, inputs, results, {"rank": 2, "activation": "none"}, ("memory",)), b.values


def declared(op: str, x: DType, y: DType, attrs: dict[str, Any] | None = None, y_quant: QuantParams | None = WIDE) -> Case:
    """A node of one operand with declared types."""
    graph, node = Graph("test"), Node(op, ["x"], ["y"], attrs or {}, "layer")
    graph.add(cases.activation("x", X, None if x is DType.FLOAT32 else WIDE, x))
    graph.add(cases.activation("y", X, y_quant, y))
    operator(op).infer(graph, node)
    graph.nodes.append(node)
    return graph, node, {"x": np.random.default_rng(1).normal(0, 40, X).astype(x.numpy)}


def prelu(op: str) -> Case:
    alpha = Tensor("alpha", (6,), DType.INT8, Kind.CONST, cases.QUANT, cases.random_int8(2, (6,)))
    graph, node = cases.forward(op, [cases.activation("x", X), alpha], {}, cases.QUANT, ("y", "mask"))
    return graph, node, {"x": cases.random_int8(1, X)}


def detection(op: str) -> Case:
    scales = [10.0, 10.0, 5.0, 5.0]
    attrs = {"max_detections": 3, "num_classes": 2, "score_threshold": -0.5, "iou_threshold": 0.5, "scales": scales}
    xs = [cases.activation(f"x{i}", s) for i, s in enumerate([(1, 9, 5), (1, 9, 3), (9, 4)])]
    graph, node = cases.forward(op, xs, attrs, None, ("boxes", "classes", "scores", "count"))
    return graph, node, {x.name: cases.random_int8(i, x.shape) for i, x in enumerate(xs)}


def lstm(op: str) -> Case:
    """A short sequence with what it saves, and its backward node."""
    b, units = bench(), 3
    b.int8("sequence", (2, 4, 5), quant=activation_quant())
    scale = QuantParams(np.full(12, 0.01, np.float32), np.zeros(12, np.int32), 0)
    for name, columns in (("w", 5), ("r", units)):
        b.int8(name, (12, columns), kind=Kind.CONST, quant=scale)
    b.bias("b", 12)
    hidden = QuantParams.per_tensor(1 / 127)
    b.int8("h", (2, units), kind=Kind.STATE, quant=hidden)
    b.tensor("c", np.arange(6, dtype=np.int16).reshape(2, 3) * 999, DType.INT16, Kind.STATE, QuantParams.per_tensor(2.0**-12))
    if op == "lstm_grad":
        b.tensor("gates", b.rng.integers(-32768, 32768, (2, 4, 18)).astype(np.int16), DType.INT16)
        b.error("gt", (2, 4, units))
        b.error("gz", (2, 4, 12), given=False)
        return b.graph, b.node(op, ["gt", "gates", "r"], ["gz"], {"time_major": False, "cell_bits": 3}), b.values
    b.graph.add(Tensor("gates", (2, 4, 18), DType.INT16))
    b.graph.add(Tensor("before", (2, 4, units), DType.INT8, quant=hidden))
    results = [b.output("y", (2, 4, units), 1 / 127, 0), "gates", "before"]
    attrs = {"time_major": True, "cell_clip": 1.5}
    b.graph.set("sequence", shape=(4, 2, 5))
    b.values["sequence"] = b.values["sequence"].reshape(4, 2, 5)
    for name in results:
        b.graph.set(name, shape=(4, 2, b.graph[name].shape[-1]))
    return b.graph, b.node(op, ["sequence", "w", "b", "", "r", "h", "c"], results, attrs, ("h", "c")), b.values


def learning(op: str, name: str) -> Case:
    """A layer of which a part learns, or one of its gradients, computed by a variant; channels as the variants want them."""
    b, depthwise = Bench(1), op.startswith("depthwise")
    train, image = b.train(), (1, 4, 5, 8)
    frozen, live = ((1, 3, 3, 4), (1, 3, 3, 4)) if depthwise else ((8, 3, 3, 4), (8, 3, 3, 4))
    axis = 3 if depthwise else 0
    w, part = b.weights("w", frozen, axis, False), b.weights("live", live, axis, False, kind=Kind.STATE)
    if op.endswith("grad_input"):
        node = b.node(op, [b.error("gy", image), w, part], [b.error("gx", image, given=False)], GEOMETRY)
    elif op.endswith("grad_weights"):
        x = b.int8("x", (1, 4, 5, 4), quant=activation_quant())
        attrs = {**GEOMETRY, "factor": np.full(8, 3.0), "rounding": 0, "x_zero": -5}
        node = b.node(op, [b.error("gy", image), x, part, "", "", train], [], attrs, (part,))
    else:
        x, bias = b.int8("x", image, quant=activation_quant()), b.bias("b", 8, kind=Kind.STATE)
        outputs = [b.output("y", image), b.mask("m", image)]
        node = b.node(op, [x, w, bias, part], outputs, {**GEOMETRY, "activation": "relu"})
        b.graph[w].q.scale[:] = 1e-7  # channels that are scaled as in the reference
    node.variant = name
    assert variants(op)[name].fits(b.graph, node)
    return b.graph, node, b.values


def same(case: Case) -> Case:
    """A node computed by its variant that takes the reference's arguments."""
    case[1].variant = "dsp"
    return case


def variant(op: str, name: str, activation: str = "relu") -> Case:
    """A layer with weights computed by one of its variants."""
    b = bench()
    w, y = {
        "conv2d": ((8, 3, 3, 6), (1, 4, 5, 8)),
        "depthwise_conv2d": ((1, 3, 3, 6), X),
        "fully_connected": ((8, 6), (20, 8)),
    }[op]
    inputs = ["x", b.weights("w", w, 3 if op == "depthwise_conv2d" else 0, False), b.bias("b", y[-1])]
    attrs = {"activation": activation} | ({} if op == "fully_connected" else GEOMETRY)
    node = b.node(op, inputs, [b.output("y", y)], attrs)
    node.variant = name
    assert variants(op)[name].fits(b.graph, node)
    return b.graph, node, b.values


NODES: dict[str, Callable[[], Case]] = {
    "conv2d_ref_s8": lambda: weighted("conv2d"),
    "conv2d_grad_input_ref_s8": lambda: grad_input("conv2d_grad_input"),
    "conv2d_grad_weights_ref_s8": lambda: grad_weights("conv2d_grad_weights"),
    "depthwise_conv2d_ref_s8": lambda: weighted("depthwise_conv2d"),
    "depthwise_conv2d_grad_input_ref_s8": lambda: grad_input("depthwise_conv2d_grad_input"),
    "depthwise_conv2d_grad_weights_ref_s8": lambda: grad_weights("depthwise_conv2d_grad_weights"),
    "fully_connected_ref_s8": lambda: weighted("fully_connected"),
    "add_ref_s8": lambda: pairwise("add"),
    "mul_ref_s8": lambda: pairwise("mul"),
    "mul_grad_ref_s8": lambda: mul_grad("mul_grad"),
    "add_ref_s16": lambda: pairwise16("add"),
    "mul_ref_s16": lambda: pairwise16("mul"),
    "maximum_ref_s8": lambda: maximum("maximum"),
    "maximum_ref_s16": lambda: pairwise16("minimum"),
    "div_ref_s8": lambda: pairwise("div"),
    "div_grad_ref_s8": lambda: mul_grad("div_grad"),
    "broadcast_grad_ref_s8": lambda: broadcast_grad("broadcast_grad"),
    "squared_difference_grad_ref_s8": lambda: squared_difference_grad("squared_difference_grad"),
    "batch_matmul_ref_s8": lambda: batch_matmul("batch_matmul"),
    "batch_matmul_grad_ref_s8": lambda: batch_matmul_grad("batch_matmul_grad"),
    "reduce_max_ref_s8": lambda: reduce_max(DType.INT8),
    "reduce_max_ref_s16": lambda: reduce_max(DType.INT16),
    "arg_max_ref_s8": lambda: plain("arg_max", {"axis": 2, "result": "int64"}, None),
    "bias_delta_ref_s16": lambda: bias_delta("bias_delta"),
    "bias_grad_ref_s32": lambda: bias_grad(DType.INT32),
    "bias_grad_ref_s16": lambda: bias_grad(DType.INT16),
    "average_pool2d_ref_s8": lambda: plain("average_pool2d", {**POOL, "activation": "relu"}, cases.QUANT, ("y", "mask")),
    "average_pool2d_grad_ref_s8": lambda: gradient("average_pool2d_grad", POOL, (1, 2, 5, 6)),
    "max_pool2d_ref_s8": lambda: plain("max_pool2d", {**POOL, "activation": "relu"}, cases.QUANT, ("y", "mask", "winner")),
    "max_pool2d_grad_ref_s8": lambda: gradient("max_pool2d_grad", POOL, (1, 2, 5, 6), X, DType.UINT8),
    "mean_ref_s8": lambda: plain("mean", {**MEAN, "keep_dims": False}, cases.QUANT, ("y", "mask")),
    "mean_grad_ref_s8": lambda: gradient("mean_grad", {**MEAN, "divides": True}, (1, 6)),
    "softmax_ref_s8": lambda: plain("softmax", {"beta": 1.0}, PROBABILITY),
    "softmax_grad_ref_s8": lambda: gradient("softmax_grad", {"beta": 1.0}, X, X, DType.INT8),
    "quantize_ref_f32_s8": lambda: quantize("quantize"),
    "dequantize_ref_s8_f32": lambda: plain("dequantize", {}, None),
    "lut_ref_s8": lambda: plain("relu6", {}, cases.QUANT, ("y", "mask")),
    "lut_grad_ref_s8": lambda: gradient("lut_grad", {"table": np.arange(-128, 128) * 250, "unit": -15}, X, X, DType.INT8),
    "clamp_grad_ref_s8": lambda: gradient("clamp_grad", {}, X, X, DType.BITS),
    "grad_sum_ref_s8": lambda: grad_sum("grad_sum"),
    "strided_copy_ref_any": rescaled,
    "strided_sum_ref_s8": lambda: gradient("strided_sum", SUM, (1, 8, 5, 6)),
    "gather_ref_any": lambda: plain("gather", {"axis": 1, "indices": [3, 0, 3]}),
    "gather_grad_ref_s8": lambda: gather_grad("gather_grad"),
    "resize_bilinear_ref_s8": lambda: resize(DType.INT8),
    "resize_bilinear_ref_s16": lambda: resize(DType.INT16, half_pixel_centers=True),
    "resize_bilinear_ref_u8": lambda: resize(DType.INT8, unsigned=True, align_corners=True),
    "resize_bilinear_grad_ref_s8": lambda: gradient("resize_bilinear_grad", {}, (1, 3, 7, 6)),
    "conv2d_ref_s16": lambda: wide("conv2d"),
    "average_pool2d_ref_s16": lambda: wide_pool("average_pool2d"),
    "max_pool2d_ref_s16": lambda: wide_pool("max_pool2d"),
    "detection_postprocess_ref_s8": lambda: detection("detection_postprocess"),
    "train_begin_ref_s32": lambda: train_begin("train_begin"),
    "softmax_cross_entropy_ref_s8": lambda: loss("softmax_cross_entropy"),
    "mean_squared_error_ref_s8": lambda: loss("mean_squared_error"),
    "sgd_apply_ref_s8": lambda: sgd_apply(DType.INT8),
    "sgd_apply_ref_s16": lambda: sgd_apply(DType.INT16),
    "sgd_apply_ref_s32": lambda: sgd_apply(DType.INT32),
    "svdf_ref_s8_s16": lambda: svdf("svdf"),
    "svdf_ref_s8_s8": lambda: svdf("svdf", DType.INT8),
    "svdf_grad_newest_ref_s16": lambda: svdf("svdf_grad_newest"),
    "svdf_grad_time_ref_s16": lambda: svdf("svdf_grad_time"),
    "rescale_ref": lambda: declared("leaky_relu", DType.INT16, DType.INT16, {"alpha": 0.3}),
    "logistic_ref_s16": lambda: declared("logistic", DType.INT16, DType.INT16),
    "softmax_ref_s16": lambda: declared("softmax", DType.INT16, DType.INT16, {"beta": 900.0}),
    "softmax_ref_s8_s16": lambda: declared("softmax", DType.INT8, DType.INT16, {"beta": 900.0}, QuantParams.per_tensor(1 / 65536, -32768)),
    "prelu_ref_s8": lambda: prelu("prelu"),
    "prelu_grad_ref_s8": lambda: gradient("prelu_grad", {"slopes": np.arange(6), "one": 512, "unit": -9, "x_zero": 3}, X, X, DType.INT8),
    "quantize_ref_f32_s16": lambda: declared("quantize", DType.FLOAT32, DType.INT16),
    "dequantize_ref_s16_f32": lambda: declared("dequantize", DType.INT16, DType.FLOAT32, None, None),
    "log_softmax_ref_s8": lambda: plain("log_softmax", {}, QuantParams.per_tensor(1 / 16, 127)),
    "log_softmax_ref_f32": lambda: declared("log_softmax", DType.FLOAT32, DType.FLOAT32, None, None),
    "log_softmax_grad_ref_s8": lambda: gradient("log_softmax_grad", {}, X, X, DType.INT8),
    "cast_ref": lambda: declared("cast", DType.FLOAT32, DType.INT8),
    "lstm_ref_s8": lambda: lstm("lstm"),
    "lstm_grad_ref_s16": lambda: lstm("lstm_grad"),
    "add_linear_s8": lambda: summed("linear"),
    "add_tables_s8": lambda: summed("tables"),
    "conv2d_dsp_s8": lambda: variant("conv2d", "dsp"),
    "depthwise_conv2d_dsp_s8": lambda: variant("depthwise_conv2d", "dsp", "none"),
    "depthwise_conv2d_dsp3x3_s8": lambda: variant("depthwise_conv2d", "dsp"),
    "conv2d_learn_s8": lambda: learning("conv2d", "learn"),
    "conv2d_grad_input_dsp_s8": lambda: learning("conv2d_grad_input", "dsp"),
    "conv2d_grad_weights_dsp_s8": lambda: learning("conv2d_grad_weights", "dsp"),
    "depthwise_conv2d_learn_s8": lambda: learning("depthwise_conv2d", "learn"),
    "depthwise_conv2d_grad_input_dsp_s8": lambda: learning("depthwise_conv2d_grad_input", "dsp"),
    "clamp_grad_dsp_s8": lambda: same(gradient("clamp_grad", {}, X, X, DType.BITS)),
    "grad_sum_dsp_s8": lambda: same(grad_sum("grad_sum")),
    "bias_grad_dsp_s32": lambda: same(bias_grad(DType.INT32)),
    "bias_grad_dsp_s16": lambda: same(bias_grad(DType.INT16)),
    "fully_connected_dsp_s8": lambda: variant("fully_connected", "dsp"),
}  # fmt: skip


def kernel_call(kernel: str) -> tuple[Array, list[Array]]:
    """Argument words of one legal call of `kernel`, and its memory: constants, state, arena."""
    graph, node, values = NODES[kernel]()
    calls, memory = runner.prepare(graph, node, values)
    name, raw = calls[0]
    assert name == kernel
    return np.frombuffer(raw, np.uint32), list(memory.values())

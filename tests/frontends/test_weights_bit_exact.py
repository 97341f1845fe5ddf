"""Layers with weights and pools in the forms that single models rarely have equal LiteRT's reference kernels bit for bit.

int16 activations, grouped and dilated convolutions, transposed convolutions; through the import, in NumPy and in C.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tflite

from benchmarks.exactness import c_runner, compare, numpy_runner
from kilograd.errors import ModelError, SchemeError, UnsupportedOperator
from kilograd.frontends import import_tflite
from kilograd.ir.graph import Array, Graph
from kilograd.ops.windows import output_size
from kilograd.train.autodiff import training_graph
from kilograd.train.scheme import Scheme
from tests.reference import require_interpreter
from tests.shared_data import require
from tests.tflite_builder import INT8, INT32, UINT8, ModelBuilder

INT16 = "INT16"
LIMIT = {"INT8": (-128, 127), "UINT8": (-128, 127), "INT16": (-(2**15), 2**15 - 1)}
SCALE_X, SCALE_Y = {INT8: 0.06, UINT8: 0.06, INT16: 0.0004}, {INT8: 0.2, UINT8: 0.2, INT16: 0.0011}


def inputs_of(graph: Graph, dtype: str, count: int = 4) -> list[Array]:
    """Random inputs over the whole range, then all lowest and all highest."""
    t, (lo, hi), rng = graph[graph.inputs[0]], LIMIT[dtype], np.random.default_rng(1)
    random = [rng.integers(lo, hi + 1, t.shape).astype(t.dtype.numpy) for _ in range(count)]
    return [*random, *(np.full(t.shape, v, t.dtype.numpy) for v in (lo, hi))]


def check(data: bytes, dtype: str) -> Graph:
    """All tensors equal, by the NumPy references and by the kernels."""
    require_interpreter()
    graph = import_tflite(data)
    inputs = inputs_of(graph, dtype)
    for runner in (numpy_runner, c_runner):
        result = compare(data, graph, inputs, runner(graph))
        assert result["mismatches"] == []
        assert result["equal"] == result["tensors"] == len(inputs) * len(graph.nodes)
    return graph


class Layer:
    """A model of one layer with random weights, scales and biases."""

    def __init__(self, dtype: str, seed: int) -> None:
        self.m, self.rng, self.dtype = ModelBuilder(), np.random.default_rng(seed), dtype
        self.shift = 128 if dtype == UINT8 else 0

        self.narrow = seed // 2 % 2 == 1  # the sums of a layer without bias have 32 bits
        self.exact = seed % 4 == 3  # all factors between sums and results are powers of two: many results lie halfway
        self.scale_x = 2.0**-6 if self.exact else SCALE_X[dtype]
        self.scale_y = self.scale_x * (1.0 if dtype != INT16 else 4.0) if self.exact else SCALE_Y[dtype]

    def activation(self, name: str, shape: Any, scale: float) -> int:
        """An activation; int16 has zero point 0."""
        zero = 0 if self.dtype == INT16 else int(self.rng.integers(-128, 128)) + self.shift
        return self.m.tensor(name, shape, self.dtype, scale, zero)

    def weights(self, shape: Any, axis: int, per_channel: bool = True) -> tuple[int, Any]:
        """Weights and their scales: one a channel but for uint8, whose weights have a zero point."""
        if self.shift:
            scale: Any = 2.0**-6 if self.exact else 0.02
            return self.m.constant("w", self.rng.integers(0, 256, shape).astype(np.uint8), scale, int(self.rng.integers(0, 256))), scale
        count = shape[axis] if per_channel else 1
        scale = self.rng.uniform(1e-3, 0.03, count) if not self.exact else 2.0 ** self.rng.integers(-8, -4, count)
        scale = scale.astype(np.float32)
        return self.m.constant("w", self.rng.integers(-127, 128, shape).astype(np.int8), scale, np.zeros(scale.size), axis=axis), scale

    def bias(self, count: int, scale: Any, dtype: Any) -> int:
        """A bias of one to a few hundred times the layer's unit."""
        s = np.atleast_1d(np.float32(np.float32(self.scale_x) * np.float32(scale)))
        size = 3000 if self.dtype != INT16 else 2**20
        return self.m.constant("b", self.rng.integers(-size, size, count).astype(dtype), s, np.zeros(s.size))

    def build(self, op: str, operands: list[int], x: int, y: int, options: str, **values: Any) -> bytes:
        """The file."""
        if self.dtype == INT16 and op != "DEPTHWISE_CONV_2D":
            biases = [t["dtype"] for t in self.m.tensors if t["name"] == "b"]
            values["QuantizedBiasType"] = getattr(tflite.TensorType, biases[0] if biases else "INT32" if self.narrow else "INT64")
        self.m.op(op, operands, y, options, **values)
        return self.m.build([x], [y])


def bias_types(dtype: str, seed: int) -> Any:
    """int32, for int16 activations in turn int64, int32."""
    return np.int64 if dtype == INT16 and seed % 2 == 0 else np.int32


def same(size: Any, kernel: Any, stride: Any, dilation: Any, padding: int) -> tuple[int, ...]:
    """Size of a convolution's result for SAME (0) or VALID."""
    if padding == 0:
        return tuple(int(-(-n // s)) for n, s in zip(size, stride, strict=True))
    return tuple(int(output_size(*args, 0, 0)) for args in zip(size, kernel, stride, dilation, strict=True))


@pytest.mark.parametrize("dtype", [INT8, INT16])
@pytest.mark.parametrize("form", ["conv2d", "grouped", "depthwise_conv2d"])
@pytest.mark.parametrize("seed", range(8))
def test_convolutions(seed: int, form: str, dtype: str) -> None:
    """Random sizes, strides, dilations, padding, groups, depth multipliers, with int16 also both widths of the bias."""
    layer = Layer(dtype, seed)
    rng = layer.rng
    kernel, stride, dilation = rng.integers(1, 5, 2), rng.integers(1, 4, 2), rng.integers(1, 4, 2)
    size, padding = rng.integers(13, 17, 2), int(rng.integers(2))
    groups = int(rng.integers(2, 4)) if form == "grouped" else 1
    channels = groups * int(rng.integers(1, 6))
    depthwise = form == "depthwise_conv2d"
    out = channels * int(rng.integers(1, 4)) if depthwise else groups * int(rng.integers(1, 5))
    x = layer.activation("x", (1, *size, channels), layer.scale_x)
    y = layer.activation("y", (1, *same(size, kernel, stride, dilation, padding), out), layer.scale_y)
    w, scale = layer.weights((1, *kernel, out) if depthwise else (out, *kernel, channels // groups), 3 if depthwise else 0)
    operands = [x, w, layer.bias(out, scale, np.int64 if depthwise and dtype == INT16 else bias_types(dtype, seed))]
    options = {"StrideH": stride[0], "StrideW": stride[1], "DilationHFactor": dilation[0], "DilationWFactor": dilation[1]}
    options |= {"Padding": padding, "FusedActivationFunction": int(rng.integers(4))}
    if depthwise:
        operands = operands[: 2 + seed % 2]
        options["DepthMultiplier"] = out // channels
    table = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    check(layer.build("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", operands, x, y, table, **options), dtype)


@pytest.mark.parametrize("dtype", [INT8, UINT8, INT16])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_fully_connected(seed: int, per_channel: bool, dtype: str) -> None:
    layer = Layer(dtype, seed)
    rows, features, out = (int(v) for v in layer.rng.integers(1, 40, 3))
    x, y = layer.activation("x", (rows, features), layer.scale_x), layer.activation("y", (rows, out), layer.scale_y)
    w, scale = layer.weights((out, features), 0, per_channel)
    operands = [x, w, layer.bias(out, scale, bias_types(dtype, seed))][: 3 if seed % 3 else 2]
    check(
        layer.build("FULLY_CONNECTED", operands, x, y, "FullyConnectedOptions", FusedActivationFunction=int(layer.rng.integers(4))), dtype
    )


@pytest.mark.parametrize("dtype", [INT8, UINT8, INT16])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("seed", range(8))
def test_transpose_conv(seed: int, padding: int, dtype: str) -> None:
    """Random sizes and strides, results of all lengths that the stride leaves open, with and without bias."""
    layer = Layer(dtype, seed)
    rng = layer.rng
    kernel, stride, size = rng.integers(1, 5, 2), rng.integers(1, 4, 2), rng.integers(1, 6, 2)
    channels, out, slack = int(rng.integers(1, 9)), int(rng.integers(1, 6)), [int(rng.integers(0, s)) for s in stride]
    if padding == 0:
        result = [int(n * s - d) for n, s, d in zip(size, stride, slack, strict=True)]
    else:
        result = [int((n - 1) * s + k + d) for n, k, s, d in zip(size, kernel, stride, slack, strict=True)]
    shape = layer.m.constant("shape", np.array([1, *result, out], np.int32))
    x, y = layer.activation("x", (1, *size, channels), layer.scale_x), layer.activation("y", (1, *result, out), layer.scale_y)
    w, scale = layer.weights((out, *kernel, channels), 0, seed % 3 > 0)
    operands = [shape, w, x, layer.bias(out, scale, bias_types(dtype, seed // 2))][: 3 + seed % 2]
    options = {"StrideH": stride[0], "StrideW": stride[1], "Padding": padding}
    graph = check(layer.build("TRANSPOSE_CONV", operands, x, y, "TransposeConvOptions", **options), dtype)
    assert graph.nodes[0].op == "transpose_conv"


@pytest.mark.parametrize("name", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("activation", [0, 1, 3])
def test_pools_of_int16(name: str, padding: int, activation: int) -> None:
    m = ModelBuilder()
    size = same((7, 8), (3, 2), (2, 2), (1, 1), padding)
    x, y = m.tensor("x", (1, 7, 8, 3), INT16, 0.0005), m.tensor("y", (1, *size, 3), INT16, 0.0005)
    window = {"StrideH": 2, "StrideW": 2, "FilterHeight": 3, "FilterWidth": 2}
    m.op(name, [x], y, "Pool2DOptions", Padding=padding, FusedActivationFunction=activation, **window)
    check(m.build([x], [y]), INT16)


@pytest.mark.parametrize("model", ["conv0", "conv7", "conv20"])
def test_seanet_operators(model: str) -> None:
    path = require(f"models/tflite_micro/seanet_ops/{model}.tflite")
    check(path.read_bytes(), INT16)


def test_a_transposed_convolution_whose_shape_is_an_input() -> None:
    """LiteRT refuses to invoke seanet's transpose_conv0, whose result shape is an input of the model; it is compared with sums taken here.

    The declared result is static, so that input can say nothing else, and the graph does not have it.
    """
    data = require("models/tflite_micro/seanet_ops/transpose_conv0.tflite").read_bytes()
    graph = import_tflite(data)
    (node,), (x,) = graph.nodes, graph.inputs
    assert graph[x].shape == (1, 1, 5, 64) and graph[node.outputs[0]].shape == (1, 3, 12, 64)
    w, b = graph[node.inputs[1]], graph[node.inputs[2]].data
    assert w.data is not None and b is not None
    for value in inputs_of(graph, INT16):
        sums = np.zeros((3, 12, 64), object) + b.astype(object)
        for ix in range(5):
            for ky in range(3):
                for kx in range(4):
                    sums[ky, 2 * ix + kx] += w.data[:, ky, kx].astype(np.int64) @ value[0, 0, ix].astype(np.int64)
        want = np.empty(sums.shape, np.int64)
        for c, s_w in enumerate(w.q.scale.astype(np.float64)):  # a 15-bit multiplier, one rounding: the definition for 64-bit sums
            mantissa, exponent = np.frexp(np.float64(graph[x].q.s) * s_w / graph[node.outputs[0]].q.s)
            reduced, shift = int(np.floor(mantissa * 2**31 + 0.5)) + 2**15 >> 16, 15 - int(exponent)
            want[..., c] = [[min(max(int(v) * reduced + 2 ** (shift - 1) >> shift, -(2**15)), 2**15 - 1) for v in r] for r in sums[..., c]]
        for runner in (numpy_runner, c_runner):
            np.testing.assert_array_equal(runner(graph)({x: value})[node.outputs[0]][0], want)


def transposed(shape: Any, y_shape: Any, **options: Any) -> bytes:
    """TRANSPOSE_CONV of [1, 3, 3, 2] by 2x2 weights, stride 2, with the operand `shape` (None: computed by the model)."""
    layer = Layer(INT8, 0)
    where = layer.m.tensor("shape", (4,), INT32) if shape is None else layer.m.constant("shape", np.array(shape, np.int32))
    x, y = layer.activation("x", (1, 3, 3, 2), 0.1), layer.activation("y", y_shape, 0.1)
    w, _ = layer.weights((4, 2, 2, 2), 0)
    layer.m.op("TRANSPOSE_CONV", [where, w, x], y, "TransposeConvOptions", **{"StrideH": 2, "StrideW": 2, "Padding": 1, **options})
    return layer.m.build([x] if shape is not None else [where, x], [y])


@pytest.mark.parametrize(("shape", "y_shape", "options", "message"), [
    ([1, 6, 6, 3], (1, 6, 6, 4), {}, "asks for shape"),
    ([1, 6], (1, 6, 6, 4), {}, "asks for shape"),
    ([1, 9, 6, 4], (1, 9, 6, 4), {}, "comes from 4 x 3 pixels"),
    ([1, 6, 8, 4], (1, 6, 8, 4), {"Padding": 0}, "comes from 3 x 4 pixels"),
    ([1, 6, 6, 4], (1, 6, 6, 4), {"Padding": 7}, "it must be 0"),
    ([1, 6, 6, 5], (1, 6, 6, 5), {}, "is declared"),
])  # fmt: skip
def test_transposed_convolutions_that_do_not_fit(shape: list[int], y_shape: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        import_tflite(transposed(shape, y_shape, **options))


def test_an_input_that_gives_a_static_shape_is_dropped() -> None:
    graph = import_tflite(transposed(None, (1, 7, 6, 4)))
    assert graph.inputs == ["x"] and "shape" not in graph.tensors


@pytest.mark.parametrize("op", ["CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"])
def test_weights_that_the_model_computes(op: str) -> None:
    layer, dense = Layer(INT8, 0), op == "FULLY_CONNECTED"
    x, y = layer.activation("x", (1, 4) if dense else (1, 3, 3, 4), 0.1), layer.activation("y", (1, 2) if dense else (1, 3, 3, 2), 0.1)
    w = layer.m.tensor("w", (2, 4) if dense else (2, 1, 1, 4), INT8, 0.1)
    values: dict[str, Any] = {} if dense else {"StrideH": 1, "StrideW": 1}
    operands, table = [x, w], {"CONV_2D": "Conv2DOptions", "FULLY_CONNECTED": "FullyConnectedOptions"}.get(op, "TransposeConvOptions")
    if op == "TRANSPOSE_CONV":
        operands = [layer.m.constant("shape", np.array([1, 3, 3, 2], np.int32)), w, x]
    layer.m.op(op, operands, y, table, **values)
    with pytest.raises(UnsupportedOperator, match="computed by the model.*Freeze them"):
        import_tflite(layer.m.build([x, w], [y]))


def test_three_dimensional_convolutions_are_refused() -> None:
    layer = Layer(INT8, 0)
    x, y = layer.activation("x", (1, 3, 3, 3, 4), 0.1), layer.activation("y", (1, 3, 3, 3, 2), 0.1)
    w = layer.m.constant("w", np.zeros((1, 1, 1, 4, 2), np.int8), 0.1)
    layer.m.op("CONV_3D", [x, w], y, "Conv3DOptions", StrideD=1, StrideH=1, StrideW=1)
    with pytest.raises(UnsupportedOperator, match=r"0 \(CONV_3D\)"):
        import_tflite(layer.m.build([x], [y]))


@pytest.mark.parametrize("bias", [np.int32, np.int64])
def test_a_bias_of_the_wrong_type(bias: Any) -> None:
    """int8 activations go with int32; int16 activations of a depthwise layer with int64."""
    dtype = INT16 if bias is np.int32 else INT8
    layer = Layer(dtype, 0)
    x, y = layer.activation("x", (1, 3, 3, 4), 0.001), layer.activation("y", (1, 3, 3, 4), 0.001)
    w, scale = layer.weights((1, 1, 1, 4), 3)
    values = {"StrideH": 1, "StrideW": 1, "DepthMultiplier": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    layer.m.op("DEPTHWISE_CONV_2D", [x, w, layer.bias(4, scale, bias)], y, "DepthwiseConv2DOptions", **values)
    with pytest.raises(ModelError, match="bias 'b' is"):
        import_tflite(layer.m.build([x], [y]))


def test_weights_that_two_layers_share() -> None:
    """They run; they cannot learn, because both layers would write them: a layer of its own weights can."""
    layer = Layer(INT8, 1)
    x, h, y = (layer.activation(n, (1, 6), 0.1) for n in ("x", "h", "y"))
    w, scale = layer.weights((6, 6), 0)
    b = layer.bias(6, scale, np.int32)
    layer.m.op("FULLY_CONNECTED", [x, w, b], h, "FullyConnectedOptions", FusedActivationFunction=1)
    layer.m.op("FULLY_CONNECTED", [h, w, b], y, "FullyConnectedOptions")
    graph = check(layer.m.build([x], [y]), INT8)
    with pytest.raises(SchemeError, match="is shared by layers .* cannot learn"):
        training_graph(graph, Scheme())


@pytest.mark.parametrize(("dtype", "features", "stride", "message"), [
    (INT8, 40000, 1, "sums 40000 products, more than the 32768"), (INT16, 40000, 1, ""), (INT8, 8, 1025, "must lie in 1 to 1024"),
])  # fmt: skip
def test_sizes_beyond_the_kernels(dtype: str, features: int, stride: int, message: str) -> None:
    layer = Layer(dtype, 0)
    x, y = layer.activation("x", (1, 1, 1, features), 0.01), layer.activation("y", (1, 1, 1, 1), 0.01)
    w, scale = layer.weights((1, 1, 1, features), 0)
    values = {"StrideH": stride, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    data = layer.build("CONV_2D", [x, w, layer.bias(1, scale, bias_types(dtype, 0))], x, y, "Conv2DOptions", **values)
    if not message:
        check(data, dtype)
        return
    with pytest.raises(ModelError, match=message):
        import_tflite(data)

"""How each operator is written in a .tflite file: builtin, version, options, operands that are attributes here. Twin of tflite_rules.

FORMS maps operators of the registry to functions of (graph, node) that give a Form.
"""

from __future__ import annotations

from typing import Any

from kilograd.errors import UnsupportedOperator
from kilograd.exports import tflite_moves
from kilograd.exports.form import Form, FormOf, activation, integers, plain, version
from kilograd.exports.padding import SAME, VALID, padding_code, same_padding
from kilograd.ir.graph import Array, DType, Graph, Node


def _window(graph: Graph, node: Node, kernel: Any, dilation: Any) -> dict[str, Any]:
    code = padding_code(graph[node.inputs[0]].shape[1:3], kernel, node.attrs["stride"], dilation, node.attrs["padding"])
    if code is None:
        raise UnsupportedOperator(
            f"{node.op} '{node.name}' has the padding {node.attrs['padding']}, which TensorFlow Lite cannot say (it knows SAME and VALID)."
        )
    return {"Padding": code, "StrideH": node.attrs["stride"][0], "StrideW": node.attrs["stride"][1]}


def _convolution(graph: Graph, node: Node) -> dict[str, Any]:
    dilation = node.attrs["dilation"]
    values = _window(graph, node, graph[node.inputs[1]].shape[1:3], dilation)
    values |= {"DilationHFactor": dilation[0], "DilationWFactor": dilation[1], "FusedActivationFunction": activation(node)}
    return values


def _with_weights(node: Node) -> tuple[str | Array, ...]:
    if any(node.inputs[3:]):
        raise UnsupportedOperator(f"{node.op} '{node.name}' has weights in two parts; join them before the export")
    return tuple(node.inputs[: 3 if len(node.inputs) > 2 and node.inputs[2] else 2])


def conv2d(graph: Graph, node: Node) -> Form:
    """CONV_2D."""
    return Form("CONV_2D", version(graph, node, 1, 3), "Conv2DOptions", _convolution(graph, node), _with_weights(node))


def depthwise_conv2d(graph: Graph, node: Node) -> Form:
    """DEPTHWISE_CONV_2D."""
    values = _convolution(graph, node)
    values["DepthMultiplier"] = graph[node.outputs[0]].shape[3] // graph[node.inputs[0]].shape[3]
    return Form("DEPTHWISE_CONV_2D", version(graph, node, 1, 3), "DepthwiseConv2DOptions", values, _with_weights(node))


def transpose_conv(graph: Graph, node: Node) -> Form:
    """TRANSPOSE_CONV, whose padding is that of the convolution which it turns around."""
    x, w, y = graph[node.inputs[0]], graph[node.inputs[1]], graph[node.outputs[0]]
    if w.shape[3] != x.shape[3] or tuple(node.attrs["dilation"]) != (1, 1):
        raise UnsupportedOperator(f"{node.op} '{node.name}' has groups or a dilation, which TensorFlow Lite cannot say.")
    front, sizes = (node.attrs["padding"][0], node.attrs["padding"][2]), (y.shape[1:3], w.shape[1:3], node.attrs["stride"])
    for code in (SAME, VALID):  # of a convolution from y to x; what lies behind follows from the size of the result
        total = same_padding(*sizes, (1, 1)) if code == SAME else [0, 0]
        back = tuple((n + (s - 1 if code == SAME else s - k)) // s for n, k, s in zip(*sizes, strict=True))
        if front == (total[0] // 2, total[1] // 2) and back == x.shape[1:3]:
            break
    else:
        raise UnsupportedOperator(
            f"{node.op} '{node.name}' has the padding {node.attrs['padding']}, which TensorFlow Lite cannot say (it knows SAME and VALID)."
        )
    values = {"Padding": code, "StrideH": node.attrs["stride"][0], "StrideW": node.attrs["stride"][1]}
    values["FusedActivationFunction"] = activation(node)
    _, weights, *bias = _with_weights(node)
    code_version = 4 if values["FusedActivationFunction"] else 3 if bias else version(graph, node, 1, 2)
    return Form("TRANSPOSE_CONV", code_version, "TransposeConvOptions", values, (integers(y.shape), weights, x.name, *bias))


def fully_connected(graph: Graph, node: Node) -> Form:
    """FULLY_CONNECTED."""
    values = {"FusedActivationFunction": activation(node), "KeepNumDims": bool(node.attrs.get("keep_num_dims", False))}
    quant = graph[node.inputs[1]].quant
    code = 12 if quant is not None and quant.axis is not None else version(graph, node, 5 if values["KeepNumDims"] else 1, 5)
    return Form("FULLY_CONNECTED", code, "FullyConnectedOptions", values, _with_weights(node))


def pool(builtin: str) -> FormOf:
    """AVERAGE_POOL_2D, MAX_POOL_2D."""

    def form(graph: Graph, node: Node) -> Form:
        height, width = node.attrs["filter"]
        values = _window(graph, node, (height, width), (1, 1))
        values |= {"FilterHeight": height, "FilterWidth": width, "FusedActivationFunction": activation(node)}
        return Form(builtin, version(graph, node, 1, 2), "Pool2DOptions", values, tuple(node.inputs))

    return form


def binary(builtin: str, options: str) -> FormOf:
    """Two operands and a fused activation."""
    return lambda graph, node: Form(
        builtin, version(graph, node, 1, 2), options, {"FusedActivationFunction": activation(node)}, tuple(node.inputs[:2])
    )


def softmax(graph: Graph, node: Node) -> Form:
    """SOFTMAX."""
    return Form("SOFTMAX", version(graph, node, 1, 2), "SoftmaxOptions", {"Beta": float(node.attrs["beta"])}, tuple(node.inputs))


def reduction(builtin: str, real: int = 1, integer: int = 2) -> FormOf:
    """MEAN, SUM, REDUCE_MAX, REDUCE_MIN."""

    def form(graph: Graph, node: Node) -> Form:
        values = {"KeepDims": bool(node.attrs.get("keep_dims", False))}
        operands = (node.inputs[0], integers(list(node.attrs["axes"])))
        return Form(builtin, version(graph, node, real, integer), "ReducerOptions", values, operands)

    return form


def position(builtin: str, options: str) -> FormOf:
    """ARG_MAX, ARG_MIN."""

    def form(graph: Graph, node: Node) -> Form:
        if node.attrs.get("keep_dims", False):
            raise UnsupportedOperator(
                f"{node.op} '{node.name}' keeps its axis, which TensorFlow Lite cannot say: reshape its result instead"
            )
        kind = {"int32": 2, "int64": 4}[node.attrs["result"]]  # TensorType
        return Form(builtin, version(graph, node, 1, 2), options, {"OutputType": kind}, (node.inputs[0], integers([node.attrs["axis"]])))

    return form


def sum_of_two(builtin: str, options: str) -> FormOf:
    """ADD, SUB: int16 operands say whether their scales are powers of two."""

    def form(graph: Graph, node: Node) -> Form:
        values: dict[str, Any] = {"FusedActivationFunction": activation(node)}
        if graph[node.inputs[0]].dtype is DType.INT16:
            values["PotScaleInt16"] = bool(node.attrs.get("power_of_two", False))
        return Form(builtin, version(graph, node, 1, 2), options, values, tuple(node.inputs[:2]))

    return form


def leaky_relu(graph: Graph, node: Node) -> Form:
    """LEAKY_RELU."""
    return Form("LEAKY_RELU", version(graph, node, 1, 2), "LeakyReluOptions", {"Alpha": float(node.attrs["alpha"])}, tuple(node.inputs))


def gelu(graph: Graph, node: Node) -> Form:
    """GELU."""
    values = {"Approximate": bool(node.attrs.get("approximate", False))}
    return Form("GELU", version(graph, node, 1, 2), "GeluOptions", values, tuple(node.inputs))


def batch_matmul(graph: Graph, node: Node) -> Form:
    """BATCH_MATMUL."""
    values = {"AdjX": bool(node.attrs.get("adj_x", False)), "AdjY": bool(node.attrs.get("adj_y", False))}
    return Form("BATCH_MATMUL", version(graph, node, 1, 2), "BatchMatMulOptions", values, tuple(node.inputs[:2]))


FORMS: dict[str, FormOf] = {
    "conv2d": conv2d,
    "depthwise_conv2d": depthwise_conv2d,
    "transpose_conv": transpose_conv,
    "fully_connected": fully_connected,
    "batch_matmul": batch_matmul,
    "average_pool2d": pool("AVERAGE_POOL_2D"),
    "max_pool2d": pool("MAX_POOL_2D"),
    "add": sum_of_two("ADD", "AddOptions"),
    "sub": sum_of_two("SUB", "SubOptions"),
    "mul": binary("MUL", "MulOptions"),
    "div": binary("DIV", "DivOptions"),
    "maximum": plain("MAXIMUM", options="MaximumMinimumOptions"),
    "minimum": plain("MINIMUM", options="MaximumMinimumOptions"),
    "squared_difference": plain("SQUARED_DIFFERENCE", options="SquaredDifferenceOptions"),
    "leaky_relu": leaky_relu,
    "prelu": plain("PRELU", 1, 1),
    "gelu": gelu,
    "softmax": softmax,
    "quantize": plain("QUANTIZE", 1, 2),
    "dequantize": plain("DEQUANTIZE", 2, 2),
    "mean": reduction("MEAN"),
    "sum": reduction("SUM"),
    "reduce_max": reduction("REDUCE_MAX"),
    "reduce_min": reduction("REDUCE_MIN"),
    "arg_max": position("ARG_MAX", "ArgMaxOptions"),
    "arg_min": position("ARG_MIN", "ArgMinOptions"),
    **{name: plain(name.upper()) for name in ("abs", "exp", "log", "log_softmax", "logistic", "relu", "relu6", "rsqrt", "tanh")},
    **{name: plain(name.upper(), 1, 1) for name in ("elu", "hard_swish", "neg", "relu_0_to_1", "relu_n1_to_1", "sqrt", "square")},
    **tflite_moves.FORMS,
}

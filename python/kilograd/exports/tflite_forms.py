"""How each operator is written in a .tflite file: builtin, version, options, operands that are attributes here. Twin of tflite_rules.

FORMS maps operators of the registry to functions of (graph, node) that give a Form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kilograd.errors import UnsupportedOperator
from kilograd.exports.padding import SAME, VALID, padding_code, same_padding
from kilograd.ir.graph import Array, DType, Graph, Node

ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}


@dataclass(frozen=True)
class Form:
    """One operator of the file. `operands` stands for the node's inputs: names, or integers that become a constant tensor."""

    builtin: str
    version: int
    options: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    operands: tuple[str | Array, ...] = ()


FormOf = Callable[[Graph, Node], Form]


def _activation(node: Node) -> int:
    return ACTIVATIONS[node.attrs.get("activation", "none")]


def _version(graph: Graph, node: Node, real: int, int8: int) -> int:
    return real if graph[node.inputs[0]].dtype is DType.FLOAT32 else int8


def _integers(values: Any) -> Array:
    return np.asarray(values, np.int32)


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
    values |= {"DilationHFactor": dilation[0], "DilationWFactor": dilation[1], "FusedActivationFunction": _activation(node)}
    return values


def _with_weights(node: Node) -> tuple[str | Array, ...]:
    if any(node.inputs[3:]):
        raise UnsupportedOperator(f"{node.op} '{node.name}' has weights in two parts; join them before the export")
    return tuple(node.inputs[: 3 if len(node.inputs) > 2 and node.inputs[2] else 2])


def conv2d(graph: Graph, node: Node) -> Form:
    """CONV_2D."""
    return Form("CONV_2D", _version(graph, node, 1, 3), "Conv2DOptions", _convolution(graph, node), _with_weights(node))


def depthwise_conv2d(graph: Graph, node: Node) -> Form:
    """DEPTHWISE_CONV_2D."""
    values = _convolution(graph, node)
    values["DepthMultiplier"] = graph[node.outputs[0]].shape[3] // graph[node.inputs[0]].shape[3]
    return Form("DEPTHWISE_CONV_2D", _version(graph, node, 1, 3), "DepthwiseConv2DOptions", values, _with_weights(node))


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
    values["FusedActivationFunction"] = _activation(node)
    _, weights, *bias = _with_weights(node)
    version = 4 if values["FusedActivationFunction"] else 3 if bias else _version(graph, node, 1, 2)
    return Form("TRANSPOSE_CONV", version, "TransposeConvOptions", values, (_integers(y.shape), weights, x.name, *bias))


def fully_connected(graph: Graph, node: Node) -> Form:
    """FULLY_CONNECTED."""
    values = {"FusedActivationFunction": _activation(node), "KeepNumDims": bool(node.attrs.get("keep_num_dims", False))}
    quant = graph[node.inputs[1]].quant
    version = 12 if quant is not None and quant.axis is not None else _version(graph, node, 5 if values["KeepNumDims"] else 1, 5)
    return Form("FULLY_CONNECTED", version, "FullyConnectedOptions", values, _with_weights(node))


def pool(builtin: str) -> FormOf:
    """AVERAGE_POOL_2D, MAX_POOL_2D."""

    def form(graph: Graph, node: Node) -> Form:
        height, width = node.attrs["filter"]
        values = _window(graph, node, (height, width), (1, 1))
        values |= {"FilterHeight": height, "FilterWidth": width, "FusedActivationFunction": _activation(node)}
        return Form(builtin, _version(graph, node, 1, 2), "Pool2DOptions", values, tuple(node.inputs))

    return form


def binary(builtin: str, options: str) -> FormOf:
    """Two operands and a fused activation."""
    return lambda graph, node: Form(
        builtin, _version(graph, node, 1, 2), options, {"FusedActivationFunction": _activation(node)}, tuple(node.inputs[:2])
    )


def plain(builtin: str, real: int = 1, int8: int = 2, options: str = "") -> FormOf:
    """The operands as they are, no options that matter."""
    return lambda graph, node: Form(builtin, _version(graph, node, real, int8), options, {}, tuple(node.inputs))


def softmax(graph: Graph, node: Node) -> Form:
    """SOFTMAX."""
    return Form("SOFTMAX", _version(graph, node, 1, 2), "SoftmaxOptions", {"Beta": float(node.attrs["beta"])}, tuple(node.inputs))


def pad(graph: Graph, node: Node) -> Form:
    """PAD, or PADV2 where the constant is not zero."""
    x, pads = graph[node.inputs[0]], _integers(node.attrs["padding"])
    value = node.attrs.get("value")
    if x.dtype is DType.FLOAT32 and node.attrs.get("real_value", 0.0) != 0.0:
        return Form("PADV2", 1, "PadV2Options", {}, (x.name, pads, np.array([node.attrs["real_value"]], np.float32)))
    if x.dtype is DType.INT8 and value not in (None, x.q.z):
        return Form("PADV2", 2, "PadV2Options", {}, (x.name, pads, np.array([value], np.int8)))
    return Form("PAD", _version(graph, node, 1, 2), "PadOptions", {}, (x.name, pads))


def reshape(graph: Graph, node: Node) -> Form:
    """RESHAPE."""
    return Form("RESHAPE", 1, "ReshapeOptions", {}, (node.inputs[0], _integers(graph[node.outputs[0]].shape)))


def transpose(graph: Graph, node: Node) -> Form:
    """TRANSPOSE."""
    order = _integers(node.attrs["permutation"])
    return Form("TRANSPOSE", _version(graph, node, 1, 2), "TransposeOptions", {}, (node.inputs[0], order))


def mean(graph: Graph, node: Node) -> Form:
    """MEAN."""
    values = {"KeepDims": bool(node.attrs.get("keep_dims", False))}
    return Form("MEAN", _version(graph, node, 1, 2), "ReducerOptions", values, (node.inputs[0], _integers(list(node.attrs["axes"]))))


def concatenation(graph: Graph, node: Node) -> Form:
    """CONCATENATION."""
    values = {"Axis": int(node.attrs["axis"]), "FusedActivationFunction": 0}
    return Form("CONCATENATION", _version(graph, node, 1, 2), "ConcatenationOptions", values, tuple(node.inputs))


FORMS: dict[str, FormOf] = {
    "conv2d": conv2d,
    "depthwise_conv2d": depthwise_conv2d,
    "transpose_conv": transpose_conv,
    "fully_connected": fully_connected,
    "average_pool2d": pool("AVERAGE_POOL_2D"),
    "max_pool2d": pool("MAX_POOL_2D"),
    "add": binary("ADD", "AddOptions"),
    "mul": binary("MUL", "MulOptions"),
    "relu": plain("RELU"),
    "relu6": plain("RELU6"),
    "logistic": plain("LOGISTIC"),
    "quantize": plain("QUANTIZE", 1, 2),
    "dequantize": plain("DEQUANTIZE", 2, 2),
    "softmax": softmax,
    "pad": pad,
    "reshape": reshape,
    "transpose": transpose,
    "mean": mean,
    "concatenation": concatenation,
}

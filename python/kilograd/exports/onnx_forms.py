"""How each operator is written in an ONNX file: FORMS maps operators of the registry to functions of (writer, node)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.errors import UnsupportedOperator
from kilograd.ir.graph import Array, DType, Node
from kilograd.ops.transpose_conv import reach

if TYPE_CHECKING:
    from kilograd.exports.onnx import OnnxWriter

FormOf = Callable[["OnnxWriter", Node], None]
NCHW_AXIS = {0: 0, 1: 2, 2: 3, 3: 1}  # of an axis of NHWC


def _parameter(writer: OnnxWriter, name: str, arrange: Callable[[Array], Array], axis: int) -> str:
    """Weights or bias as real numbers."""
    t = writer.graph[name]
    if t.data is None:
        raise UnsupportedOperator(f"tensor '{name}' is computed; the export needs constant weights and biases")
    data = arrange(np.asarray(t.data))
    return writer.constant(data, name) if t.dtype is DType.FLOAT32 else writer.dequantized(data, t.q, axis, name)


def _layer(writer: OnnxWriter, node: Node, arrange: Callable[[Array], Array], axis: int = 0) -> list[str]:
    """Weights, which `arrange` gives with their output channels at `axis`, and bias."""
    if any(node.inputs[3:]):
        raise UnsupportedOperator(f"{node.op} '{node.name}' has weights in two parts; join them before the export")
    operands = [_parameter(writer, node.inputs[1], arrange, axis)]
    if len(node.inputs) > 2 and node.inputs[2]:
        operands.append(_parameter(writer, node.inputs[2], lambda b: b, 0))
    return operands


def _window(attrs: dict[str, Any]) -> dict[str, Any]:
    top, bottom, left, right = attrs["padding"]
    return {"pads": [top, left, bottom, right], "strides": list(attrs["stride"])}


def convolution(writer: OnnxWriter, node: Node) -> None:
    """Conv; depthwise as groups of one input channel."""
    x, w = writer.graph[node.inputs[0]], writer.graph[node.inputs[1]]
    depthwise = node.op == "depthwise_conv2d"
    group = x.shape[3] if depthwise else x.shape[3] // w.shape[3]
    order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
    operands = [writer.value(x.name, nchw=True), *_layer(writer, node, lambda v: v.transpose(order))]
    attrs = {**_window(node.attrs), "dilations": list(node.attrs["dilation"]), "kernel_shape": list(w.shape[1:3]), "group": group}
    writer.result(node, writer.add("Conv", operands, f"{node.name}.conv", **attrs), nchw=True)


def transpose_conv(writer: OnnxWriter, node: Node) -> None:
    """ConvTranspose, whose weights have the input channels first."""
    x, w = writer.graph[node.inputs[0]], writer.graph[node.inputs[1]]
    groups, kernel, attrs = x.shape[3] // w.shape[3], w.shape[1:3], node.attrs
    if groups > 1 and w.quant is not None and w.quant.axis is not None:
        raise UnsupportedOperator(f"{node.op} '{node.name}' has groups and one scale a channel, for which ConvTranspose has no axis.")

    def arrange(value: Array) -> Array:
        parts = value.reshape(groups, -1, *value.shape[1:])  # [group, out, h, w, in]
        return parts.transpose(0, 4, 1, 2, 3).reshape(x.shape[3], -1, *kernel)

    whole = [reach(x.shape[1 + i], kernel[i], attrs["stride"][i], attrs["dilation"][i]) for i in (0, 1)]
    rest = [attrs["output"][i] - whole[i] + sum(attrs["padding"][2 * i : 2 * i + 2]) for i in (0, 1)]
    operands = [writer.value(x.name, nchw=True), *_layer(writer, node, arrange, 1)]
    written = {
        **_window(attrs),
        "dilations": list(attrs["dilation"]),
        "kernel_shape": list(kernel),
        "group": groups,
        "output_padding": rest,
    }
    writer.result(node, writer.add("ConvTranspose", operands, f"{node.name}.conv", **written), nchw=True)


def fully_connected(writer: OnnxWriter, node: Node) -> None:
    """Gemm over rows of features."""
    x, w, y = writer.graph[node.inputs[0]], writer.graph[node.inputs[1]], writer.graph[node.outputs[0]]
    rows = writer.value(x.name)
    if len(x.shape) != 2 or x.shape[1] != w.shape[1]:
        rows = writer.add("Reshape", [rows, writer.integers([-1, w.shape[1]], f"{node.name}.rows")], f"{node.name}.flat")
    raw = writer.add("Gemm", [rows, *_layer(writer, node, lambda v: v)], f"{node.name}.gemm", transB=1)
    if len(y.shape) != 2:
        raw = writer.add("Reshape", [raw, writer.integers(y.shape, f"{node.name}.shape")], f"{node.name}.shaped")
    writer.result(node, raw)


def pool(op: str, **attrs: Any) -> FormOf:
    """AveragePool, MaxPool."""

    def form(writer: OnnxWriter, node: Node) -> None:
        x = writer.value(node.inputs[0], nchw=True)
        window = {**_window(node.attrs), "kernel_shape": list(node.attrs["filter"]), **attrs}
        writer.result(node, writer.add(op, [x], f"{node.name}.pool", **window), nchw=True)

    return form


def elementwise(op: str) -> FormOf:
    """One or two operands, in the layout that is at hand."""

    def form(writer: OnnxWriter, node: Node) -> None:
        ranks = {len(writer.graph[t].shape) for t in node.inputs}
        nchw = ranks == {4} and any(writer.is_nchw(t) for t in node.inputs)
        writer.result(node, writer.add(op, [writer.value(t, nchw) for t in node.inputs], f"{node.name}.raw"), nchw)

    return form


def relu6(writer: OnnxWriter, node: Node) -> None:
    """Clip to 0..6."""
    nchw = writer.is_nchw(node.inputs[0])
    limits = [writer.constant(np.float32(v), f"{node.name}.limit") for v in (0, 6)]
    writer.result(node, writer.add("Clip", [writer.value(node.inputs[0], nchw), *limits], f"{node.name}.raw"), nchw)


def softmax(writer: OnnxWriter, node: Node) -> None:
    """Softmax over the last axis, beta as a factor in front."""
    x = writer.value(node.inputs[0])
    if node.attrs["beta"] != 1.0:
        x = writer.add("Mul", [x, writer.constant(np.float32(node.attrs["beta"]), f"{node.name}.beta")], f"{node.name}.scaled")
    writer.result(node, writer.add("Softmax", [x], f"{node.name}.raw", axis=-1))


def concatenation(writer: OnnxWriter, node: Node) -> None:
    """Concat."""
    nchw, axis = any(writer.is_nchw(t) for t in node.inputs), int(node.attrs["axis"])
    raw = writer.add("Concat", [writer.value(t, nchw) for t in node.inputs], f"{node.name}.raw", axis=NCHW_AXIS[axis] if nchw else axis)
    writer.result(node, raw, nchw)


def reshape(writer: OnnxWriter, node: Node) -> None:
    """Reshape of the value in its own layout."""
    shape = writer.integers(writer.graph[node.outputs[0]].shape, f"{node.name}.shape")
    writer.result(node, writer.add("Reshape", [writer.value(node.inputs[0]), shape], f"{node.name}.raw"))


def transpose(writer: OnnxWriter, node: Node) -> None:
    """Transpose."""
    order = [int(a) for a in node.attrs["permutation"]]
    writer.result(node, writer.add("Transpose", [writer.value(node.inputs[0])], f"{node.name}.raw", perm=order))


def pad(writer: OnnxWriter, node: Node) -> None:
    """Pad with a constant."""
    x, value = writer.graph[node.inputs[0]], node.attrs.get("value")
    real = node.attrs.get("real_value", 0.0) if x.quant is None else 0.0 if value is None else (value - x.q.z) * x.q.s
    nchw = writer.is_nchw(x.name)
    pads = list(node.attrs["padding"])
    pads = [pads[i] for i in (0, 3, 1, 2)] if nchw else pads
    flat = writer.integers([b for b, _ in pads] + [a for _, a in pads], f"{node.name}.pads")
    fill = writer.constant(np.float32(real), f"{node.name}.value")
    writer.result(node, writer.add("Pad", [writer.value(x.name, nchw), flat, fill], f"{node.name}.raw"), nchw)


def mean(writer: OnnxWriter, node: Node) -> None:
    """ReduceMean."""
    rank, keep = len(writer.graph[node.inputs[0]].shape), bool(node.attrs.get("keep_dims", False))
    axes = sorted(int(a) % rank for a in node.attrs["axes"])
    nchw = writer.is_nchw(node.inputs[0]) and (keep or axes == [1, 2])
    where = sorted(NCHW_AXIS[a] for a in axes) if nchw else axes
    raw = writer.add("ReduceMean", [writer.value(node.inputs[0], nchw)], f"{node.name}.raw", axes=where, keepdims=int(keep))
    writer.result(node, raw, nchw and keep)


def convert(writer: OnnxWriter, node: Node) -> None:
    """Quantize and dequantize: the value as it is; the quantization of the result does the rest."""
    nchw = writer.is_nchw(node.inputs[0])
    writer.result(node, writer.value(node.inputs[0], nchw), nchw)


FORMS: dict[str, FormOf] = {
    "conv2d": convolution,
    "depthwise_conv2d": convolution,
    "transpose_conv": transpose_conv,
    "fully_connected": fully_connected,
    "average_pool2d": pool("AveragePool", count_include_pad=0),
    "max_pool2d": pool("MaxPool"),
    "add": elementwise("Add"),
    "mul": elementwise("Mul"),
    "relu": elementwise("Relu"),
    "logistic": elementwise("Sigmoid"),
    "relu6": relu6,
    "softmax": softmax,
    "concatenation": concatenation,
    "reshape": reshape,
    "transpose": transpose,
    "pad": pad,
    "mean": mean,
    "quantize": convert,
    "dequantize": convert,
}

"""Operators with weights: convolutions, products with a constant matrix; and products of two activations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.onnx_file import RawNode
from kilograd.frontends.onnx_rules.image import four, from_image, image, two
from kilograd.frontends.onnx_rules.rule import MAX_WINDOW, Rule, pads, sizes, spatial
from kilograd.frontends.onnx_value import Constant, Target, Value, plain
from kilograd.ir.graph import Array, QuantParams, Shape

if TYPE_CHECKING:
    from kilograd.frontends.onnx import Importer

SAME_SCALE = 1e-5  # relative difference of a bias' scale from the product of scales that is rounding


def weights(b: Importer, node: RawNode, w: Constant, data: Array, from_axis: int, to_axis: int, target: Target) -> str:
    """Weights as they are laid out in the graph (`data`); output channels were axis `from_axis` and are `to_axis`."""
    name = b.fresh(f"{node.name or node.outputs[0]}/weights")
    if target.real:
        return b.add_constant(np.ascontiguousarray(data, np.float32), None, name)
    q = w.quant
    if q is None or w.data.dtype != np.int8:
        raise UnsupportedOperator(
            f"{node.where} has weights that are not int8 or uint8 while its activations are quantized. Quantize both."
        )
    if q.axis is not None and q.axis != from_axis:
        raise UnsupportedOperator(
            f"{node.where} has one scale for each input of its weights; kilograd runs one for each output. Export it so."
        )
    if q.scale.size > 1 and np.any(q.zero_point != q.zero_point[0]):
        raise UnsupportedOperator(f"{node.where} has weights with several zero points; kilograd runs symmetric ones. Quantize it so.")
    if q.axis is not None:
        q = QuantParams(q.scale, q.zero_point, to_axis)
    return b.add_constant(np.ascontiguousarray(data), q, name)


def bias(b: Importer, node: RawNode, c: Constant | None, x: str, w: str, channels: int, target: Target) -> str:
    """The bias, in integers of scale s_x s_w in a quantized model."""
    if c is None:
        return ""
    if c.data.size not in (1, channels):
        raise ModelError(f"{node.where}: its bias has shape {list(c.shape)}, the layer has {channels} channels. Export it again.")
    name = b.fresh(f"{node.name or node.outputs[0]}/bias")
    real = np.broadcast_to(np.asarray(c.real, np.float32).reshape(-1), (channels,))
    if target.real:
        return b.add_constant(np.ascontiguousarray(real), None, name)
    scale = np.asarray(np.float64(b.graph[x].q.s) * b.graph[w].q.scale.astype(np.float64), np.float32)
    quant = QuantParams(scale, np.zeros(scale.size, np.int32), 0 if scale.size > 1 else None)
    q = c.quant
    if q is not None and c.data.dtype == np.int32 and c.data.size == channels and not np.any(q.zero_point):
        if np.all(np.abs(q.scale - scale) <= SAME_SCALE * scale):
            return b.add_constant(np.ascontiguousarray(c.data.reshape(-1)), quant, name)
    rounded = np.rint(real.astype(np.float64) / scale)
    if np.any(np.abs(rounded) > np.iinfo(np.int32).max):
        raise UnsupportedOperator(
            f"{node.where} has a bias that int32 of scale s_x s_w cannot hold. Quantize the layer with larger scales."
        )
    return b.add_constant(rounded.astype(np.int32), quant, name)


def conv(b: Importer, node: RawNode) -> Value:
    """Conv: groups as many as channels make a depthwise convolution."""
    x, w = b.activation(node, 0), b.constant(node, 1, "weights")
    n, rank = spatial(node, x.shape), len(x.shape)
    if w.data.ndim != rank:
        raise ModelError(f"{node.where}: weights {list(w.shape)} do not fit input {list(x.shape)}. Export it again.")
    channels, outputs, group = x.shape[1], w.shape[0], int(node.attrs.get("group", 1))
    if group < 1 or channels % group or outputs % group or w.shape[1] != channels // group or min(w.shape) < 1:
        raise ModelError(f"{node.where}: weights {list(w.shape)} and {group} groups do not fit {channels} channels. Export it again.")
    kernel = w.shape[2:]
    if tuple(node.attrs.get("kernel_shape", kernel)) != kernel or max(kernel) > MAX_WINDOW:
        raise ModelError(f"{node.where}: its filter {node.attrs.get('kernel_shape')} is not that of its weights {list(w.shape)}.")
    stride, dilation = sizes(node, "strides", n), sizes(node, "dilations", n)
    padding = pads(node, x.shape[2:], kernel, stride, dilation)
    target = b.target(node, [x], fusable=True)
    tensor = image(b, x, target)
    data = w.data if not target.real else w.real
    data = data.reshape(*w.shape[:2], *two(kernel, 1))
    depthwise = group == channels and group > 1
    if depthwise:
        ww = weights(b, node, w, np.transpose(data, (1, 2, 3, 0)), 0, 3, target)
    else:
        ww = weights(b, node, w, np.transpose(data, (0, 2, 3, 1)), 0, 0, target)
    given = b.constant(node, 2, "bias") if b.has(node, 2) else None
    attrs: dict[str, Any] = {
        "stride": two(stride, 1), "dilation": two(dilation, 1), "padding": four(padding), "activation": target.activation
    }  # fmt: skip
    operands = [tensor, ww, bias(b, node, given, tensor, ww, outputs, target)]
    y = b.emit(node, "depthwise_conv2d" if depthwise else "conv2d", operands, attrs, target)
    return from_image(b, y, rank)


def _transposed_pads(
    node: RawNode, size: Shape, reach: list[int], stride: tuple[int, ...], extra: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Pixels that ConvTranspose cuts off: given, or what is too much for the size that is asked for."""
    n, auto = len(size), node.attrs.get("auto_pad", "NOTSET")
    if "output_shape" in node.attrs:
        wanted = sizes(node, "output_shape", n)
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(d * s for d, s in zip(size, stride, strict=True))
    else:
        return pads(node, size, (1,) * n, stride, (1,) * n)
    result = []
    for r, e, d in zip(reach, extra, wanted, strict=True):
        total = max(r + e - d, 0)
        less, more = total // 2, total - total // 2
        result.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return result


def conv_transpose(b: Importer, node: RawNode) -> Value:
    """ConvTranspose: weights [in, out / groups, ...]."""
    x, w = b.activation(node, 0), b.constant(node, 1, "weights")
    n, rank, group = spatial(node, x.shape), len(x.shape), int(node.attrs.get("group", 1))
    if (
        w.data.ndim != rank
        or w.shape[0] != x.shape[1]
        or group < 1
        or w.shape[0] % group
        or max(w.shape[2:]) > MAX_WINDOW
        or min(w.shape) < 1
    ):
        raise ModelError(f"{node.where}: weights {list(w.shape)} and {group} groups do not fit input {list(x.shape)}. Export it again.")
    kernel, stride, dilation = w.shape[2:], sizes(node, "strides", n), sizes(node, "dilations", n)
    extra = sizes(node, "output_padding", n, 0, 0)
    reach = [(d - 1) * s + (k - 1) * e + 1 for d, s, k, e in zip(x.shape[2:], stride, kernel, dilation, strict=True)]
    padding = _transposed_pads(node, x.shape[2:], reach, stride, extra)
    if "output_shape" in node.attrs:
        output = sizes(node, "output_shape", n)
    else:
        output = tuple(r + e - p - q for r, e, (p, q) in zip(reach, extra, padding, strict=True))
    target = b.target(node, [x], fusable=True)
    tensor = image(b, x, target)
    data = (w.data if not target.real else w.real).reshape(group, w.shape[0] // group, w.shape[1], *two(kernel, 1))
    data = np.transpose(data, (0, 2, 3, 4, 1)).reshape(group * w.shape[1], *two(kernel, 1), w.shape[0] // group)
    if not target.real and w.quant is not None and w.quant.axis is not None and group > 1:
        raise UnsupportedOperator(f"{node.where} has groups and one scale a channel; kilograd runs one scale for all here. Export it so.")
    ww = weights(b, node, w, data, 1, 0, target)
    given = b.constant(node, 2, "bias") if b.has(node, 2) else None
    attrs: dict[str, Any] = {
        "stride": two(stride, 1), "dilation": two(dilation, 1), "padding": four(padding), "output": two(output, 1), "transposed": True,
        "activation": target.activation,
    }  # fmt: skip
    operands = [tensor, ww, bias(b, node, given, tensor, ww, group * w.shape[1], target)]
    return from_image(b, b.emit(node, "transpose_conv", operands, attrs, target), rank)


def rows_of(b: Importer, v: Value, target: Target) -> tuple[str, Array, Value]:
    """The tensor of a value with its last axis last, in whatever order that axis is stored; that order; and the value in this form.

    A flattened image is stored [h, w, c] where ONNX counts [c, h, w]: the weights are permuted instead of the image.
    """
    v = v if not target.real else b.real(v)
    last = v.axes[-1]
    if sorted(last) != list(range(len(v.atoms) - len(last), len(v.atoms))):
        tensor = b.arranged(v, range(len(v.axes)), target)
        v = plain(tensor, v.shape)
        last = v.axes[-1]
    counted = np.arange(v.shape[-1]).reshape([v.atoms[a] for a in last])
    order = np.transpose(counted, np.argsort(last)).reshape(-1)
    lead = [v.axes[i] for i in range(len(v.axes) - 1)]
    if v.sorted_by(range(len(v.axes) - 1)):
        shape = list(v.shape[:-1])
    else:
        natural = sorted(lead, key=lambda axis: axis[0] if axis else -1)
        shape = [math.prod(v.atoms[a] for a in axis) for axis in natural]
        if [a for axis in natural for a in axis] != list(range(len(v.atoms) - len(last))):
            shape = [v.atoms[a] for a in range(len(v.atoms) - len(last))]
    return b.view(v.tensor, (*shape, v.shape[-1])), order, v


def row_result(v: Value, tensor: str, size: int) -> Value:
    """The value of a result that has `size` elements where `v` has its last axis."""
    lead = len(v.atoms) - len(v.axes[-1])
    atoms = (*v.atoms[:lead], *((size,) if size > 1 else ()))
    return Value(tensor, atoms, (*v.axes[:-1], (lead,) if size > 1 else ()))


def _layer(
    b: Importer, node: RawNode, x: Value, w: Constant, data: Array, from_axis: int, given: Constant | None, result: str = ""
) -> Value:
    """A fully connected layer; `data` [out, in] are the weights (real or stored, as the target wants), whose outputs were `from_axis`."""
    target = b.target(node, [x], fusable=True, result=result)
    if target.real and w.quant is not None:
        data = w.real if from_axis == 0 else w.real.T
    tensor, order, v = rows_of(b, x, target)
    ww = weights(b, node, w, data[:, order], from_axis, 0, target)
    operands = [tensor, ww, bias(b, node, given, tensor, ww, data.shape[0], target)]
    attrs = {"activation": target.activation, "keep_num_dims": True}
    return row_result(v, b.emit(node, "fully_connected", operands, attrs, target), data.shape[0])


def gemm(b: Importer, node: RawNode) -> Value:
    """Gemm: alpha and beta go into the constants."""
    x, w = b.activation(node, 0), b.constant(node, 1, "matrix B")
    alpha, beta = float(node.attrs.get("alpha", 1.0)), float(node.attrs.get("beta", 1.0))
    if len(x.shape) != 2 or w.data.ndim != 2:
        raise ModelError(f"{node.where} multiplies {list(x.shape)} and {list(w.shape)}; it needs matrices. Export it again.")
    x = x.transposed((1, 0)) if int(node.attrs.get("transA", 0)) else x
    from_axis = 0 if int(node.attrs.get("transB", 0)) else 1
    given = b.constant(node, 2, "matrix C") if b.has(node, 2) else None
    if alpha != 1.0:
        w = Constant(np.asarray(w.real, np.float32) * np.float32(alpha)) if w.quant is None else _scaled(w, alpha)
    data = w.data if from_axis == 0 else w.data.T
    if data.shape[1] != x.shape[1]:
        raise ModelError(f"{node.where} multiplies {list(x.shape)} and {list(w.shape)}, which do not fit. Export it again.")
    if given is not None and beta != 1.0:
        given = Constant(np.asarray(given.real, np.float32) * np.float32(beta)) if given.quant is None else _scaled(given, beta)
    if (
        given is not None
        and given.data.size not in (1, data.shape[0])
        or given is not None
        and given.shape[-1:] not in ((), (1,), (data.shape[0],))
    ):
        y = _layer(b, node, x, w, data, from_axis, None)
        return _plus(b, node, y, given)
    return _layer(b, node, x, w, data, from_axis, given)


def _scaled(c: Constant, factor: float) -> Constant:
    """A quantized constant times a positive number."""
    assert c.quant is not None
    if factor <= 0:
        return Constant(np.asarray(c.real * np.float32(factor)))
    return Constant(c.data, QuantParams(c.quant.scale * np.float32(factor), c.quant.zero_point, c.quant.axis))


def _plus(b: Importer, node: RawNode, y: Value, c: Constant | None) -> Value:
    """A Gemm whose matrix C differs from row to row."""
    assert c is not None
    if b.type_of(y).dtype.value != "float32":
        raise UnsupportedOperator(
            f"{node.where} adds a matrix {list(c.shape)}; quantized, kilograd adds one number a column. Export it so."
        )
    from kilograd.frontends.onnx_rules.elementwise import combine

    return combine(b, node, "add", y, c, {"activation": "none"}, b.target(node, [y]))


def _bias_behind(b: Importer, node: RawNode, channels: int) -> tuple[Constant | None, str]:
    """The constant that an Add behind a MatMul adds to each row, and the result of that Add."""
    readers = b.readers.get(node.outputs[0], [])
    if len(readers) != 1 or readers[0].kind != "Add" or node.outputs[0] in b.outputs or len(readers[0].inputs) != 2:
        return None, ""
    name = readers[0].inputs[1 if readers[0].inputs[0] == node.outputs[0] else 0]
    c = b.values.get(name)
    if not isinstance(c, Constant) or c.data.size != channels or c.shape[-1:] != (channels,):
        return None, ""
    if len(c.shape) > len(b.value(node, 0).shape) or not readers[0].outputs:
        return None, ""
    b.absorbed.add(id(readers[0]))
    return c, readers[0].outputs[0]


def matmul(b: Importer, node: RawNode) -> Value:
    """MatMul: a layer where the second operand is a constant matrix, else a product of activations."""
    x, w = b.value(node, 0), b.value(node, 1)
    if isinstance(w, Constant) and isinstance(x, Value) and w.data.ndim in (1, 2) and len(x.shape) >= 1:
        matrix = w if w.data.ndim == 2 else Constant(np.asarray(w.real).reshape(-1, 1))
        if matrix.shape[0] != x.shape[-1]:
            raise ModelError(f"{node.where} multiplies {list(x.shape)} and {list(w.shape)}, which do not fit. Export it again.")
        given, result = _bias_behind(b, node, matrix.shape[1]) if w.data.ndim == 2 else (None, "")
        y = _layer(b, node, x, matrix, matrix.data.T, 1, given, result)
        if w.data.ndim == 2:
            return y
        return Value(y.tensor, y.atoms, y.axes[:-1])
    return _batched(b, node)


def _batched(b: Importer, node: RawNode) -> Value:
    """A product of two activations (or with a constant in front, or in a batch)."""
    operands = [b.value(node, i) for i in (0, 1)]
    shapes = [v.shape for v in operands]
    if any(len(s) < 1 for s in shapes):
        raise ModelError(f"{node.where} multiplies {list(shapes[0])} and {list(shapes[1])}, which do not fit. Export it again.")
    target = b.target(node, operands, fusable=False)
    vector = [len(s) == 1 for s in shapes]
    rank = max(2, *(len(s) for s in shapes))
    tensors, attrs = [], {}
    for i, (v, s) in enumerate(zip(operands, shapes, strict=True)):
        whole = (1, *s) if vector[i] and i == 0 else (*s, 1) if vector[i] else s
        whole = (1,) * (rank - len(whole)) + tuple(whole)
        turned = (*range(rank - 2), rank - 1, rank - 2)
        wide = (
            Constant(v.data.reshape(whole), v.quant if v.quant is None or v.quant.axis is None else None)
            if isinstance(v, Constant)
            else v.regrouped(whole)
        )
        if isinstance(v, Constant) and v.quant is not None and v.quant.axis is not None:
            wide = Constant(v.real.reshape(whole))
        assert wide is not None  # axes of 1 are no atoms
        swapped = isinstance(wide, Value) and not wide.sorted_by(range(rank)) and wide.sorted_by(turned)
        attrs["adj_y" if i else "adj_x"] = swapped
        tensors.append(b.arranged(wide, turned if swapped else range(rank), target))
    y = plain(b.emit(node, "batch_matmul", tensors, attrs, target), ())
    shape = list(b.graph[y.tensor].shape)
    kept = [d for i, d in enumerate(shape) if not (vector[0] and i == rank - 2) and not (vector[1] and i == rank - 1)]
    return plain(y.tensor, kept)


RULES: dict[str, Rule] = {
    "Conv": Rule((2, 3), conv),
    "ConvTranspose": Rule((2, 3), conv_transpose),
    "Gemm": Rule((2, 3), gemm),
    "MatMul": Rule((2, 2), matmul),
}

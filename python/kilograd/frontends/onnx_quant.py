"""Quantized ONNX models: QLinear operators written out as DequantizeLinear, operator, QuantizeLinear; and what results are quantized to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.onnx_file import RawModel, RawNode
from kilograd.frontends.onnx_value import Constant
from kilograd.ir.graph import Array, DType, QuantParams

if TYPE_CHECKING:
    from kilograd.frontends.onnx import Importer

SCALE_MIN, SCALE_MAX = 1e-30, 1e30
#: types of zero points: what is subtracted to make the stored integers signed, and the type in the graph
STORED: dict[str, tuple[int, DType]] = {"int8": (0, DType.INT8), "uint8": (128, DType.INT8), "int16": (0, DType.INT16)}


@dataclass(frozen=True)
class Grid:
    """What a QuantizeLinear rounds to."""

    quant: QuantParams
    dtype: DType
    unsigned: bool


@dataclass(frozen=True)
class Destiny:
    """What the result of a node becomes: quantized so, after an activation that `absorbed` stands for."""

    grid: Grid
    activation: str
    absorbed: RawNode | None


def _constant(importer: Importer, node: RawNode, i: int) -> Array | None:
    """Operand i where it is known already, without an error where it is not."""
    v = importer.values.get(node.inputs[i]) if i < len(node.inputs) else None
    return v.data if isinstance(v, Constant) else None


def parameters(node: RawNode, scale: Array, zero: Array | None, axis: int | None) -> tuple[QuantParams, str]:
    """Quantization as it is in the graph (signed), and the type that ONNX stores."""
    kind = "uint8" if zero is None else str(zero.dtype)
    if kind not in (*STORED, "int32"):
        raise UnsupportedOperator(f"{node.where} quantizes to {kind}; kilograd runs int8, uint8 and int16. Quantize the model so.")
    scales = np.asarray(scale, np.float32).reshape(-1)
    zeros = np.zeros(scales.size, np.int64) if zero is None else zero.reshape(-1).astype(np.int64)
    if scale.ndim > 1 or int(node.attrs.get("block_size", 0)):
        raise UnsupportedOperator(f"{node.where} quantizes in blocks; kilograd needs one scale a tensor, or one a channel of weights.")
    if zeros.size != scales.size or not scales.size or not np.all((scales >= SCALE_MIN) & (scales <= SCALE_MAX)):
        raise ModelError(
            f"{node.where} has {zeros.size} zero points for {scales.size} scales, or a scale that is not positive. Export it again."
        )
    shift = STORED[kind][0] if kind in STORED else 0
    if scales.size == 1:
        axis = None
    elif axis is None:
        raise UnsupportedOperator(
            f"{node.where} quantizes an activation with {scales.size} scales; kilograd needs one. Quantize it per tensor."
        )
    return QuantParams(scales, (zeros - shift).astype(np.int32), axis), kind


def grid(importer: Importer, node: RawNode) -> Grid | None:
    """What a QuantizeLinear rounds to; None where kilograd cannot say."""
    scale, zero = _constant(importer, node, 1), _constant(importer, node, 2)
    if (
        scale is None
        or scale.size != 1
        or (len(node.inputs) > 2 and node.inputs[2] and zero is None)
        or int(node.attrs.get("output_dtype", 0))
    ):
        return None
    quant, kind = parameters(node, scale, zero, None)
    return None if kind not in STORED else Grid(quant, STORED[kind][1], kind == "uint8")


def _all_alike(importer: Importer, name: str) -> Grid | None:
    """The one grid to which all readers of a value round it."""
    found = [grid(importer, r) if r.kind == "QuantizeLinear" and r.inputs[0] == name else None for r in importer.readers.get(name, [])]
    if not found or name in importer.outputs or found[0] is None:
        return None
    first = found[0]
    return first if all(g is not None and g.quant.same_as(first.quant) and g.dtype is first.dtype for g in found) else None


def clamp(importer: Importer, node: RawNode) -> tuple[float, float] | None:
    """Limits of a node that clamps by constants."""
    if node.kind == "Relu":
        return 0.0, float("inf")
    if node.kind != "Clip":
        return None
    limits = [float(node.attrs.get("min", -np.inf)), float(node.attrs.get("max", np.inf))]
    for i in (1, 2):
        if i < len(node.inputs) and node.inputs[i]:
            data = _constant(importer, node, i)
            if data is None or data.size != 1:
                return None
            limits[i - 1] = float(data.reshape(-1)[0])
    return limits[0], limits[1]


ACTIVATIONS = {(0.0, float("inf")): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "relu_n1_to_1"}


def destiny(importer: Importer, name: str, fusable: bool) -> Destiny | None:
    """What the result `name` of a node is quantized to, directly or (`fusable`) behind a clamp that the node can do itself."""
    direct = _all_alike(importer, name)
    if direct is not None:
        return Destiny(direct, "none", None)
    readers = importer.readers.get(name, [])
    if not fusable or len(readers) != 1 or name in importer.outputs or readers[0].inputs[0] != name:
        return None
    limits = clamp(importer, readers[0])
    after = _all_alike(importer, readers[0].outputs[0]) if limits is not None and readers[0].outputs else None
    if limits is None or after is None:
        return None
    if limits in ACTIVATIONS:
        return Destiny(after, ACTIVATIONS[limits], readers[0])
    ends = np.iinfo(after.dtype.numpy)
    low, high = (np.rint(v / after.quant.s) + after.quant.z for v in limits)
    return Destiny(after, "none", readers[0]) if low <= ends.min and high >= ends.max else None


def of_input(importer: Importer, name: str, kind: str) -> QuantParams:
    """Quantization of an input that is integers in the file: that of the DequantizeLinear behind it, if any."""
    for node in importer.readers.get(name, []):
        if node.kind == "DequantizeLinear" and node.inputs[0] == name:
            scale, zero = _constant(importer, node, 1), _constant(importer, node, 2)
            if scale is not None:
                return parameters(node, scale, zero, None)[0]
    return QuantParams.per_tensor(1.0, -STORED[kind][0])


def quantized(c: Constant) -> Constant:
    """A constant operand of an integer node: as it is, or rounded to int8 by its largest value."""
    if c.quant is not None and c.quant.axis is None:
        return c
    real = np.asarray(c.real, np.float32)
    scale = float(np.abs(real).max(initial=0.0)) / 127 or 1.0
    return Constant(np.clip(np.rint(real / np.float32(scale)), -127, 127).astype(np.int8), QuantParams.per_tensor(scale))


# QLinear operators

Expansion = Callable[["_Writer", RawNode], None]


class _Writer:
    """Collects the nodes that stand for one."""

    def __init__(self, raw: RawModel, node: RawNode) -> None:
        self.raw, self.node, self.made = raw, node, list[RawNode]()

    def add(self, op: str, inputs: list[str], result: str, **attrs: object) -> str:
        named = op == self.node.op or op not in ("DequantizeLinear", "QuantizeLinear")
        self.made.append(RawNode(self.node.index, op, "", self.node.name if named else "", inputs, [result], dict(attrs)))
        return result

    def real(self, i: int, axis: int = 0) -> str:
        """Operands i, i + 1, i + 2 dequantized."""
        return self.add("DequantizeLinear", self.node.inputs[i : i + 3], f"{self.node.outputs[0]}//{i}", axis=axis)

    def result(self, op: str, inputs: list[str], scale: int, **attrs: object) -> None:
        """The operator itself, quantized by operands scale, scale + 1."""
        y = self.node.outputs[0]
        kept = {**self.node.attrs, **attrs}
        self.add(op, inputs, f"{y}//real", **kept)
        self.add("QuantizeLinear", [f"{y}//real", *self.node.inputs[scale : scale + 2]], y)


def _need(node: RawNode, least: int) -> None:
    if len(node.inputs) < least or not node.outputs:
        raise ModelError(f"{node.where} has {len(node.inputs)} operands, {least} are needed. The file is damaged: export it again.")


def _bias(w: _Writer, node: RawNode, i: int, first: int, second: int) -> str:
    """Operand i, int32 in units of the product of the scales that are operands `first` and `second`, dequantized."""
    xs, ws = w.raw.constants.get(node.inputs[first]), w.raw.constants.get(node.inputs[second])
    if xs is None or ws is None:
        raise UnsupportedOperator(f"{node.where}: its scales are computed by the model; kilograd needs constants here.")
    scale, zero = f"{node.outputs[0]}//bias scale", f"{node.outputs[0]}//bias zero"
    w.raw.constants[scale] = np.asarray(np.float64(xs.reshape(())) * ws.astype(np.float64), np.float32)
    w.raw.constants[zero] = np.zeros(w.raw.constants[scale].shape, np.int32)
    return w.add("DequantizeLinear", [node.inputs[i], scale, zero], f"{node.outputs[0]}//{i}", axis=0)


def _conv(w: _Writer, node: RawNode) -> None:
    _need(node, 8)
    bias = [_bias(w, node, 8, 1, 4)] if len(node.inputs) > 8 and node.inputs[8] else []
    w.result("Conv", [w.real(0), w.real(3), *bias], 6)


def _gemm(w: _Writer, node: RawNode) -> None:
    _need(node, 9)
    if float(node.attrs.get("alpha", 1.0)) != 1.0:
        raise UnsupportedOperator(f"{node.where} has alpha {node.attrs['alpha']}; kilograd runs it with alpha 1. Export it so.")
    bias = [_bias(w, node, 6, 1, 4)] if node.inputs[6] else []
    w.result("Gemm", [w.real(0), w.real(3, axis=0 if node.attrs.get("transB", 0) else 1), *bias], 7)


def _pair(op: str) -> Expansion:
    def write(w: _Writer, node: RawNode) -> None:
        _need(node, 8)
        w.result(op, [w.real(0), w.real(3, axis=1)], 6)

    return write


def _single(op: str) -> Expansion:
    def write(w: _Writer, node: RawNode) -> None:
        _need(node, 5)
        w.result(op, [w.real(0)], 3)

    return write


def _pool(op: str) -> Expansion:
    def write(w: _Writer, node: RawNode) -> None:
        if int(node.attrs.pop("channels_last", 0)):
            raise UnsupportedOperator(f"{node.where} has the attribute channels_last; kilograd reads channels in front. Export it so.")
        _single(op)(w, node)

    return write


def _concat(w: _Writer, node: RawNode) -> None:
    _need(node, 5)
    w.result("Concat", [w.real(i) for i in range(2, len(node.inputs) - 2, 3)], 0)


EXPANSIONS: dict[str, Expansion] = {
    "QLinearConv": _conv,
    "QLinearMatMul": _pair("MatMul"),
    "com.microsoft.QGemm": _gemm,
    "com.microsoft.QLinearSoftmax": _single("Softmax"),
    "com.microsoft.QLinearAdd": _pair("Add"),
    "com.microsoft.QLinearMul": _pair("Mul"),
    "com.microsoft.QLinearConcat": _concat,
    "com.microsoft.QLinearSigmoid": _single("Sigmoid"),
    "com.microsoft.QLinearLeakyRelu": _single("LeakyRelu"),
    "com.microsoft.QLinearGlobalAveragePool": _pool("GlobalAveragePool"),
    "com.microsoft.QLinearAveragePool": _pool("AveragePool"),
}


def expand(raw: RawModel) -> list[RawNode]:
    """The nodes of a model, QLinear operators written out."""
    nodes: list[RawNode] = []
    for node in raw.nodes:
        if node.domain == "com.microsoft" and node.op in ("QuantizeLinear", "DequantizeLinear", "Gelu"):
            node.domain = ""  # the same operators
        if node.kind in EXPANSIONS:
            writer = _Writer(raw, node)
            EXPANSIONS[node.kind](writer, node)
            nodes += writer.made
        else:
            nodes.append(node)
    return nodes

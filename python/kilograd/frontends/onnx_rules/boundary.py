"""QuantizeLinear and DequantizeLinear: mostly they make no node, but say what the tensors beside them are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends import onnx_quant
from kilograd.frontends.onnx_file import RawNode
from kilograd.frontends.onnx_rules.rule import Rule
from kilograd.frontends.onnx_value import Constant, Operand, Value
from kilograd.ir.graph import DType

if TYPE_CHECKING:
    from kilograd.frontends.onnx import Importer


def quantize(b: Importer, node: RawNode) -> Operand:
    """QuantizeLinear: a conversion only where the operand is not in these integers already."""
    v = b.value(node, 0)
    grid = onnx_quant.grid(b, node)
    if grid is None:
        zero = b.constant(node, 2, "zero point").data if b.has(node, 2) else None
        onnx_quant.parameters(node, b.constant(node, 1, "scale").data, zero, None)
        raise UnsupportedOperator(f"{node.where} quantizes in a form that kilograd does not run; one scale and int8 or uint8 are needed.")
    if isinstance(v, Constant):
        limits = np.iinfo(grid.dtype.numpy)
        q = np.rint(np.asarray(v.real, np.float64) / grid.quant.s) + grid.quant.z
        shift = 128 if grid.unsigned else 0
        return Constant((np.clip(q, limits.min, limits.max) + shift).astype(np.uint8 if grid.unsigned else grid.dtype.numpy))
    t = b.type_of(v)
    if v.raw:
        raise UnsupportedOperator(f"{node.where} quantizes what is quantized already. The file is damaged: export it again.")
    if t.dtype is DType.FLOAT32:
        if grid.dtype is not DType.INT8:
            raise UnsupportedOperator(
                f"{node.where} quantizes float32 to {grid.dtype.value}; kilograd does int8 and uint8. Quantize it so."
            )
        name = b.append("quantize", [v.tensor], {}, b.fresh(node.outputs[0]), DType.INT8, grid.quant)
    else:
        name = b.rescaled(v.tensor, grid.quant, grid.dtype)
    if grid.unsigned:
        b.unsigned.add(name)
    return Value(name, v.atoms, v.axes, v.image, True)


def dequantize(b: Importer, node: RawNode) -> Operand:
    """DequantizeLinear: the integers stand for real numbers from here on."""
    v = b.value(node, 0)
    scale, zero = b.constant(node, 1, "scale").data, b.constant(node, 2, "zero point").data if b.has(node, 2) else None
    if isinstance(v, Constant):
        axis = int(node.attrs.get("axis", 1))
        kind = str(v.data.dtype)
        if kind not in (*onnx_quant.STORED, "int32") or v.quant is not None:
            raise UnsupportedOperator(f"{node.where}: its constant is {kind}; kilograd reads int8, uint8, int16 and int32. Quantize it so.")
        if zero is None:
            zero = np.zeros(scale.shape, v.data.dtype)
        along = b.axis(node, axis, v.data.ndim) if scale.size > 1 else None
        quant, _ = onnx_quant.parameters(node, scale, zero, along)
        if along is not None and v.shape[along] != scale.size:
            raise ModelError(
                f"{node.where} has {scale.size} scales for axis {along} of {list(v.shape)}. The file is damaged: export it again."
            )
        return Constant((v.data ^ 0x80).view(np.int8) if kind == "uint8" else v.data, quant)
    if not v.raw:
        raise UnsupportedOperator(f"{node.where} dequantizes real numbers. The file is damaged: export it again.")
    quant, kind = onnx_quant.parameters(node, scale, zero, None)
    t = b.type_of(v)
    if not t.q.same_as(quant):
        raise UnsupportedOperator(
            f"{node.where} reads '{node.inputs[0]}' in another quantization than it was written in. Quantize it again."
        )
    return Value(v.tensor, v.atoms, v.axes, v.image)


RULES: dict[str, Rule] = {
    "QuantizeLinear": Rule((2, 3), quantize),
    "DequantizeLinear": Rule((2, 3), dequantize),
}

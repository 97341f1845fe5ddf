"""Normalisations: of a batch, folded by the quantizer; of a layer, written out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.onnx_file import RawNode
from kilograd.frontends.onnx_rules.elementwise import PLAIN, combine
from kilograd.frontends.onnx_rules.linear import row_result, rows_of
from kilograd.frontends.onnx_rules.pooling import reduced
from kilograd.frontends.onnx_rules.rule import Rule
from kilograd.frontends.onnx_value import REAL, Constant, Operand, Value

if TYPE_CHECKING:
    from kilograd.frontends.onnx import Importer


def batch_normalization(b: Importer, node: RawNode) -> Value:
    """BatchNormalization with the statistics of training."""
    v = b.real(b.activation(node, 0))
    if int(node.attrs.get("training_mode", 0)):
        raise UnsupportedOperator(f"{node.where} is in training mode; export the model for inference (model.eval()).")
    rank = len(v.shape)
    parameters = [b.constant(node, i, "parameters") for i in range(1, 5)]
    if rank < 2 or any(p.shape != (v.shape[1],) for p in parameters):
        raise ModelError(f"{node.where} needs four parameters of shape [{v.shape[1] if rank > 1 else '?'}]. The file is damaged.")
    target = b.target(node, [v])
    tensor, order, rows = rows_of(b, v.transposed((0, *range(2, rank), 1)), target)
    stem = node.name or node.outputs[0]
    names = [
        b.add_constant(np.asarray(p.real, np.float32)[order], None, b.fresh(f"{stem}/{word}"))
        for p, word in zip(parameters, ("gamma", "beta", "mean", "variance"), strict=True)
    ]
    made = b.emit(node, "batch_norm", [tensor, *names], {"epsilon": float(node.attrs.get("epsilon", 1e-5))}, target)
    result = row_result(rows, made, v.shape[1]) if len(rows.axes[-1]) <= 1 else rows.with_tensor(made)
    back = result.transposed((0, rank - 1, *range(1, rank - 1)))
    return Value(back.tensor, back.atoms, back.axes, v.image)


def _normalized(b: Importer, node: RawNode, axes: list[int], scale: Constant, bias: Constant | None) -> list[Operand]:
    """(x - mean) * rsqrt(mean((x - mean)^2) + epsilon) * scale + bias, written out; with the mean and the factor."""
    v, name, epsilon = b.real(b.activation(node, 0)), node.outputs[0], float(node.attrs.get("epsilon", 1e-5))

    def step(op: str, x: Value, y: Value | Constant, part: str) -> Value:
        return combine(b, node, op, x, y, PLAIN, REAL, f"{name}/{part}" if part else "")

    mean = reduced(b, node, "mean", v, axes, True, REAL, f"{name}/mean")
    centred = step("sub", v, mean, "centred")
    spread = reduced(b, node, "mean", step("mul", centred, centred, "square"), axes, True, REAL, f"{name}/variance")
    shifted = step("add", spread, Constant(np.array(epsilon, np.float32)), "shifted")
    factor = shifted.with_tensor(b.emit(node, "rsqrt", [shifted.tensor], {}, REAL, f"{name}/factor"))
    normal = step("mul", centred, factor, "normal")
    if bias is None:
        return [step("mul", normal, scale, ""), mean, factor]
    return [step("add", step("mul", normal, scale, "scaled"), bias, ""), mean, factor]


def layer_normalization(b: Importer, node: RawNode) -> list[Operand]:
    """LayerNormalization over the last axes."""
    rank = len(b.activation(node, 0).shape)
    axes = list(range(b.axis(node, int(node.attrs.get("axis", -1)), rank), rank))
    return _normalized(b, node, axes, b.constant(node, 1, "scale"), b.constant(node, 2, "bias") if b.has(node, 2) else None)


def instance_normalization(b: Importer, node: RawNode) -> Operand:
    """InstanceNormalization: over the axes of the image, one scale and bias a channel."""
    shape = b.activation(node, 0).shape
    scale, bias = (b.constant(node, i, "parameters") for i in (1, 2))
    if len(shape) < 3 or scale.shape != shape[1:2] or bias.shape != shape[1:2]:
        raise ModelError(f"{node.where} needs two parameters a channel of {list(shape)}. The file is damaged: export it again.")
    each = (shape[1], *[1] * (len(shape) - 2))
    scale, bias = (Constant(np.asarray(c.real, np.float32).reshape(each)) for c in (scale, bias))
    return _normalized(b, node, list(range(2, len(shape))), scale, bias)[0]


RULES: dict[str, Rule] = {
    "BatchNormalization": Rule((5, 5), batch_normalization),
    "LayerNormalization": Rule((2, 3), layer_normalization),
    "InstanceNormalization": Rule((3, 3), instance_normalization),
}

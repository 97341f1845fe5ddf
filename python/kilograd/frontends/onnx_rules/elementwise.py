"""Operators on one or two values, element by element or along one axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends import onnx_quant
from kilograd.frontends.onnx_file import RawNode
from kilograd.frontends.onnx_rules.linear import row_result, rows_of
from kilograd.frontends.onnx_rules.rule import Handler, Rule
from kilograd.frontends.onnx_value import REAL, Constant, Operand, Target, Value, channels_last, stored
from kilograd.ir.graph import Array, DType, QuantParams, Shape
from kilograd.ops.base import operators

if TYPE_CHECKING:
    from kilograd.frontends.onnx import Importer


PLAIN: dict[str, Any] = {"activation": "none"}


def apply(b: Importer, node: RawNode, op: str, v: Value, attrs: dict[str, Any] | None = None, target: Target | None = None) -> Value:
    """An operator on each element of one value, however it is stored."""
    target = target or b.target(node, [v], op=op)
    v = b.real(v) if target.real else v
    return v.with_tensor(b.emit(node, op, [v.tensor], attrs or {}, target))


def unary(op: str, **defaults: float) -> Handler:
    """A handler of an operator on one value; `defaults` are its attributes."""

    def handler(b: Importer, node: RawNode) -> Value:
        return apply(b, node, op, b.activation(node, 0), {k: float(node.attrs.get(k, d)) for k, d in defaults.items()})

    return handler


def elu(b: Importer, node: RawNode) -> Value:
    """Elu with alpha 1."""
    if float(node.attrs.get("alpha", 1.0)) != 1.0:
        raise UnsupportedOperator(f"{node.where} has alpha {node.attrs['alpha']}; kilograd runs Elu with alpha 1. Train it so.")
    return apply(b, node, "elu", b.activation(node, 0))


def gelu(b: Importer, node: RawNode) -> Value:
    """Gelu, exact or by tanh."""
    return apply(b, node, "gelu", b.activation(node, 0), {"approximate": node.attrs.get("approximate", "none") == "tanh"})


def passed(b: Importer, node: RawNode) -> Operand:
    """Identity, Dropout outside of training."""
    if node.op == "Dropout" and b.has(node, 2) and any(b.numbers(node, 2, "training mode")):
        raise UnsupportedOperator(f"{node.where} is in training mode; export the model for inference (model.eval()).")
    return b.value(node, 0)


def cast(b: Importer, node: RawNode) -> Operand:
    """Cast of what is float32 to float32."""
    v = b.activation(node, 0)
    if int(node.attrs.get("to", 0)) != 1 or v.raw:
        raise UnsupportedOperator(f"{node.where} casts what the model computes to another type than float32. Remove it before export.")
    return v


def clip(b: Importer, node: RawNode) -> Value:
    """Clip: a rectifier where there is one with these limits, else the larger and the smaller with constants."""
    v, limits = b.activation(node, 0), onnx_quant.clamp(b, node)
    if limits is None:
        raise UnsupportedOperator(f"{node.where}: its limits are computed by the model; kilograd needs constants here.")
    names = {**onnx_quant.ACTIVATIONS, (0.0, 1.0): "relu_0_to_1"}
    if limits in names and names[limits] in operators():
        return apply(b, node, names[limits], v)
    for op, limit in zip(("maximum", "minimum"), limits, strict=True):
        if math.isfinite(limit) and abs(limit) < np.finfo(np.float32).max:
            v = constant_side(b, node, op, v, limit)
    return v


def constant_side(b: Importer, node: RawNode, op: str, v: Value, number: float, attrs: dict[str, Any] | None = None) -> Value:
    """V op number."""
    return combine(b, node, op, v, Constant(np.array(number, np.float32)), attrs or {}, b.target(node, [v]))


def hard_sigmoid(b: Importer, node: RawNode) -> Value:
    """HardSigmoid: clamp(alpha x + beta, 0, 1). In integers the sum has 1/255 as scale, so that it saturates at 0 and 1."""
    v = b.activation(node, 0)
    alpha, beta = (Constant(np.array(node.attrs.get(name, default), np.float32)) for name, default in (("alpha", 0.2), ("beta", 0.5)))
    target, t, name = b.target(node, [v]), b.type_of(v), node.outputs[0]
    if target.real or t.dtype is not DType.INT8 or float(alpha.data) <= 0:
        v = combine(b, node, "mul", b.real(v), alpha, PLAIN, REAL, f"{name}/mul")
        return apply(b, node, "relu_0_to_1", combine(b, node, "add", v, beta, PLAIN, REAL, f"{name}/add"), target=REAL)
    scaled = Target(False, QuantParams(t.q.scale * np.float32(alpha.data), t.q.zero_point), t.dtype)
    clamped = Target(False, QuantParams.per_tensor(1 / 255, -128), t.dtype)
    v = combine(b, node, "mul", v, alpha, PLAIN, scaled, f"{name}/mul")
    v = combine(b, node, "add", v, beta, PLAIN, clamped)
    assert target.quant is not None
    return v.with_tensor(b.rescaled(v.tensor, target.quant, target.dtype))


def against(c: Constant, v: Value, shape: Shape) -> Callable[[Array], Array]:
    """How a constant is laid out to be combined with the elements of `v`, whose tensor has that shape."""

    def arrange(data: Array) -> Array:
        data = data.reshape((1,) * (len(v.axes) - data.ndim) + data.shape)
        split, order = [], []
        for size, axis in zip(data.shape, v.axes, strict=True):
            split += [v.atoms[a] if size > 1 else 1 for a in axis]
            order += list(axis)
        parts = np.transpose(data.reshape(split), np.argsort(order))
        if all(d == 1 for d in parts.shape):
            return parts.reshape(())
        merged, at = [], 0  # atoms of one axis of the tensor are repeated together or not at all
        whole = list(parts.shape)
        for size in shape:
            run, n = [], 1
            while n < size:
                n *= v.atoms[at]
                run.append(at)
                at += 1
            if any(whole[a] > 1 for a in run):
                for a in run:
                    whole[a] = v.atoms[a]
            merged.append(math.prod(whole[a] for a in run))
        found: Array = np.broadcast_to(parts, whole).reshape(merged)
        return found

    return arrange


def combine(b: Importer, node: RawNode, op: str, x: Operand, y: Operand, attrs: dict[str, Any], target: Target, stem: str = "") -> Value:
    """An operator on two values, one of which may be a constant; either may be repeated along axes."""
    flipped = isinstance(x, Constant)
    v, other = (y, x) if flipped else (x, y)
    assert isinstance(v, Value)
    shape = np.broadcast_shapes(x.shape, y.shape)
    if isinstance(other, Value) and other.shape == shape and v.shape != shape:
        v, other, flipped = other, v, True
    v = b.real(v) if target.real else v
    if v.shape == shape and isinstance(other, Constant):
        tensor = b.arranged(v, v.natural() or range(len(v.axes)), target) if v.natural() else v.tensor
        place = v.with_tensor(tensor)
        added = b.declare(other, target, against(other, place, b.graph[tensor].shape))
    else:
        place, tensor, added = _side_by_side(b, v, other, shape, target)
    names = _alike(b, op, [added, tensor] if flipped else [tensor, added], target)
    return place.with_tensor(b.emit(node, op, names, attrs, target, stem))


def _alike(b: Importer, op: str, names: list[str], target: Target) -> list[str]:
    """Operands of operators that do not rescale, in the quantization of the result."""
    if target.real or target.quant is None or op not in ("maximum", "minimum"):
        return names
    return [b.rescaled(t, target.quant, target.dtype) if b.graph[t].data is None else b.requantized(t, target.quant) for t in names]


def _side_by_side(b: Importer, v: Value, other: Operand, shape: Shape, target: Target) -> tuple[Value, str, str]:
    """Two operands in one order of axes; the value that the result is stored like."""
    rank = len(shape)
    wide = v.regrouped((1,) * (rank - len(v.shape)) + v.shape)
    assert wide is not None  # axes of 1 are no atoms
    if isinstance(other, Value) and other.shape == v.shape and other.atoms == v.atoms and other.axes == v.axes:
        order = v.natural()
        if order is None:
            return v, v.tensor, b.view(b.real(other).tensor if target.real else other.tensor, b.graph[v.tensor].shape)
        return v, b.arranged(v, order, target), b.arranged(other, order, target)
    wide = wide if not v.image else Value(wide.tensor, wide.atoms, wide.axes, True)
    order = wide.natural() or tuple(range(rank))
    first = b.arranged(wide, order, target)
    if isinstance(other, Constant):
        other = Constant(other.real.reshape((1,) * (rank - other.data.ndim) + other.shape))
        second = b.arranged(other, order, target)
    else:
        widened = other.regrouped((1,) * (rank - len(other.shape)) + other.shape)
        assert widened is not None
        second = b.arranged(widened, order, target)
    return stored(first, [shape[a] for a in order], order, v.image and order == channels_last(rank)), first, second


def binary(op: str, fusable: bool) -> Handler:
    """A handler of an operator on two values (Max and Min: on any number)."""

    def handler(b: Importer, node: RawNode) -> Value:
        operands = [b.value(node, i) for i in range(len(node.inputs))]
        if sum(isinstance(v, Value) for v in operands) == 0:
            raise UnsupportedOperator(f"{node.where} computes from constants only. Fold them before export (onnxsim).")
        if any(v.raw for v in operands if isinstance(v, Value)):
            raise UnsupportedOperator(f"{node.where} computes with stored integers; kilograd needs DequantizeLinear in front of it.")
        operands = sorted(operands, key=lambda v: isinstance(v, Constant)) if len(operands) > 2 else operands
        target = b.target(node, operands, fusable=fusable)
        attrs = {"activation": target.activation} if fusable or op in ("sub", "div") else {}
        made: Operand = operands[0]
        for i, v in enumerate(operands[1:]):
            made = combine(b, node, op, made, v, attrs, target, "" if i == 0 else f"{node.outputs[0]}/{i}")
        assert isinstance(made, Value) or len(operands) == 1
        if isinstance(made, Constant):
            raise UnsupportedOperator(f"{node.where} computes from constants only. Fold them before export (onnxsim).")
        return made

    return handler


def power(b: Importer, node: RawNode) -> Value:
    """Pow with exponent 2 or 0.5."""
    exponent = b.scalar(node, 1, "exponent")
    op = {2.0: "square", 0.5: "sqrt"}.get(exponent)
    if op is None:
        raise UnsupportedOperator(
            f"{node.where} raises to the power {exponent}; kilograd runs 2 and 0.5. Write it as products before export."
        )
    return apply(b, node, op, b.activation(node, 0))


def reciprocal(b: Importer, node: RawNode) -> Value:
    """Reciprocal as a quotient."""
    v = b.activation(node, 0)
    return combine(b, node, "div", Constant(np.array(1, np.float32)), v, {"activation": "none"}, b.target(node, [v]))


def prelu(b: Importer, node: RawNode) -> Value:
    """PRelu: constant slopes, mostly one a channel."""
    v, slope = b.activation(node, 0), b.constant(node, 1, "slope")
    if np.broadcast_shapes(v.shape, slope.shape) != v.shape:
        raise ModelError(f"{node.where}: slopes {list(slope.shape)} do not fit {list(v.shape)}. Export it again.")
    if slope.data.size == 1:
        return apply(b, node, "leaky_relu", v, {"alpha": float(np.asarray(slope.real).reshape(-1)[0])})
    return combine(b, node, "prelu", v, slope, {}, b.target(node, [v]))


def softmax(op: str, attrs: dict[str, Any]) -> Handler:
    """A handler of Softmax and LogSoftmax along any axis."""

    def handler(b: Importer, node: RawNode) -> Value:
        v = b.activation(node, 0)
        rank = len(v.shape)
        axis = b.axis(node, int(node.attrs.get("axis", -1 if b.opset >= 13 else 1)), rank)
        if b.opset < 13 and math.prod(v.shape[axis:]) != v.shape[axis]:
            raise UnsupportedOperator(
                f"{node.where} normalizes over several axes (opset {b.opset}). Convert the model to opset 13 or later."
            )
        target = b.target(node, [v], op=op)
        moved = v.transposed((*(a for a in range(rank) if a != axis), axis))
        tensor, _, rows = rows_of(b, moved, target)
        made = b.emit(node, op, [tensor], attrs, target)
        result = row_result(rows, made, v.shape[axis]) if len(rows.axes[-1]) <= 1 else rows.with_tensor(made)
        back = result.transposed([*range(axis), rank - 1, *range(axis, rank - 1)])
        return Value(back.tensor, back.atoms, back.axes, v.image)

    return handler


RULES: dict[str, Rule] = {
    "Relu": Rule((1, 1), unary("relu")),
    "Sigmoid": Rule((1, 1), unary("logistic")),
    "Tanh": Rule((1, 1), unary("tanh")),
    "HardSwish": Rule((1, 1), unary("hard_swish")),
    "Elu": Rule((1, 1), elu),
    "LeakyRelu": Rule((1, 1), unary("leaky_relu", alpha=0.01)),
    "Abs": Rule((1, 1), unary("abs")),
    "Neg": Rule((1, 1), unary("neg")),
    "Exp": Rule((1, 1), unary("exp")),
    "Log": Rule((1, 1), unary("log")),
    "Sqrt": Rule((1, 1), unary("sqrt")),
    "Gelu": Rule((1, 1), gelu),
    "HardSigmoid": Rule((1, 1), hard_sigmoid),
    "Clip": Rule((1, 3), clip),
    "PRelu": Rule((2, 2), prelu),
    "Pow": Rule((2, 2), power),
    "Reciprocal": Rule((1, 1), reciprocal),
    "Identity": Rule((1, 1), passed),
    "Dropout": Rule((1, 3), passed),
    "Cast": Rule((1, 1), cast),
    "Add": Rule((2, 2), binary("add", True)),
    "Mul": Rule((2, 2), binary("mul", True)),
    "Sub": Rule((2, 2), binary("sub", True)),
    "Div": Rule((2, 2), binary("div", True)),
    "Max": Rule((1, 64), binary("maximum", False)),
    "Min": Rule((1, 64), binary("minimum", False)),
    "Sum": Rule((1, 64), binary("add", True)),
    "Softmax": Rule((1, 1), softmax("softmax", {"beta": 1.0})),
    "LogSoftmax": Rule((1, 1), softmax("log_softmax", {})),
}

"""Operators on one or two values, element by element or along one axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilograd.frontends.torch_rules.rule import Call, Handler

if TYPE_CHECKING:
    from kilograd.frontends.torch_import import Translator


def unary(op: str, **attrs: Any) -> Handler:
    """A function of one value."""
    return lambda t, call: t.record(call, op, [call.args[0]], dict(attrs))


def same(t: Translator, call: Call) -> Any:
    """What changes no number."""
    return call.args[0]


def dropout(t: Translator, call: Call) -> Any:
    """Dropout, which does nothing outside of training."""
    if bool(call.arg(2, "train", False)):
        raise call.refuse("is in training mode: call module.eval() first.")
    return call.args[0]


def converted(t: Translator, call: Call) -> Any:
    """A change of type; from float32 to float32 is none."""
    kind = str(call.options.get("dtype", "torch.float32"))
    if kind != "torch.float32":
        raise call.refuse(f"makes {kind} of what the model computes; kilograd computes in float32 until it quantizes. Remove the cast.")
    return call.args[0]


def clip(t: Translator, call: Call) -> str:
    """Limits below and above, either may be missing."""
    low, high = call.arg(1, "min"), call.arg(2, "max")
    if low is None and call.op.startswith("aten.hardtanh"):
        low, high = -1.0, 1.0 if high is None else high
    if t.is_value(low) or t.is_value(high):
        raise call.refuse("has limits that the model computes; kilograd needs constants here.")
    return t.record(call, "Clip", [call.args[0], *("" if v is None else t.number(v) for v in (low, high))])


def hardtanh(t: Translator, call: Call) -> str:
    """Limits with their defaults."""
    low, high = call.arg(1, "min_val", -1.0), call.arg(2, "max_val", 1.0)
    return t.record(call, "Clip", [call.args[0], t.number(low), t.number(high)])


def relu6(t: Translator, call: Call) -> str:
    """0 to 6."""
    return t.record(call, "Clip", [call.args[0], t.number(0.0), t.number(6.0)])


def leaky_relu(t: Translator, call: Call) -> str:
    """A slope below zero."""
    return t.record(call, "LeakyRelu", [call.args[0]], {"alpha": float(call.arg(1, "negative_slope", 0.01))})


def elu(t: Translator, call: Call) -> str:
    """exp(x) - 1 below zero."""
    alpha, scale, inner = (float(call.arg(i, n, 1)) for i, n in ((1, "alpha"), (2, "scale"), (3, "input_scale")))
    if (scale, inner) != (1.0, 1.0):
        raise call.refuse(f"has scale {scale} and input scale {inner}; kilograd runs ELU, not SELU. Use ELU or ReLU.")
    return t.record(call, "Elu", [call.args[0]], {"alpha": alpha})


def gelu(t: Translator, call: Call) -> str:
    """GELU, exact or by tanh."""
    return t.record(call, "Gelu", [call.args[0]], {"approximate": str(call.arg(1, "approximate", "none"))})


def silu(t: Translator, call: Call) -> str:
    """X * sigmoid(x)."""
    return t.record(call, "Mul", [call.args[0], t.record(call, "Sigmoid", [call.args[0]])])


def prelu(t: Translator, call: Call) -> str:
    """One slope, or one a channel (axis 1)."""
    slope, rank = call.args[1], len(t.shape(call.args[0]))
    if t.is_value(slope):
        raise call.refuse("has slopes that the model computes; kilograd needs constants here.")
    return t.record(call, "PRelu", [call.args[0], slope.reshape(-1, *[1] * max(rank - 2, 0)) if slope.numel() > 1 else slope.reshape(())])


def softmax(op: str) -> Handler:
    """Along one axis."""
    return lambda t, call: t.record(call, op, [call.args[0]], {"axis": int(call.arg(1, "dim", -1))})


def binary(op: str) -> Handler:
    """Two values, or a value and numbers; alpha multiplies the second."""

    def handler(t: Translator, call: Call) -> str:
        x, y = (v if t.is_value(v) else t.number(v) for v in call.args[:2])
        if call.op.startswith("aten.rsub"):
            x, y = y, x
        alpha = call.options.get("alpha", 1)
        if alpha != 1:
            y = y * alpha if not t.is_value(y) else t.record(call, "Mul", [y, t.number(alpha)])
        if call.options.get("rounding_mode") is not None:
            raise call.refuse(f"rounds ({call.options['rounding_mode']}), which kilograd does not run.")
        return t.record(call, op, [x, y])

    return handler


def power(t: Translator, call: Call) -> str:
    """A constant power."""
    exponent = call.args[1]
    if not isinstance(exponent, (int, float)) or exponent not in (1, 2, 3, 0.5):
        raise call.refuse(f"raises to {exponent}; kilograd runs the powers 1, 2, 3 and 0.5.")
    x = call.args[0]
    if exponent == 0.5:
        return t.record(call, "Sqrt", [x])
    y = x
    for _ in range(int(exponent) - 1):
        y = t.record(call, "Mul", [y, x])
    return str(y)


def rsqrt(t: Translator, call: Call) -> str:
    """1 / sqrt(x)."""
    return t.record(call, "Div", [t.number(1.0), t.record(call, "Sqrt", [call.args[0]])])


RULES: dict[str, Handler] = {
    f"aten.{name}": handler
    for names, handler in (
        (("relu.default",), unary("Relu")),
        (("relu6.default",), relu6),
        (("hardtanh.default",), hardtanh),
        (("clamp.default", "clamp_min.default"), clip),
        (("hardswish.default",), unary("HardSwish")),
        (("hardsigmoid.default",), unary("HardSigmoid", alpha=1 / 6, beta=0.5)),
        (("sigmoid.default",), unary("Sigmoid")),
        (("tanh.default",), unary("Tanh")),
        (("exp.default",), unary("Exp")),
        (("log.default",), unary("Log")),
        (("sqrt.default",), unary("Sqrt")),
        (("abs.default",), unary("Abs")),
        (("neg.default",), unary("Neg")),
        (("rsqrt.default",), rsqrt),
        (("pow.Tensor_Scalar",), power),
        (("leaky_relu.default",), leaky_relu),
        (("elu.default",), elu),
        (("gelu.default",), gelu),
        (("silu.default",), silu),
        (("prelu.default", "_prelu_kernel.default"), prelu),
        (("softmax.int", "_softmax.default"), softmax("Softmax")),
        (("log_softmax.int", "_log_softmax.default"), softmax("LogSoftmax")),
        (("add.Tensor", "add.Scalar"), binary("Add")),
        (("sub.Tensor", "sub.Scalar", "rsub.Scalar", "rsub.Tensor"), binary("Sub")),
        (("mul.Tensor", "mul.Scalar"), binary("Mul")),
        (("div.Tensor", "div.Scalar", "div.Tensor_mode"), binary("Div")),
        (("maximum.default",), binary("Max")),
        (("minimum.default",), binary("Min")),
        (("dropout.default", "dropout_.default"), dropout),
        (("clone.default", "contiguous.default", "detach.default", "alias.default", "lift_fresh_copy.default"), same),
        (("_to_copy.default", "to.dtype", "to.dtype_layout"), converted),
    )
    for name in names
}

"""Operators with weights: convolutions, fully connected layers, batch normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilograd.frontends.torch_rules.rule import Call, Handler, one_sample, pair

if TYPE_CHECKING:
    from kilograd.frontends.torch_import import Translator


def _images(t: Translator, call: Call, count: int) -> tuple[Any, bool]:
    """Operand 0 with a batch axis, and whether it had none."""
    x, shape = call.args[0], t.shape(call.args[0])
    if len(shape) == count + 1:
        return t.record(call, "Reshape", [x, t.integers([1, *shape])]), True
    one_sample(call, shape)
    return x, False


def _layer(t: Translator, call: Call, op: str, count: int, attrs: dict[str, Any]) -> str:
    x, alone = _images(t, call, count)
    operands = [x, call.args[1], *([call.args[2]] if len(call.args) > 2 and call.args[2] is not None else [])]
    y = t.record(call, op, operands, attrs, named=True)
    return t.record(call, "Reshape", [y, t.integers(call.shape)]) if alone else y


def convolution(count: int) -> Handler:
    """Convolution over `count` axes."""

    def handler(t: Translator, call: Call) -> str:
        stride, dilation = (pair(call, call.arg(i, n, 1), count, n) for i, n in ((3, "stride"), (5, "dilation")))
        padding = call.arg(4, "padding", 0)
        if isinstance(padding, str):
            kernel = t.shape(call.args[1])[2:]
            total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, kernel, strict=True)]
            pads = [n // 2 for n in total] + [n - n // 2 for n in total]
        else:
            pads = pair(call, padding, count, "padding") * 2
        attrs = {"strides": stride, "dilations": dilation, "pads": pads, "group": int(call.arg(6, "groups", 1))}
        return _layer(t, call, "Conv", count, attrs)

    return handler


def _transposed(t: Translator, call: Call, count: int, extra: Any, groups: Any, dilation: Any) -> str:
    attrs = {
        "strides": pair(call, call.arg(3, "stride", 1), count, "stride"),
        "pads": pair(call, call.arg(4, "padding", 0), count, "padding") * 2,
        "output_padding": pair(call, extra, count, "output_padding"),
        "dilations": pair(call, dilation, count, "dilation"),
        "group": int(groups),
    }
    return _layer(t, call, "ConvTranspose", count, attrs)


def transposed(count: int) -> Handler:
    """Transposed convolution over `count` axes."""

    def handler(t: Translator, call: Call) -> str:
        return _transposed(t, call, count, call.arg(5, "output_padding", 0), call.arg(6, "groups", 1), call.arg(7, "dilation", 1))

    return handler


def any_convolution(t: Translator, call: Call) -> str:
    """The one form to which all convolutions decompose."""
    count = len(t.shape(call.args[1])) - 2
    if bool(call.args[6]):
        return _transposed(t, call, count, call.args[7], call.args[8], call.args[5])
    args = [*call.args[:6], call.args[8]]
    return str(convolution(count)(t, Call(call.op, call.name, call.layer, args, {}, call.shapes)))


def linear(t: Translator, call: Call) -> str:
    """Fully connected; a matrix of rows in front and behind, whatever the rank."""
    x, w, bias = call.args[0], call.args[1], call.arg(2, "bias")
    shape = t.shape(x)
    if t.is_value(w):
        raise call.refuse("has weights that the model computes; kilograd needs constants here, or torch.matmul.")
    operands = [w, *([] if bias is None else [bias])]
    if len(shape) == 2:
        return t.record(call, "Gemm", [x, *operands], {"transB": 1}, named=True)
    rows = t.record(call, "Reshape", [x, t.integers([-1, shape[-1]])])
    y = t.record(call, "Gemm", [rows, *operands], {"transB": 1}, named=True)
    return t.record(call, "Reshape", [y, t.integers(call.shape)])


def addmm(t: Translator, call: Call) -> str:
    """Bias + x @ w."""
    attrs = {"alpha": float(call.options.get("alpha", 1)), "beta": float(call.options.get("beta", 1))}
    return t.record(call, "Gemm", [call.args[1], call.args[2], call.args[0]], attrs, named=True)


def matmul(t: Translator, call: Call) -> str:
    """Products of matrices."""
    return t.record(call, "MatMul", list(call.args[:2]), named=True)


def batch_norm(epsilon: int) -> Handler:
    """Batch normalization with the statistics of training; argument `epsilon` is where it stands."""

    def handler(t: Translator, call: Call) -> list[str]:
        x, gamma, beta, mean, variance = call.args[:5]
        if mean is None or variance is None or (call.op == "aten.batch_norm.default" and bool(call.args[5])):
            raise call.refuse("normalizes with the statistics of the batch. Call module.eval(), and keep track_running_stats.")
        size = mean.shape
        gamma = t.full(1.0, size) if gamma is None else gamma
        beta = t.full(0.0, size) if beta is None else beta
        attrs = {"epsilon": float(call.args[epsilon])}
        return [t.record(call, "BatchNormalization", [x, gamma, beta, mean, variance], attrs, named=True)]

    return handler


def plain_batch_norm(t: Translator, call: Call) -> Any:
    """The form with one result."""
    return batch_norm(7)(t, call)[0]


RULES: dict[str, Handler] = {
    "aten.conv1d.default": convolution(1),
    "aten.conv1d.padding": convolution(1),
    "aten.conv2d.default": convolution(2),
    "aten.conv2d.padding": convolution(2),
    "aten.conv_transpose1d.default": transposed(1),
    "aten.conv_transpose2d.input": transposed(2),
    "aten.convolution.default": any_convolution,
    "aten.linear.default": linear,
    "aten.addmm.default": addmm,
    "aten.mm.default": matmul,
    "aten.bmm.default": matmul,
    "aten.matmul.default": matmul,
    "aten.batch_norm.default": plain_batch_norm,
    "aten._native_batch_norm_legit_no_training.default": batch_norm(6),
}

"""One function an operator of TensorFlow Lite: its operands and options become operands and attributes of a kilograd node.

A handler gets the importer (which declares tensors and reads constants) and the operator as the file states it, and returns a `Converted`.
Which operator of the registry runs it is not decided here: `Operator.tflite` names the builtins that map to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.tflite_file import RawOperator

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer

ACTIVATIONS = {0: "none", 1: "relu", 2: "relu_n1_to_1", 3: "relu6"}
MAX_WINDOW = 1 << 15  # largest stride, dilation or filter that is accepted


@dataclass
class Converted:
    """Operand tensors by name ('' absent) and attributes of the node to be."""

    inputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)


Handler = Callable[["Importer", RawOperator], Converted]


@dataclass(frozen=True)
class Rule:
    """How a builtin is read: number of operands it may have, class of its options ('' when none are read), handler."""

    operands: tuple[int, int]
    options: str
    handler: Handler
    optional: bool = False  # options may be missing


def activation(op: RawOperator) -> str:
    """The fused activation; 'none' for operators stored without options."""
    if op.options is None:
        return "none"
    code = int(op.options.FusedActivationFunction())
    if code not in ACTIVATIONS:
        raise UnsupportedOperator(
            f"{op.where} has the fused activation {code}; kilograd runs {', '.join(ACTIVATIONS.values())}. "
            "Export the model with one of these."
        )
    return ACTIVATIONS[code]


def sizes(op: RawOperator, what: str, h: int, w: int) -> tuple[int, int]:
    """A pair of window sizes, each at least 1."""
    if not (1 <= h <= MAX_WINDOW and 1 <= w <= MAX_WINDOW):
        raise ModelError(f"{op.where} has {what} {h} x {w}; both must lie in 1 to {MAX_WINDOW}. The file is damaged: export it again.")
    return h, w


def padding(
    importer: Importer, op: RawOperator, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    """SAME or VALID as explicit pixels (top, bottom, left, right): SAME puts the odd pixel behind."""
    code = int(op.options.Padding())
    if code == 1:
        return (0, 0, 0, 0)
    if code != 0:
        raise ModelError(f"{op.where} has padding {code}; it must be 0 (SAME) or 1 (VALID). The file is damaged: export it again.")
    shape = importer.shape(op, 0, rank=4)
    result: list[int] = []
    for size, k, s, d in zip(shape[1:3], kernel, stride, dilation, strict=True):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        result += [total // 2, total - total // 2]
    return (result[0], result[1], result[2], result[3])


def _convolution(importer: Importer, op: RawOperator, channel_axis: int) -> Converted:
    o = op.options
    stride = sizes(op, "stride", o.StrideH(), o.StrideW())
    dilation = sizes(op, "dilation", o.DilationHFactor(), o.DilationWFactor())
    x, w = importer.activation(op, 0), importer.weights(op, 1, channel_axis, rank=4)
    kernel = sizes(op, "filter", *importer.shape(op, 1)[1:3])
    pads = padding(importer, op, kernel, stride, dilation)
    attrs: dict[str, Any] = {"stride": stride, "dilation": dilation, "padding": pads, "activation": activation(op)}
    if importer.unsigned(op, 0):
        attrs["legacy_scales"] = True  # the uint8 kernels multiply the scales in float32
    return Converted([x, w, importer.bias(op, 2, channels=importer.shape(op, 1)[channel_axis])], attrs)


def conv2d(importer: Importer, op: RawOperator) -> Converted:
    """CONV_2D: weights OHWI."""
    return _convolution(importer, op, 0)


def depthwise_conv2d(importer: Importer, op: RawOperator) -> Converted:
    """DEPTHWISE_CONV_2D: weights [1, h, w, channels * multiplier]."""
    return _convolution(importer, op, 3)


def fully_connected(importer: Importer, op: RawOperator) -> Converted:
    """FULLY_CONNECTED: weights [out, in]."""
    if op.options.WeightsFormat() != 0:
        raise UnsupportedOperator(f"{op.where} has shuffled weights; kilograd reads the default layout. Export without shuffling.")
    x, w = importer.activation(op, 0), importer.weights(op, 1, 0, rank=2, zero_point=True)
    attrs = {"activation": activation(op), "keep_num_dims": bool(op.options.KeepNumDims())}
    return Converted([x, w, importer.bias(op, 2, channels=importer.shape(op, 1)[0])], attrs)


def binary(importer: Importer, op: RawOperator) -> Converted:
    """ADD, MUL."""
    return Converted([importer.activation(op, 0), importer.activation(op, 1)], {"activation": activation(op)})


def pool(importer: Importer, op: RawOperator) -> Converted:
    """AVERAGE_POOL_2D, MAX_POOL_2D. The uint8 kernel rounds halves of the average up, the int8 one away from zero."""
    o = op.options
    stride = sizes(op, "stride", o.StrideH(), o.StrideW())
    window = sizes(op, "filter", o.FilterHeight(), o.FilterWidth())
    pads = padding(importer, op, window, stride, (1, 1))
    attrs: dict[str, Any] = {"filter": window, "stride": stride, "padding": pads, "activation": activation(op)}
    if op.name == "AVERAGE_POOL_2D":
        attrs["rounding"] = "half_up" if importer.unsigned(op, 0) else "half_away"
    return Converted([importer.activation(op, 0)], attrs)


def mean(importer: Importer, op: RawOperator) -> Converted:
    """MEAN over constant axes."""
    rank = len(importer.shape(op, 0))
    axes = tuple(sorted({importer.axis(op, a, rank) for a in importer.integers(op, 1)}))
    return Converted([importer.activation(op, 0)], {"axes": axes, "keep_dims": bool(op.options.KeepDims())})


def pad(importer: Importer, op: RawOperator) -> Converted:
    """PAD with the zero point."""
    rank = len(importer.shape(op, 0))
    flat = importer.integers(op, 1)
    if len(flat) != 2 * rank or any(not 0 <= v <= MAX_WINDOW for v in flat):
        raise ModelError(
            f"{op.where} pads by {flat[:16]}; for rank {rank} it needs {2 * rank} numbers from 0 to {MAX_WINDOW}. Export the model again."
        )
    return Converted([importer.activation(op, 0)], {"padding": [[flat[2 * i], flat[2 * i + 1]] for i in range(rank)]})


def reshape(importer: Importer, op: RawOperator) -> Converted:
    """RESHAPE to the static shape of its result; a shape operand must be constant and agree."""
    before, after = importer.shape(op, 0), importer.result_shape(op)
    if math.prod(before) != math.prod(after):
        raise ModelError(f"{op.where} turns shape {list(before)} into {list(after)}, which has another number of elements.")
    if len(op.inputs) > 1 and op.inputs[1] >= 0:
        wanted = importer.integers(op, 1)
        fits = len(wanted) == len(after) and all(a in (-1, b) for a, b in zip(wanted, after, strict=True))
        # A leading batch may be written as a size although the model was exported with a dynamic one, and the other way round.
        if not fits:
            raise ModelError(f"{op.where} asks for shape {wanted} and its result is declared {list(after)}. Export the model again.")
    return Converted([importer.activation(op, 0)], {"shape": after})


def transpose(importer: Importer, op: RawOperator) -> Converted:
    """TRANSPOSE by a constant permutation."""
    rank = len(importer.shape(op, 0))
    order = tuple(importer.axis(op, a, rank) for a in importer.integers(op, 1))
    if sorted(order) != list(range(rank)):
        raise ModelError(f"{op.where} permutes by {list(order)}, which is no permutation of {rank} axes. Export the model again.")
    return Converted([importer.activation(op, 0)], {"permutation": order})


def softmax(importer: Importer, op: RawOperator) -> Converted:
    """SOFTMAX over the last axis."""
    beta = float(op.options.Beta())
    if not (math.isfinite(beta) and 0 < beta <= 1e6):
        raise ModelError(f"{op.where} has beta {beta}; it must be positive. The file is damaged: export it again.")
    return Converted([importer.activation(op, 0)], {"beta": beta})


def concatenation(importer: Importer, op: RawOperator) -> Converted:
    """CONCATENATION along an axis counted from the front."""
    axis = importer.axis(op, int(op.options.Axis()), len(importer.shape(op, 0)))
    operands = [importer.activation(op, i) for i in range(len(op.inputs))]
    return Converted(operands, {"axis": axis, "activation": activation(op)})


def unary(importer: Importer, op: RawOperator) -> Converted:
    """LOGISTIC, RELU, RELU6."""
    return Converted([importer.activation(op, 0)])


def quantize(importer: Importer, op: RawOperator) -> Converted:
    """QUANTIZE: from float32, or from one quantization to another."""
    return Converted([importer.activation(op, 0, real=True)])


def dequantize(importer: Importer, op: RawOperator) -> Converted:
    """DEQUANTIZE: int8 to float32."""
    return Converted([importer.activation(op, 0)])


RULES: dict[str, Rule] = {
    "CONV_2D": Rule((2, 3), "Conv2DOptions", conv2d),
    "DEPTHWISE_CONV_2D": Rule((2, 3), "DepthwiseConv2DOptions", depthwise_conv2d),
    "FULLY_CONNECTED": Rule((2, 3), "FullyConnectedOptions", fully_connected),
    "ADD": Rule((2, 2), "AddOptions", binary, optional=True),
    "MUL": Rule((2, 2), "MulOptions", binary, optional=True),
    "AVERAGE_POOL_2D": Rule((1, 1), "Pool2DOptions", pool),
    "MAX_POOL_2D": Rule((1, 1), "Pool2DOptions", pool),
    "MEAN": Rule((2, 2), "ReducerOptions", mean),
    "PAD": Rule((2, 2), "", pad),
    "RESHAPE": Rule((1, 2), "ReshapeOptions", reshape, optional=True),
    "TRANSPOSE": Rule((2, 2), "", transpose),
    "SOFTMAX": Rule((1, 1), "SoftmaxOptions", softmax),
    "CONCATENATION": Rule((1, 64), "ConcatenationOptions", concatenation),
    "LOGISTIC": Rule((1, 1), "", unary),
    "RELU": Rule((1, 1), "", unary),
    "RELU6": Rule((1, 1), "", unary),
    "QUANTIZE": Rule((1, 1), "", quantize),
    "DEQUANTIZE": Rule((1, 1), "", dequantize),
}

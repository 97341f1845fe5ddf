"""Operators with weights: convolutions, fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import Converted, Rule, activation, padding, same_or_valid, sizes
from kilograd.ops.transpose_conv import padding as padding_behind

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer

BIAS_INT32 = 2  # TensorType.INT32, in the options of layers with int16 activations


def _bias(importer: Importer, op: RawOperator, i: int, channels: int, attrs: dict[str, Any]) -> str:
    """Operand i as bias; a layer without one says in its options whether sums of int16 activations have 32 bits."""
    name = importer.bias(op, i, channels)
    declared = getattr(op.options, "QuantizedBiasType", None)
    if not name and declared is not None and declared() == BIAS_INT32:
        attrs["narrow_sums"] = True
    return name


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
    return Converted([x, w, _bias(importer, op, 2, importer.shape(op, 1)[channel_axis], attrs)], attrs)


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
    return Converted([x, w, _bias(importer, op, 2, importer.shape(op, 1)[0], attrs)], attrs)


def transpose_conv(importer: Importer, op: RawOperator) -> Converted:
    """TRANSPOSE_CONV: operands are the shape of the result, weights OHWI, x, bias.

    The result has its declared, static shape. A constant shape operand must say the same; one that the model computes or is given can say
    nothing else, so it is not read, and an input of the model that only it reads is no input of the graph.
    """
    o = op.options
    stride = sizes(op, "stride", o.StrideH(), o.StrideW())
    declared = importer.result_shape(op)
    wanted = importer.pinned(op, 0)
    if len(declared) != 4 or (wanted is not None and (len(wanted) != 4 or wanted[1:] != list(declared[1:]))):
        raise ModelError(f"{op.where} asks for shape {wanted} and its result is declared {list(declared)}. Export the model again.")
    x, w = importer.activation(op, 2), importer.weights(op, 1, 0, rank=4)
    size, kernel, output = importer.shape(op, 2, rank=4)[1:3], sizes(op, "filter", *importer.shape(op, 1)[1:3]), declared[1:3]
    same = int(o.Padding()) == 0
    back = tuple((n + (s - 1 if same else s - k)) // s for n, k, s in zip(output, kernel, stride, strict=True))
    if back != size:
        raise ModelError(
            f"{op.where}: a result of {output[0]} x {output[1]} comes from {back[0]} x {back[1]} pixels with filter {list(kernel)}, stride "
            f"{list(stride)} and padding {'SAME' if same else 'VALID'}, the input has {size[0]} x {size[1]}. Export the model again."
        )
    pads: list[int] = []
    for i, total in enumerate(same_or_valid(op, output, kernel, stride, (1, 1))):
        pads += [total // 2, padding_behind(size[i], kernel[i], stride[i], 1, output[i], total // 2)]
    attrs: dict[str, Any] = {
        "stride": stride, "dilation": (1, 1), "padding": tuple(pads), "output": output, "transposed": True, "activation": activation(op)
    }  # fmt: skip
    if importer.unsigned(op, 2):
        attrs["legacy_scales"] = True
    return Converted([x, w, _bias(importer, op, 3, importer.shape(op, 1)[0], attrs)], attrs)


RULES: dict[str, Rule] = {
    "CONV_2D": Rule((2, 3), "Conv2DOptions", conv2d),
    "DEPTHWISE_CONV_2D": Rule((2, 3), "DepthwiseConv2DOptions", depthwise_conv2d),
    "TRANSPOSE_CONV": Rule((3, 4), "TransposeConvOptions", transpose_conv),
    "FULLY_CONNECTED": Rule((2, 3), "FullyConnectedOptions", fully_connected),
}

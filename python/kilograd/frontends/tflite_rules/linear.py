"""Operators with weights: convolutions, fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilograd.errors import UnsupportedOperator
from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import Converted, Rule, activation, padding, sizes

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer


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


RULES: dict[str, Rule] = {
    "CONV_2D": Rule((2, 3), "Conv2DOptions", conv2d),
    "DEPTHWISE_CONV_2D": Rule((2, 3), "DepthwiseConv2DOptions", depthwise_conv2d),
    "FULLY_CONNECTED": Rule((2, 3), "FullyConnectedOptions", fully_connected),
}

"""Models that PyTorch quantized (pt2e): pairs of quantize and dequantize around operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.frontends.torch_rules.rule import Call, Handler

if TYPE_CHECKING:
    from kilograd.frontends.torch_import import Translator

KINDS = {"torch.int8": np.int8, "torch.uint8": np.uint8, "torch.int16": np.int16, "torch.int32": np.int32}


def _kind(call: Call, low: Any, high: Any, dtype: Any) -> Any:
    kind = KINDS.get(str(dtype))
    if kind is None:
        raise call.refuse(f"quantizes to {dtype}; kilograd runs int8, uint8 and int16.")
    return kind


def _numbers(value: Any, kind: Any) -> Any:
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value, kind)


def quantize(t: Translator, call: Call) -> str:
    """Real numbers to integers."""
    x, scale, zero, low, high, dtype = call.args[:6]
    kind = _kind(call, low, high, dtype)
    limits = np.iinfo(kind)
    if (int(low), int(high)) != (limits.min, limits.max):
        raise call.refuse(f"clamps to {low}..{high}; kilograd uses all of {limits.min}..{limits.max}. Quantize activations to that range.")
    operands = [x, t.known(_numbers(scale, np.float32).reshape(())), t.known(_numbers(zero, kind).reshape(()))]
    return t.record(call, "QuantizeLinear", operands)


def dequantize(t: Translator, call: Call) -> str:
    """Integers to real numbers."""
    x, scale, zero, low, high, dtype = call.args[:6]
    kind = _kind(call, low, high, dtype)
    operands = [x, t.known(_numbers(scale, np.float32).reshape(())), t.known(_numbers(zero, kind).reshape(()))]
    return t.record(call, "DequantizeLinear", operands)


def dequantize_channels(t: Translator, call: Call) -> str:
    """Weights with one scale a channel."""
    x, scales, zeros, axis, low, high, dtype = call.args[:7]
    kind = _kind(call, low, high, dtype)
    zeros = np.zeros(scales.shape, kind) if zeros is None else _numbers(zeros, kind)
    return t.record(call, "DequantizeLinear", [x, t.known(_numbers(scales, np.float32)), t.known(zeros)], {"axis": int(axis)})


RULES: dict[str, Handler] = {
    "quantized_decomposed.quantize_per_tensor.default": quantize,
    "quantized_decomposed.quantize_per_tensor.tensor": quantize,
    "quantized_decomposed.dequantize_per_tensor.default": dequantize,
    "quantized_decomposed.dequantize_per_tensor.tensor": dequantize,
    "quantized_decomposed.dequantize_per_channel.default": dequantize_channels,
}

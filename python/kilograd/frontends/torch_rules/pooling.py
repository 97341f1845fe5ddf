"""Pooling and reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilograd.frontends.torch_rules.rule import Call, Handler, one_sample, pair

if TYPE_CHECKING:
    from kilograd.frontends.torch_import import Translator


def _window(t: Translator, call: Call, count: int) -> dict[str, Any]:
    """Kernel, stride (default: kernel) and padding, which stand at the same places in all pools."""
    one_sample(call, t.shape(call.args[0]))
    kernel = pair(call, call.args[1], count, "kernel")
    stride = pair(call, call.arg(2, "stride") or kernel, count, "stride")
    return {"kernel_shape": kernel, "strides": stride, "pads": pair(call, call.arg(3, "padding", 0), count, "padding") * 2}


def max_pool(count: int) -> Handler:
    """Largest of each window."""

    def handler(t: Translator, call: Call) -> str:
        attrs = _window(t, call, count)
        attrs |= {
            "dilations": pair(call, call.arg(4, "dilation", 1), count, "dilation"),
            "ceil_mode": int(bool(call.arg(5, "ceil_mode", False))),
        }
        return t.record(call, "MaxPool", [call.args[0]], attrs)

    return handler


def max_pool_with_indices(t: Translator, call: Call) -> list[str]:
    """The form whose second result, where the largest was, nobody may read."""
    return [max_pool(2)(t, call)]


def average_pool(count: int) -> Handler:
    """Mean of each window."""

    def handler(t: Translator, call: Call) -> str:
        if call.arg(6, "divisor_override") is not None:
            raise call.refuse("divides by another number than that of its pixels; remove divisor_override.")
        attrs = _window(t, call, count)
        attrs |= {
            "ceil_mode": int(bool(call.arg(4, "ceil_mode", False))),
            "count_include_pad": int(bool(call.arg(5, "count_include_pad", True))),
        }
        return t.record(call, "AveragePool", [call.args[0]], attrs)

    return handler


def adaptive(op: str, count: int) -> Handler:
    """A pool with a given size of its result: all, or equal windows."""

    def handler(t: Translator, call: Call) -> Any:
        size, wanted = t.shape(call.args[0])[-count:], call.shape[-count:]
        one_sample(call, t.shape(call.args[0]))
        if all(n == 1 for n in wanted):
            y = t.record(call, f"Global{op}", [call.args[0]])
        elif any(d % n for d, n in zip(size, wanted, strict=True)):
            raise call.refuse(f"pools {list(size)} to {list(wanted)} by windows of several sizes. Choose a size that divides {list(size)}.")
        else:
            each = [d // n for d, n in zip(size, wanted, strict=True)]
            y = t.record(call, op, [call.args[0]], {"kernel_shape": each, "strides": each})
        return [y] if op == "MaxPool" else y

    return handler


def mean(t: Translator, call: Call) -> str:
    """Mean over some axes, or over all."""
    axes, keep = call.arg(1, "dim"), bool(call.arg(2, "keepdim", False)) if len(call.args) > 1 else False
    rank = len(t.shape(call.args[0]))
    axes = list(range(rank)) if axes is None or axes == [] else [int(a) % rank for a in axes]
    return t.record(call, "ReduceMean", [call.args[0], t.integers(axes)], {"keepdims": int(keep)})


RULES: dict[str, Handler] = {
    "aten.max_pool1d.default": max_pool(1),
    "aten.max_pool2d.default": max_pool(2),
    "aten.max_pool2d_with_indices.default": max_pool_with_indices,
    "aten.avg_pool1d.default": average_pool(1),
    "aten.avg_pool2d.default": average_pool(2),
    "aten.adaptive_avg_pool1d.default": adaptive("AveragePool", 1),
    "aten.adaptive_avg_pool2d.default": adaptive("AveragePool", 2),
    "aten.adaptive_max_pool2d.default": adaptive("MaxPool", 2),
    "aten.mean.dim": mean,
    "aten.mean.default": mean,
}

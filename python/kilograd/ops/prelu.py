"""Parametric ReLU, int8: above zero x, below alpha x, own quantization of the result.

Operands: x, alpha (constant int8, one value for each element of the last axes of x; mostly one a channel). Results: y, clamp mask
(optional). Backward: prelu_grad with the saved operand; alpha does not learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Kind, Node
from kilograd.ops import fields, lut, support
from kilograd.ops.base import Blob, ExponentOf, KernelCall, Operand, Reference, RunState, TensorType, prod, register
from kilograd.ops.fixed_point import quantize_multiplier, requantize

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


@register
class Prelu(support.ElementwiseOperator):
    """x above zero, alpha x below."""

    name = "prelu"
    tflite = ("PRELU",)
    onnx = ("PRelu",)
    kernels = ("prelu_ref_s8",)
    clamps = True

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, alpha = (graph[t] for t in node.inputs)
        dtype = support.need_activations(graph, node, *node.inputs)
        if alpha.kind is not Kind.CONST:
            raise GraphError(f"prelu '{node.name}': alpha '{alpha.name}' must be a constant")
        period = alpha.shape[next((i for i, d in enumerate(alpha.shape) if d > 1), len(alpha.shape)) :]
        if len(period) > len(x.shape) or x.shape[len(x.shape) - len(period) :] != period:
            raise GraphError(
                f"prelu '{node.name}': alpha of shape {list(alpha.shape)} does not repeat along the first axes of {list(x.shape)}; give "
                "one value a channel, or one for each element of the last axes"
            )
        return support.with_mask(node, TensorType(x.shape, dtype, graph[node.outputs[0]].quant))

    @staticmethod
    def _factors(graph: Graph, node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
        """(multiplier, shift) above zero and below, as TensorFlow Lite has them."""
        x, alpha, y = (np.float32(graph[t].q.s) for t in (*node.inputs, node.outputs[0]))
        return quantize_multiplier(float(x / y)), quantize_multiplier(float(x * alpha / y))

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x, alpha = (np.asarray(v) for v in inputs)
        return [np.where(x < 0, x * alpha, x)]

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, alpha, y = (graph[t].q for t in (*node.inputs, node.outputs[0]))
        d, slope = np.asarray(inputs[0], np.int64) - x.z, np.asarray(inputs[1], np.int64) - alpha.z
        above, below = ((np.array(m), np.array(s)) for m, s in self._factors(graph, node))
        value = np.where(d < 0, requantize(d * slope, *below), requantize(d, *above)) + y.z
        return support.clamp_results(node, value, -128, 127)

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, alpha, y = (graph[t] for t in (*node.inputs, node.outputs[0]))
        above, below = self._factors(graph, node)
        return KernelCall(
            "prelu_ref_s8",
            {
                "x": Operand(x.name),
                "y": Operand(y.name),
                "alpha": Operand(alpha.name),
                "mask": fields.operand(support.mask_name(node)),
                "x_zero": x.q.z,
                "alpha_zero": alpha.q.z,
                "y_zero": y.q.z,
                "multiplier": above[0],
                "shift": above[1],
                "alpha_multiplier": below[0],
                "alpha_shift": below[1],
                "count": x.size,
                "period": prod(alpha.shape),
            },
        )

    def can_clamp(self, graph: Graph, node: Node) -> bool:
        return graph[node.inputs[0]].dtype is DType.INT8

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        x, alpha = (builder.graph[t] for t in node.inputs)
        if builder.wants(x.name):
            assert alpha.data is not None
            real = (alpha.data.astype(np.float64).reshape(-1) - alpha.q.z) * np.float64(alpha.q.s)
            slopes, unit = lut.slope_table(np.append(real, 1.0))
            gy = builder.error_of(node)
            gx = builder.new_error(x.name, node)
            attrs = {"slopes": slopes[:-1], "one": int(slopes[-1]), "unit": unit, "x_zero": x.q.z}
            builder.emit("prelu_grad", [gy, builder.saved(x.name, node)], [gx], attrs, node)


@register
class PreluGrad(support.GradientOperator):
    """Error of the input: operands gy, saved x; gx = gy * (x < x_zero ? slopes[i mod n] : one) * 2^unit.

    Attributes: slopes (int16 [n]), one, unit, x_zero.
    """

    name = "prelu_grad"
    kernels = ("prelu_grad_ref_s8",)

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, x = (np.asarray(v, np.int64).reshape(-1) for v in inputs)
        slopes = np.resize(np.asarray(node.attrs["slopes"], np.int64), x.size)
        acc = gy * np.where(x < node.attrs["x_zero"], slopes, node.attrs["one"])
        e = support.error_exponent(graph, state, node.inputs[0]) + node.attrs["unit"]
        return [support.put_error(graph, state, node.outputs[0], acc, e)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, x = node.inputs
        return KernelCall(
            "prelu_grad_ref_s8",
            {
                "gy": Operand(gy),
                "gy_exponent": ExponentOf(gy),
                "x": Operand(x),
                "slope": Blob(np.asarray(node.attrs["slopes"], np.int16)),
                **fields.error_out("gx", node.outputs[0]),
                "x_zero": node.attrs["x_zero"],
                "one": node.attrs["one"],
                "count": graph[gy].size,
                "period": len(node.attrs["slopes"]),
                "unit": node.attrs["unit"],
            },
        )

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        return [(0, 0)]

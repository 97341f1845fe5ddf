"""LSTM over a sequence, with the states that it keeps from call to call: int8 inputs and results, int16 gates and cells.

Operands: x [batch, steps, in] (or [steps, batch, in] when time_major), weights [4 units, in], bias [4 units], '' (no part of the weights is
live alone), recurrent weights [4 units, units], hidden state [batch, units] and cell state [batch, units] (both STATE). Rows of the
weights are the gates input, forget, cell, output, one after another, each with one scale. Results: y [.., units], and for the backward pass
the gates (int16 [.., 6 units]: i, f, tanh(z_c), o, c before the step, tanh(c) after it) and the hidden state before each step (int8
[.., units]). Attributes: time_major, cell_clip (0: none).

Bits as LiteRT's integer kernel without projection, peepholes, layer normalization and coupled gates: sums of gates have 12 fraction bits,
gates 15, the scale of the cell is a power of two.

Back-propagation goes through all steps of this call and ends at the states that the call found. lstm_grad gives the errors of the gates'
sums; gradients of weights, recurrent weights and x are those of 1x1 convolutions, with the steps as pixels. Saturation of sums and cells,
and the clamp of y, do not stop it: there the slopes of sigmoid and tanh are near 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Tensor
from kilograd.ops import fields, support
from kilograd.ops.base import (
    ExponentOf,
    FieldValue,
    KernelCall,
    Operand,
    Operator,
    Reference,
    RunState,
    Scratch,
    TensorType,
    prod,
    register,
)
from kilograd.ops.fixed_point import quantize_multiplier, requantize, rounding_shr, wrap32
from kilograd.ops.fully_connected import POINTWISE
from kilograd.ops.sigmoid16 import MAX, MIN, sigmoid16, tanh16, wrap16

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder

X, WEIGHTS, BIAS, RECURRENT, HIDDEN, CELL = 0, 1, 2, 4, 5, 6
GATES, SAVED = 4, 6
GATE_SCALE = np.float32(2.0**-12)  # of the sums
ONE, EXTRA, LIMIT, FOLD_BITS = 1 << 15, 16, 1 << 30, 14


def units_of(graph: Graph, node: Node) -> int:
    """Number of units."""
    return graph[node.inputs[RECURRENT]].shape[-1]


def gate_scales(tensor: Tensor) -> Array:
    """float32 [4]: the scale of each gate's rows."""
    return np.broadcast_to(tensor.q.scale, (tensor.shape[0],)).reshape(GATES, -1)[:, 0]


def by_steps(node: Node, value: Array) -> Array:
    """[steps, batch, ..] of [batch, steps, ..] or the other way round, as the node wants; for time-major nodes the value itself."""
    return value if node.attrs["time_major"] else np.swapaxes(value, 0, 1)


def cell_bits(graph: Graph, node: Node) -> int:
    """Integer bits of cells."""
    mantissa, exponent = np.frexp(graph[node.inputs[CELL]].q.s)
    bits = int(exponent) - 1 + 15
    if mantissa != 0.5 or not 0 <= bits <= 6:
        raise GraphError(
            f"lstm '{node.name}': the scale of the cell state is {graph[node.inputs[CELL]].q.s}; it must be 2^-15 to 2^-9, a power of two"
        )
    return bits


@register
class Lstm(Operator):
    """c = f c + i tanh(z_c), h = y = o tanh(c), step by step."""

    name = "lstm"
    tflite = ("UNIDIRECTIONAL_SEQUENCE_LSTM",)
    onnx = ("LSTM",)
    kernels = ("lstm_ref_s8",)
    whole_input = "each step needs those before it"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        x, w, r, hidden, cell = (graph[node.inputs[i]] for i in (X, WEIGHTS, RECURRENT, HIDDEN, CELL))
        dtype, where, units = support.activation_type(graph, node), f"lstm '{node.name}'", units_of(graph, node)
        if len(x.shape) != 3 or len(w.shape) != 2 or len(r.shape) != 2:
            raise GraphError(f"{where}: input {list(x.shape)}, weights {list(w.shape)} and recurrent weights {list(r.shape)}")
        batch, rows = x.shape[1 if node.attrs["time_major"] else 0], GATES * units
        if w.shape != (rows, x.shape[2]) or r.shape[0] != rows or graph[node.inputs[BIAS]].shape != (rows,):
            raise GraphError(
                f"{where}: input {list(x.shape)}, weights {list(w.shape)}, recurrent weights {list(r.shape)} and bias "
                f"{list(graph[node.inputs[BIAS]].shape)} do not fit"
            )
        for state in (hidden, cell):
            if state.kind is not Kind.STATE or state.name not in node.mutates or prod(state.shape) != batch * units:
                raise GraphError(
                    f"{where}: '{state.name}' {list(state.shape)} must be state of {batch * units} places that the node changes"
                )
        if dtype is not DType.FLOAT32:
            self._check_integers(graph, node)
        saved = [TensorType((*x.shape[:2], SAVED * units), DType.INT16), TensorType((*x.shape[:2], units), DType.INT8, hidden.quant)]
        return [TensorType((*x.shape[:2], units), dtype, graph[node.outputs[0]].quant), *saved][: len(node.outputs)]

    @staticmethod
    def _check_integers(graph: Graph, node: Node) -> None:
        where = f"lstm '{node.name}'"
        w, r, hidden, cell, y = (graph[t] for t in (*(node.inputs[i] for i in (WEIGHTS, RECURRENT, HIDDEN, CELL)), node.outputs[0]))
        if any(t.dtype is not DType.INT8 or t.q.zero_point.any() for t in (w, r)) or cell.dtype is not DType.INT16 or cell.q.z:
            raise GraphError(f"{where}: weights must be int8 and the cell state int16, with zero point 0")
        if hidden.dtype is not DType.INT8 or not support.same_quant(hidden, y):
            raise GraphError(f"{where}: hidden state and result must be int8 with the same quantization")
        if graph[node.inputs[BIAS]].dtype is not DType.INT32:
            raise GraphError(f"{where}: the bias must be int32")
        cell_bits(graph, node)

    @staticmethod
    def factors(graph: Graph, node: Node) -> tuple[list[tuple[int, int]], list[tuple[int, int]], tuple[int, int]]:
        """(multiplier, shift) of each gate's input and recurrent term, and of the result; LiteRT computes them in float32."""
        x, h = np.float32(graph[node.inputs[X]].q.s), np.float32(graph[node.inputs[HIDDEN]].q.s)
        inputs, recurrent = (gate_scales(graph[node.inputs[i]]) for i in (WEIGHTS, RECURRENT))
        hidden = np.float32(2.0**-15) / h * np.float32(2.0**-15)
        return (
            [quantize_multiplier(float(s * x / GATE_SCALE)) for s in inputs],
            [quantize_multiplier(float(s * h / GATE_SCALE)) for s in recurrent],
            quantize_multiplier(float(hidden)),
        )

    @staticmethod
    def clip(graph: Graph, node: Node) -> int:
        """The clamp of cells in their integers, 0 for none."""
        value = np.float32(node.attrs["cell_clip"])
        return int(np.clip(value / np.float32(graph[node.inputs[CELL]].q.s), -32768, 32767)) if value > 0 else 0

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [self._real_steps(graph, node, inputs)[0]]

    def real_step(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> list[Array]:
        y, h, c = self._real_steps(graph, node, inputs)
        for i, value in ((HIDDEN, h), (CELL, c)):
            state.tensors[node.inputs[i]] = value.reshape(graph[node.inputs[i]].shape)
        return [y]

    @staticmethod
    def _real_steps(graph: Graph, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, Array, Array]:
        """Results of all steps, and the states after the last."""
        x, w, b, r, h, c = (np.asarray(inputs[i]) for i in (X, WEIGHTS, BIAS, RECURRENT, HIDDEN, CELL))
        units, clip, found = units_of(graph, node), node.attrs["cell_clip"], []
        h, c = h.reshape(-1, units), c.reshape(-1, units)
        for step in by_steps(node, x):
            z = (step @ w.T + h @ r.T + b).reshape(-1, GATES, units)
            i, f, o = (1 / (1 + np.exp(-z[:, k])) for k in (0, 1, 3))
            c = f * c + i * np.tanh(z[:, 2])
            c = np.clip(c, -clip, clip) if clip > 0 else c
            h = o * np.tanh(c)
            found.append(h)
        return by_steps(node, np.stack(found)).astype(x.dtype), h, c

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        x, w, b, r, h, c = (np.asarray(inputs[i], np.int64) for i in (X, WEIGHTS, BIAS, RECURRENT, HIDDEN, CELL))
        units, bits, clip = units_of(graph, node), cell_bits(graph, node), self.clip(graph, node)
        fx, fr, (my, sy) = self.factors(graph, node)
        zero, h, c = graph[node.inputs[HIDDEN]].q.z, h.reshape(-1, units), c.reshape(-1, units)
        ys, gates, before = [], [], []

        def term(acc: Array, factors: list[tuple[int, int]]) -> Array:
            rows = acc.reshape(-1, GATES, units)
            m, s = (np.array([f[k] for f in factors])[:, None] for k in (0, 1))
            return requantize(rows, m, s)

        for step in by_steps(node, x) - graph[node.inputs[X]].q.z:
            z = np.clip(np.clip(term(wrap32(step @ w.T + b), fx), MIN, MAX) + term((h - zero) @ r.T, fr), MIN, MAX)
            i, f, g, o = sigmoid16(z[:, 0]), sigmoid16(z[:, 1]), tanh16(z[:, 2], 3), sigmoid16(z[:, 3])
            old = c
            c = rounding_shr(f * c, np.array(15)) + wrap16(rounding_shr(i * g, np.array(15 + bits)))
            c = np.clip(c, MIN, MAX)
            c = np.clip(c, -clip, clip) if clip > 0 else c
            t = tanh16(c, bits)
            before.append(h)
            h = np.clip(requantize(o * t, np.array(my), np.array(sy)) + zero, -128, 127)
            ys.append(h)
            gates.append(np.concatenate([i, f, g, o, old, t], axis=1))
        for k, value in ((HIDDEN, h), (CELL, c)):
            tensor = graph[node.inputs[k]]
            state.tensors[tensor.name] = value.astype(tensor.dtype.numpy).reshape(tensor.shape)
        results = ((ys, np.int8), (gates, np.int16), (before, np.int8))
        return [by_steps(node, np.stack(v)).astype(kind) for v, kind in results[: len(node.outputs)]]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        x, w, r, hidden, cell = (graph[node.inputs[i]] for i in (X, WEIGHTS, RECURRENT, HIDDEN, CELL))
        fx, fr, (my, sy) = self.factors(graph, node)
        steps, batch = x.shape[:2] if node.attrs["time_major"] else x.shape[1::-1]
        per_gate: dict[str, FieldValue] = {}
        for name, factors in (("x", fx), ("r", fr)):
            per_gate |= {f"{name}_multiplier[{k}]": f[0] for k, f in enumerate(factors)}
            per_gate |= {f"{name}_shift[{k}]": f[1] for k, f in enumerate(factors)}
        gates, before = (*node.outputs[1:], "", "")[:2]
        return KernelCall(
            "lstm_ref_s8",
            {
                "x": Operand(x.name),
                "y": Operand(node.outputs[0]),
                "w": Operand(w.name),
                "r": Operand(r.name),
                "bias": Operand(node.inputs[BIAS]),
                "hidden": Operand(hidden.name),
                "cell": Operand(cell.name),
                "gates": fields.operand(gates),
                "before": fields.operand(before),
                "batch": batch,
                "steps": steps,
                "in": x.shape[2],
                "units": units_of(graph, node),
                "time_major": int(node.attrs["time_major"]),
                **per_gate,
                "y_multiplier": my,
                "y_shift": sy,
                "x_zero": x.q.z,
                "y_zero": hidden.q.z,
                "cell_bits": cell_bits(graph, node),
                "cell_clip": self.clip(graph, node),
            },
        )

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        graph, gy = builder.graph, builder.error_of(node)
        x, w, r, hidden = (graph[node.inputs[i]] for i in (X, WEIGHTS, RECURRENT, HIDDEN))
        if len(node.outputs) < 3:
            y = node.outputs[0]
            node.outputs = [y, graph.fresh(f"{y}.gates"), graph.fresh(f"{y}.before")]
            graph.add(Tensor(node.outputs[1], (*x.shape[:2], SAVED * units_of(graph, node)), DType.INT16))
            graph.add(Tensor(node.outputs[2], graph[y].shape, DType.INT8, quant=hidden.quant))
        gz = builder.inner_error(f"{node.outputs[0]}.sums", (*x.shape[:2], w.shape[0]))
        attrs = {"time_major": node.attrs["time_major"], "cell_bits": cell_bits(graph, node)}
        builder.emit("lstm_grad", [gy, node.outputs[1], r.name], [gz], attrs, node)
        if builder.wants(x.name):
            builder.emit("conv2d_grad_input", [gz, w.name, ""], [builder.new_error(x.name, node)], dict(POINTWISE), node)
        for weights, seen, quant in ((w, x.name, x.q), (r, node.outputs[2], hidden.q)):
            if weights.kind is Kind.STATE:
                scales, u = weights.q.scale.astype(np.float64), builder.update(weights.name)
                factor = builder.factor(quant.s / scales, scales, w.shape[0])
                step = {**POINTWISE, "factor": factor, "rounding": u.rounding, "x_zero": quant.z}
                inputs = [gz, seen, weights.name, u.fraction, u.pending, fields.TRAIN]
                builder.emit("conv2d_grad_weights", inputs, [], step, node, u.mutates)
        scales = np.broadcast_to(w.q.scale.astype(np.float64), (w.shape[0],))
        builder.bias_gradient(gz, node.inputs[BIAS], x.q.s * scales, scales, node)

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.inputs[X]].shape[:2]) * (graph[node.inputs[WEIGHTS]].size + graph[node.inputs[RECURRENT]].size)


def _round_shr(v: Array, shift: int) -> Array:
    return (v + (1 << (shift - 1))) >> shift if shift > 0 else v


def _saturate(v: Array) -> Array:
    return np.clip(v, -LIMIT, LIMIT)


def _scaled(v: Array, factor: Array, shift: int) -> Array:
    return _saturate(_round_shr(v * factor, shift))


@register
class LstmGrad(support.GradientOperator):
    """Errors of the gates' sums, from the last step to the first: operands gy, gates (of the forward pass), recurrent weights.

    Attributes: time_major, cell_bits. Inside, a gradient has 16 bits more than gy and saturates at 2^30.
    """

    name = "lstm_grad"
    kernels = ("lstm_grad_ref_s16",)

    @staticmethod
    def _fold(graph: Graph, node: Node) -> tuple[Array, int]:
        fold, exponent, _ = fields.fold_scales(gate_scales(graph[node.inputs[2]]), 1)
        if not 0 <= exponent <= 128:
            raise GraphError(f"lstm_grad '{node.name}': recurrent weights with a scale of 2^14 or more, or below 2^-114, cannot be folded")
        return fold, exponent

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        gy, saved, r = (np.asarray(v, np.int64) for v in inputs)
        units, bits = r.shape[1], node.attrs["cell_bits"]
        fold, exponent = self._fold(graph, node)
        weights = r.reshape(GATES, units, units)
        errors, gates = by_steps(node, gy), by_steps(node, saved).reshape(*by_steps(node, gy).shape[:2], SAVED, units)
        dh = dc = np.zeros(errors.shape[1:], np.int64)
        found = []
        for error, (i, f, g, o, old, t) in zip(errors[::-1], np.moveaxis(gates, 2, 1)[::-1], strict=True):
            d = _saturate(error * (1 << EXTRA) + dh)
            slope_i, slope_f, slope_o = (_round_shr(p * (ONE - p), 15) for p in (i, f, o))
            slope_t, slope_g = (ONE - _round_shr(p * p, 15) for p in (t, g))
            c = _saturate(dc + _scaled(_scaled(d, o, 15), slope_t, 15))
            dz = [
                _scaled(_scaled(c, g, 15), slope_i, 15), _scaled(_scaled(c, old, 15 - bits), slope_f, 15),
                _scaled(_scaled(c, i, 15), slope_g, 15), _scaled(_scaled(d, t, 15), slope_o, 15),
            ]  # fmt: skip
            dc = _scaled(c, f, 15)
            folded = [_round_shr(v * s, FOLD_BITS) for v, s in zip(dz, fold, strict=True)]
            acc = sum(v @ m for v, m in zip(folded, weights, strict=True))
            shift = exponent - FOLD_BITS
            dh = _saturate(_round_shr(np.asarray(acc), shift) if shift >= 0 else np.clip(acc, -LIMIT, LIMIT) << -shift)
            found.append(np.concatenate(dz, axis=1))
        e = support.error_exponent(graph, state, node.inputs[0]) - EXTRA
        return [support.put_error(graph, state, node.outputs[0], by_steps(node, np.stack(found[::-1])), e)]

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        gy, gates, r = (graph[t] for t in node.inputs)
        fold, exponent = self._fold(graph, node)
        steps, batch = gy.shape[:2] if node.attrs["time_major"] else gy.shape[1::-1]
        return KernelCall(
            "lstm_grad_ref_s16",
            {
                "gy": Operand(gy.name),
                "gy_exponent": ExponentOf(gy.name),
                "gates": Operand(gates.name),
                "r": Operand(r.name),
                "scratch": Scratch(),
                **fields.error_out("gz", node.outputs[0]),
                "batch": batch,
                "steps": steps,
                "units": r.shape[1],
                "time_major": int(node.attrs["time_major"]),
                **{f"fold[{k}]": int(f) for k, f in enumerate(fold)},
                "fold_exponent": exponent,
                "cell_bits": node.attrs["cell_bits"],
            },
        )

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        return 4 * SAVED * graph[node.inputs[2]].shape[1]

    def macs(self, graph: Graph, node: Node) -> int:
        return prod(graph[node.inputs[0]].shape[:2]) * graph[node.inputs[2]].size

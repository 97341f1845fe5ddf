"""Building one node with random operands, for kernel tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Shape, Tensor
from kilograd.ops import operator
from kilograd.ops.fixed_point import TRAIN_STATE, exponent_initial


class Bench:
    """A graph under construction, the values of its operands, and a random generator."""

    def __init__(self, seed: int = 0) -> None:
        self.graph = Graph("test")
        self.rng = np.random.default_rng(seed)
        self.values: dict[str, Array] = {}

    def int8(self, name: str, shape: Shape, extreme: bool = False, **fields: Any) -> str:
        """A random int8 tensor; `extreme` draws from the ends of the range only."""
        data = self.rng.choice(np.array([-128, 127], np.int8), shape) if extreme else self.rng.integers(-128, 128, shape).astype(np.int8)
        return self.tensor(name, data, DType.INT8, **fields)

    def int16(self, name: str, shape: Shape, extreme: bool = False, scale: float = 0.001) -> str:
        """A random int16 activation; `extreme` draws from the ends of the range only."""
        ends = np.array([-(2**15), 2**15 - 1], np.int16)
        data = self.rng.choice(ends, shape) if extreme else self.rng.integers(-(2**15), 2**15, shape).astype(np.int16)
        return self.tensor(name, data, DType.INT16, quant=QuantParams.per_tensor(scale))

    def tensor(self, name: str, data: Array, dtype: DType, kind: Kind = Kind.ARENA, quant: QuantParams | None = None) -> str:
        """A tensor with a value."""
        self.graph.add(Tensor(name, data.shape, dtype, kind, quant, None if kind is Kind.ARENA else data))
        self.values[name] = data
        return name

    def weights(
        self, name: str, shape: Shape, axis: int, per_channel: bool = True, zero: int = 0, kind: Kind = Kind.CONST, **kw: Any
    ) -> str:
        """Random int8 weights with scales between 2^-9 and 2^-5."""
        count = shape[axis] if per_channel else 1
        scale = np.exp2(self.rng.uniform(-9, -5, count)).astype(np.float32)
        quant = QuantParams(scale, np.full(count, zero, np.int32), axis if per_channel else None)
        return self.int8(name, shape, kind=kind, quant=quant, **kw)

    def bias(self, name: str, channels: int, size: int = 5000, kind: Kind = Kind.CONST) -> str:
        """Random int32 biases in -size..size."""
        return self.tensor(name, self.rng.integers(-size, size + 1, channels).astype(np.int32), DType.INT32, kind)

    def error(self, name: str, shape: Shape, e: int = -20, given: bool = True, spread: int = 127) -> str:
        """An error tensor and its exponent state; `given` with a value of |q| <= spread, some zero."""
        self.graph.add(Tensor(f"{name}.exponent", (2,), DType.INT32, Kind.STATE, data=exponent_initial(e)))
        self.graph.add(Tensor(name, shape, DType.INT8, exponent=f"{name}.exponent"))
        if given:
            self.values[name] = (self.rng.integers(-spread, spread + 1, shape) * (self.rng.random(shape) < 0.8)).astype(np.int8)
        return name

    def train(self, seed: int = 7, step: int = 3, rate: float = 0.01) -> str:
        """The training state."""
        state = np.zeros(1, TRAIN_STATE)
        mantissa, exponent = np.frexp(rate)
        state["seed"], state["step"], state["apply"] = seed, step, 1
        state["lr_mantissa"], state["lr_exponent"] = int(mantissa * 2**15), int(exponent) - 15
        return self.tensor("train", state.view(np.int32), DType.INT32, Kind.STATE)

    def output(self, name: str, shape: Shape, scale: float = 0.05, zero: int = 3) -> str:
        """An int8 result."""
        self.graph.add(Tensor(name, shape, DType.INT8, quant=QuantParams.per_tensor(scale, zero)))
        return name

    def mask(self, name: str, shape: Shape) -> str:
        """A clamp mask."""
        self.graph.add(Tensor(name, shape, DType.BITS))
        return name

    def extra(self, storage: str, learned: str) -> tuple[str, str, tuple[str, ...]]:
        """Names of fraction and pending sum for a storage (w8, w8f8, pending), and what the update mutates."""
        shape = self.graph[learned].shape
        if storage == "w8f8":
            fraction = self.int8(f"{learned}.fraction", shape, kind=Kind.STATE)
            return fraction, "", (learned, fraction)
        if storage == "pending":
            data = self.rng.integers(-(2**31), 2**31, shape).astype(np.int32)
            pending = self.tensor(f"{learned}.pending", data, DType.INT32, Kind.STATE)
            return "", pending, (pending,)
        return "", "", (learned,)

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str], attrs: dict[str, Any], mutates: tuple[str, ...] = ()) -> Node:
        """Append a node after checking the declared results against what its operator infers."""
        node = Node(op, list(inputs), list(outputs), attrs, f"the_{op}", mutates=mutates)
        types = operator(op).infer(self.graph, node)
        assert [(t.shape, t.dtype) for t in types] == [(self.graph[o].shape, self.graph[o].dtype) for o in outputs]
        self.graph.nodes.append(node)
        return node


def activation_quant(scale: float = 0.04, zero: int = -5) -> QuantParams:
    """Quantization of an activation."""
    return QuantParams.per_tensor(scale, zero)

"""Checks the backward rule of an operator: integer gradients against central finite differences of the float operator.

`check_gradients` takes a graph with one forward node. It runs the node's backward rule with a small stand-in for the gradient builder,
evaluates the emitted nodes in NumPy, and compares, in real units,

- the error tensor of each operand in `wanted` (the sum of its contributions),
- the steps of each STATE operand: weights (16 fraction bits of a pending sum), int32 biases,

with differences of L = sum(g * clamp(forward(real operands))), where g is a random error of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Shape, Tensor
from kilograd.ops import fields, operator
from kilograd.ops.base import RunState
from kilograd.ops.fixed_point import BIAS_FRACTION, ROUND_NEAREST, TRAIN_STATE, WEIGHT_FRACTION, exponent_initial, exponent_view
from kilograd.train.autodiff import GradientBuilder

Real = dict[str, npt.NDArray[np.float64]]
Forward = Callable[[Real], npt.NDArray[np.float64]]

ERROR_EXPONENT = -12  # of the random error of the result
RATE_EXPONENT = 4  # learning rate 2^4: steps use many bits of the pending sums
STEP = 1e-3  # of the finite differences, in units of an operand's scale


@dataclass(frozen=True)
class PendingUpdate:
    """What a backward rule asks about a learned tensor; here steps are always collected in a pending sum."""

    fraction: str
    pending: str
    rounding: int
    mutates: tuple[str, ...]


@dataclass
class OneNodeBuilder:
    """The part of GradientBuilder that a backward rule sees, for a graph of one node whose error is already masked."""

    graph: Graph
    values: dict[str, Array]
    gy: str
    wanted: Sequence[str]
    nodes: list[Node] = field(default_factory=list)
    errors: dict[str, list[str]] = field(default_factory=dict)  # operand -> its contributions
    inner: list[str] = field(default_factory=list)  # errors between the nodes of the rule
    steps: dict[str, tuple[str, npt.NDArray[np.float64]]] = field(default_factory=dict)  # parameter -> pending sum, real size of one unit

    def error_of(self, node: Node) -> str:
        """The masked error of the result."""
        return self.gy

    def wants(self, tensor: str) -> bool:
        """Does the check ask for the gradient of this operand?"""
        return tensor in self.wanted

    def new_error(self, tensor: str, node: Node) -> str:
        """Declare a contribution to the error of `tensor`."""
        name = self.graph.fresh(f"d/{tensor}")
        self.graph.add(Tensor(f"{name}.exponent", (2,), DType.INT32, Kind.STATE, data=exponent_initial()))
        self.graph.add(Tensor(name, self.graph[tensor].shape, DType.INT8, exponent=f"{name}.exponent"))
        self.errors.setdefault(tensor, []).append(name)
        return name

    def inner_error(self, stem: str, shape: Shape) -> str:
        """Declare an error between nodes of the rule."""
        name = self.graph.fresh(f"d/{stem}")
        self.graph.add(Tensor(f"{name}.exponent", (2,), DType.INT32, Kind.STATE, data=exponent_initial()))
        self.graph.add(Tensor(name, shape, DType.INT8, exponent=f"{name}.exponent"))
        self.inner.append(name)
        return name

    def share_error(self, tensor: str, error: str, node: Node) -> None:
        """The error of the result is a contribution to `tensor`."""
        self.errors.setdefault(tensor, []).append(error)

    def saved(self, tensor: str, node: Node, channels: int | None = None) -> str:
        """What the forward pass keeps of a tensor."""
        if channels is None or channels == self.graph[tensor].shape[-1]:
            return tensor
        data = np.ascontiguousarray(self.values[tensor][..., :channels])
        name = self.graph.fresh(f"saved/{tensor}")
        self.graph.add(Tensor(name, data.shape, DType.INT8, quant=self.graph[tensor].quant))
        self.values[name] = data
        return name

    def update(self, parameter: str) -> PendingUpdate:
        """Collect the steps of `parameter`."""
        name = f"{parameter}.pending"
        self.graph.add(
            Tensor(name, self.graph[parameter].shape, DType.INT32, Kind.STATE, data=np.zeros(self.graph[parameter].shape, np.int32))
        )
        q = self.graph[parameter].quant
        if q is not None:
            shape = [1] * len(self.graph[parameter].shape)
            if q.axis is not None:
                shape[q.axis] = -1
            fraction = BIAS_FRACTION if self.graph[parameter].dtype is DType.INT16 else WEIGHT_FRACTION
            self.steps[parameter] = (name, q.scale.astype(np.float64).reshape(shape) * 2.0**-fraction)
        return PendingUpdate("", name, ROUND_NEAREST, (name,))

    def factor(self, real: npt.ArrayLike, weight_scales: npt.ArrayLike, channels: int) -> npt.NDArray[np.float64]:
        """No guard, no rounding."""
        return np.broadcast_to(np.asarray(real, np.float64), (channels,))

    def bias_gradient(self, gy: str, bias: str, bias_scales: npt.ArrayLike, weight_scales: npt.ArrayLike, node: Node) -> None:
        """Emit the update of a bias that learns."""
        if not bias or self.graph[bias].kind is not Kind.STATE:
            return
        channels = self.graph[bias].shape[0]
        scales = np.broadcast_to(np.asarray(bias_scales, np.float64), (channels,))
        u = self.update(bias)
        self.steps[bias] = (u.pending, scales * 2.0**-BIAS_FRACTION)
        attrs = {"factor": 1 / scales, "rounding": u.rounding, "limit": 2**30}
        self.emit("bias_grad", [gy, bias, u.pending, fields.TRAIN], [], attrs, node, u.mutates)

    def emit(
        self, op: str, inputs: list[str], outputs: list[str], attrs: dict[str, Any], forward_node: Node, mutates: tuple[str, ...] = ()
    ) -> None:
        """Append a node of the backward pass."""
        self.nodes.append(Node(op, inputs, outputs, attrs, f"{forward_node.name}/{op}", mutates=mutates))


def dequantize(tensor: Tensor, value: Array) -> npt.NDArray[np.float64]:
    """Real values of an integer tensor; without quantization parameters, the integers."""
    q = tensor.quant
    if q is None:
        return value.astype(np.float64)
    shape = [1] * value.ndim
    if q.axis is not None:
        shape[q.axis] = -1
    return (value.astype(np.float64) - q.zero_point.reshape(shape)) * q.scale.astype(np.float64).reshape(shape)


def difference(loss: Callable[[Real], float], real: Real, name: str, step: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Central differences of `loss` in every element of real[name]."""
    x = real[name]
    out = np.zeros(x.size)
    for i in range(x.size):
        h = float(np.broadcast_to(step, x.shape).reshape(-1)[i])
        flat = x.reshape(-1).copy()
        flat[i] += h
        up = loss({**real, name: flat.reshape(x.shape)})
        flat[i] -= 2 * h
        out[i] = (up - loss({**real, name: flat.reshape(x.shape)})) / (2 * h)
    return out.reshape(x.shape)


def random_error(graph: Graph, node: Node, raw: npt.NDArray[np.float64], rng: np.random.Generator) -> tuple[Array, tuple[float, float]]:
    """A random int8 error of the result, 0 where the result lies so close to a clamp that rounding decides; and the real clamp range."""
    y = graph[node.outputs[0]]
    if y.quant is None:  # a float result has no clamp
        return rng.integers(-127, 128, y.shape).astype(np.int8), (-np.inf, np.inf)
    lo, hi = (-128, 127) if "activation" not in node.attrs else fields.activation_range(graph, y.name, node.attrs["activation"])
    real_lo, real_hi = ((v - y.q.z) * y.q.s for v in (lo, hi))
    near = (np.abs(raw - real_lo) < 1.5 * y.q.s) | (np.abs(raw - real_hi) < 1.5 * y.q.s)
    gy = rng.integers(-127, 128, y.shape).astype(np.int8)
    return np.where(near.reshape(y.shape), 0, gy).astype(np.int8), (real_lo, real_hi)


def check_gradients(
    graph: Graph, node: Node, values: dict[str, Array], forward: Forward, wanted: Sequence[str], *, real: Real | None = None,
    tolerance: float = 0.02, seed: int = 0,
) -> None:  # fmt: skip
    """Raise AssertionError where an integer gradient is off by more than `tolerance` of the largest plus one unit of its int8 tensor.

    `values` holds the integer operands by name. `forward` maps real operands (dequantized; `real` overrides or adds some, for example a
    bias in its real unit) to the real result before clamping.
    """
    rng, y = np.random.default_rng(seed), graph[node.outputs[0]]
    reals = {t: dequantize(graph[t], values[t]) for t in node.reads()} | (real or {})
    gy, (lo, hi) = random_error(graph, node, forward(reals), rng)
    mask = forward_mask(graph, node, values)

    def loss(operands: Real) -> float:
        return float((gy.reshape(-1) * np.clip(forward(operands), lo, hi).reshape(-1)).sum() * 2.0**ERROR_EXPONENT)

    graph.add(Tensor("gy.exponent", (2,), DType.INT32, Kind.STATE, data=exponent_initial(ERROR_EXPONENT)))
    graph.add(Tensor("gy", y.shape, DType.INT8, exponent="gy.exponent"))
    train = np.zeros(1, TRAIN_STATE)
    train["step"], train["lr_mantissa"], train["lr_exponent"] = 1, 1 << 14, RATE_EXPONENT - 14
    graph.add(Tensor(fields.TRAIN, (12,), DType.INT32, Kind.STATE, data=train.view(np.int32)))
    values = {**values, "gy": (gy * mask).astype(np.int8)}
    builder = OneNodeBuilder(graph, values, "gy", wanted)
    operator(node.op).backward(cast(GradientBuilder, builder), node)
    values |= saved_results(graph, node, values)

    want = {}
    for name in [*wanted, *builder.steps]:
        unit = graph[name].q.scale.astype(np.float64).min() if graph[name].quant else float(np.abs(reals[name]).max() or 1.0)
        want[name] = difference(loss, reals, name, np.asarray(STEP * unit))
    for name, contributions in builder.errors.items():
        for error in contributions:
            if error != "gy":
                start = int(np.ceil(np.log2(max(float(np.abs(want[name]).max()), 1e-30) / 100)))
                graph.set(f"{error}.exponent", data=exponent_initial(start))
    settle(builder, values)
    state = run(builder, values)

    for name in wanted:
        assert builder.errors.get(name), f"the rule gives no gradient of '{name}'"
        parts = [
            (state[e].astype(np.float64), 2.0 ** int(exponent_view(state[str(graph[e].exponent)])["e"][0])) for e in builder.errors[name]
        ]
        compare(name, sum(q * unit for q, unit in parts), want[name], tolerance, sum(unit for _, unit in parts))
    for name, (pending, unit_of) in builder.steps.items():
        step = state[pending].astype(np.float64) * unit_of * 2.0**-RATE_EXPONENT
        compare(name, step, want[name], tolerance, 2 * unit_of * 2.0**-RATE_EXPONENT)


def forward_mask(graph: Graph, node: Node, values: dict[str, Array]) -> Array:
    """Clamp mask of the node's result, as int8 0 or 1; all 1 for an operator that cannot clamp."""
    y, op = graph[node.outputs[0]], operator(node.op)
    if not op.can_clamp(graph, node):
        return np.ones(y.shape, np.int8)
    masked = Node(node.op, node.inputs, [y.name, "mask"], node.attrs, node.name)
    inputs = [values[t] if t else None for t in node.inputs]
    packed = op.reference(graph, masked, inputs, RunState(dict(values)))[1]
    return np.unpackbits(packed, count=y.size, bitorder="little").astype(np.int8).reshape(y.shape)


def saved_results(graph: Graph, node: Node, values: dict[str, Array]) -> dict[str, Array]:
    """What the rule asked the forward node to keep for it, besides the result."""
    results = operator(node.op).reference(graph, node, [values[t] if t else None for t in node.inputs], RunState(dict(values)))
    return {name: value for name, value in list(zip(node.outputs, results, strict=True))[1:] if name and name not in values}


def run(builder: OneNodeBuilder, values: dict[str, Array]) -> dict[str, Array]:
    """Evaluate the emitted nodes; all tensors afterwards."""
    state = RunState({t.name: np.array(t.data, copy=True) for t in builder.graph.tensors.values() if t.data is not None})
    state.tensors.update({k: np.array(v, copy=True) for k, v in values.items()})
    for node in builder.nodes:
        inputs = [state.tensors[t] if t else None for t in node.inputs]
        results = operator(node.op).reference(builder.graph, node, inputs, state)
        state.tensors.update(zip(node.outputs, results, strict=True))
    return state.tensors


def settle(builder: OneNodeBuilder, values: dict[str, Array]) -> None:
    """Let the exponents of errors between the nodes find their size, as they do in the first steps of training."""
    for _ in range(40 if builder.inner else 0):
        state = run(builder, values)
        for error in builder.inner:
            exponent = f"{error}.exponent"
            following = int(exponent_view(state[exponent])["next"][0])
            builder.graph.set(exponent, data=exponent_initial(following))


def compare(name: str, got: Any, want: npt.NDArray[np.float64], tolerance: float, unit: Any) -> None:
    """|got - want| <= unit + tolerance * largest |want|, and the right direction."""
    assert np.abs(want).max() > 0, f"the gradient of '{name}' is zero everywhere: the check shows nothing"
    off = np.abs(np.asarray(got).reshape(want.shape) - want) - np.broadcast_to(unit, want.shape)
    limit = tolerance * np.abs(want).max()
    worst = np.unravel_index(int(np.argmax(off)), want.shape)
    assert off.max() <= limit, f"gradient of '{name}' at {worst}: integer {np.asarray(got).reshape(want.shape)[worst]}, float {want[worst]}"
    cosine = float((np.asarray(got).reshape(-1) * want.reshape(-1)).sum() / (np.linalg.norm(got) * np.linalg.norm(want)))
    assert cosine > 0.99, f"gradient of '{name}' points elsewhere: cosine {cosine}"

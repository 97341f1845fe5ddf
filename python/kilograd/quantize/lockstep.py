"""The float network and its quantized twin side by side, node by node on the same samples: corrects biases, measures noise.

The twin computes with the real numbers that its integers stand for. It differs from the integer kernels by the rounding of
multipliers alone, and runs many times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Node
from kilograd.ops import support
from kilograd.quantize.config import QuantizeConfig
from kilograd.quantize.groups import Groups
from kilograd.quantize.prepare import constant, set_constant, weighted
from kilograd.quantize.rounding import round_layer
from kilograd.quantize.runner import Promised, Runner
from kilograd.quantize.scheme import LayerIntegers, Params, constant_operands, fake_quantize

Values = dict[str, Array]


class Twin:
    """A float graph and the constants of its quantized twin."""

    def __init__(self, graph: Graph, groups: Groups, params: Params, config: QuantizeConfig) -> None:
        self.graph, self.groups, self.params, self.config = graph, groups, params, config
        self.runner = Runner(graph)
        self.layers: dict[int, Values] = {}

    def constants(self, index: int) -> Values:
        """Constants of one node after quantization."""
        if index not in self.layers:
            self.layers[index] = self._constants(self.graph.nodes[index])
        return self.layers[index]

    def _constants(self, node: Node) -> Values:
        found = {t: self.runner.constants[t] for t in node.reads() if t in self.runner.constants}
        if weighted(self.graph, node):
            integers = LayerIntegers(self.graph, node, self.params[node.inputs[0]], self.config)
            found[node.inputs[1]] = integers.real_weights()
            bias = integers.real_bias()
            if bias is not None:
                found[node.inputs[2]] = bias
        for name in constant_operands(self.graph, node):
            found[name] = fake_quantize(self.runner.constants[name], self.params[name])
        return found

    def quantized(self, name: str, value: Array) -> Array:
        """A value as its integers keep it."""
        return fake_quantize(value, self.params[name]) if self.graph[name].dtype is DType.FLOAT32 else value

    def operands(self, index: int, values: Values) -> Values:
        """The operands of a node as it sees them."""
        entered = {i: t for where, i in self.groups.requantize if where == index for t in [self.graph.nodes[index].inputs[i]]}
        if not entered:
            return values
        q = self.params[self.graph.nodes[index].outputs[0]]
        return {**values, **{t: fake_quantize(values[t], q) for t in entered.values()}}

    def step(self, index: int, values: Values) -> list[Array]:
        """Results of one node of the twin."""
        node = self.graph.nodes[index]
        results = self.runner.step(node, self.operands(index, values), self.constants(index))
        return [self.quantized(t, v) if t else v for t, v in zip(node.outputs, results, strict=False)]

    def feed(self, feeds: Values) -> Values:
        """Inputs as integers keep them."""
        return {name: self.quantized(name, value) for name, value in feeds.items()}


def store(node: Node, values: Values, results: list[Array]) -> None:
    """Keep results under their names."""
    values.update({t: v for t, v in zip(node.outputs, results, strict=False) if t})


def correct(graph: Graph, groups: Groups, params: Params, config: QuantizeConfig, feeds: Values, promised: Promised | None = None) -> Graph:
    """Weights rounded for what the layers see, and biases that make the mean of each channel what it is in the float network (Nagel 2019).

    With data, errors of the layers before are corrected too. With `promised` statistics (see Runner) each layer sees values that have
    these, and only its own error is corrected.
    """
    out = graph.copy()
    out.meta["rounded"] = {}
    if promised is not None:
        return _correct_alone(out, Twin(out, groups, params, config), feeds, promised)
    twin = Twin(out, groups, params, config)
    real, quantized = dict(feeds), twin.feed(feeds)
    for i, node in enumerate(out.nodes):
        if not weighted(out, node):
            store(node, real, twin.runner.step(node, real))
            store(node, quantized, twin.step(i, quantized))
        else:
            bare = replace(node, attrs={**node.attrs, "activation": "none"})
            _round(out, node, twin, twin.operands(i, quantized)[node.inputs[0]])
            want = twin.runner.step(bare, real)[0]
            got = twin.runner.step(bare, twin.operands(i, quantized), twin.constants(i))[0]
            axes = tuple(range(want.ndim - 1))
            shift = want.mean(axis=axes, dtype=np.float64) - got.mean(axis=axes, dtype=np.float64)
            shift = shift if config.bias_correction else np.zeros_like(shift)
            old = constant(out, node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(len(shift))
            store(node, real, [support.apply_activation(node, want)])
            set_constant(out, node, 2, old + shift, node.inputs[2] or f"{node.name}.bias")
            twin.runner.constants[node.inputs[2]] = np.asarray(out[node.inputs[2]].data)
            twin.layers.pop(i)
            store(node, quantized, twin.step(i, quantized))
        twin.runner.forget(i, real, quantized)
    out.drop_unused()
    return out


def _round(graph: Graph, node: Node, twin: Twin, x: Array) -> None:
    """Round the weights of a layer that sees x."""
    if twin.config.rounding == "nearest":
        return
    layer = LayerIntegers(graph, node, twin.params[node.inputs[0]], twin.config)
    graph.meta["rounded"][node.name] = (round_layer(graph, node, x, layer.scale, layer.weights), layer.scale)


def _correct_alone(out: Graph, twin: Twin, feeds: Values, promised: Promised) -> Graph:
    runner, real = Runner(out, promised=promised), dict(feeds)
    for i, node in enumerate(out.nodes):
        if weighted(out, node):
            bare, x = replace(node, attrs={**node.attrs, "activation": "none"}), node.inputs[0]
            _round(out, node, twin, twin.quantized(x, real[x]))
            want = twin.runner.step(bare, real)[0]
            got = twin.runner.step(bare, {x: twin.quantized(x, real[x])}, twin.constants(i))[0]
            axes = tuple(range(want.ndim - 1))
            shift = want.mean(axis=axes, dtype=np.float64) - got.mean(axis=axes, dtype=np.float64)
            shift = shift if twin.config.bias_correction else np.zeros_like(shift)
            old = constant(out, node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(len(shift))
        results = runner.step(node, real)
        if weighted(out, node):
            set_constant(out, node, 2, old + shift, node.inputs[2] or f"{node.name}.bias")
        store(node, real, results)
        runner.forget(i, real)
    out.drop_unused()
    return out


def compare(twin: Twin, original: Graph, feeds: Values, look: Callable[[Node, str, Array, Array, Array], None]) -> tuple[Values, Values]:
    """Run the twin and the float graph that it stands for, and give the outputs of both.

    `look` gets each node and real result: its value in the float network, in the twin, and in the twin on real operands.
    """
    graph, real, quantized = twin.graph, dict(feeds), twin.feed(feeds)
    floats = Runner(original)
    for i, node in enumerate(graph.nodes):
        alone = dict(real)
        for t in node.reads():
            if t in real:
                alone[t] = twin.quantized(t, real[t])
        local, want, got = twin.step(i, alone), floats.step(original.nodes[i], real), twin.step(i, quantized)
        for name, a, b, c in zip(node.outputs, want, got, local, strict=False):
            if name and graph[name].dtype is DType.FLOAT32:
                look(node, name, a, b, c)
        store(node, real, want)
        store(node, quantized, got)
        twin.runner.forget(i, real, quantized)
    return {t: real[t] for t in graph.outputs}, {t: quantized[t] for t in graph.outputs}

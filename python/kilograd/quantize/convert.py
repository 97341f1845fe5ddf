"""A float graph with a quantization for every value becomes a graph of integers, which can be compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from kilograd.errors import UnsupportedOperator
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Tensor
from kilograd.ir.passes import remove_dead_nodes
from kilograd.ir.verify import verify
from kilograd.ops.base import infer_outputs, operator
from kilograd.quantize.config import QuantizeConfig
from kilograd.quantize.groups import Groups
from kilograd.quantize.prepare import weighted
from kilograd.quantize.scheme import LayerIntegers, Params, constant_operands

#: meta of the float graph that stays: how inputs and outputs are stored, where constants came from and by what they were scaled
KEPT = ("layout", "torch", "equalized")


def to_integers(graph: Graph, groups: Groups, params: Params, config: QuantizeConfig) -> Graph:
    """The int8 graph: same names, same program, integers for real numbers."""
    return _Converter(graph, groups, params, config).run()


class _Converter:
    def __init__(self, graph: Graph, groups: Groups, params: Params, config: QuantizeConfig) -> None:
        self.float, self.groups, self.params, self.config = graph, groups, params, config
        kept = {k: v for k, v in graph.meta.items() if k in KEPT}
        self.out = Graph(graph.name, meta={**kept, "source": "quantizer"})
        self.names: dict[str, str] = {}  # of the integers that stand for a value of the float graph

    def run(self) -> Graph:
        for name in self.float.inputs:
            self._input(name)
        for i, node in enumerate(self.float.nodes):
            self._node(i, node)
        for name in self.float.outputs:
            self.out.outputs.append(self._output(name))
        graph = remove_dead_nodes(self.out)
        verify(graph, infer_outputs)
        return graph

    def _input(self, name: str) -> None:
        self.out.inputs.append(name)
        if self.float[name].dtype is not DType.FLOAT32:
            self._keep(name)
        elif self.config.io == "int8":
            self._value(name, name)
        else:
            self.out.add(self.float[name])
            inner = self._value(name, f"{name}.int8")
            self.out.nodes.append(Node("quantize", [name], [inner], {}, name=inner))

    def _output(self, name: str) -> str:
        if self.config.io == "int8" or self.float[name].dtype is not DType.FLOAT32:
            return self.names[name]
        self.out.nodes.append(Node("dequantize", [self.names[name]], [name], {}, name=f"{name}.float"))
        self.out.add(Tensor(name, self.float[name].shape, DType.FLOAT32))
        return name

    def _value(self, name: str, as_name: str) -> str:
        """Declare the int8 twin of a float value."""
        self.out.add(Tensor(as_name, self.float[name].shape, DType.INT8, Kind.ARENA, self.params[name]))
        self.names[name] = as_name
        return as_name

    def _keep(self, name: str) -> str:
        """A tensor that is no real number, as it is."""
        if name not in self.out.tensors:
            self.out.add(self.float[name])
        self.names[name] = name
        return name

    def _node(self, index: int, node: Node) -> None:
        op = operator(node.op)
        real = any(self.float[t].dtype is DType.FLOAT32 for t in (*node.reads(), *node.writes()))
        if real and "int8" not in op.types:
            raise UnsupportedOperator(f"layer '{node.name}' ({node.op}) has no int8 form, only {', '.join(op.types)}. Replace the layer.")
        if node.op == "lstm":
            self._lstm(node)
            return
        constants = set(constant_operands(self.float, node))
        inputs = self._layer(node) if weighted(self.float, node) else [self._operand(t, constants) for t in node.inputs]
        for where, i in sorted(self.groups.requantize):
            if where == index:
                inputs[i] = self._requantized(inputs[i], self.params[node.outputs[0]])
        outputs = [self._result(t) if t else "" for t in node.outputs]
        attrs: dict[str, Any] = dict(node.attrs)
        if "real_value" in attrs:
            q = self.params[node.outputs[0]]
            attrs["value"] = int(np.clip(np.rint(attrs.pop("real_value") / q.s) + q.z, -128, 127))
        self.out.nodes.append(Node(node.op, inputs, outputs, attrs, name=node.name, phase=node.phase))

    def _lstm(self, node: Node) -> None:
        """Weights by gate, 8 bits around 0; cells in 16 bits, whose power of two holds the clip, or 16 where there is none."""
        x, units = self.names[node.inputs[0]], self.float[node.inputs[4]].shape[-1]
        y = self._result(node.outputs[0])
        weights, scales = [], []
        for name in (node.inputs[1], node.inputs[4]):
            rows = np.asarray(self.float[name].data, np.float64).reshape(4, units, -1)
            scale = np.maximum(np.abs(rows).max(axis=(1, 2)) / 127, 1e-9).astype(np.float32)
            q = np.clip(np.rint(rows / scale[:, None, None]), -127, 127).astype(np.int8)
            per_row = QuantParams(np.repeat(scale, units), np.zeros(4 * units, np.int32), 0)
            weights.append(self._constant(name, q.reshape(4 * units, -1), per_row))
            scales.append(per_row.scale.astype(np.float64))
        bias = np.asarray(self.float[node.inputs[2]].data, np.float64) / (self.out[x].q.s * scales[0])
        b = self.out.fresh(node.inputs[2])
        self.out.add(Tensor(b, bias.shape, DType.INT32, Kind.CONST, None, np.clip(np.rint(bias), -(2**30), 2**30).astype(np.int32)))
        clip = float(node.attrs["cell_clip"]) or 16.0
        cell = QuantParams.per_tensor(2.0 ** int(np.clip(np.ceil(np.log2(clip / 32768)), -15, -9)))
        for name, dtype, q in ((node.inputs[5], DType.INT8, self.out[y].q), (node.inputs[6], DType.INT16, cell)):
            info, content = np.iinfo(dtype.numpy), np.asarray(self.float[name].data, np.float64) / q.s + q.z
            data = np.clip(np.rint(content), info.min, info.max).astype(dtype.numpy)
            self.out.add(Tensor(name, self.float[name].shape, dtype, Kind.STATE, q, data))
        inputs = [x, weights[0], b, "", weights[1], *node.inputs[5:7]]
        self.out.nodes.append(Node("lstm", inputs, [y], dict(node.attrs), node.name, node.phase, tuple(node.inputs[5:7])))

    def _result(self, name: str) -> str:
        if self.float[name].dtype is not DType.FLOAT32:
            return self._keep(name)
        return self._value(name, f"{name}.int8" if self.config.io == "float" and name in self.float.outputs else name)

    def _operand(self, name: str, constants: set[str]) -> str:
        if not name:
            return ""
        if name in constants:
            q = self.params[name]
            steps = np.rint(np.asarray(self.float[name].data, np.float64) / q.s) + q.z
            return self._constant(name, np.clip(steps, -128, 127).astype(np.int8), q)
        return self.names[name] if name in self.names else self._keep(name)

    def _layer(self, node: Node) -> list[str]:
        """Operands of a layer with weights."""
        integers = LayerIntegers(self.float, node, self.params[node.inputs[0]], self.config)
        zeros = np.zeros(integers.scale.shape, np.int32)
        w = self._constant(node.inputs[1], integers.weights, QuantParams(integers.scale, zeros, integers.axis))
        b = ""
        if integers.bias is not None:
            b = self._constant(node.inputs[2], integers.bias, QuantParams(integers.bias_scale, zeros, None if zeros.size == 1 else 0))
        return [self.names[node.inputs[0]], w, b, *node.inputs[3:]]

    def _constant(self, stem: str, data: Array, q: QuantParams) -> str:
        """A constant; one that is there already with the same content is shared."""
        known = self.out.tensors.get(stem)
        if known is not None and q.same_as(known.quant) and known.data is not None and np.array_equal(known.data, data):
            return stem
        name = self.out.fresh(stem)
        if q.axis is not None and q.scale.size == 1:
            q = QuantParams(q.scale, q.zero_point)
        self.out.add(Tensor(name, data.shape, DType(str(data.dtype)), Kind.CONST, q, data))
        return name

    def _requantized(self, name: str, q: QuantParams) -> str:
        """The value `name` under another quantization."""
        if q.same_as(self.out[name].quant):
            return name
        new = self.out.fresh(f"{name}.requantized")
        self.out.add(Tensor(new, self.out[name].shape, DType.INT8, Kind.ARENA, q))
        self.out.nodes.append(Node("quantize", [name], [new], {}, name=new))
        return new

"""Graphs as ONNX files with QuantizeLinear and DequantizeLinear around every operator (QDQ), which ONNX Runtime runs with integer kernels.

The file reads and gives real numbers (float32) in the shapes that the graph has (NHWC); inside, images are NCHW, as ONNX has them. Scales,
zero points, weights and biases are those of the graph. Results may differ from the graph's by one step here and there: ONNX multiplies by
float scales and rounds halves to even.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kilograd.errors import KilogradError, UnsupportedOperator
from kilograd.exports.onnx_forms import FORMS
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Tensor

OPSET = 13
IR_VERSION = 8
TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


def write_onnx(graph: Graph) -> bytes:
    """The bytes of an .onnx file."""
    return OnnxWriter(graph).run()


class OnnxWriter:
    """Collects nodes and initializers; the functions of onnx_forms.py call it for operands and say what to add."""

    def __init__(self, graph: Graph) -> None:
        try:
            import onnx
        except ImportError:
            raise KilogradError("writing .onnx files needs the package onnx: pip install 'kilograd[onnx]'") from None
        self.onnx, self.graph = onnx, graph
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.names: set[str] = set()
        #: (value of the graph, is it NCHW) to the name of its float form in the file
        self.values: dict[tuple[str, bool], str] = {}

    # For the forms

    def fresh(self, stem: str) -> str:
        """A name that is not taken yet."""
        name, i = stem, 0
        while name in self.names:
            i += 1
            name = f"{stem}.{i}"
        self.names.add(name)
        return name

    def add(self, op: str, inputs: list[str], stem: str, **attrs: Any) -> str:
        """Add an operator of ONNX, give the name of its result."""
        name = self.fresh(stem)
        self.nodes.append(self.onnx.helper.make_node(op, inputs, [name], name=name, **attrs))
        return name

    def constant(self, data: Array | np.generic, stem: str) -> str:
        """Add an initializer."""
        name = self.fresh(stem)
        self.initializers.append(self.onnx.numpy_helper.from_array(np.asarray(data, order="C"), name))
        return name

    def integers(self, values: Any, stem: str) -> str:
        """Add a vector of int64."""
        return self.constant(np.asarray(values, np.int64), stem)

    def dequantized(self, data: Array, q: QuantParams, axis: int, stem: str) -> str:
        """A constant of integers as real numbers, one scale or one a slice of `axis`."""
        per_channel = q.scale.size > 1
        scale = self.constant(q.scale if per_channel else q.scale[0], f"{stem}.scale")
        zero = q.zero_point.astype(data.dtype)
        zero_name = self.constant(zero if per_channel else zero[0], f"{stem}.zero_point")
        attrs = {"axis": axis} if per_channel else {}
        return self.add("DequantizeLinear", [self.constant(data, f"{stem}.integers"), scale, zero_name], stem, **attrs)

    def value(self, name: str, nchw: bool = False) -> str:
        """The real form of a value (or constant) of the graph, images as NCHW where asked."""
        t = self.graph[name]
        nchw = nchw and len(t.shape) == 4
        if (name, nchw) not in self.values:
            if t.kind is not Kind.ARENA:
                self.values[name, nchw] = self._constant_value(t, nchw)
            elif nchw:
                self.values[name, True] = self.add("Transpose", [self.values[name, False]], f"{name}.nchw", perm=TO_NCHW)
            else:
                self.values[name, False] = self.add("Transpose", [self.values[name, True]], f"{name}.nhwc", perm=TO_NHWC)
        return self.values[name, nchw]

    def is_nchw(self, name: str) -> bool:
        """True when a value is at hand as NCHW."""
        return (name, True) in self.values

    def result(self, node: Node, raw: str, nchw: bool = False) -> None:
        """Let the float value `raw` be the result of a node: activation, then through integers as the graph's tensor has them."""
        t = self.graph[node.outputs[0]]
        activation = node.attrs.get("activation", "none")
        if activation == "relu":
            raw = self.add("Relu", [raw], f"{t.name}.relu")
        elif activation != "none":
            low, high = {"relu6": (0.0, 6.0), "relu_n1_to_1": (-1.0, 1.0)}[activation]
            raw = self.add("Clip", [raw, *(self.constant(np.float32(v), f"{t.name}.limit") for v in (low, high))], f"{t.name}.clip")
        self.values[t.name, nchw and len(t.shape) == 4] = self.through_integers(t, raw)

    def through_integers(self, t: Tensor, raw: str) -> str:
        """QuantizeLinear and DequantizeLinear with the quantization of a tensor; nothing for real tensors."""
        if t.quant is None or t.dtype is not DType.INT8:
            return raw
        scale = self.constant(np.float32(t.q.s), f"{t.name}.scale")
        zero = self.constant(np.int8(t.q.z), f"{t.name}.zero_point")
        q = self.add("QuantizeLinear", [raw, scale, zero], f"{t.name}.q")
        return self.add("DequantizeLinear", [q, scale, zero], t.name)

    # The file

    def run(self) -> bytes:
        """All nodes, checked and serialized."""
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        inputs, outputs = [], []
        for name in self.graph.inputs:
            t = self.graph[name]
            outer = self.fresh(f"{name}.real" if t.dtype is DType.INT8 else name)
            inputs.append(helper.make_tensor_value_info(outer, kind, t.shape))
            self.values[name, False] = self.through_integers(t, outer)
        for node in self.graph.nodes:
            if node.op not in FORMS:
                known = ", ".join(sorted(FORMS))
                raise UnsupportedOperator(f"layer '{node.name}': operator '{node.op}' cannot be written to .onnx; can be: {known}")
            FORMS[node.op](self, node)
        for name in self.graph.outputs:
            outer = self.add("Identity", [self.value(name)], f"{name}.output")
            outputs.append(helper.make_tensor_value_info(outer, kind, self.graph[name].shape))
        graph = helper.make_graph(self.nodes, self.graph.name, inputs, outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="kilograd")
        model.ir_version = IR_VERSION
        self.onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    def _constant_value(self, t: Tensor, nchw: bool) -> str:
        data = np.asarray(t.data)
        data = data.transpose(TO_NCHW) if nchw else data
        return self.constant(data, t.name) if t.dtype is DType.FLOAT32 else self.dequantized(data, t.q, 0, t.name)

"""Graphs as .tflite files: int8 (or float32) forward graphs, with the bits that the graph has.

What is persistent state in a graph (learned weights) is written as constants. Tensors that were uint8 in the file they came from
(`graph.meta["uint8"]`) are written as uint8 again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kilograd.errors import KilogradError, ModelError, UnsupportedOperator
from kilograd.exports.form import Form
from kilograd.exports.padding import explicit_pads
from kilograd.exports.tflite_forms import FORMS
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Phase, Tensor

BUFFER_ALIGNMENT = 16
CODE_PLACEHOLDER = 127  # builtins from here on stand in the newer field only


def _modules() -> tuple[Any, Any]:
    try:
        import flatbuffers
        import tflite
    except ImportError:
        raise KilogradError("writing .tflite files needs the packages tflite and flatbuffers: pip install 'kilograd[tflite]'") from None
    return flatbuffers, tflite


def form_of(graph: Graph, node: Node) -> Form:
    """How a node is written; UnsupportedOperator when it cannot be."""
    if node.op not in FORMS or node.phase not in (Phase.FROZEN, Phase.FORWARD):
        raise UnsupportedOperator(
            f"layer '{node.name}': operator '{node.op}' cannot be written to .tflite; can be: {', '.join(sorted(FORMS))}"
        )
    return FORMS[node.op](graph, node)


def write_tflite(graph: Graph, description: str = "quantized with kilograd") -> bytes:
    """The bytes of a .tflite file; `kg.load` of them gives an equal network."""
    return _Writer(explicit_pads(graph), description).run()


class _Writer:
    def __init__(self, graph: Graph, description: str) -> None:
        flatbuffers, self.schema = _modules()
        self.graph, self.description = graph, description
        self.b: Any = flatbuffers.Builder(1 << 16)
        self.unsigned = set(graph.meta.get("uint8", ()))
        self.tensors: list[Tensor] = []
        self.index: dict[str, int] = {}

    def run(self) -> bytes:
        for name in self.graph.inputs:
            self._refer(name)
        forms = [(node, form_of(self.graph, node)) for node in self.graph.nodes]
        operands = [[self._operand(node, value) for value in form.operands] for node, form in forms]
        results = [[self._refer(t) for t in node.writes()] for node, _ in forms]
        codes = sorted({(form.builtin, form.version) for _, form in forms})
        offsets = [
            self._operator(form, codes.index((form.builtin, form.version)), ins, outs)
            for (_, form), ins, outs in zip(forms, operands, results, strict=True)
        ]
        return self._model(codes, offsets)

    def _refer(self, name: str) -> int:
        """Index of a tensor of the graph in the file."""
        if name not in self.index:
            self.index[name] = len(self.tensors)
            self.tensors.append(self.graph[name])
        return self.index[name]

    def _operand(self, node: Node, value: str | Array) -> int:
        if isinstance(value, str):
            return self._refer(value)
        name = f"{node.name or node.outputs[0]}.operand"
        while name in self.index or name in self.graph.tensors:
            name += "'"
        self.index[name] = len(self.tensors)
        like = self.graph[node.inputs[0]].quant if value.dtype == np.int8 else None
        if value.dtype == np.int8 and node.inputs[0] in self.unsigned:
            self.unsigned.add(name)
        self.tensors.append(Tensor(name, value.shape, DType(str(value.dtype)), Kind.CONST, like, value))
        return self.index[name]

    # The parts of the file

    def _model(self, codes: list[tuple[str, int]], operators: list[int]) -> bytes:
        buffers = [self._table("Buffer")] + [self._buffer(t) for t in self.tensors]
        tensors = [self._tensor(t, i + 1) for i, t in enumerate(self.tensors)]
        ins = self._numbers([self.index[t] for t in self.graph.inputs], np.int32)
        outs = self._numbers([self._written(t) for t in self.graph.outputs], np.int32)
        name = self.b.CreateString("main")
        parts = {"Tensors": self._vector(tensors), "Inputs": ins, "Outputs": outs, "Operators": self._vector(operators), "Name": name}
        subgraphs = self._vector([self._table("SubGraph", **parts)])
        code_vector = self._vector([self._code(builtin, version) for builtin, version in codes])
        text = self.b.CreateString(self.description)
        self.b.Finish(
            self._table(
                "Model", Version=3, OperatorCodes=code_vector, Subgraphs=subgraphs, Description=text, Buffers=self._vector(buffers)
            ),
            b"TFL3",
        )
        return bytes(self.b.Output())

    def _written(self, name: str) -> int:
        if name not in self.index:
            raise ModelError(f"output '{name}' of graph '{self.graph.name}' is written by no operator")
        return self.index[name]

    def _table(self, kind: str, **fields: Any) -> int:
        getattr(self.schema, f"{kind}Start")(self.b)
        for name, value in fields.items():
            if value is not None:
                getattr(self.schema, f"{kind}Add{name}")(self.b, value)
        return int(getattr(self.schema, f"{kind}End")(self.b))

    def _numbers(self, values: Any, dtype: Any) -> int:
        return int(self.b.CreateNumpyVector(np.asarray(values, dtype).reshape(-1)))

    def _vector(self, offsets: list[int]) -> int:
        self.b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.b.PrependUOffsetTRelative(offset)
        return int(self.b.EndVector())

    def _buffer(self, t: Tensor) -> int:
        if t.data is None:
            return self._table("Buffer")
        content = np.ascontiguousarray(t.data)
        if t.name in self.unsigned:
            content = content.view(np.uint8) ^ np.uint8(0x80)
        raw = content.astype(content.dtype.newbyteorder("<"), copy=False).tobytes()
        self.b.StartVector(1, len(raw), BUFFER_ALIGNMENT)
        self.b.head -= len(raw)
        self.b.Bytes[self.b.head : self.b.head + len(raw)] = raw
        return self._table("Buffer", Data=int(self.b.EndVector()))

    def _tensor(self, t: Tensor, buffer: int) -> int:
        unsigned = t.name in self.unsigned
        name, shape, quant = self.b.CreateString(t.name), self._numbers(t.shape, np.int32), None
        if t.quant is not None:
            scale = self._numbers(t.quant.scale, np.float32)
            zero = self._numbers(t.quant.zero_point.astype(np.int64) + (128 if unsigned else 0), np.int64)
            quant = self._table("QuantizationParameters", Scale=scale, ZeroPoint=zero, QuantizedDimension=t.quant.axis or 0)
        kind = getattr(self.schema.TensorType, "UINT8" if unsigned else t.dtype.value.upper())
        return self._table("Tensor", Shape=shape, Type=kind, Buffer=buffer, Name=name, Quantization=quant)

    def _code(self, builtin: str, version: int) -> int:
        value = getattr(self.schema.BuiltinOperator, builtin)
        return self._table("OperatorCode", DeprecatedBuiltinCode=min(value, CODE_PLACEHOLDER), BuiltinCode=value, Version=version)

    def _operator(self, form: Form, code: int, ins: list[int], outs: list[int]) -> int:
        options = self._table(form.options, **form.values) if form.options else None
        kind = getattr(self.schema.BuiltinOptions, form.options) if form.options else None
        return self._table(
            "Operator", OpcodeIndex=code, Inputs=self._numbers(ins, np.int32), Outputs=self._numbers(outs, np.int32),
            BuiltinOptionsType=kind, BuiltinOptions=options,
        )  # fmt: skip

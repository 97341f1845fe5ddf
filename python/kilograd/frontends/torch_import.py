"""PyTorch modules as graphs: torch.export, then the records of an ONNX model without a file, then the importer that ONNX models have.

The importer finds how images are stored (NHWC), what is quantized how (models of pt2e) and what a layer does by itself; here is only what
is PyTorch's own: which operators of aten there are, and which parameter of the module each constant of the graph came from
(`graph.meta["torch"]`, see torch_state.py), so that what was learned can go back.
"""

from __future__ import annotations

import operator as operators
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kilograd.errors import GraphError, KilogradError, ModelError, UnsupportedOperator
from kilograd.frontends.onnx import Importer
from kilograd.frontends.onnx_file import Port, RawModel, RawNode, reading
from kilograd.frontends.torch_rules import RULES
from kilograd.frontends.torch_rules.rule import Call
from kilograd.frontends.torch_state import provenance
from kilograd.ir.graph import Array, Graph, Shape
from kilograd.ir.verify import verify

OPSET = 20
FLOAT, INT8 = 1, 3  # element types in the words of ONNX
INTEGERS = ("torch.int8", "torch.uint8", "torch.int16", "torch.int32", "torch.int64", "torch.bool")
MAX_NODES = 100_000


def _torch() -> Any:
    try:
        import torch
        import torch.export
    except ImportError:
        raise KilogradError("reading PyTorch modules needs the package torch: pip install 'kilograd[torch]'") from None
    return torch


class Translator:
    """Collects records; the handlers of torch_rules call it."""

    def __init__(self) -> None:
        self.torch = _torch()
        self.nodes: list[RawNode] = []
        self.constants: dict[str, Array] = {}
        self.shapes: dict[str, Shape] = {}
        self.fixed: set[str] = set()  # values that are constants, quantized ones
        self.names: set[str] = set()
        self.labels: set[str] = set()  # names of nodes
        self.parameters: dict[int, str] = {}  # id of a tensor to the parameter that it is
        self.kept: list[Any] = []  # what ids name
        self.known_as: dict[int, str] = {}

    def fresh(self, stem: str) -> str:
        """A name that is not taken."""
        name, i = stem, 0
        while name in self.names:
            i += 1
            name = f"{stem}_{i}"
        self.names.add(name)
        return name

    # What handlers ask

    def is_value(self, x: Any) -> bool:
        """True for what the model computes."""
        return isinstance(x, str) and x not in self.fixed

    def shape(self, x: Any) -> Shape:
        """Shape of a value or constant."""
        return self.shapes[x] if isinstance(x, str) else tuple(int(d) for d in x.shape)

    def number(self, value: Any) -> Any:
        """A number, or a constant tensor, as float32 constant."""
        return value if hasattr(value, "shape") else self.torch.tensor(float(value))

    def full(self, value: float, shape: Sequence[int]) -> Any:
        """A constant of one number."""
        return self.torch.full(tuple(shape), value)

    def integers(self, values: Iterable[int]) -> str:
        """A few integers as operand: a shape, axes."""
        return self.known(np.array([int(v) for v in values], np.int64))

    def known(self, array: Array) -> str:
        """The name of a constant."""
        name = self.fresh("constant")
        self.constants[name], self.shapes[name] = np.ascontiguousarray(array), tuple(array.shape)
        self.fixed.add(name)
        return name

    def constant(self, tensor: Any) -> str:
        """The name of a constant that is a tensor of PyTorch; the path of a parameter where it is one."""
        if id(tensor) not in self.known_as:
            array = tensor.detach().cpu().contiguous().numpy()
            name = self.fresh(self.parameters.get(id(tensor), "constant"))
            self.constants[name], self.shapes[name] = array, tuple(array.shape)
            self.fixed.add(name)
            self.kept.append(tensor)
            self.known_as[id(tensor)] = name
        return self.known_as[id(tensor)]

    def record(self, call: Call, op: str, inputs: Sequence[Any], attrs: dict[str, Any] | None = None, named: bool = False) -> str:
        """Append a record; the name of its result. `named`: it is the layer, and is called like its module."""
        operands = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        result = self.fresh(call.name)
        label = ""
        if named and call.layer:
            label = call.layer if call.layer not in self.labels else f"{call.layer}/{result}"
            self.labels.add(label)
        self.nodes.append(RawNode(len(self.nodes), op, "", label, operands, [result], dict(attrs or {})))
        self.shapes[result] = call.shape
        if op == "Reshape":
            self.shapes[result] = self._reshaped(operands)
        if op == "DequantizeLinear" and operands[0] in self.fixed:
            self.fixed.add(result)
        return result

    def _reshaped(self, operands: list[str]) -> Shape:
        wanted, total = [int(d) for d in self.constants[operands[1]]], int(np.prod(self.shapes[operands[0]]))
        rest = int(np.prod([d for d in wanted if d != -1]))
        return tuple(total // rest if d == -1 else d for d in wanted)


def _program(module: Any, example: Any) -> Any:
    """The exported program in operators that have rules, as far as it can be brought there."""
    torch = _torch()
    if isinstance(module, torch.export.ExportedProgram):
        program = module
    else:
        if not isinstance(module, torch.nn.Module):
            raise KilogradError(f"from_torch takes a torch.nn.Module or a torch.export.ExportedProgram, not {type(module).__name__}")
        if module.training and not isinstance(module, torch.fx.GraphModule):
            raise KilogradError("the module is in training mode: call module.eval() first")
        args = tuple(example) if isinstance(example, (tuple, list)) else (example,)
        if not args or any(not isinstance(a, torch.Tensor) for a in args):
            raise KilogradError("give an example input: a tensor of one sample, or a tuple of tensors")
        try:
            program = torch.export.export(module, args)
        except Exception as error:  # whatever tracing meets in the user's code
            text = str(error).strip().splitlines()
            raise ModelError(f"torch.export cannot trace the module ({type(error).__name__}: {text[0][:300] if text else ''})") from error
    table = torch.export.default_decompositions()
    for op in [k for k in table if str(k) in RULES]:
        table.pop(op)
    return program.run_decompositions(table)


def _layer_of(node: Any) -> str:
    """Path of the module that a node belongs to."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return ""
    path = str(stack[-1][0])
    return path.removeprefix("L['self'].").removeprefix("L__self___")


def _shapes(value: Any) -> list[Shape]:
    if isinstance(value, (list, tuple)):
        return [s for v in value for s in _shapes(v)]
    return [tuple(int(d) for d in value.shape)] if hasattr(value, "shape") else [()]


class _Reader:
    """Walks an exported program."""

    def __init__(self, program: Any) -> None:
        self.torch, self.program, self.t = _torch(), program, Translator()
        self.values: dict[Any, Any] = {}
        self.inputs: list[Port] = []
        self.outputs: list[Port] = []

    def run(self) -> RawModel:
        nodes = list(self.program.graph.nodes)
        if len(nodes) > MAX_NODES:
            raise ModelError(f"the program has {len(nodes)} operations; at most {MAX_NODES} are read")
        self._refuse_unsupported(nodes)
        specs = {s.arg.name: s for s in self.program.graph_signature.input_specs if hasattr(s.arg, "name")}
        for node in nodes:
            self.t.names.add(node.name)
        self.t.names -= {n.name for n in nodes if n.op == "call_function"}
        for node in nodes:
            if node.op == "placeholder":
                self.values[node] = self._placeholder(node, specs[node.name])
            elif node.op == "call_function":
                self.values[node] = self._call(node)
            elif node.op == "output":
                self._output(node)
        return RawModel(OPSET, self.t.nodes, self.t.constants, self.inputs, self.outputs, {})

    def _refuse_unsupported(self, nodes: list[Any]) -> None:
        used = {str(n.target) for n in nodes if n.op == "call_function" and n.target is not operators.getitem and self._matters(n)}
        bad = sorted(op for op in used if op not in RULES)
        if bad:
            raise UnsupportedOperator(
                f"the module uses operators that kilograd does not run: {', '.join(bad[:12])}{' and more' if len(bad) > 12 else ''}. "
                "Replace the layers that they come from, or cut the model in front of them."
            )

    def _matters(self, node: Any) -> bool:
        """False for what is computed from constants alone."""
        known: dict[Any, bool] = getattr(self, "_known", {})
        if not known:
            users = {s.arg.name for s in self.program.graph_signature.input_specs if s.kind.name == "USER_INPUT" and hasattr(s.arg, "name")}
            for n in self.program.graph.nodes:
                fed = any(known[a] for a in n.all_input_nodes)
                known[n] = fed or n.name in users
            self._known = known
        return known[node]

    def _placeholder(self, node: Any, spec: Any) -> Any:
        kind = spec.kind.name
        if kind == "USER_INPUT":
            value = node.meta.get("val")
            if not hasattr(value, "shape"):
                return value
            shape = tuple(int(d) for d in value.shape)
            if str(value.dtype) != "torch.float32":
                raise UnsupportedOperator(f"input '{node.name}' is {value.dtype}; kilograd takes float32. Convert it before the module.")
            self.inputs.append(Port(node.name, FLOAT, shape))
            self.t.shapes[node.name] = shape
            return node.name
        if kind in ("PARAMETER", "BUFFER"):
            tensor = self.program.state_dict.get(spec.target)
            tensor = self.program.constants.get(spec.target) if tensor is None else tensor
        else:
            tensor = self.program.constants.get(spec.target)
        if tensor is None:
            raise ModelError(f"'{spec.target}' has no content in the exported program")
        if tensor.dtype == self.torch.float64:
            raise UnsupportedOperator(f"'{spec.target}' is float64; kilograd takes float32: call module.float() first.")
        self.t.kept.append(tensor)
        self.t.parameters[id(tensor)] = str(spec.target)
        return tensor

    def _map(self, x: Any) -> Any:
        if isinstance(x, self.torch.fx.Node):
            return self.values[x]
        if isinstance(x, (list, tuple)):
            return [self._map(v) for v in x]
        return x

    def _call(self, node: Any) -> Any:
        args, options = self._map(node.args), {k: self._map(v) for k, v in node.kwargs.items()}
        if node.target is operators.getitem:
            parts, i = args
            if not isinstance(parts, (list, tuple)) or i >= len(parts) or parts[i] is None and node.users:
                raise UnsupportedOperator(f"result {i} of '{node.args[0].name}' is used, which kilograd does not compute")
            return parts[i]
        op = str(node.target)
        if not self._matters(node) and not op.startswith("quantized_decomposed.dequantize"):
            tags = getattr(node.target, "tags", ())
            if self.torch.Tag.nondeterministic_seeded in tags:
                raise UnsupportedOperator(f"'{node.name}' ({op}) is random. Call module.eval(), and take random numbers out of the model.")
            return node.target(*args, **options)
        if op not in RULES:
            raise UnsupportedOperator(f"'{node.name}' ({op}) computes from constants what kilograd does not read")
        call = Call(op, node.name, _layer_of(node), args, options, _shapes(node.meta.get("val")))
        return RULES[op](self.t, call)

    def _output(self, node: Any) -> None:
        for i, x in enumerate(self._map(node.args[0])):
            if not self.t.is_value(x):
                raise UnsupportedOperator(f"output {i} of the module is a constant or None; return only what it computes")
            self.outputs.append(Port(x, FLOAT, self.t.shape(x)))


def from_torch(module: Any, example: Any = None, name: str | None = None) -> Graph:
    """The graph of a torch.nn.Module in evaluation mode, traced with an example of one sample (a tensor, or a tuple of tensors).

    Float modules give a float graph, which the quantizer takes (batch normalization included); modules that were quantized by pt2e
    (convert_pt2e) give a graph of integers. An exported program (torch.export.export) is taken as it is.
    """
    program = _program(module, example)
    reader = _Reader(program)
    raw = reader.run()
    title = name or (type(module).__name__.lower() if not hasattr(module, "graph") else "model")
    size = sum(a.nbytes for a in raw.constants.values())
    parameters = {n for n in raw.constants if n in set(reader.t.parameters.values())}
    with reading("the module"):
        graph = Importer(raw, title, size).run()
        graph.meta["torch"] = provenance(graph, raw, parameters, lambda r: Importer(r, title, size).run())
    graph.meta["source"] = "torch"
    try:
        verify(graph)
    except GraphError as error:
        raise ModelError(f"the module is inconsistent: {error}") from error
    return graph

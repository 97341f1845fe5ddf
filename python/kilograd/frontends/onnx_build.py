"""Building the graph of an ONNX model: tensors in the order that operators want, constants, nodes and their quantization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import kilograd.ops  # noqa: F401  (registers the operators)
from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends import onnx_quant
from kilograd.frontends.onnx_file import RawNode
from kilograd.frontends.onnx_fold import Folder
from kilograd.frontends.onnx_value import FLOAT, REAL, Constant, Operand, Target, Value
from kilograd.frontends.tflite import MAX_BYTES, RESERVED
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Tensor
from kilograd.ops.base import infer_outputs, operator, operators


class GraphBuilder:
    """A graph that grows node by node."""

    def __init__(self, name: str, file_bytes: int) -> None:
        self.graph = Graph(name)
        self.folder = Folder(file_bytes)
        self.derived: dict[tuple[Any, ...], str] = {}  # views, transpositions, conversions and constants, made once
        self.kept: list[Constant] = []  # what `derived` names by identity
        self.base: dict[str, str] = {}  # what a view shows
        self.count: dict[str, int] = {}
        self.node_names: set[str] = set()

    def type_of(self, v: Value) -> Tensor:
        """The tensor that holds a value."""
        return self.graph[v.tensor]

    # Tensors

    def arranged(self, v: Operand, order: Sequence[int], target: Target = REAL) -> str:
        """The tensor of a value, its axes the logical ones in that order."""
        if isinstance(v, Constant):
            return self.declare(v, target, lambda a: np.transpose(a, order), ("order", *order))
        v = self.real(v) if target.real else v
        shape = tuple(v.shape[a] for a in order)
        return self.view(v.tensor if v.sorted_by(order) else self._moved(v, order), shape)

    def natural(self, v: Value, target: Target = REAL) -> tuple[str, tuple[int, ...]]:
        """The tensor of a value with one axis for each logical one, and their order: without moving elements wherever that is possible."""
        order = v.natural() or tuple(range(len(v.axes)))
        return self.arranged(v, order, target), order

    def real(self, v: Value) -> Value:
        """The value as float32."""
        if self.type_of(v).dtype is FLOAT:
            return v
        if v.raw:
            raise UnsupportedOperator(f"'{v.tensor}' holds integers where real numbers are needed; put DequantizeLinear behind it.")
        key = ("real", v.tensor)
        if key not in self.derived:
            self.derived[key] = self.append("dequantize", [v.tensor], {}, self.fresh(f"{v.tensor}/real"), FLOAT, None)
        return v.with_tensor(self.derived[key])

    def view(self, tensor: str, shape: Sequence[int]) -> str:
        """The tensor under another shape."""
        base, sizes = self.base.get(tensor, tensor), tuple(shape)
        for known in (tensor, base):
            if self.graph[known].shape == sizes:
                return known
        key = ("view", base, sizes)
        if key not in self.derived:
            t = self.graph[base]
            name = self.fresh(f"{base}/reshape")
            self.derived[key] = self.append("reshape", [base], {"shape": sizes}, name, t.dtype, t.quant)
            self.base[name] = base
        return self.derived[key]

    def _moved(self, v: Value, order: Sequence[int]) -> str:
        """A tensor with the elements of a value in the order of these axes: the one place where a transposition is made."""
        wanted = [a for axis in order for a in v.axes[axis]]
        runs: list[list[int]] = []
        for a in wanted:
            if runs and runs[-1][-1] + 1 == a:
                runs[-1].append(a)
            else:
                runs.append([a])
        by_place = sorted(runs)
        key = ("moved", v.tensor, tuple(wanted))
        if key not in self.derived:
            x = self.view(v.tensor, [math.prod(v.atoms[a] for a in run) for run in by_place])
            t = self.graph[x]
            attrs = {"permutation": tuple(by_place.index(run) for run in runs)}
            self.derived[key] = self.append("transpose", [x], attrs, self.fresh(f"{v.tensor}/transpose"), t.dtype, t.quant)
        return self.derived[key]

    def declare(self, c: Constant, target: Target, arrange: Any, key: tuple[Any, ...] = ()) -> str:
        """A constant of the graph, `arrange`d: real, or in its integers (its own, or made for this use)."""
        given, cached = c, (id(c), target.real, *key)
        if key and cached in self.derived:
            return self.derived[cached]
        if target.real:
            data, quant = np.asarray(c.real, np.float32), None
        else:
            c = onnx_quant.quantized(c)
            data, quant = c.data, c.quant
        found = np.ascontiguousarray(arrange(data))
        name = self.add_constant(found, quant, self.fresh("constant"))
        if key:
            self.derived[cached] = name
            self.kept.append(given)
        return name

    def add_constant(self, data: Array, quant: QuantParams | None, name: str) -> str:
        """A constant tensor of the graph."""
        if data.dtype.kind == "f" and not np.all(np.isfinite(data)):
            raise ModelError(f"constant '{name}' holds NaN or infinite numbers. Export the model again.")
        self.folder.charge(RawNode(0, "constants", "", name, [], []), data.nbytes)
        self.graph.add(Tensor(name, tuple(data.shape), DType(str(data.dtype)), Kind.CONST, quant, data))
        return name

    def fresh(self, stem: str) -> str:
        """A tensor name that is not taken."""
        stem = f"model/{stem}" if stem.startswith("d/") else stem  # errors are called d/<tensor>
        name = stem
        while name in self.graph.tensors or name in RESERVED or not name:
            self.count[stem] = self.count.get(stem, 0) + 1
            name = f"{stem}.{self.count[stem]}"
        return name

    # Nodes

    def emit(self, node: RawNode, op: str, inputs: list[str], attrs: dict[str, Any], target: Target, stem: str = "") -> str:
        """Append a node; the tensor that it writes. Integers come out in the quantization of the target, by rescaling if need be."""
        if op not in operators():
            raise UnsupportedOperator(f"{node.where} needs the operator '{op}', which kilograd does not run. Replace it before export.")
        name = self.fresh(stem or node.outputs[0])
        label = node.name if not stem and node.name and node.name not in self.node_names else name
        if target.real:
            return self.append(op, inputs, attrs, name, FLOAT, None, label)
        first = next(self.graph[t] for t in inputs if self.graph[t].kind is not Kind.CONST)
        rule = operator(op).quantize(self.graph, Node(op, inputs, [name], attrs))
        quant, dtype = target.quant, target.dtype
        if rule == "same":
            quant, dtype = first.quant, first.dtype
        elif rule == "fixed":
            fixed = operator(op).fixed_result
            quant, dtype = (QuantParams.per_tensor(*fixed) if fixed is not None else quant), first.dtype
        made = self.append(op, inputs, attrs, name, dtype, quant, label)
        return made if target.quant is None else self.rescaled(made, target.quant, target.dtype)

    def rescaled(self, tensor: str, quant: QuantParams, dtype: DType) -> str:
        """The tensor in another quantization."""
        t = self.graph[tensor]
        if t.q.same_as(quant) and t.dtype is dtype:
            return tensor
        key = ("rescaled", tensor, quant.s, quant.z, dtype)
        if key not in self.derived:
            self.derived[key] = self.append("quantize", [tensor], {}, self.fresh(f"{tensor}/rescaled"), dtype, quant)
        return self.derived[key]

    def requantized(self, name: str, quant: QuantParams) -> str:
        """A constant of the graph in another quantization, as a constant."""
        t = self.graph[name]
        assert t.data is not None
        q = np.rint((t.data.astype(np.float64) - t.q.z) * t.q.s / quant.s) + quant.z
        limits = np.iinfo(t.dtype.numpy)
        return self.add_constant(np.clip(q, limits.min, limits.max).astype(t.dtype.numpy), quant, self.fresh(f"{name}/rescaled"))

    def append(
        self,
        op: str,
        inputs: list[str],
        attrs: dict[str, Any],
        name: str,
        dtype: DType,
        quant: QuantParams | None,
        label: str = "",
        mutates: tuple[str, ...] = (),
    ) -> str:
        """Append a node whose result has that type; its shape is what the operator infers."""
        label = label or name
        node = Node(op, inputs, [name], attrs, name=label if label not in self.node_names else name, mutates=mutates)
        self.node_names.add(node.name)
        self.graph.add(Tensor(name, (1,), dtype, Kind.ARENA, quant))
        (made, *_) = operator(op).infer(self.graph, node)
        if any(d < 1 for d in made.shape) or 4 * math.prod(made.shape) > MAX_BYTES:
            raise ModelError(f"{op} '{node.name}' gives shape {list(made.shape)}: sizes must be from 1, and at most 2^28 elements.")
        self.graph.set(name, shape=tuple(made.shape), dtype=made.dtype, quant=made.quant)
        self.graph.nodes.append(node)
        infer_outputs(self.graph, node)
        return name

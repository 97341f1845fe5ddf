"""ONNX models (opset 10 to 28) as graphs: float32, or quantized by QuantizeLinear/DequantizeLinear or the QLinear operators.

Images are [batch, channels, height, width] in ONNX and [batch, height, width, channels] here: an input of an image model becomes NHWC, and
so does an output that is an image. `graph.meta["layout"]` says, for each input and output that changed, which axis of ONNX each axis is;
`to_graph` and `from_graph` convert arrays. No transposition is left behind for it (onnx_value.py says how). Shapes are inferred by our own
operators (what a file claims about inner shapes is not read), a dynamic batch is pinned to 1, what depends only on constants and shapes is
computed at import.

uint8 tensors are shifted to int8 exactly (128 is subtracted from zero points and contents), as the TensorFlow Lite frontend does. A file is
hostile until proved otherwise: whatever it holds, the answer is a graph or a ModelError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import kilograd.ops  # noqa: F401  (registers the operators)
from kilograd.errors import GraphError, ModelError, UnsupportedOperator
from kilograd.frontends import onnx_quant
from kilograd.frontends.onnx_build import GraphBuilder
from kilograd.frontends.onnx_file import Port, RawModel, RawNode, read_onnx, reading, type_name
from kilograd.frontends.onnx_fold import ONLY_FOLDED
from kilograd.frontends.onnx_rewrite import rewrite
from kilograd.frontends.onnx_rules import RULES, layout_of_inputs
from kilograd.frontends.onnx_value import FLOAT, REAL, Constant, Operand, Target, Value, channels_last, stored
from kilograd.frontends.simplify import merge_reshapes
from kilograd.frontends.tflite import MAX_BYTES, RESERVED
from kilograd.ir.graph import Array, DType, Graph, Kind, QuantParams, Shape, Tensor
from kilograd.ir.passes import remove_dead_nodes
from kilograd.ir.verify import verify
from kilograd.ops.base import operators


class Importer(GraphBuilder):
    """Builds a graph from the records of a file; the handlers of onnx_rules call it for operands and nodes."""

    def __init__(self, raw: RawModel, name: str, file_bytes: int) -> None:
        super().__init__(name, file_bytes)
        self.raw = raw
        self.opset = raw.opset
        self.nodes = onnx_quant.expand(raw)  # adds constants
        self.values: dict[str, Operand] = {k: Constant(v) for k, v in raw.constants.items()}
        self.outputs = {p.name for p in raw.outputs}
        self.readers: dict[str, list[RawNode]] = {}
        self.absorbed: set[int] = set()  # nodes (by id) that the node before them does
        self.unsigned: set[str] = set()  # raw tensors that were uint8
        self.changed: dict[str, list[int]] = {}

    # Operands, asked for by the handlers

    def has(self, node: RawNode, i: int) -> bool:
        """True when operand i is given."""
        return i < len(node.inputs) and bool(node.inputs[i])

    def value(self, node: RawNode, i: int) -> Operand:
        """Operand i."""
        if not self.has(node, i):
            raise ModelError(f"{node.where} lacks operand {i}. The file is damaged: export it again.")
        name = node.inputs[i]
        if name in self.raw.strange:
            raise UnsupportedOperator(
                f"{node.where} reads '{name}', which is {self.raw.strange[name]}; export the model in float32 or int8."
            )
        if name not in self.values:
            raise ModelError(f"{node.where} reads '{name}', which no earlier node writes: nodes are out of order or form a cycle.")
        return self.values[name]

    def activation(self, node: RawNode, i: int) -> Value:
        """Operand i, which the model computes."""
        v = self.value(node, i)
        if isinstance(v, Constant):
            raise UnsupportedOperator(f"{node.where} computes from constants only, which is not done at import. Fold them first (onnxsim).")
        return v

    def constant(self, node: RawNode, i: int, what: str) -> Constant:
        """Operand i, which must be known at import."""
        v = self.value(node, i)
        if isinstance(v, Value):
            raise UnsupportedOperator(
                f"{node.where}: its {what} '{node.inputs[i]}' is computed by the model; kilograd needs a constant here."
            )
        return v

    def integers(self, node: RawNode, i: int, what: str, most: int = 64) -> list[int]:
        """Operand i as a few integers."""
        data = self.constant(node, i, what).real
        if data.size > most or data.dtype.kind not in "iu":
            raise ModelError(f"{node.where}: its {what} should be at most {most} integers; it is {data.dtype}{list(data.shape)}.")
        return [int(n) for n in data.reshape(-1)]

    def numbers(self, node: RawNode, i: int, what: str) -> list[float]:
        """Operand i as a few numbers."""
        data = self.constant(node, i, what).real
        if data.size > 64:
            raise ModelError(f"{node.where}: its {what} should be a few numbers; they are {data.dtype}{list(data.shape)}.")
        return [float(n) for n in data.reshape(-1)]

    def scalar(self, node: RawNode, i: int, what: str) -> float:
        """Operand i as one number."""
        found = self.numbers(node, i, what)
        if len(found) != 1:
            raise UnsupportedOperator(f"{node.where}: its {what} holds {len(found)} numbers; kilograd needs one here.")
        return found[0]

    def axis(self, node: RawNode, axis: int, rank: int) -> int:
        """An axis counted from the front."""
        if not -rank <= axis < rank:
            raise ModelError(f"{node.where} works along axis {axis} of a tensor of rank {rank}. The file is damaged: export it again.")
        return axis % rank

    # How a node computes

    def target(
        self, node: RawNode, values: Sequence[Operand], fusable: bool = False, same: bool = False, op: str = "", result: str = ""
    ) -> Target:
        """Real numbers, or integers where all operands are and it is known what the result is quantized to.

        `same`: otherwise as the operand. `op`: otherwise as that operator does by itself, if it has no float32 kernel. `result`: the value
        that the node will write, where it stands for several.
        """
        found = [v for v in values if isinstance(v, Value)]
        tensors = [self.type_of(v) for v in found]
        if any(v.raw for v in found):
            t = tensors[0]
            if not same or any(not v.raw or not u.q.same_as(t.quant) for v, u in zip(found, tensors, strict=True)):
                raise UnsupportedOperator(f"{node.where} computes with stored integers; kilograd needs DequantizeLinear in front of it.")
            return Target(False, t.quant, t.dtype, raw=True)
        if not tensors or any(t.dtype is FLOAT for t in tensors):
            return REAL
        wanted = onnx_quant.destiny(self, result or node.outputs[0], fusable)
        if wanted is not None:
            if wanted.absorbed is not None:
                self.absorbed.add(id(wanted.absorbed))
            return Target(False, wanted.grid.quant, wanted.grid.dtype, wanted.activation)
        if same and all(t.q.same_as(tensors[0].quant) for t in tensors):
            return Target(False, tensors[0].quant, tensors[0].dtype)
        own = operators().get(op)
        if own is not None and own.fixed_result is not None and not own.float_kernel and tensors[0].dtype is DType.INT8:
            return Target(False, QuantParams.per_tensor(*own.fixed_result), DType.INT8)
        return REAL

    # The program

    def run(self) -> Graph:
        """Import everything, in program order."""
        self._constants()
        self.nodes = rewrite(self.nodes, self.outputs, self._known)
        self.nodes = self._alive()
        for node in self.nodes:
            for t in set(node.inputs):
                self.readers.setdefault(t, []).append(node)
        self._refuse_unsupported()
        last = layout_of_inputs(self.raw.inputs, self.readers)
        for port in self.raw.inputs:
            if port.name in self.readers or port.name in self.outputs:
                self._input(port, port.name in last)
        for node in self.nodes:
            with reading(node.where):
                self._node(node)
        self._outputs()
        self.graph.meta["source"] = "onnx"
        self.graph.meta["layout"] = self.changed
        self.graph.meta["uint8"] = [t for t in (*self.graph.inputs, *self.graph.outputs) if t in self.unsigned]
        return remove_dead_nodes(merge_reshapes(self.graph))

    def _constants(self) -> None:
        """Nodes of type Constant become constants first: others look ahead for them."""
        for node in self.nodes:
            if node.op == "Constant" and not node.domain and node.outputs:
                known = [v for v in node.attrs.values() if isinstance(v, (np.ndarray, int, float, list))]
                if len(known) != 1:
                    raise UnsupportedOperator(f"{node.where} holds no dense tensor of numbers. Export the model again.")
                given = np.asarray(known[0])
                data = given.astype(np.float32) if given.dtype == np.float64 and not isinstance(known[0], np.ndarray) else given
                if data.dtype.kind not in "fiub":
                    raise UnsupportedOperator(f"{node.where} holds text, which kilograd does not read.")
                self._set(node, 0, Constant(data))

    def _known(self, name: str) -> Array | None:
        """Content of a constant, None for everything else."""
        v = self.values.get(name)
        return v.real if isinstance(v, Constant) else None

    def _alive(self) -> list[RawNode]:
        """The nodes on which an output depends."""
        needed, alive = set(self.outputs), []
        for node in reversed(self.nodes):
            if any(t in needed for t in node.outputs if t):
                needed.update(node.inputs)
                alive.append(node)
        return alive[::-1]

    def _refuse_unsupported(self) -> None:
        bad = [n for n in self.nodes if not known(n)]
        if bad:
            listed = ", ".join(f"{n.index} ({n.kind})" for n in bad[:8]) + (f" and {len(bad) - 8} more" if len(bad) > 8 else "")
            raise UnsupportedOperator(
                f"the model uses operators that kilograd does not run: {listed}. Replace them before export, or cut the model in front of "
                "them (onnx.utils.extract_model). `kilograd ops` lists what runs."
            )

    def _input(self, port: Port, image: bool) -> None:
        kinds = {"float32": FLOAT, "int8": DType.INT8, "uint8": DType.INT8}
        kind = type_name(port.type)
        if kind not in kinds:
            raise UnsupportedOperator(f"input {port.where} is {kind}; kilograd takes float32, int8 and uint8. Change it before export.")
        if port.name in self.values or not port.name:
            raise ModelError(f"input {port.where} has no name of its own. The file is damaged: export it again.")
        shape = _static_shape(port)
        order = channels_last(len(shape)) if image else tuple(range(len(shape)))
        stored_shape = tuple(shape[a] for a in order)
        quant = onnx_quant.of_input(self, port.name, kind) if kind != "float32" else None
        name = self.fresh(port.name)
        self.graph.add(Tensor(name, stored_shape, kinds[kind], Kind.ARENA, quant))
        self.graph.inputs.append(name)
        if order != tuple(range(len(shape))):
            self.changed[name] = list(order)
        if kind == "uint8":
            self.unsigned.add(name)
        self.values[port.name] = stored(name, stored_shape, order, image, raw=quant is not None)

    def _node(self, node: RawNode) -> None:
        if node.op == "Constant" and not node.domain:
            return
        if not any(node.outputs):
            raise ModelError(f"{node.where} has no result. The file is damaged: export it again.")
        if id(node) in self.absorbed:
            self._set(node, 0, next(v for v in (self.value(node, i) for i in range(len(node.inputs))) if isinstance(v, Value)))
            return
        if node.op in ("Shape", "Size") and not node.domain:
            self._set(node, 0, self._shape(node))
            return
        operands = [self.value(node, i) for i in range(len(node.inputs)) if node.inputs[i]]
        if all(isinstance(v, Constant) for v in operands):
            folded = self.folder.fold(node, [v for v in operands if isinstance(v, Constant)])
            if folded is not None:
                self._set(node, 0, folded)
                return
        if node.kind not in RULES:
            raise UnsupportedOperator(
                f"{node.where} computes from what only a run knows; kilograd needs constants here. Use static shapes."
            )
        rule = RULES[node.kind]
        if "graph" in node.attrs.values():
            raise UnsupportedOperator(f"{node.where} holds a sub-graph; kilograd runs models without control flow.")
        if not rule.operands[0] <= len(node.inputs) <= rule.operands[1]:
            raise ModelError(f"{node.where} has {len(node.inputs)} operands, {rule.operands[0]} to {rule.operands[1]} are needed.")
        results = rule.handler(self, node)
        results = results if isinstance(results, list) else [results]
        if any(isinstance(v, Value) and v.raw and v.tensor in self.unsigned for v in operands):
            self.unsigned.update(v.tensor for v in results if isinstance(v, Value) and v.raw)
        for i, name in enumerate(node.outputs):
            if name and i >= len(results):
                if name in self.readers or name in self.outputs:
                    raise UnsupportedOperator(f"{node.where}: its result {i} is used, which kilograd does not compute.")
            elif name:
                self._set(node, i, results[i])

    def _set(self, node: RawNode, i: int, value: Operand) -> None:
        if node.outputs[i] in self.values:
            raise ModelError(f"{node.where} writes '{node.outputs[i]}', which already has a value. The file is damaged: export it again.")
        self.values[node.outputs[i]] = value

    def _shape(self, node: RawNode) -> Constant:
        shape = self.value(node, 0).shape
        if node.op == "Size":
            return Constant(np.array(math.prod(shape), np.int64))
        first, last = int(node.attrs.get("start", 0)), int(node.attrs.get("end", len(shape)))
        return Constant(np.array(shape[first:last], np.int64))

    def _outputs(self) -> None:
        if len(self.outputs) != len(self.raw.outputs) or not self.outputs or not self.graph.inputs:
            raise ModelError("the model has no input or no output, or names one twice. Export it again.")
        for port in self.raw.outputs:
            v = self.values.get(port.name)
            if v is None:
                raise ModelError(f"output {port.where} is written by no node. The file is damaged: export it again.")
            if isinstance(v, Constant):
                raise UnsupportedOperator(f"output {port.where} is a constant; drop it before export.")
            with reading(f"output {port.where}"):
                self._output(port, v if v.raw else self.real(v))

    def _output(self, port: Port, v: Value) -> None:
        rank = len(v.axes)
        order = tuple(range(rank))
        if v.image and rank >= 3 and v.sorted_by(channels_last(rank)):
            order = channels_last(rank)
        name = self.arranged(v, order, Target(not v.raw))
        if name in self.graph.inputs or name in self.graph.outputs:
            t = self.graph[name]
            name = self.append("reshape", [name], {"shape": t.shape}, self.fresh(port.name), t.dtype, t.quant)
        elif port.name != name and port.name not in self.graph.tensors and port.name not in RESERVED and not port.name.startswith("d/"):
            name = self._renamed(name, port.name)
        if order != tuple(range(rank)):
            self.changed[name] = list(order)
        if v.raw and port.type == 2:
            self.unsigned.add(name)
        self.graph.outputs.append(name)

    def _renamed(self, old: str, new: str) -> str:
        """Give a tensor that a node writes the name of the output that it is."""
        t = self.graph.tensors.pop(old)
        self.graph.add(replace(t, name=new))
        for node in self.graph.nodes:
            node.inputs = [new if x == old else x for x in node.inputs]
            node.outputs = [new if x == old else x for x in node.outputs]
        for key, made in self.derived.items():
            if made == old:
                self.derived[key] = new
        self.values = {k: v.with_tensor(new) if isinstance(v, Value) and v.tensor == old else v for k, v in self.values.items()}
        return new


def known(node: RawNode) -> bool:
    """True when a node can be imported, as far as its operator goes."""
    return node.kind in RULES or (not node.domain and node.op in ONLY_FOLDED)


def _static_shape(port: Port) -> Shape:
    """Shape with a dynamic batch pinned to 1."""
    if port.dims is None:
        raise ModelError(f"input {port.where} has no shape. Export the model with static shapes.")
    shape = tuple(1 if i == 0 and d == 0 else d for i, d in enumerate(port.dims))
    if any(d < 1 for d in shape):
        raise ModelError(
            f"input {port.where} has shape {[d or '?' for d in port.dims]}: every dimension must be at least 1 and known (only the batch "
            "may be dynamic). Fix it with onnxruntime.tools.make_dynamic_shape_fixed."
        )
    if 4 * math.prod(shape) > MAX_BYTES:
        raise ModelError(f"input {port.where} has shape {list(shape)}, more than kilograd can address (2^28 elements).")
    return shape


def to_graph(graph: Graph, name: str, array: Array) -> Array:
    """An array for an input as ONNX has it (one sample, or a batch of them in front), as the imported graph takes it."""
    order = graph.meta.get("layout", {}).get(name)
    return array if order is None else np.ascontiguousarray(np.transpose(array, order))


def from_graph(graph: Graph, name: str, array: Array) -> Array:
    """The content of an output of the imported graph as ONNX has it."""
    order = graph.meta.get("layout", {}).get(name)
    return array if order is None else np.ascontiguousarray(np.transpose(array, np.argsort(order)))


def import_onnx(data: bytes, name: str = "model", folder: Path | None = None) -> Graph:
    """A graph from the bytes of an .onnx file; ModelError (or UnsupportedOperator) when it cannot be. External data lie in `folder`."""
    raw = read_onnx(data, folder)
    external = sum(a.nbytes for a in raw.constants.values())
    with reading("the model"):
        graph = Importer(raw, name, len(data) + external).run()
    try:
        verify(graph)  # structure; types were inferred node by node
    except GraphError as error:
        raise ModelError(f"the model is inconsistent: {error}") from error
    return graph

"""An .onnx file as plain records: nodes with decoded attributes, constants as arrays, inputs and outputs.

A file is hostile until proved otherwise. Protocol buffers bound nesting and length by themselves; what is left to bound here is what a file
claims about itself: element counts, types, and where external data lie (only inside the folder of the model, never by a link out of it).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kilograd.errors import GraphError, ModelError, UnsupportedOperator
from kilograd.ir.graph import Array, Shape

MAX_RANK = 8
MAX_DIM = 1 << 28
MAX_OPERANDS = 1 << 12
MAX_NODES = 10_000
MAX_PORTS = 256
MAX_ELEMENTS = 1 << 28
OPSETS = (10, 28)  # opsets below 13 differ in ways that the handlers know
DOMAINS = {"": "", "ai.onnx": "", "com.microsoft": "com.microsoft"}

#: element types by the number in the file: name, NumPy type
TYPES: dict[int, tuple[str, Any]] = {
    1: ("float32", np.float32), 2: ("uint8", np.uint8), 3: ("int8", np.int8), 4: ("uint16", np.uint16), 5: ("int16", np.int16),
    6: ("int32", np.int32), 7: ("int64", np.int64), 9: ("bool", np.bool_), 10: ("float16", np.float16), 11: ("float64", np.float64),
    12: ("uint32", np.uint32), 13: ("uint64", np.uint64),
}  # fmt: skip
OTHER_TYPES = {0: "undefined", 8: "string", 16: "bfloat16", 17: "float8e4m3fn", 19: "float8e5m2", 21: "uint4", 22: "int4", 23: "float4e2m1"}


def type_name(code: int) -> str:
    """Name of an element type."""
    return TYPES[code][0] if code in TYPES else OTHER_TYPES.get(code, f"type {code}")


@dataclass(frozen=True)
class Port:
    """An input or output as the file declares it; a dimension that is not known is 0."""

    name: str
    type: int
    dims: Shape | None  # None: not declared

    @property
    def where(self) -> str:
        """For messages."""
        return f"'{self.name}'"


@dataclass
class RawNode:
    """One node, attributes decoded: int, float, str, lists of these, arrays; 'graph' where one holds a sub-graph."""

    index: int
    op: str
    domain: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Operator with its domain, where that is not ONNX's own."""
        return f"{self.domain}.{self.op}" if self.domain else self.op

    @property
    def where(self) -> str:
        """For messages: 'node 3 (Conv, "stem")'."""
        return f"node {self.index} ({self.kind}" + (f", '{self.name}')" if self.name else ")")


@dataclass
class RawModel:
    """What a file holds."""

    opset: int
    nodes: list[RawNode]
    constants: dict[str, Array]
    inputs: list[Port]
    outputs: list[Port]
    strange: dict[str, str]  # constants of a type that kilograd does not read


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Whatever goes wrong while hostile content is read becomes a ModelError."""
    try:
        yield
    except (ModelError, MemoryError):
        raise
    except GraphError as error:
        raise ModelError(f"{what}: {error}") from error
    except Exception as error:
        raise ModelError(
            f"{what} cannot be read ({type(error).__name__}: {str(error)[:200]}): the file is damaged. Export it again."
        ) from error


def text(raw: str | bytes) -> str:
    """A name, printable whatever the file holds."""
    decoded = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    return "".join(c if c.isprintable() else "?" for c in decoded)


class Reader:
    """Decodes one file; `folder` is where external data may lie (None: nowhere)."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.strange: dict[str, str] = {}

    def model(self, data: bytes) -> RawModel:
        """The whole file."""
        try:
            import onnx
        except ImportError as error:
            raise ModelError("ONNX models need the package 'onnx': pip install kilograd[onnx].") from error
        try:
            proto = onnx.ModelProto.FromString(data)
        except Exception as error:  # whatever the protobuf implementation in use raises
            raise ModelError(
                f"the model is no ONNX file, or it is truncated or damaged ({type(error).__name__}). Export it again."
            ) from error
        with reading("the model"):
            return self._model(proto)

    def _model(self, proto: Any) -> RawModel:
        graph = proto.graph
        if not proto.opset_import or not graph.node:
            raise ModelError("the model is no ONNX file, or it is empty: it names no operator set or has no node. Export it again.")
        if len(graph.node) > MAX_NODES or max(len(graph.input) - len(graph.initializer), len(graph.output)) > MAX_PORTS:
            raise ModelError(
                f"the model has {len(graph.node)} nodes, {len(graph.input)} inputs and {len(graph.output)} outputs; at most {MAX_NODES} "
                f"and {MAX_PORTS} of each are accepted. Simplify it before export (onnxsim)."
            )
        versions = [int(o.version) for o in proto.opset_import if o.domain in ("", "ai.onnx")]
        opset = max(versions, default=OPSETS[0])
        if not OPSETS[0] <= opset <= OPSETS[1]:
            raise ModelError(
                f"the model uses opset {opset}; kilograd reads {OPSETS[0]} to {OPSETS[1]}. Convert it with onnx.version_converter."
            )
        if len(proto.functions):
            raise UnsupportedOperator("the model defines functions of its own; inline them first with onnx.inliner.inline_local_functions.")
        if len(graph.sparse_initializer):
            raise UnsupportedOperator("the model has sparse initializers; kilograd reads dense ones. Export the model with dense weights.")
        constants: dict[str, Array] = {}
        for tensor in graph.initializer:
            name = text(tensor.name)
            if name in constants or not name:
                raise ModelError(f"initializer '{name}' has no name of its own. The file is damaged: export it again.")
            constants[name] = self.array(tensor, f"initializer '{name}'", name)
        known = constants.keys() | self.strange.keys()
        inputs = [self._port(p, "input") for p in graph.input if text(p.name) not in known]
        outputs = [self._port(p, "output") for p in graph.output]
        nodes = [self._node(n, i) for i, n in enumerate(graph.node)]
        return RawModel(opset, nodes, {k: v for k, v in constants.items() if k not in self.strange}, inputs, outputs, self.strange)

    def _port(self, proto: Any, what: str) -> Port:
        name = text(proto.name)
        kind = proto.type.WhichOneof("value")
        if kind not in ("tensor_type", None):
            raise UnsupportedOperator(f"{what} '{name}' is a {kind.removesuffix('_type')}, no tensor; kilograd runs tensors only.")
        tensor = proto.type.tensor_type
        if not tensor.HasField("shape"):
            return Port(name, int(tensor.elem_type), None)
        if len(tensor.shape.dim) > MAX_RANK:
            raise ModelError(f"{what} '{name}' has {len(tensor.shape.dim)} axes, at most {MAX_RANK} are accepted.")
        return Port(name, int(tensor.elem_type), tuple(int(d.dim_value) if d.HasField("dim_value") else 0 for d in tensor.shape.dim))

    def _node(self, proto: Any, index: int) -> RawNode:
        node = RawNode(index, text(proto.op_type), DOMAINS.get(proto.domain, text(proto.domain)), text(proto.name), [], [])
        if len(proto.input) > MAX_OPERANDS or len(proto.output) > MAX_OPERANDS or len(proto.attribute) > 64:
            raise ModelError(
                f"{node.where} has {len(proto.input)} operands and {len(proto.output)} results, at most {MAX_OPERANDS} are accepted."
            )
        node.inputs, node.outputs = [text(t) for t in proto.input], [text(t) for t in proto.output]
        for attribute in proto.attribute:
            node.attrs[text(attribute.name)] = self._attribute(attribute, node)
        return node

    def _attribute(self, proto: Any, node: RawNode) -> Any:
        code = int(proto.type)
        if code == 1:
            return float(proto.f)
        if code == 2:
            return int(proto.i)
        if code == 3:
            return text(proto.s)
        if code == 4:
            return self.array(proto.t, f"{node.where}: attribute '{text(proto.name)}'", "")
        if code in (6, 7, 8):
            values = {6: proto.floats, 7: proto.ints, 8: proto.strings}[code]
            return [text(v) if code == 8 else v for v in values]
        return "graph" if code in (5, 10) else None

    def array(self, proto: Any, what: str, name: str) -> Array:
        """Content of a TensorProto, checked against its shape before anything is allocated."""
        import onnx.numpy_helper

        code, dims = int(proto.data_type), tuple(int(d) for d in proto.dims)
        if code not in TYPES:
            if not name:
                raise UnsupportedOperator(
                    f"{what} is {type_name(code)}, which kilograd does not read. Export the model in float32 or int8."
                )
            self.strange[name] = type_name(code)
            return np.zeros(0)
        if len(dims) > MAX_RANK or any(not 0 <= d <= MAX_DIM for d in dims) or math.prod(dims) > MAX_ELEMENTS:
            raise ModelError(f"{what} has shape {list(dims)[:9]}, more than kilograd reads (8 axes, 2^28 elements). The file is damaged.")
        dtype = np.dtype(TYPES[code][1])
        if proto.data_location == 1:
            return self._external(proto, what, dims, dtype)
        needed = math.prod(dims)
        if proto.HasField("raw_data"):
            held = len(proto.raw_data) / dtype.itemsize
        else:
            held = max(len(proto.float_data), len(proto.int32_data), len(proto.int64_data), len(proto.double_data), len(proto.uint64_data))
        if held != needed:
            raise ModelError(
                f"{what} has shape {list(dims)} and holds {held:g} elements: the file is truncated or damaged. Export it again."
            )
        found = np.asarray(onnx.numpy_helper.to_array(proto))
        return found.astype(dtype, copy=False).reshape(dims)

    def _external(self, proto: Any, what: str, dims: Shape, dtype: np.dtype[Any]) -> Array:
        """Content that lies in another file: of the model's folder only."""
        fields = {text(e.key): text(e.value) for e in proto.external_data}
        location = fields.get("location", "")
        if self.folder is None:
            raise ModelError(f"{what} lies in the file '{location}'; load the model by its path, or save it as one file.")
        folder = Path(os.path.realpath(self.folder))
        file = Path(os.path.realpath(folder / location))
        if not location or "\0" in location or Path(location).is_absolute() or not file.is_relative_to(folder) or not file.is_file():
            raise ModelError(f"{what} lies in '{location}', which is no file inside the model's folder; kilograd reads none outside of it.")
        offset, size = int(fields.get("offset", "0")), math.prod(dims) * dtype.itemsize
        if offset < 0 or offset + size > file.stat().st_size or int(fields.get("length", size)) != size:
            raise ModelError(f"{what} needs {size} bytes from {offset} on of '{location}', which are not there. Copy the files again.")
        with file.open("rb") as stream:
            stream.seek(offset)
            return np.frombuffer(stream.read(size), dtype.newbyteorder("<")).astype(dtype).reshape(dims)


def read_onnx(data: bytes, folder: Path | None = None) -> RawModel:
    """The records of an .onnx file; ModelError when it is damaged."""
    return Reader(folder).model(data)

"""Reading a .tflite file into plain records, with nothing in the file trusted.

Every access of the flatbuffer runs inside `reading`, which turns whatever a damaged file provokes into a ModelError, and is paid for from a
budget proportional to the size of the file, so that entries which point at the same bytes again and again cost neither time nor memory.
Nothing here knows which operators or types kilograd runs; that is decided in `tflite.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kilograd.errors import KilogradError, ModelError

IDENTIFIER = b"TFL3"
MAX_RANK = 8
MAX_OPERANDS = 1024
MAX_SUBGRAPHS = 64
BUDGET_FACTOR = 16
BUDGET_MINIMUM = 1 << 20

#: what reading a damaged file can raise below us
_DAMAGE = (struct.error, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError)


@dataclass(frozen=True)
class RawTensor:
    """A tensor as the file states it. `data` holds the bytes of a constant (uint8 view of the file), None for a computed tensor."""

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    type: str  # name of tflite.TensorType
    data: npt.NDArray[np.uint8] | None
    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int64]
    axis: int
    variable: bool
    sparse: bool
    external: bool

    @property
    def where(self) -> str:
        """The tensor in words, for messages."""
        return f"tensor {self.index} ('{self.name}')"


@dataclass(frozen=True)
class RawOperator:
    """An operator as the file states it; absent operands are -1.

    `options` is the accessor of its builtin options or None; for a custom operator, the bytes of its options.
    """

    index: int
    name: str  # name of tflite.BuiltinOperator, CUSTOM:<name> for custom ones
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any = None
    intermediates: tuple[int, ...] = ()  # tensors that state the quantization of values inside the operator

    @property
    def where(self) -> str:
        """The operator in words, for messages."""
        return f"operator {self.index} ({self.name})"


@dataclass
class RawModel:
    """The first sub-graph of a file; `others` are those behind it."""

    subgraphs: int
    tensors: list[RawTensor] = field(default_factory=list)
    operators: list[RawOperator] = field(default_factory=list)
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    others: list[RawModel] = field(default_factory=list)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn everything that a damaged file provokes into one ModelError that says what could not be read."""
    try:
        yield
    except KilogradError:
        raise
    except _DAMAGE as error:
        raise ModelError(
            f"{what} cannot be read ({str(error)[:120] or type(error).__name__}): the file is truncated or damaged. "
            "Copy it again or export the model again."
        ) from error


def _package() -> Any:
    try:
        import tflite
    except ImportError:
        raise KilogradError('reading .tflite files needs the packages tflite and flatbuffers: pip install "kilograd[tflite]"') from None
    return tflite


def _names(enumeration: type) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int) and not k.startswith("_")}


class _Reader:
    """One pass over one file."""

    def __init__(self, data: bytes) -> None:
        self.tflite = _package()
        self.data = data
        self.budget = BUDGET_FACTOR * len(data) + BUDGET_MINIMUM
        self.types = _names(self.tflite.TensorType)
        self.codes = _names(self.tflite.BuiltinOperator)

    def charge(self, nbytes: int, what: str) -> None:
        """Pay for bytes that are about to be looked at."""
        if nbytes > len(self.data):
            raise ModelError(f"{what} says that it is longer than the file: the file is truncated or damaged. Copy it again.")
        self.budget -= nbytes + 16
        if self.budget < 0:
            raise ModelError(f"{what}: the file refers to the same bytes over and over; it is damaged or made to exhaust the reader.")

    def count(self, table: Any, name: str, what: str) -> int:
        """Length of a vector of tables, which take 4 bytes each at least."""
        n = int(getattr(table, f"{name}Length")())
        self.charge(4 * n, f"{what}: list of {name.lower()}")
        return n

    def vector(self, table: Any, name: str, dtype: Any, what: str, longest: int | None = None) -> npt.NDArray[Any]:
        """A vector of numbers as a view of the file."""
        n = int(getattr(table, f"{name}Length")())
        self.charge(n * np.dtype(dtype).itemsize, f"{what}: {name.lower()}")
        if longest is not None and n > longest:
            raise ModelError(f"{what}: {name.lower()} has {n} entries, at most {longest} are accepted.")
        if n == 0:
            return np.zeros(0, dtype)
        return np.asarray(getattr(table, f"{name}AsNumpy")()).astype(dtype, copy=False)

    def text(self, raw: bytes | None, what: str) -> str:
        """A name, printable whatever the file holds."""
        if not raw:
            return ""
        self.charge(len(raw), what)
        return "".join(c if c.isprintable() else "?" for c in raw.decode("utf-8", "replace"))

    def constant(self, model: Any, buffers: int, index: int, what: str) -> tuple[npt.NDArray[np.uint8] | None, bool]:
        """Content of a buffer (None when it is empty) and whether it lies outside the flatbuffer."""
        if index == 0:
            return None, False
        if index >= buffers:
            raise ModelError(f"{what} refers to buffer {index}, the file has {buffers}: it is damaged. Copy or export it again.")
        buffer = model.Buffers(index)
        if buffer.Offset() > 1 or buffer.Size() > 1:
            return None, True
        data = self.vector(buffer, "Data", np.uint8, what)
        return (data if data.size else None), False

    def tensor(self, model: Any, buffers: int, table: Any, index: int) -> RawTensor:
        """One tensor."""
        what = f"tensor {index}"
        with reading(what):
            name = self.text(table.Name(), what)
            shape = self.vector(table, "Shape", np.int32, what, MAX_RANK)
            signature = self.vector(table, "ShapeSignature", np.int32, what, MAX_RANK)
            data, external = self.constant(model, buffers, int(table.Buffer()), what)
            quant = table.Quantization()
            scale, zero, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
            if quant is not None:
                scale = self.vector(quant, "Scale", np.float32, what)
                zero = self.vector(quant, "ZeroPoint", np.int64, what)
                axis = int(quant.QuantizedDimension())
            return RawTensor(
                index, name, tuple(int(d) for d in shape), tuple(int(d) for d in signature),
                self.types.get(table.Type(), f"type {table.Type()}"), data, scale, zero, axis,
                bool(table.IsVariable()), table.Sparsity() is not None, external,
            )  # fmt: skip

    def code(self, table: Any, index: int) -> str:
        """Name of an operator code; old files hold it in the narrow field, new ones in the wide one."""
        with reading(f"operator code {index}"):
            value = max(int(table.DeprecatedBuiltinCode()), int(table.BuiltinCode()))
            name = self.codes.get(value, f"builtin {value}")
            return f"CUSTOM:{self.text(table.CustomCode(), 'operator code')}" if name == "CUSTOM" else name

    def options(self, table: Any, name: str) -> Any:
        """Accessor of the builtin options, None when there are none. Its class must fit the operator."""
        kind = int(table.BuiltinOptionsType())
        if kind == 0 or table.BuiltinOptions() is None:
            return None
        union = _names(self.tflite.BuiltinOptions).get(kind, "")
        options = getattr(self.tflite, union, None)
        if options is None:
            raise ModelError(f"operator {name} has options of unknown type {kind}: the file is damaged or newer than the tflite package.")
        accessor = options()
        accessor.Init(table.BuiltinOptions().Bytes, table.BuiltinOptions().Pos)
        return accessor

    def operator(self, table: Any, codes: list[str], index: int) -> RawOperator:
        """One operator."""
        what = f"operator {index}"
        with reading(what):
            code = int(table.OpcodeIndex())
            if code >= len(codes):
                raise ModelError(f"{what} has code {code}, the file lists {len(codes)}: it is damaged. Copy or export it again.")
            inputs = self.vector(table, "Inputs", np.int32, what, MAX_OPERANDS)
            outputs = self.vector(table, "Outputs", np.int32, what, MAX_OPERANDS)
            inside = self.vector(table, "Intermediates", np.int32, what, MAX_OPERANDS)
            custom = codes[code].startswith("CUSTOM:")
            options = self.vector(table, "CustomOptions", np.uint8, what).tobytes() if custom else self.options(table, codes[code])
            return RawOperator(index, codes[code], _indices(inputs), _indices(outputs), options, _indices(inside))

    def model(self) -> RawModel:
        """The whole file."""
        with reading("the header of the model"):
            model = self.tflite.Model.GetRootAs(self.data, 0)
            codes = [self.code(model.OperatorCodes(i), i) for i in range(self.count(model, "OperatorCodes", "the model"))]
            buffers = self.count(model, "Buffers", "the model")
            subgraphs = self.count(model, "Subgraphs", "the model")
            if subgraphs == 0:
                raise ModelError("the model has no sub-graph: there is nothing to run. Export it again.")
            if subgraphs > MAX_SUBGRAPHS:
                raise ModelError(f"the model has {subgraphs} sub-graphs, at most {MAX_SUBGRAPHS} are accepted.")
            raw, *others = [self.subgraph(model, buffers, codes, i) for i in range(subgraphs)]
            raw.subgraphs, raw.others = subgraphs, others
        return raw

    def subgraph(self, model: Any, buffers: int, codes: list[str], index: int) -> RawModel:
        """One sub-graph."""
        graph = model.Subgraphs(index)
        what = f"sub-graph {index}" if index else "the graph"
        tensors = self.count(graph, "Tensors", what)
        operators = self.count(graph, "Operators", what)
        raw = RawModel(1)
        raw.inputs = _indices(self.vector(graph, "Inputs", np.int32, what, MAX_OPERANDS))
        raw.outputs = _indices(self.vector(graph, "Outputs", np.int32, what, MAX_OPERANDS))
        raw.tensors = [self.tensor(model, buffers, graph.Tensors(i), i) for i in range(tensors)]
        raw.operators = [self.operator(graph.Operators(i), codes, i) for i in range(operators)]
        _check_indices(raw)
        return raw


def _indices(values: npt.NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(v) for v in values)


def _check_indices(raw: RawModel) -> None:
    """Every tensor index of the file points at a tensor; only operands may be absent (-1)."""
    n = len(raw.tensors)

    def check(indices: tuple[int, ...], what: str, lowest: int) -> None:
        for i in indices:
            if not lowest <= i < n:
                raise ModelError(f"{what} refers to tensor {i}, the graph has {n}: the file is damaged. Copy or export it again.")

    check(raw.inputs, "the list of inputs", 0)
    check(raw.outputs, "the list of outputs", 0)
    for op in raw.operators:
        check(op.inputs, op.where, -1)
        check(op.outputs, op.where, 0)
        check(op.intermediates, op.where, 0)


def read_tflite(data: bytes) -> RawModel:
    """The sub-graphs of a .tflite file as plain records; ModelError when the file is damaged."""
    if len(data) < 8:
        raise ModelError(f"the model has {len(data)} bytes: it is no .tflite file or it is truncated.")
    if data[4:8] != IDENTIFIER:
        raise ModelError("the model is no .tflite file: bytes 4 to 7 are not 'TFL3'. Export the model as TensorFlow Lite.")
    return _Reader(bytes(data)).model()

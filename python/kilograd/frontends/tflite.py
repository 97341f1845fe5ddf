"""TensorFlow Lite models (`.tflite`, int8 and uint8) as graphs.

uint8 models are shifted to int8 exactly: 128 is subtracted from zero points and from the content of constants, so every tensor holds
q - 128 where the original holds q. `graph.meta["uint8"]` lists the tensors that were uint8, `graph.meta["tensor_index"]`
gives the index of each tensor in the file. Padding is made explicit, shapes are
static, and a dynamic batch is pinned to 1. A file is hostile until proved otherwise: whatever it holds, the answer is a graph or a
ModelError.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import kilograd.ops  # noqa: F401  (registers the operators)
from kilograd.errors import GraphError, ModelError, UnsupportedOperator
from kilograd.frontends.tflite_file import RawModel, RawOperator, RawTensor, read_tflite, reading
from kilograd.frontends.tflite_fold import ONLY_FOLDED, Folder
from kilograd.frontends.tflite_rules import RULES, Converted, Rule
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Shape, Tensor
from kilograd.ir.verify import verify
from kilograd.ops.base import infer_outputs, operator, operators

DTYPES = {
    "INT8": DType.INT8, "UINT8": DType.INT8, "INT16": DType.INT16, "INT32": DType.INT32, "INT64": DType.INT64, "FLOAT32": DType.FLOAT32
}  # fmt: skip
RANGES = {"INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767), "INT32": (0, 0), "INT64": (0, 0)}
ACTIVATIONS = ("INT8", "UINT8", "INT16", "INT32", "FLOAT32")  # element types that an input of a model may have
SCALE_MIN, SCALE_MAX = 1.2e-38, 1e30
MAX_BYTES = 1 << 30  # of one tensor: offsets in a plan have 30 bits
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
RESERVED = ("train", "label", "target")  # names that training gives to tensors of its own


def supported() -> dict[str, str]:
    """TensorFlow Lite builtins that can be imported, with the kilograd operator that runs each."""
    return {b: op.name for op in operators().values() for b in op.tflite if b in RULES}


def accepted(builtin: str) -> tuple[str, ...]:
    """Element types of the activations that a builtin's operator takes, as TensorFlow Lite names them."""
    op = operator(supported()[builtin])
    names = [n for d in op.types for n in (("INT8", "UINT8") if d == "int8" else (d.upper(),))]
    return (*names, *(("FLOAT32",) if op.takes_floats else ()))


class Importer:
    """Builds a graph from the records of a file; the handlers of tflite_rules call it for operands."""

    def __init__(self, raw: RawModel, name: str, file_bytes: int) -> None:
        self.raw = raw
        self.graph = Graph(name)
        self.names = _unique_names(raw)
        self.ready: set[int] = set()  # tensors that hold a value at this point of the program
        self.folder = Folder(raw, file_bytes, self.ready)
        self.wide: dict[int, Array] = {}
        self.handles: dict[int, tuple[bytes, bytes]] = {}  # tensors that stand for variables
        self.variables: dict[tuple[bytes, bytes], str] = {}  # state tensors by container and name
        self.ignored: set[int] = set()  # read by operators only for a shape that is static anyway

    # Operands, asked for by the handlers

    def activation(self, op: RawOperator, i: int) -> str:
        """Operand i as activation (or constant) with one scale, of a type that the operator takes."""
        t = self._operand(op, i)
        allowed = accepted(op.name)
        if t.type not in allowed:
            raise self._type_error(op, t, " or ".join(a.lower() for a in allowed))
        return self._declare(t, None, f"{op.where}")

    def weights(self, op: RawOperator, i: int, axis: int, rank: int, zero_point: bool = False) -> str:
        """Operand i as constant weights: int8 with one scale or one for each slice of `axis`, or float32."""
        t = self._operand(op, i)
        if t.type not in ("INT8", "UINT8", "FLOAT32"):
            raise self._type_error(op, t, "int8, uint8 or float32")
        self._need_constant(op, t, "weights")
        self.shape(op, i, rank)
        if t.type == "INT8" and not zero_point and t.zero_point.size and np.any(t.zero_point):
            raise ModelError(f"{op.where}: int8 weights {t.where} have a zero point other than 0, which TensorFlow Lite does not define.")
        if t.type != "FLOAT32" and self._operand(op, 0).type == "FLOAT32":
            return self._real_weights(t, axis, op.where)
        return self._declare(t, axis, op.where)

    def _real_weights(self, t: RawTensor, axis: int, where: str) -> str:
        """Integer weights of a layer that computes in float32 (TensorFlow Lite's hybrid form) as the real numbers that they stand for."""
        name = self._declare(t, axis, where)
        declared = self.graph[name]
        if declared.dtype is not DType.FLOAT32:
            assert declared.data is not None
            shape = [-1 if i == declared.q.axis else 1 for i in range(len(declared.shape))]
            scale, zero = (v if v.size == 1 else v.reshape(shape) for v in (declared.q.scale, declared.q.zero_point))
            real = (declared.data.astype(np.float32) - zero.astype(np.float32)) * scale
            self.graph.set(name, dtype=DType.FLOAT32, quant=None, data=real.astype(np.float32))
        return name

    def constant(self, op: RawOperator, i: int, rank: int, *types: str) -> str:
        """Operand i as constant of one of `types`, with one scale where it is quantized."""
        t = self._operand(op, i)
        if t.type not in types:
            raise self._type_error(op, t, " or ".join(v.lower() for v in types))
        self._need_constant(op, t, "weights")
        self.shape(op, i, rank)
        return self._declare(t, None, op.where)

    def stacked(self, op: RawOperator, indices: tuple[int, ...], rank: int, *types: str) -> str:
        """Constants of equal shape as one, row below row; each keeps its scale along the first axis."""
        parts = [self._operand(op, i) for i in indices]
        data = []
        for i, t in zip(indices, parts, strict=True):
            if t.type not in types or t.type != parts[0].type:
                raise self._type_error(op, t, " or ".join(v.lower() for v in types))
            self._need_constant(op, t, "weights")
            if self.shape(op, i, rank) != self.shape(op, indices[0]):
                raise ModelError(f"{op.where}: {t.where} has shape {list(t.shape)}, {parts[0].where} has {list(parts[0].shape)}.")
            data.append(self._constant(t, _static_shape(t)))
        quant = None
        if parts[0].type == "INT8":
            found = [_quantization(t, _static_shape(t), None) for t in parts]
            if any(q is None or q.z for q in found):
                raise ModelError(f"{op.where}: weights need one scale and zero point 0. Export the model again.")
            scale = np.concatenate([np.full(len(d), q.s, np.float32) for d, q in zip(data, found, strict=True) if q is not None])
            quant = QuantParams(scale, np.zeros(len(scale), np.int32), 0)
        name = self.graph.fresh(f"{self.names[parts[0].index]}/stacked")
        value = np.concatenate(data)
        self.graph.add(Tensor(name, value.shape, DTYPES[parts[0].type], Kind.CONST, quant, value))
        return name

    def bias(self, op: RawOperator, i: int, channels: int) -> str:
        """Operand i as constant bias, '' when there is none: int32, int64 under int16 activations, float32 in a float model."""
        if i >= len(op.inputs) or op.inputs[i] < 0:
            return ""
        t = self._operand(op, i)
        if t.type not in ("INT32", "INT64", "FLOAT32"):
            raise self._type_error(op, t, "int32, int64 or float32")
        self._need_constant(op, t, "bias")
        if t.shape != (channels,):
            raise ModelError(f"{op.where}: bias {t.where} has shape {list(t.shape)}, the layer has {channels} channels.")
        return self._declare(t, 0, op.where)

    def integers(self, op: RawOperator, i: int, most: int = 64) -> list[int]:
        """Content of a constant int32 or int64 operand (axes, shapes, padding), at most `most` numbers."""
        t = self._operand(op, i)
        if t.type not in ("INT32", "INT64"):
            raise self._type_error(op, t, "int32")
        self._need_constant(op, t, "operand")
        size = math.prod(t.shape)
        width = 4 if t.type == "INT32" else 8
        if t.data is None or not 0 <= size <= most or t.data.size != size * width:
            raise ModelError(f"{op.where}: operand {t.where} should hold at most {most} integers; the file is damaged. Export it again.")
        return [int(v) for v in t.data.view(f"<i{width}")]

    def pinned(self, op: RawOperator, i: int) -> list[int] | None:
        """Content of an operand that only repeats what static shapes say: the integers of a constant, None for one that is computed.

        It is not among the operands of the node. An input of the model that nothing but such operands reads is dropped from the graph.
        """
        t = self._operand(op, i)
        if t.data is not None:
            return self.integers(op, i)
        if t.type not in ("INT32", "INT64"):
            raise self._type_error(op, t, "int32")
        self.ignored.add(t.index)
        return None

    def axis(self, op: RawOperator, axis: int, rank: int) -> int:
        """An axis counted from the front."""
        if not -rank <= axis < rank:
            raise ModelError(f"{op.where} works along axis {axis} of a tensor of rank {rank}. The file is damaged: export it again.")
        return axis % rank

    def shape(self, op: RawOperator, i: int, rank: int | None = None) -> Shape:
        """Shape of operand i."""
        t = self._operand(op, i)
        if rank is not None and len(t.shape) != rank:
            raise ModelError(f"{op.where}: {t.where} has shape {list(t.shape)}, rank {rank} is needed.")
        return _static_shape(t)

    def result_shape(self, op: RawOperator) -> Shape:
        """Declared shape of the result."""
        return _static_shape(self.raw.tensors[op.outputs[0]])

    def element_type(self, op: RawOperator, i: int) -> str:
        """Element type of operand i, as TensorFlow Lite names it."""
        return self._operand(op, i).type

    def result_type(self, op: RawOperator) -> str:
        """Declared element type of the result, as TensorFlow Lite names it."""
        return self.raw.tensors[op.outputs[0]].type
    # State

    def declare_variable(self, key: tuple[bytes, bytes], t: RawTensor, where: str, keep: bool = True) -> None:
        """A variable with type, shape, quantization and (`keep`) content of the tensor `t`; zero otherwise."""
        if key in self.variables:
            raise ModelError(f"{where} initializes a variable that has content already. Export the model again.")
        stem = b"/".join(k for k in key if k).decode("utf-8", "replace") or "variable"
        name = "".join(c if c.isprintable() else "?" for c in stem)
        while name in self.graph.tensors or name in self.names or name in RESERVED or name.startswith("d/"):
            name = f"variable/{name}"
        self.variables[key] = self._state(name, t, keep)

    def state(self, op: RawOperator, i: int, *types: str) -> str:
        """Operand i, a tensor that the operator changes and that keeps its content from call to call; it starts at zero."""
        t = self.raw.tensors[op.inputs[i]] if i < len(op.inputs) and op.inputs[i] >= 0 else None
        if t is None or t.type not in types or not t.variable or t.data is not None:
            raise ModelError(f"{op.where}: operand {i} must be a variable of type {' or '.join(types).lower()}. Export the model again.")
        if self.names[t.index] in self.graph.tensors:
            raise UnsupportedOperator(f"{op.where}: {t.where} is the state of another operator too; kilograd gives each its own.")
        return self._state(self.names[t.index], t, keep=False)

    def _state(self, name: str, t: RawTensor, keep: bool) -> str:
        if t.type not in DTYPES or t.sparse:
            raise UnsupportedOperator(f"{t.where} is {'sparse' if t.sparse else t.type.lower()}, which a variable cannot be in kilograd.")
        shape = _static_shape(t)
        quant = _quantization(t, shape, None)
        zero = quant.z if quant is not None and DTYPES[t.type] is DType.INT8 else 0
        data = np.array(self._constant(t, shape)) if keep else np.full(shape, zero, DTYPES[t.type].numpy)
        self.graph.add(Tensor(name, shape, DTYPES[t.type], Kind.STATE, quant, data))
        return name

    def unsigned(self, op: RawOperator, i: int) -> bool:
        """True when operand i is uint8 in the file."""
        return self._operand(op, i).type == "UINT8"

    # The program

    def run(self) -> Graph:
        """Import everything, in program order."""
        _refuse_unsupported(self.raw)
        for kind, indices in (("input", self.raw.inputs), ("output", self.raw.outputs)):
            if len(set(indices)) != len(indices) or not indices:
                raise ModelError(f"the model has no {kind} or names one twice: {list(indices)[:8]}. Export it again.")
        for i in self.raw.inputs:
            self._input(self.raw.tensors[i])
        for op in self.raw.operators:
            with reading(op.where):
                if not self.folder.fold(op):
                    self._operator(op)
        for i in self.raw.outputs:
            if i not in self.ready:
                raise ModelError(f"output {self.raw.tensors[i].where} is written by no operator. The file is damaged: export it again.")
        read = {t for node in self.graph.nodes for t in node.reads()}
        kept = [i for i in self.raw.inputs if i not in self.ignored or self.names[i] in read or i in self.raw.outputs]
        for i in set(self.raw.inputs) - set(kept):
            del self.graph.tensors[self.names[i]]
        self.graph.inputs = [self.names[i] for i in kept]
        self.graph.outputs = [self.names[i] for i in self.raw.outputs]
        self.graph.meta["source"] = "tflite"
        used = [t for t in self.raw.tensors if self.names[t.index] in self.graph.tensors]
        self.graph.meta["tensor_index"] = {self.names[t.index]: t.index for t in used}
        self.graph.meta["uint8"] = [self.names[t.index] for t in used if t.type == "UINT8"]
        return self.graph

    def _input(self, t: RawTensor) -> None:
        if t.data is not None:
            raise ModelError(f"input {t.where} is a constant. The file is damaged: export it again.")
        if t.type not in ACTIVATIONS:
            raise ModelError(f"input {t.where} is {t.type.lower()}; kilograd takes {', '.join(a.lower() for a in ACTIVATIONS)}.")
        self._declare(t, None, "the list of inputs")
        self.ready.add(t.index)

    def _operator(self, op: RawOperator) -> None:
        if op.name not in RULES:
            raise UnsupportedOperator(f"{op.where} computes from what only a run knows; kilograd needs constants here. Use static shapes.")
        rule = RULES[op.name]
        _check_form(op, rule)
        converted = rule.handler(self, op)
        if converted is None:
            return
        results = []
        for out in (self.raw.tensors[i] for i in op.outputs):
            if out.type not in DTYPES:
                raise self._type_error(op, out, " or ".join(d.lower() for d in DTYPES))
            if out.index in self.ready or out.data is not None:
                raise ModelError(f"{op.where} writes {out.where}, which already has a value. The file is damaged: export it again.")
            results.append(self._declare(out, None, op.where))
            self.ready.add(out.index)
        for part, written in [(converted, results)] if isinstance(converted, Converted) else zip(converted, results, strict=True):
            outputs = [written] if isinstance(written, str) else written
            name = outputs[0] if outputs else self.graph.fresh(f"{part.mutates[0]}/{op.name.lower()}/{op.index}")
            self._append(op, Node(supported()[op.name], part.inputs, outputs, part.attrs, name=name, mutates=part.mutates))

    def _append(self, op: RawOperator, node: Node) -> None:
        self.graph.nodes.append(node)
        if RULES[op.name].symmetric:
            self._need_symmetric(op, node)
        try:
            infer_outputs(self.graph, node)
        except GraphError as error:
            raise ModelError(f"{op.where}: {error}") from error

    def _need_symmetric(self, op: RawOperator, node: Node) -> None:
        """int16 activations have zero point 0, but for operators that change quantizations."""
        for t in (self.graph[name] for name in (*node.reads(), *node.outputs)):
            if t.dtype is DType.INT16 and t.quant is not None and np.any(t.quant.zero_point):
                raise ModelError(f"{op.where}: int16 tensor '{t.name}' has a zero point other than 0, which is not defined here.")

    def _operand(self, op: RawOperator, i: int) -> RawTensor:
        if i >= len(op.inputs) or op.inputs[i] < 0:
            raise ModelError(f"{op.where} lacks operand {i}. The file is damaged: export it again.")
        t = self.raw.tensors[op.inputs[i]]
        if t.data is None and t.index not in self.ready:
            if t.external:
                raise ModelError(f"{op.where}: {t.where} lies outside the flatbuffer (model above 2 GB), which kilograd does not read.")
            raise ModelError(f"{op.where} reads {t.where}, which no earlier operator writes: operators are out of order or form a cycle.")
        return t

    def _type_error(self, op: RawOperator, t: RawTensor, wanted: str) -> ModelError:
        hint = " Quantize the model to int8 (post-training, full integer) and export it again." if t.type.startswith("FLOAT") else ""
        return ModelError(f"{op.where}: {t.where} is {t.type.lower()}; kilograd needs {wanted} here.{hint}")

    def _need_constant(self, op: RawOperator, t: RawTensor, what: str) -> None:
        if t.data is None:
            raise UnsupportedOperator(
                f"{op.where}: {what} {t.where} are computed by the model; kilograd needs constants here. Freeze them before export, or "
                "multiply two computed tensors by BATCH_MATMUL."
            )

    def _declare(self, t: RawTensor, axis: int | None, where: str) -> str:
        """Add the tensor to the graph once; `axis` is the axis along which it may have several scales."""
        name = self.names[t.index]
        if name in self.graph.tensors:
            quant = self.graph[name].quant
            if quant is not None and quant.axis not in (None, axis):
                raise ModelError(f"{where}: {t.where} has one scale a channel, which does not fit here.")
            return name
        if t.variable or t.sparse:
            what = "a variable" if t.variable else "sparse"
            raise ModelError(f"{t.where} is {what}; kilograd runs dense tensors without state of their own.")
        shape = _static_shape(t)
        quant = _quantization(t, shape, axis)
        data = None if t.data is None else self._constant(t, shape)
        kind = Kind.ARENA if data is None else Kind.CONST
        self.graph.add(Tensor(name, shape, DTYPES[t.type], kind, quant, data))
        return name

    def _constant(self, t: RawTensor, shape: Shape) -> Array:
        assert t.data is not None
        needed = DTYPES[t.type].nbytes(math.prod(shape))
        if t.data.size != needed:
            raise ModelError(
                f"{t.where} has shape {list(shape)} ({t.type.lower()}) and {t.data.size} bytes of content, {needed} are needed. "
                "The file is truncated or damaged: copy or export it again."
            )
        if t.type == "UINT8":
            return (t.data ^ 0x80).view(np.int8).reshape(shape)
        dtype = {"INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FLOAT32": "<f4"}[t.type]
        values = t.data.view(dtype).reshape(shape)
        if t.type == "FLOAT32" and not np.all(np.isfinite(values)):
            raise ModelError(f"{t.where} holds NaN or infinite constants. Export the model again.")
        return values


def _unique_names(raw: RawModel) -> list[str]:
    """A name for each tensor: its own where that is free, else with a number appended."""
    taken: set[str] = set(RESERVED)
    count: dict[str, int] = {}
    names = []
    for t in raw.tensors:
        stem = t.name or f"tensor{t.index}"
        stem = f"model/{stem}" if stem.startswith("d/") else stem  # errors are called d/<tensor>
        name = stem
        while name in taken:
            count[stem] = count.get(stem, 0) + 1
            name = f"{stem}.{count[stem]}"
        taken.add(name)
        names.append(name)
    return names


def _static_shape(t: RawTensor) -> Shape:
    """Shape with a dynamic batch pinned to 1; ModelError for anything that is not static, positive and of sane size."""
    shape = list(t.shape)
    if shape and shape[0] == -1 and (not t.signature or t.signature[0] == -1):
        shape[0] = 1
    if any(d <= 0 for d in shape):
        raise ModelError(
            f"{t.where} has shape {list(t.shape)}: every dimension must be at least 1 and known (only the batch may be dynamic). "
            "Export the model with static shapes."
        )
    if 4 * math.prod(shape) > MAX_BYTES:
        raise ModelError(f"{t.where} has shape {shape}, more than kilograd can address (2^28 elements).")
    return tuple(shape)


def _quantization(t: RawTensor, shape: Shape, axis: int | None) -> QuantParams | None:
    """Quantization of a tensor, checked; int8 must have one."""
    n = t.scale.size
    if t.type == "FLOAT32" or (t.type in ("INT32", "INT64") and n == 0):
        return None
    if n == 0:
        raise ModelError(f"{t.where} is {t.type.lower()} and has no scale. Export the model with full integer quantization.")
    along = 0 if t.type in ("INT32", "INT64") and len(shape) == 1 else t.axis  # converters leave the axis of the weights on biases
    if n > 1 and (axis is None or along != axis or n != shape[along]):
        raise ModelError(
            f"{t.where} has {n} scales along axis {along} of shape {list(shape)}; "
            + ("one scale is needed here." if axis is None else f"one, or one for each slice of axis {axis}, is needed here.")
        )
    scale = t.scale.astype(np.float32)
    if not np.all((scale >= SCALE_MIN) & (scale <= SCALE_MAX)):  # false for NaN too
        raise ModelError(f"{t.where} has a scale that is not a positive number: {[float(s) for s in scale[:4]]}. Export the model again.")
    if t.zero_point.size not in (0, 1, n):
        raise ModelError(f"{t.where} has {n} scales and {t.zero_point.size} zero points. The file is damaged: export it again.")
    zero = np.broadcast_to(t.zero_point if t.zero_point.size else np.zeros(1, np.int64), (n,))
    lo, hi = RANGES[t.type]
    if np.any((zero < lo) | (zero > hi)):
        raise ModelError(f"{t.where} has a zero point outside {lo} to {hi} ({t.type.lower()}). Export the model again.")
    if n > 1 and np.any(zero != (128 if t.type == "UINT8" else 0)):
        raise ModelError(f"{t.where} has one scale a channel and a zero point other than 0. Export the model again.")
    shifted = zero - (128 if t.type == "UINT8" else 0)
    return QuantParams(scale, shifted.astype(np.int32), axis if n > 1 else None)


def _check_form(op: RawOperator, rule: Rule) -> None:
    """Number of operands and results, class of the options."""
    low, high = rule.operands
    if not low <= len(op.inputs) <= high or not rule.results[0] <= len(op.outputs) <= rule.results[1]:
        wanted, results = (f"{a}" if a == b else f"{a} to {b}" for a, b in (rule.operands, rule.results))
        raise ModelError(
            f"{op.where} has {len(op.inputs)} operands and {len(op.outputs)} results, {wanted} and {results} are needed. "
            "Export the model again."
        )
    if rule.options:
        found = type(op.options).__name__ if op.options is not None else ""
        if found != rule.options and (found or not rule.optional):
            raise ModelError(f"{op.where} has {found or 'no options'}, {rule.options} is needed. The file is damaged: export it again.")


def _refuse_unsupported(raw: RawModel) -> None:
    known = supported()
    bad = [op for op in raw.operators if op.name not in known and op.name not in ONLY_FOLDED]
    if bad:
        listed = ", ".join(f"{op.index} ({op.name})" for op in bad[:8]) + (f" and {len(bad) - 8} more" if len(bad) > 8 else "")
        raise UnsupportedOperator(
            f"the model uses operators that kilograd does not run: {listed}. Supported are: {', '.join(sorted(known))}. "
            "Replace them before export, or cut the model in front of them."
        )


def import_tflite(data: bytes, name: str = "model") -> Graph:
    """A graph from the bytes of a .tflite file; ModelError (or UnsupportedOperator) when it cannot be."""
    raw = read_tflite(data)
    with reading("the model"):
        graph = Importer(raw, name, len(data)).run()
    try:
        verify(graph)  # structure; types were inferred operator by operator
    except GraphError as error:
        raise ModelError(f"the model is inconsistent: {error}") from error
    return graph


def scan_tflite(data: bytes) -> dict[str, Any]:
    """What a .tflite file holds, whether or not kilograd can run it: ops (histogram), params, macs, inputs, outputs, unsupported.

    `params` counts the elements of constants that operators read as weights or biases; `macs` those of convolutions and linear layers;
    `unsupported` lists index, name and reason, an empty list means that the model can be imported.
    """
    raw = read_tflite(data)
    known = supported()
    histogram: dict[str, int] = {}
    for op in raw.operators:
        histogram[op.name] = histogram.get(op.name, 0) + 1
    bad: list[dict[str, Any]] = [
        {"index": op.index, "name": op.name, "reason": "no such operator in kilograd"}
        for op in raw.operators
        if op.name not in known and op.name not in ONLY_FOLDED
    ]
    if not bad:
        try:
            import_tflite(data)
        except ModelError as error:
            bad.append({"index": -1, "name": "", "reason": str(error)})
    return {
        "ops": dict(sorted(histogram.items())),
        "params": sum(_parameters(t) for t in raw.tensors),
        "macs": sum(_macs(raw, op) for op in raw.operators),
        "inputs": [_port(raw.tensors[i]) for i in raw.inputs],
        "outputs": [_port(raw.tensors[i]) for i in raw.outputs],
        "unsupported": bad,
    }


def _parameters(t: RawTensor) -> int:
    if t.data is None or not t.shape or min(t.shape) <= 0:
        return 0
    weights = t.type in ("INT8", "UINT8", "INT16", "INT4", "FLOAT32", "FLOAT16") or (t.type == "INT32" and t.scale.size > 0)
    return math.prod(t.shape) if weights else 0


def _macs(raw: RawModel, op: RawOperator) -> int:
    if op.name not in WEIGHTED or len(op.inputs) < 2 or not op.outputs or op.inputs[1] < 0:
        return 0
    w, y = raw.tensors[op.inputs[1]].shape, raw.tensors[op.outputs[0]].shape
    if not w or not y or min(w) <= 0:
        return 0
    each = math.prod(w[1:]) if op.name != "DEPTHWISE_CONV_2D" else math.prod(w[:-1])
    if op.name == "TRANSPOSE_CONV":  # each input pixel meets the whole weights
        x = raw.tensors[op.inputs[2]].shape if len(op.inputs) > 2 and op.inputs[2] >= 0 else ()
        return math.prod(w) * math.prod(max(d, 1) for d in x[:-1])
    return each * math.prod(max(d, 1) for d in y)


def _port(t: RawTensor) -> dict[str, Any]:
    quant = None
    if t.scale.size:
        quant = {"scale": float(t.scale[0]), "zero_point": int(t.zero_point[0]) if t.zero_point.size else 0}
    return {"name": t.name, "shape": list(t.shape), "type": t.type.lower(), "quantization": quant}

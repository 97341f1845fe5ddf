"""Small .tflite files made for tests, so that they run without any model of others."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import tflite

from kilograd.ir.graph import Array

INT8, UINT8, INT32, FLOAT32 = "INT8", "UINT8", "INT32", "FLOAT32"
NUMPY = {"INT8": np.int8, "UINT8": np.uint8, "INT32": np.int32, "FLOAT32": np.float32, "INT64": np.int64, "INT16": np.int16}
RELU, RELU6 = 1, 3


class ModelBuilder:
    """Collects tensors and operators; `build` writes the flatbuffer. Nothing is checked: broken models can be made too."""

    def __init__(self) -> None:
        self.tensors: list[dict[str, Any]] = []
        self.operators: list[tuple[str, list[int], list[int], str, dict[str, Any]]] = []

    def tensor(
        self, name: str, shape: Any, dtype: str = INT8, scale: Any = None, zero: Any = 0, data: Array | None = None, **more: Any
    ) -> int:
        """Add a tensor, give its index. `more`: axis, signature, variable, raw (bytes of the buffer as they are)."""
        self.tensors.append({"name": name, "shape": shape, "dtype": dtype, "scale": scale, "zero": zero, "data": data, **more})
        return len(self.tensors) - 1

    def constant(self, name: str, data: Array, scale: Any = None, zero: Any = 0, **more: Any) -> int:
        """Add a constant of the type of `data`."""
        dtype = next(k for k, v in NUMPY.items() if v == data.dtype)
        return self.tensor(name, data.shape, dtype, scale, zero, data, **more)

    def op(self, name: str, inputs: list[int], output: int | list[int], options: str = "", **values: Any) -> None:
        """Add an operator; `options` names its options table, `values` its fields."""
        self.operators.append((name, inputs, output if isinstance(output, list) else [output], options, values))

    def build(
        self, inputs: list[int], outputs: list[int], subgraphs: int = 1, repeat: dict[str, int] | None = None,
        more: list[ModelBuilder] | None = None,
    ) -> bytes:  # fmt: skip
        """The file. `repeat` lists the last of the tensors or operators that many times more, as one table that all entries share; `more`
        are further sub-graphs, without inputs and outputs."""
        b, more = flatbuffers.Builder(1024), more or []
        buffers = [b""] + [_content(t) for m in (self, *more) for t in m.tensors]
        buffer_offsets = []
        for content in buffers:
            vector = b.CreateByteVector(content) if content else None
            buffer_offsets.append(_table(b, "Buffer", Data=vector))
        tensors = [self._tensor(b, t, i + 1) for i, t in enumerate(self.tensors)]
        names = sorted({op[0] for m in (self, *more) for op in m.operators})
        codes = [self._code(b, name) for name in names]
        operators = [self._operator(b, op, names.index(op[0])) for op in self.operators]
        repeat = repeat or {}
        tensors += tensors[-1:] * repeat.get("tensors", 0)
        operators += operators[-1:] * repeat.get("operators", 0)
        graph = _table(
            b, "SubGraph", Tensors=_vector(b, tensors), Inputs=_numbers(b, inputs, np.int32), Outputs=_numbers(b, outputs, np.int32),
            Operators=_vector(b, operators),
        )  # fmt: skip
        others, first = [], 1 + len(self.tensors)
        for m in more:
            inner = [m._tensor(b, t, first + i) for i, t in enumerate(m.tensors)]
            calls = [m._operator(b, op, names.index(op[0])) for op in m.operators]
            others.append(_table(b, "SubGraph", Tensors=_vector(b, inner), Operators=_vector(b, calls)))
            first += len(m.tensors)
        model = _table(
            b, "Model", Version=3, OperatorCodes=_vector(b, codes), Subgraphs=_vector(b, [graph] * subgraphs + others),
            Buffers=_vector(b, buffer_offsets),
        )  # fmt: skip
        b.Finish(model, b"TFL3")
        return bytes(b.Output())

    def _tensor(self, b: Any, t: dict[str, Any], buffer: int) -> int:
        quant = None
        if t["scale"] is not None:
            scale, zero = np.atleast_1d(np.float32(t["scale"])), np.atleast_1d(np.int64(t["zero"]))
            quant = _table(
                b, "QuantizationParameters", Scale=_numbers(b, scale, np.float32), ZeroPoint=_numbers(b, zero, np.int64),
                QuantizedDimension=t.get("axis", 0),
            )  # fmt: skip
        sparsity = _table(b, "SparsityParameters") if t.get("sparse") else None
        return _table(
            b, "Tensor", Shape=_numbers(b, t["shape"], np.int32), Type=getattr(tflite.TensorType, t["dtype"]),
            Buffer=t.get("buffer", buffer if t["data"] is not None or "raw" in t else 0), Name=b.CreateString(t["name"]),
            Quantization=quant, IsVariable=t.get("variable"), Sparsity=sparsity,
            ShapeSignature=_numbers(b, t["signature"], np.int32) if "signature" in t else None,
        )  # fmt: skip

    def _code(self, b: Any, name: str) -> int:
        if name.startswith("CUSTOM:"):
            return _table(b, "OperatorCode", DeprecatedBuiltinCode=32, BuiltinCode=32, CustomCode=b.CreateString(name[7:]), Version=1)
        value = getattr(tflite.BuiltinOperator, name)
        return _table(b, "OperatorCode", DeprecatedBuiltinCode=min(value, 127), BuiltinCode=value, Version=1)

    def _operator(self, b: Any, op: tuple[str, list[int], list[int], str, dict[str, Any]], code: int) -> int:
        _, inputs, outputs, options, given = op
        values = {k: b.CreateString(v) if isinstance(v, str) else v for k, v in given.items() if k != "intermediates"}
        table = _table(b, options, **values) if options else None
        kind = getattr(tflite.BuiltinOptions, options) if options else None
        return _table(
            b, "Operator", OpcodeIndex=code, Inputs=_numbers(b, inputs, np.int32), Outputs=_numbers(b, outputs, np.int32),
            BuiltinOptionsType=kind, BuiltinOptions=table, Intermediates=_numbers(b, given.get("intermediates", []), np.int32),
        )  # fmt: skip


def _content(t: dict[str, Any]) -> bytes:
    if "raw" in t:
        return bytes(t["raw"])
    return b"" if t["data"] is None else t["data"].tobytes()


def _table(b: Any, kind: str, **fields: Any) -> int:
    getattr(tflite, f"{kind}Start")(b)
    for name, value in fields.items():
        if value is not None:
            getattr(tflite, f"{kind}Add{name}")(b, value)
    return int(getattr(tflite, f"{kind}End")(b))


def _numbers(b: Any, values: Any, dtype: Any) -> int | None:
    array = np.asarray(values, dtype).reshape(-1)
    return int(b.CreateNumpyVector(array)) if array.size else None


def _vector(b: Any, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def small_cnn(seed: int = 0, unsigned: bool = False) -> bytes:
    """A network of most operators, 8x8x3 to 4 classes: pad, conv, depthwise (multiplier 2), add, pools, mean, linear, softmax.

    int8 with per-channel scales, or uint8 with one scale a tensor and weights with a zero point.
    """
    m, rng = ModelBuilder(), np.random.default_rng(seed)
    kind, shift = (UINT8, 128) if unsigned else (INT8, 0)

    def act(name: str, shape: Any, scale: float, zero: int = 0) -> int:
        return m.tensor(name, shape, kind, scale, zero + shift)

    def weights(name: str, shape: Any, axis: int) -> tuple[int, Array]:
        if unsigned:
            return m.constant(name, rng.integers(0, 256, shape, dtype=np.uint8), 0.01, 121), np.array([0.01])
        scale = rng.uniform(0.002, 0.02, shape[axis]).astype(np.float32)
        return m.constant(name, rng.integers(-127, 128, shape, dtype=np.int8), scale, np.zeros(shape[axis], np.int64), axis=axis), scale

    def bias(name: str, n: int, scale: Any) -> int:
        s = np.float32(scale)
        return m.constant(name, rng.integers(-2000, 2000, n).astype(np.int32), s, np.zeros(s.shape, np.int64))

    x = act("x", (1, 8, 8, 3), 0.05, 3)
    padded = act("padded", (1, 10, 10, 3), 0.05, 3)
    m.op("PAD", [x, m.constant("paddings", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))], padded)
    w, s = weights("w1", (8, 3, 3, 3), 0)
    c1 = act("conv", (1, 8, 8, 8), 0.06, -128)
    conv = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    m.op("CONV_2D", [padded, w, bias("b1", 8, 0.05 * s)], c1, "Conv2DOptions", Padding=1, FusedActivationFunction=RELU6, **conv)
    w, s = weights("w2", (1, 3, 3, 16), 3)
    c2 = act("depthwise", (1, 4, 4, 16), 0.07, -5)
    down = {**conv, "StrideH": 2, "StrideW": 2}
    m.op("DEPTHWISE_CONV_2D", [c1, w, bias("b2", 16, 0.06 * s)], c2, "DepthwiseConv2DOptions", Padding=0, DepthMultiplier=2, **down)
    w, s = weights("w3", (16, 1, 1, 16), 0)
    c3 = act("pointwise", (1, 4, 4, 16), 0.2, 7)
    m.op("CONV_2D", [c2, w, bias("b3", 16, 0.07 * s)], c3, "Conv2DOptions", Padding=0, **conv)
    total = act("sum", (1, 4, 4, 16), 0.21, 2)
    m.op("ADD", [c2, c3], total, "AddOptions")
    pool = {"StrideH": 2, "StrideW": 2, "FilterHeight": 2, "FilterWidth": 2}
    average, largest = act("average", (1, 2, 2, 16), 0.21, 2), act("largest", (1, 2, 2, 16), 0.21, 2)
    m.op("AVERAGE_POOL_2D", [total], average, "Pool2DOptions", Padding=1, **pool)
    m.op("MAX_POOL_2D", [total], largest, "Pool2DOptions", Padding=0, **pool)
    both = act("both", (1, 2, 2, 32), 0.21, 2)
    m.op("CONCATENATION", [average, largest], both, "ConcatenationOptions", Axis=-1)
    flat = act("flat", (1, 128), 0.21, 2)
    m.op("RESHAPE", [both, m.constant("shape", np.array([1, -1], np.int32))], flat, "ReshapeOptions")
    linear = rng.integers(0, 256, (4, 128), dtype=np.uint8) if unsigned else rng.integers(-127, 128, (4, 128), dtype=np.int8)
    wf = m.constant("w4", linear, 0.01, 100 if unsigned else 0)
    logits, y = act("logits", (1, 4), 0.4, 10), m.tensor("y", (1, 4), kind, 1 / 256, -128 + shift)
    m.op("FULLY_CONNECTED", [flat, wf, bias("b4", 4, 0.21 * 0.01)], logits, "FullyConnectedOptions")
    m.op("SOFTMAX", [logits], y, "SoftmaxOptions", Beta=1.0)
    return m.build([x], [y])

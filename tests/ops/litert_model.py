"""One-operator .tflite models, built with flatbuffers and run by LiteRT's reference kernels: the judge of forward bits."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from kilograd.ir.graph import Array, Shape

HAVE_LITERT = all(importlib.util.find_spec(m) is not None for m in ("ai_edge_litert", "tflite", "flatbuffers"))
needs_litert = pytest.mark.skipif(not HAVE_LITERT, reason="ai-edge-litert, tflite or flatbuffers is not installed")
#: operators of which LiteRT has no second version
FIRST_VERSION = ("HARD_SWISH", "ELU", "NEG", "SQUARE", "RELU_N1_TO_1", "RELU_0_TO_1", "PRELU", "DEPTH_TO_SPACE")


@dataclass
class Value:
    """A tensor of the model: shape, NumPy type name, quantization, and constant content where it has one."""

    shape: Shape
    dtype: str = "int8"
    scale: float | None = None
    zero: int = 0
    data: Array | None = None


Options = Callable[[Any], int]  # writes the option table of the operator


def options(table: str, **values: Any) -> tuple[str, Options]:
    """(union member, writer) for an option table: options("Pool2DOptions", StrideH=2)."""
    import tflite

    def write(builder: Any) -> int:
        getattr(tflite, f"{table}Start")(builder)
        for name, value in values.items():
            getattr(tflite, f"{table}Add{name}")(builder, value)
        return int(getattr(tflite, f"{table}End")(builder))

    return table, write


def _vector(builder: Any, start: Callable[[Any, int], Any], items: Sequence[int]) -> int:
    start(builder, len(items))
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())


def _quantization(builder: Any, value: Value) -> int:
    import tflite

    scale = builder.CreateNumpyVector(np.array([value.scale], np.float32))
    zero = builder.CreateNumpyVector(np.array([value.zero], np.int64))
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scale)
    tflite.QuantizationParametersAddZeroPoint(builder, zero)
    return int(tflite.QuantizationParametersEnd(builder))


def _tensor(builder: Any, index: int, value: Value) -> int:
    import tflite

    name = builder.CreateString(f"t{index}")
    shape = builder.CreateNumpyVector(np.array(value.shape, np.int32))
    quantization = None if value.scale is None else _quantization(builder, value)
    tflite.TensorStart(builder)
    tflite.TensorAddName(builder, name)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, getattr(tflite.TensorType, value.dtype.upper()))
    tflite.TensorAddBuffer(builder, index + 1)
    if quantization is not None:
        tflite.TensorAddQuantization(builder, quantization)
    return int(tflite.TensorEnd(builder))


def _buffers(builder: Any, values: Sequence[Value]) -> list[int]:
    import tflite

    offsets = []
    for value in [None, *values]:
        content = None if value is None or value.data is None else builder.CreateNumpyVector(np.frombuffer(value.data.tobytes(), np.uint8))
        tflite.BufferStart(builder)
        if content is not None:
            tflite.BufferAddData(builder, content)
        offsets.append(int(tflite.BufferEnd(builder)))
    return offsets


def _operator(builder: Any, inputs: int, output: int, chosen: tuple[str, Options] | None) -> int:
    import tflite

    table = chosen[1](builder) if chosen else None
    ins = builder.CreateNumpyVector(np.arange(inputs, dtype=np.int32))
    outs = builder.CreateNumpyVector(np.array([output], np.int32))
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, 0)
    tflite.OperatorAddInputs(builder, ins)
    tflite.OperatorAddOutputs(builder, outs)
    if chosen and table is not None:
        tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, chosen[0]))
        tflite.OperatorAddBuiltinOptions(builder, table)
    return int(tflite.OperatorEnd(builder))


def build(op: str, inputs: Sequence[Value], output: Value, chosen: tuple[str, Options] | None = None) -> bytes:
    """A model with the builtin operator `op`; inputs without data are fed by `run`."""
    import flatbuffers
    import tflite

    builder, values = flatbuffers.Builder(1024), [*inputs, output]
    buffers = _vector(builder, tflite.ModelStartBuffersVector, _buffers(builder, values))
    tensors = _vector(builder, tflite.SubGraphStartTensorsVector, [_tensor(builder, i, v) for i, v in enumerate(values)])
    operators = _vector(builder, tflite.SubGraphStartOperatorsVector, [_operator(builder, len(inputs), len(inputs), chosen)])
    fed = builder.CreateNumpyVector(np.array([i for i, v in enumerate(inputs) if v.data is None], np.int32))
    given = builder.CreateNumpyVector(np.array([len(inputs)], np.int32))
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, tensors)
    tflite.SubGraphAddInputs(builder, fed)
    tflite.SubGraphAddOutputs(builder, given)
    tflite.SubGraphAddOperators(builder, operators)
    subgraphs = _vector(builder, tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(builder)])
    code = getattr(tflite.BuiltinOperator, op)
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddBuiltinCode(builder, code)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(code, 127))
    tflite.OperatorCodeAddVersion(builder, 1 if op in FIRST_VERSION else 2)
    codes = _vector(builder, tflite.ModelStartOperatorCodesVector, [tflite.OperatorCodeEnd(builder)])
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, codes)
    tflite.ModelAddSubgraphs(builder, subgraphs)
    tflite.ModelAddBuffers(builder, buffers)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


#: operators that LiteRT has, but not among its reference kernels
NO_REFERENCE = ("ELU",)


def run(model: bytes, feeds: Sequence[Array], resolver: str = "BUILTIN_REF") -> Array:
    """Result of the model under LiteRT's reference kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType[resolver])
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), feeds, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return np.array(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def run_one(op: str, inputs: Sequence[Value], output: Value, chosen: tuple[str, Options] | None, feeds: Sequence[Array]) -> Array:
    """Build and run."""
    return run(build(op, inputs, output, chosen), feeds, "BUILTIN_WITHOUT_DEFAULT_DELEGATES" if op in NO_REFERENCE else "BUILTIN_REF")

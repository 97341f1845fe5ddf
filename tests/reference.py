"""The judge of forward bits: LiteRT (or tflite-runtime, same interface) with its reference kernels, every tensor kept."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from kilograd.ir.graph import Array, Graph, Kind

MODULES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


def interpreter_module() -> Any | None:
    """The module of the interpreter that is installed, None when there is none."""
    for name in MODULES:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


def require_interpreter() -> None:
    """Skip the test, saying so, when no interpreter is installed."""
    if interpreter_module() is None:
        pytest.skip("neither ai-edge-litert nor tflite-runtime is installed: nothing to compare with")


class Reference:
    """An interpreter for one model: BUILTIN_REF kernels, no delegate, all intermediate tensors readable."""

    def __init__(self, data: bytes) -> None:
        module = interpreter_module()
        if module is None:
            raise RuntimeError("neither ai-edge-litert nor tflite-runtime is installed")
        self.interpreter = module.Interpreter(
            model_content=data,
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
            num_threads=1,
        )
        self.interpreter.allocate_tensors()

    def run(self, graph: Graph, feeds: dict[str, Array]) -> dict[str, Array]:
        """Values of all computed tensors by their name in `graph`, shifted to int8 where the file says uint8."""
        index, unsigned = graph.meta["tensor_index"], set(graph.meta["uint8"])
        for name, value in feeds.items():
            self.interpreter.set_tensor(index[name], _flip(value) if name in unsigned else value)
        self.interpreter.invoke()
        values = {}
        for t in graph.tensors.values():
            if t.kind is Kind.ARENA and t.name in index:
                value = self.interpreter.get_tensor(index[t.name])
                values[t.name] = _flip(value) if t.name in unsigned else value
        return values


def _flip(value: Array) -> Array:
    """From uint8 to int8 and back: q - 128, which flips the top bit."""
    other = np.int8 if value.dtype == np.uint8 else np.uint8
    return (value.view(np.uint8) ^ np.uint8(0x80)).view(other)


def differences(graph: Graph, want: dict[str, Array], got: dict[str, Array]) -> list[str]:
    """One line for each tensor, in program order, that is not equal bit for bit."""
    lines = []
    for node in graph.nodes:
        for name in node.writes():
            if name not in want:
                continue
            a, b = want[name], np.asarray(got[name]).reshape(want[name].shape)
            if a.dtype != b.dtype or a.tobytes() != b.tobytes():
                diff = a.astype(np.float64) - b.astype(np.float64)
                wrong = int(np.count_nonzero(diff)) if a.dtype == b.dtype else a.size
                lines.append(f"{node.op} '{name}' {list(a.shape)}: {wrong} of {a.size} differ, by up to {np.abs(diff).max():.6g}")
    return lines

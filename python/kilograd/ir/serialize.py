"""Graphs as files: one .npz with the structure as JSON and every array under a number. For models of our own that ship with the package."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from kilograd.errors import ModelError
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Phase, QuantParams, Tensor

FORMAT = "kilograd graph 1"
_STRUCTURE = "graph"
#: what NumPy, zipfile and json raise on damaged files
_DAMAGE = (ValueError, OSError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def save_graph(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a graph as .npz. Attributes must be what JSON knows (tuples come back as lists of numbers made tuples)."""
    arrays: dict[str, Array] = {}

    def put(array: Array | None) -> int | None:
        if array is None:
            return None
        arrays[f"a{len(arrays)}"] = np.asarray(array)
        return len(arrays) - 1

    structure = {
        "format": FORMAT,
        "name": graph.name,
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "meta": graph.meta,
        "tensors": [
            {
                "name": t.name,
                "shape": list(t.shape),
                "dtype": t.dtype.value,
                "kind": t.kind.value,
                "data": put(t.data),
                "scale": put(t.quant.scale if t.quant else None),
                "zero_point": put(t.quant.zero_point if t.quant else None),
                "axis": t.quant.axis if t.quant else None,
            }
            for t in graph.tensors.values()
        ],
        "nodes": [
            {
                "op": n.op, "inputs": n.inputs, "outputs": n.outputs, "attrs": n.attrs, "name": n.name, "phase": n.phase.value,
                "mutates": n.mutates,
            }
            for n in graph.nodes
        ],
    }
    arrays[_STRUCTURE] = np.frombuffer(json.dumps(structure).encode(), np.uint8)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def load_graph(path: str | os.PathLike[str]) -> Graph:
    """Read what `save_graph` wrote; ModelError when the file is anything else. Run the verifier on the result."""
    try:
        with np.load(Path(path), allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        structure = json.loads(arrays[_STRUCTURE].tobytes())
        if structure["format"] != FORMAT:
            raise ModelError(f"'{path}' has the format '{structure['format']}', this version reads '{FORMAT}'")
        graph = Graph(str(structure["name"]), meta=structure["meta"])
        graph.inputs, graph.outputs = _names(structure["inputs"]), _names(structure["outputs"])
        for item in structure["tensors"]:
            graph.add(_tensor(item, arrays))
        graph.nodes = [_node(item, graph) for item in structure["nodes"]]
    except ModelError:
        raise
    except _DAMAGE as error:
        raise ModelError(f"'{path}' is not a graph file of kilograd ({type(error).__name__}: {error})") from error
    for name in (*graph.inputs, *graph.outputs):
        if name not in graph.tensors:
            raise ModelError(f"'{path}' is damaged: '{name}' is an input or output but no tensor")
    return graph


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ValueError(f"{value!r} is not a list of names")
    return value


def _tensor(item: dict[str, Any], arrays: dict[str, Array]) -> Tensor:
    def get(index: int | None) -> Array | None:
        return None if index is None else arrays[f"a{int(index)}"]

    name, shape, dtype = str(item["name"]), tuple(int(d) for d in item["shape"]), DType(item["dtype"])
    if any(d <= 0 for d in shape):
        raise ModelError(f"tensor '{name}' has the shape {list(shape)}: every size must be positive")
    data, scale, zero = get(item["data"]), get(item["scale"]), get(item["zero_point"])
    quant = None
    if scale is not None and zero is not None:
        quant = QuantParams(scale.astype(np.float32), zero.astype(np.int32), None if item["axis"] is None else int(item["axis"]))
        if quant.scale.ndim != 1 or quant.scale.shape != quant.zero_point.shape or not (np.isfinite(quant.scale) & (quant.scale > 0)).all():
            raise ModelError(f"tensor '{name}' has damaged quantization parameters")
    tensor = Tensor(name, shape, dtype, Kind(item["kind"]), quant, data)
    if data is not None and (data.dtype != dtype.numpy or data.nbytes != tensor.nbytes):
        raise ModelError(f"tensor '{name}' is declared {dtype.value}{list(shape)}, its data is {data.dtype}{list(data.shape)}")
    return tensor


def _node(item: dict[str, Any], graph: Graph) -> Node:
    attrs = {k: _tuples(v) for k, v in item["attrs"].items()}
    mutates = tuple(_names(item.get("mutates", [])))
    node = Node(str(item["op"]), _names(item["inputs"]), _names(item["outputs"]), attrs, str(item["name"]), Phase(item["phase"]), mutates)
    for name in (*node.reads(), *node.writes(), *node.mutates):
        if name not in graph.tensors:
            raise ModelError(f"node '{node.name}' ({node.op}) names the tensor '{name}', which the file does not have")
    return node


def _tuples(value: Any) -> Any:
    """JSON lists as the tuples that attributes are."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value

"""A graph in numbers, for `kilograd inspect` and reports."""

from __future__ import annotations

from typing import Any

from kilograd.ir.graph import Graph, Kind, Tensor
from kilograd.ops.base import operator


def summarize(graph: Graph) -> dict[str, Any]:
    """Histogram of ops, params (elements of constants and learned state), macs, inputs, outputs and unsupported (always empty here)."""
    histogram: dict[str, int] = {}
    for node in graph.nodes:
        histogram[node.op] = histogram.get(node.op, 0) + 1
    read = {t for node in graph.nodes for t in node.reads()}
    return {
        "ops": dict(sorted(histogram.items())),
        "params": sum(graph[t].size for t in read if graph[t].kind is not Kind.ARENA),
        "macs": sum(operator(node.op).macs(graph, node) for node in graph.nodes),
        "inputs": [_port(graph, graph[t]) for t in graph.inputs],
        "outputs": [_port(graph, graph[t]) for t in graph.outputs],
        "unsupported": [],
    }


def _port(graph: Graph, t: Tensor) -> dict[str, Any]:
    """Shape, type and quantization as kilograd holds them, and the type in the model file."""
    quant = None if t.quant is None else {"scale": t.quant.s, "zero_point": t.quant.z}
    source = "uint8" if t.name in graph.meta.get("uint8", ()) else t.dtype.value
    return {"name": t.name, "shape": list(t.shape), "type": t.dtype.value, "file_type": source, "quantization": quant}

"""A graph as text that a person can read: one line a tensor that comes from outside, one line a node."""

from __future__ import annotations

from typing import Any

import numpy as np

from kilograd.ir.graph import Graph, Kind, Node, Tensor


def format_graph(graph: Graph) -> str:
    """The whole graph; results are annotated with type, shape and quantization, phases are headings."""
    lines = [f"graph {graph.name}"]
    lines += [f"  input {format_tensor(graph[name])}" for name in graph.inputs]
    read = {t for node in graph.nodes for t in node.reads()}
    for t in graph.tensors.values():
        if t.kind is not Kind.ARENA and (t.name in read or t.kind is Kind.STATE):
            lines.append(f"  {t.kind.value} {format_tensor(t)}")
    phase = None
    for i, node in enumerate(graph.nodes):
        if node.phase is not phase:
            phase = node.phase
            lines.append(f"  [{phase.value}]")
        lines.append(f"  {i:4d} {format_node(graph, node)}")
    lines.append(f"  output {', '.join(graph.outputs)}")
    return "\n".join(lines) + "\n"


def format_tensor(t: Tensor) -> str:
    """name: type[shape] and quantization."""
    text = f"{t.name}: {t.dtype.value}[{','.join(map(str, t.shape))}]"
    if t.exponent is not None:
        return f"{text} * 2^({t.exponent})"
    if t.quant is None:
        return text
    if t.quant.axis is None:
        return f"{text} scale {t.quant.s:.6g} zero {t.quant.z}"
    return f"{text} scales [{t.quant.scale.min():.3g} .. {t.quant.scale.max():.3g}] along axis {t.quant.axis}"


def format_node(graph: Graph, node: Node) -> str:
    """One line, `results = op(operands) {attributes}`; '-' stands for an absent operand or an unwanted result."""
    results = ", ".join(format_tensor(graph[t]) if t in graph.tensors else (t or "-") for t in node.outputs) or "()"
    operands = ", ".join(t or "-" for t in node.inputs)
    attrs = ", ".join(f"{k}={_value(v)}" for k, v in sorted(node.attrs.items()))
    text = f"{results} = {node.op}({operands})" + (f" {{{attrs}}}" if attrs else "")
    return text + (f" changes {', '.join(node.mutates)}" if node.mutates else "")


def _value(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 8:
        return f"array{list(value.shape)}"
    return str(value)

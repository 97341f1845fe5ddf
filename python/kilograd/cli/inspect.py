"""`kilograd inspect`: what a model consists of, and whether it can be run."""

from __future__ import annotations

from typing import Any

import typer
from rich.table import Table

from kilograd.cli.console import Report
from kilograd.cli.options import Json, Model
from kilograd.frontends.load import load, scan
from kilograd.ir.graph import Graph
from kilograd.train.scheme import layers


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def inspect(model: Model, as_json: Json = False) -> None:
        """Operators, parameters, MACs, inputs, outputs, and what is not supported."""
        report = Report(as_json)
        found = scan(model)
        if not found["unsupported"]:
            found["layers"] = layer_rows(load(model))
        report.result(found)
        report.say(f"{model.name}: {found['params']:,} parameters, {found['macs']:,} MACs")
        table = Table("operator", "count", "")
        for name, count in found["ops"].items():
            table.add_row(name, str(count), "[red]not supported" if _unsupported(name, found) else "")
        report.say(table)
        for layer in found.get("layers", []):
            report.say(f"layer {layer['index']:>3}  {layer['op']:<18} {str(layer['weights']):<20} {layer['name'][:60]}")
        for kind in ("inputs", "outputs"):
            for port in found[kind]:
                report.say(f"{kind[:-1]}: {port_text(port)}")
        for item in found["unsupported"]:
            report.say(f"not supported: {unsupported_text(item)}")


def unsupported_text(item: dict[str, Any]) -> str:
    """'operator 3 (SVDF): no such operator in kilograd'."""
    return f"operator {item['index']} ({item['name']}): {item['reason']}" if item["name"] else str(item["reason"])


def _unsupported(name: str, found: dict[str, Any]) -> bool:
    return any(name == item["name"] for item in found["unsupported"])


def layer_rows(graph: Graph) -> list[dict[str, Any]]:
    """The layers that update schemes can name: index, name, operator, shape of the weights."""
    return [
        {"index": i, "name": node.name, "op": node.op, "weights": list(graph[node.inputs[1]].shape)} for i, node in enumerate(layers(graph))
    ]


def port_text(port: dict[str, Any]) -> str:
    """'x int8 [1, 96, 96, 3], scale 0.0078, zero point -1'."""
    text = f"{port['name']} {port['type']} {port['shape']}"
    quant = port.get("quantization")
    return text if not quant else f"{text}, scale {quant['scale']:.6g}, zero point {quant['zero_point']}"

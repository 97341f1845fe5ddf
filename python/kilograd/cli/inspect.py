"""`kilograd inspect`: what a model consists of, and whether it can be run."""

from __future__ import annotations

from typing import Any

import typer
from rich.table import Table

from kilograd.cli.console import Report
from kilograd.cli.options import Json, Model
from kilograd.frontends.load import read_model
from kilograd.frontends.tflite import scan_tflite


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def inspect(model: Model, as_json: Json = False) -> None:
        """Operators, parameters, MACs, inputs, outputs, and what is not supported."""
        report = Report(as_json)
        found = scan_tflite(read_model(model))
        report.result(found)
        report.say(f"{model.name}: {found['params']:,} parameters, {found['macs']:,} MACs")
        table = Table("operator", "count", "")
        for name, count in found["ops"].items():
            table.add_row(name, str(count), "[red]not supported" if _unsupported(name, found) else "")
        report.say(table)
        for kind in ("inputs", "outputs"):
            for port in found[kind]:
                report.say(f"{kind[:-1]}: {port_text(port)}")
        for item in found["unsupported"]:
            report.say(f"not supported: {item if isinstance(item, str) else ' '.join(str(v) for v in item.values())}")


def _unsupported(name: str, found: dict[str, Any]) -> bool:
    return any(name in (item if isinstance(item, str) else [str(v) for v in item.values()]) for item in found["unsupported"])


def port_text(port: dict[str, Any]) -> str:
    """'x int8 [1, 96, 96, 3], scale 0.0078, zero point -1'."""
    text = f"{port['name']} {port['type']} {port['shape']}"
    quant = port.get("quantization")
    return text if not quant else f"{text}, scale {quant['scale']:.6g}, zero point {quant['zero_point']}"

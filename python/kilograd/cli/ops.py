"""`kilograd ops`: the operators, read from the registry."""

from __future__ import annotations

from typing import Any

import typer
from rich.table import Table

from kilograd.cli.console import Report
from kilograd.cli.options import Json
from kilograd.ops import Operator, operators


def describe(operator: Operator) -> dict[str, Any]:
    """One row: names, what it can do, kernels; `why` tells why there is no gradient."""
    backward = type(operator).backward is not Operator.backward
    return {
        "operator": operator.name,
        "import": list(operator.tflite),
        "forward": not operator.internal,
        "backward": backward,
        "internal": operator.internal,
        "why": "" if backward else operator.no_gradient,
        "kernels": list(operator.kernels),
    }


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def ops(as_json: Json = False) -> None:
        """The table of operators: import, forward, backward, kernels."""
        report = Report(as_json)
        rows = [describe(o) for o in operators().values()]
        report.result({"operators": rows})
        table = Table("operator", "TFLite", "forward", "backward", "kernels")
        for row in sorted(rows, key=lambda r: r["internal"]):
            backward = "yes" if row["backward"] else "(part of training)" if row["internal"] else "no"
            names = [row["operator"], ", ".join(row["import"]), "yes" if row["forward"] else ""]
            table.add_row(*names, backward, ", ".join(row["kernels"]) or "(a view: none needed)")
        report.say(table)

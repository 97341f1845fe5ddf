"""`kilograd ops`: the operators, read from the registry."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from kilograd.cli.console import Report
from kilograd.cli.options import Json
from kilograd.ops import Operator, operators

HEADING = """# Operators

Written by `kilograd ops --markdown`. *Backward* says whether a gradient can pass; *kernels* names the C functions, `kg_<name>`.

"""


def describe(operator: Operator) -> dict[str, Any]:
    """One row: names, what it can do, kernels; `why` tells why there is no gradient, `summary` what it computes."""
    backward = type(operator).backward is not Operator.backward
    return {
        "operator": operator.name,
        "import": list(operator.tflite),
        "forward": not operator.internal,
        "backward": backward,
        "internal": operator.internal,
        "why": "" if backward else operator.no_gradient,
        "kernels": list(operator.kernels),
        "float_only": operator.float_only,
        "summary": (type(operator).__doc__ or "").split("\n")[0].split(". ")[0].rstrip(".") + ".",
    }


def _table(*titles: str) -> Table:
    found = Table(*titles, box=None, padding=(0, 1, 0, 0))
    for column in found.columns:
        column.overflow = "fold"  # 80 characters hold everything; below that, no name is cut off
    return found


def forward_table(rows: list[dict[str, Any]]) -> Table:
    """The operators that models have."""
    found = _table("operator", "TFLite", "forward", "backward", "kernels")
    for row in rows:
        if row["forward"]:
            backward = "yes" if row["backward"] else "no"
            found.add_row(row["operator"], "\n".join(row["import"]), "yes", backward, "\n".join(row["kernels"]) or _no_kernel(row))
    return found


def training_table(rows: list[dict[str, Any]]) -> Table:
    """The nodes that only training creates."""
    found = _table("node of training", "kernels")
    for row in rows:
        if row["internal"]:
            found.add_row(row["operator"], "\n".join(row["kernels"]))
    return found


def markdown(rows: list[dict[str, Any]]) -> str:
    """docs/operators.md."""
    text = HEADING + "| operator | TFLite | backward | kernels | computes |\n|---|---|---|---|---|\n"
    for row in rows:
        if not row["internal"]:
            backward = "yes" if row["backward"] else f"no: {row['why']}"
            names = f"{row['operator']} | {', '.join(row['import'])} | {backward} | {_code(row['kernels']) or _no_kernel(row)}"
            text += f"| {names} | {_cell(row)} |\n"
    text += "\nNodes that only training creates:\n\n| node | kernels | computes |\n|---|---|---|\n"
    for row in rows:
        if row["internal"]:
            text += f"| {row['operator']} | {_code(row['kernels'])} | {_cell(row)} |\n"
    return text


def _no_kernel(row: dict[str, Any]) -> str:
    return f"none: {row['float_only'] or 'a view'}"


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cell(row: dict[str, Any]) -> str:
    return str(row["summary"]).replace("|", "\\|")


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def ops(
        as_markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/operators.md.")] = False, as_json: Json = False
    ) -> None:
        """The table of operators: import, forward, backward, kernels."""
        report = Report(as_json)
        rows = [describe(o) for o in operators().values()]
        report.result({"operators": rows})
        if as_markdown:
            report.say(markdown(rows).rstrip("\n"))
            return
        report.say(forward_table(rows))
        report.say()
        report.say(training_table(rows))

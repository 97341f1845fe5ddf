"""`kilograd emit`: plan to plain C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kilograd.cli.console import Report
from kilograd.cli.models import open_plan
from kilograd.cli.options import Json, Model
from kilograd.emit import emit as emit_c


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def emit(
        plan: Model,
        output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write into.", show_default=False)],
        name: Annotated[str, typer.Option(help="Prefix of files, functions and macros.")] = "model",
        as_json: Json = False,
    ) -> None:
        """Write a plan as a folder of plain C11 that `cc *.c` compiles."""
        report = Report(as_json)
        files = emit_c(open_plan(plan), output, name)
        report.result({"directory": str(output), "files": [f.name for f in files], "bytes": sum(f.stat().st_size for f in files)})
        report.say(f"wrote {len(files)} files to {output}; the interface is {files[0].name}, compile with: cc -c -O2 {output}/*.c")

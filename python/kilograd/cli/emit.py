"""`kilograd emit`: plan to plain C, by itself or as a project of an ecosystem."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kilograd.cli.console import Report
from kilograd.cli.models import open_plan
from kilograd.cli.options import Json, Model
from kilograd.emit import emit as emit_c
from kilograd.emit.projects import emit_project

Project = Literal["cmake", "arduino", "platformio", "zephyr", "esp-idf"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def emit(
        plan: Model,
        output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write into.", show_default=False)],
        name: Annotated[str, typer.Option(help="Prefix of files, functions and macros.")] = "model",
        project: Annotated[
            Project | None, typer.Option(help="Wrap it in a project: cmake, arduino, platformio, zephyr or esp-idf.", show_default=False)
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Write a plan as a folder of plain C11 that `cc *.c` compiles, or as a project."""
        report = Report(as_json)
        opened = open_plan(plan)
        files = emit_c(opened, output, name) if project is None else emit_project(opened, output, project, name)
        names = [str(f.relative_to(output)) for f in files]
        report.result({"directory": str(output), "project": project, "files": names, "bytes": sum(f.stat().st_size for f in files)})
        if project is None:
            report.say(f"wrote {len(files)} files to {output}; the interface is {files[0].name}, compile with: cc -c -O2 {output}/*.c")
        else:
            report.say(f"wrote {len(files)} files to {output}; {output}/README.md says how to use them")

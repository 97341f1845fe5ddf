"""`kilograd compile`: model to plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import kilograd as kg
from kilograd.cli.console import Report
from kilograd.cli.options import Classes, Flash, Json, Model, Sram, Target, Train
from kilograd.report.figures import figures
from kilograd.report.html import html_report
from kilograd.report.memory_map import memory_map
from kilograd.report.terminal import memory_summary

Placement = Literal["auto", "greedy", "exact", "disjoint"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def compile(  # noqa: A001
        model: Model,
        output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE.kgp", help="Plan file to write.")] = None,
        train: Train = None,
        classes: Classes = None,
        sram: Sram = None,
        flash: Flash = None,
        placement: Annotated[Placement, typer.Option(help="How offsets are found: auto, greedy, exact or disjoint.")] = "auto",
        svg: Annotated[Path | None, typer.Option("--map", metavar="FILE.svg", help="Memory map to write.")] = None,
        html: Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Report page to write.")] = None,
        target: Target = "reference",
        as_json: Json = False,
    ) -> None:
        """Plan the memory of inference, or of training with --train, and write the plan file."""
        report = Report(as_json)
        plan = kg.compile(kg.load(model), train=train, classes=classes, sram=sram, flash=flash, placement=placement, target=target)
        if output is not None:
            plan.save(output)
        if svg is not None:
            svg.write_text(memory_map(plan))
        if html is not None:
            html.write_text(html_report(plan))
        report.result(figures(plan))
        report.say(memory_summary(plan))
        for path in (output, svg, html):
            if path is not None:
                report.say(f"wrote {path}")

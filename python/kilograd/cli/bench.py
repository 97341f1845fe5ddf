"""`kilograd device bench`: what a plan costs on an emulated board, and whether it gives the simulator's bits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kilograd.cli.build import BoardName, PlanFile
from kilograd.cli.console import Report, kilobytes
from kilograd.cli.options import Json
from kilograd.device.bench import SAMPLES
from kilograd.device.bench import bench as run_bench


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def bench(
        plan: PlanFile,
        board: BoardName = "qemu:mps2-an386",
        samples: Annotated[int, typer.Option(min=1, help="Inferences, and training steps.")] = SAMPLES,
        output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Keep the firmware here.")] = None,
        as_json: Json = False,
    ) -> None:
        """Run a plan on an emulated board: instructions, memory, and every bit compared with the simulator."""
        report = Report(as_json)
        found = run_bench(plan, board, samples, output)
        report.result(found)
        if found["bit_exact"]:
            report.say(f"{found['board']} gives the simulator's bits: {samples} samples, {found['tensors_compared']} mutable tensors")
        else:
            report.say(f"{found['board']} and the simulator differ: {found['difference']}")
        for what in ("infer", "step"):
            if (count := found[f"instructions_{what}"]) is not None:
                how = "" if found["instructions_exact"] else "about "
                name = {"infer": "inference", "step": "training step"}[what]
                report.say(f"one {name}: {how}{count:,} instructions (not cycles), {found[f'instructions_{what}_max']:,} at most")
        planned, measured = found["sram_bytes_planned"], found["sram_bytes_measured"]
        report.say(f"SRAM: {kilobytes(planned)} planned, {kilobytes(measured)} measured; the stack is {found['stack_bytes']:,} B of that")
        report.say(f"stack: {found['stack_bytes']:,} B used of {found['stack_bytes_planned']:,} B that the program can need")
        report.say(f"flash: code {found['text_bytes']:,} B, constants {found['rodata_bytes']:,} B, plan file {found['plan_bytes']:,} B")
        if not found["bit_exact"]:
            raise typer.Exit(1)

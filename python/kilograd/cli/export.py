"""`kilograd export`: the model with what was learned from it, as a file that LiteRT or ONNX Runtime runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import kilograd as kg
from kilograd.cli.console import Report, kilobytes
from kilograd.cli.options import Json
from kilograd.device.opening import open_board
from kilograd.errors import KilogradError
from kilograd.exports import check_suffix, export
from kilograd.exports.learned import with_learned
from kilograd.plan.learned import Values, values_of
from kilograd.plan.plan import Plan

Source = Annotated[Path, typer.Argument(metavar="MODEL", help="The int8 model from which the plan was compiled.")]
Learned = Annotated[
    Path | None, typer.Option("--learned", metavar="FILE", help="What tune -o wrote (.kgp), .npz, or a raw state.", show_default=False)
]
PlanFile = Annotated[
    Path | None, typer.Option("--plan", metavar="FILE.kgp", help="The plan that learned, where --learned is no .kgp.", show_default=False)
]
Port = Annotated[
    str | None, typer.Option("--port", "--board", metavar="P", help="Read what a board has learned (see device).", show_default=False)
]
Memory = Annotated[Path | None, typer.Option("--memory", metavar="FILE", help="Of qemu:BOARD: its flash between runs.", show_default=False)]
Output = Annotated[
    Path, typer.Option("-o", "--output", metavar="FILE", help="m.tflite, m.onnx; m.npz: the tensors alone.", show_default=False)
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command(name="export")
    def export_learned(
        model: Source,
        output: Output,
        learned: Learned = None,
        plan: PlanFile = None,
        port: Port = None,
        baud: Annotated[int, typer.Option(help="Speed of a serial port.", min=300)] = 115200,
        memory: Memory = None,
        as_json: Json = False,
    ) -> None:
        """Write the model with learned weights: from a tuned plan, a file of tensors, or a board."""
        report = Report(as_json)
        bare = output.suffix.lower() == ".npz"
        if not bare:
            check_suffix(output)
        compiled = plan_of(learned, plan)
        values = from_board(port, compiled, plan, baud, memory) if port else values_of(compiled, learned)
        if bare:
            np.savez(output, allow_pickle=False, **values)
        else:
            export(with_learned(kg.load(model), compiled, values), output)
        size = output.stat().st_size
        report.result({"output": str(output), "bytes": size, "learned": list(values)})
        report.say(f"wrote {output}: {kilobytes(size)}, learned are {', '.join(values)}")


def plan_of(learned: Path | None, plan: Path | None) -> Plan:
    """The plan that says what learned tensors are."""
    if plan is not None:
        return Plan.load(plan)
    if learned is None or learned.suffix.lower() != ".kgp":
        raise KilogradError("say what learned: --learned TUNED.kgp, or --plan P.kgp with --learned FILE or --port P")
    if not learned.is_file():
        raise KilogradError(f"there is no file '{learned}'. Check the path.")
    return Plan.load(learned)


def from_board(port: str, plan: Plan, file: Path | None, baud: int, memory: Path | None) -> Values:
    """What a board has learned, read tensor by tensor."""
    with open_board(port, file, baud, memory) as device:
        return values_of(plan, device)

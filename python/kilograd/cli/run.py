"""`kilograd run`: inference on the host, with the integers that the device uses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import kilograd as kg
from kilograd.cli.console import Report
from kilograd.cli.models import open_plan, plan_spec
from kilograd.cli.options import Json, Model
from kilograd.data import convert
from kilograd.errors import DataError
from kilograd.ir.graph import Array


def read_array(path: Path) -> Array:
    """One array of a .npy file."""
    if not path.is_file():
        raise DataError(f"there is no input file '{path}'")
    try:
        value = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"'{path}' is not a readable .npy file of plain numbers ({error})") from error
    if not isinstance(value, np.ndarray):
        raise DataError(f"'{path}' holds several arrays; give one array (.npy)")
    return value


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def run(
        model: Model,
        input: Annotated[Path, typer.Option("--input", metavar="X.npy", help="One sample or a batch of samples.", show_default=False)],  # noqa: A002
        output: Annotated[Path | None, typer.Option("--output", metavar="Y.npy", help="Where the results go.", show_default=False)] = None,
        real: Annotated[bool, typer.Option("--real", help="Write real values instead of the output's integers.")] = False,
        as_json: Json = False,
    ) -> None:
        """Run a model or plan on samples from a .npy file. The results have the type of the model file's output."""
        report = Report(as_json)
        plan = open_plan(model)
        spec, x = plan_spec(plan), read_array(input)
        samples, note = convert(x[None] if x.shape == spec.shape[1:] else x, spec, f"'{input}'")
        simulator = kg.Simulator(plan)
        results = []
        with report.progress("run", len(samples)) as done:
            for i, sample in enumerate(samples):
                results.append(np.array(simulator.infer(sample[None])))
                done(i + 1)
        y = np.concatenate(results)
        quant = plan.tensors[plan.outputs[0]].quant
        if real and quant is not None and y.dtype == np.int8:
            y = (y.astype(np.float32) - np.float32(quant.z)) * np.float32(quant.s)
        elif plan.outputs[0] in plan.meta.get("uint8", ()):
            y = (y.astype(np.int16) + 128).astype(np.uint8)  # as the model file has it
        if output is not None:
            np.save(output, y)
        best = y.reshape(len(y), -1).argmax(axis=1)
        report.result({"samples": len(y), "output_shape": list(y.shape), "argmax": best, "input": note})
        report.say(f"{len(y)} samples: {note}")
        report.say(f"results {list(y.shape)} {y.dtype}; largest output of the first samples: {best[:10].tolist()}")
        if output is not None:
            report.say(f"wrote {output}")

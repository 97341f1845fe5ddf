"""`kilograd quantize`: a float model to an int8 model file that kilograd, LiteRT or ONNX Runtime runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

import kilograd as kg
from kilograd.cli.console import Report, kilobytes
from kilograd.cli.options import Json, Model
from kilograd.errors import DataError
from kilograd.exports import check_suffix, export
from kilograd.quantize import QuantizeConfig, quantize_model
from kilograd.quantize.api import MADE_UP_SAMPLES, require_float
from kilograd.quantize.data import DataRule, calibration_samples
from kilograd.report.quantization import quantization_report

Method = Literal["minmax", "percentile", "mse", "entropy"]
Equalize = Literal["off", "weights", "activations"]
Rounding = Literal["nearest", "compensated"]
DEFAULT = QuantizeConfig()
Calibrate = Annotated[Path | None, typer.Option("--calibrate", metavar="D.npz", help="Samples: x_train, or x.", show_default=False)]
Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="q.tflite or q.onnx.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def quantize(
        model: Model,
        calibrate: Calibrate = None,
        output: Output = None,
        data_free: Annotated[bool, typer.Option("--data-free", help="Calibrate without data; needs --input-range.")] = False,
        input_range: Annotated[str | None, typer.Option(metavar="LOW,HIGH", help="Real range of the input.", show_default=False)] = None,
        data_scale: Annotated[float | None, typer.Option(help="Stored integers mean scale * (q - zero).", show_default=False)] = None,
        data_zero: Annotated[int | None, typer.Option(help="Zero point of stored integers.", show_default=False)] = None,
        mean: Annotated[str | None, typer.Option(metavar="M[,M,M]", help="x = (value - mean) / std.", show_default=False)] = None,
        std: Annotated[str | None, typer.Option(metavar="S[,S,S]", help="x = (value - mean) / std.", show_default=False)] = None,
        method: Annotated[Method, typer.Option(help="How the range of an activation is found.")] = DEFAULT.method,
        percentile: Annotated[float, typer.Option(help="Share of the values that --method percentile keeps.")] = DEFAULT.percentile,
        equalize: Annotated[Equalize, typer.Option(help="Scale channels between layers: off, weights, activations.")] = DEFAULT.equalize,
        rounding: Annotated[Rounding, typer.Option(help="Of weights: nearest, or errors that make each other good.")] = DEFAULT.rounding,
        bias_correction: Annotated[bool, typer.Option(help="Take the mean error of a channel out of its bias.")] = DEFAULT.bias_correction,
        output_aware: Annotated[bool, typer.Option("--output-aware", help="Choose ranges by what they do to the output.")] = False,
        dense_per_channel: Annotated[bool, typer.Option("--dense-per-channel", help="Dense layers: a scale for each output.")] = False,
        io: Annotated[Literal["int8", "float"], typer.Option(help="What the new model reads and gives.")] = DEFAULT.io,
        samples: Annotated[int, typer.Option(min=1, help="Samples that calibration reads at most.")] = DEFAULT.samples,
        html: Annotated[Path | None, typer.Option("--html", metavar="FILE.html", help="Report page to write.", show_default=False)] = None,
        show: Annotated[bool, typer.Option("--report", help="Print the signal-to-noise ratio of every layer.")] = False,
        as_json: Json = False,
    ) -> None:
        """Quantize a float model to int8 with samples of real data, or without any."""
        report = Report(as_json)
        if output is not None:
            check_suffix(output)
        config = QuantizeConfig(
            method=method, percentile=percentile, equalize=equalize, rounding=rounding, bias_correction=bias_correction,
            output_aware=output_aware, dense_per_channel=dense_per_channel, io=io, samples=samples,
        )  # fmt: skip
        graph = kg.load(model)
        if (calibrate is None) != data_free:
            raise DataError("give samples, --calibrate DATA.npz, or --data-free with --input-range LOW,HIGH; one of the two")
        x, note = None, "no data"
        if calibrate is not None:
            require_float(graph)
            rule = DataRule(data_scale, data_zero, _numbers(mean, "--mean"), _numbers(std, "--std"))
            x, note = calibration_samples(calibrate, graph[graph.inputs[0]].shape, rule)
        with report.progress("calibrate", min(samples, MADE_UP_SAMPLES if x is None else len(x))) as done:
            result = quantize_model(graph, x, config, done, _range(input_range))
        if output is not None:
            export(result.graph, output)
        if html is not None:
            html.write_text(quantization_report(graph.name, note, result.report))
        size = output.stat().st_size if output is not None else None
        report.result(
            {
                "model": graph.name,
                "data": note,
                "calibration": result.report["calibration"],
                "output": str(output) if output else None,
                "bytes": size,
                **result.report,
            }
        )
        report.say(f"{model.name}: {note}")
        _say(report, result.report, show)
        if output is not None and size is not None:
            report.say(f"wrote {output}: {kilobytes(size)}")
        if html is not None:
            report.say(f"wrote {html}")


def _numbers(text: str | None, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(v) for v in text.split(",")) if text else ()
    except ValueError:
        raise DataError(f"{option} is '{text}'; give a number, or numbers with commas between them") from None


def _range(text: str | None) -> tuple[float, float] | None:
    values = _numbers(text, "--input-range")
    if values and len(values) != 2:
        raise DataError(f"--input-range is '{text}'; give the lowest and the highest value, such as 0,255")
    return (values[0], values[1]) if values else None


def _say(report: Report, found: dict[str, Any], everything: bool) -> None:
    for name, output in found["outputs"].items():
        same = f", the largest is the same in {100 * output['same_largest']:.1f} %" if "same_largest" in output else ""
        report.say(f"output {name}: signal-to-noise {output['sqnr_db']:.1f} dB on {found['samples']} of the samples{same}")
    if everything:
        report.say(layer_table(found["layers"], "layers"))
        report.say(layer_table(found["worst"], "worst layers by themselves"))
        for row in found["worst"]:
            if row["advice"]:
                report.say(f"{row['op']} {row['layer'][-40:]}: {row['advice']}")
        for option in found["try"]:
            report.say(f"try: {option}")


def layer_table(rows: list[dict[str, Any]], title: str) -> Table:
    """Layers with their noise and range."""
    table = Table("layer", "dB so far", "dB alone", "range", "scale, zero", title=title)
    for r in rows:
        name = r["layer"] if len(r["layer"]) <= 24 else "…" + r["layer"][-23:]
        span = f"{r['low']:.3g}..{r['high']:.3g}"
        table.add_row(f"{r['op']}\n{name}", f"{r['sqnr_db']:.1f}", f"{r['local_db']:.1f}", span, f"{r['scale']:.3g}, {r['zero_point']}")
    return table

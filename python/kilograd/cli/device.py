"""`kilograd device`: talk to a board. Each command opens the port, does one thing and hangs up."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from kilograd.cli.console import Report, kilobytes
from kilograd.cli.models import plan_spec
from kilograd.cli.options import Json
from kilograd.cli.run import read_array
from kilograd.cli.tuning import condensed, shuffled
from kilograd.data import convert, load_dataset
from kilograd.device.build import Options
from kilograd.device.client import Device
from kilograd.device.messages import DeviceInfo
from kilograd.device.opening import EMULATED, open_board
from kilograd.plan.plan import Plan
from kilograd.report.terminal import loss_curve

Port = Annotated[
    str, typer.Option("--port", "--board", metavar="P", help="/dev/ttyACM0, COM3, socket://host:port, or qemu:BOARD.", show_default=False)
]
PlanFile = Annotated[
    Path | None, typer.Option("--plan", metavar="FILE.kgp", help="The plan that the board has; needed for qemu:BOARD.", show_default=False)
]
Baud = Annotated[int, typer.Option(help="Speed of a serial port.", min=300)]
Memory = Annotated[
    Path | None, typer.Option("--memory", metavar="FILE", help="Of qemu:BOARD: where its flash lasts between runs.", show_default=False)
]
Data = Annotated[Path, typer.Option("--data", metavar="FILE.npz", help="x_train, y_train, x_test, y_test (or x, y, is_test).")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many samples of each set.", show_default=False)]

device_app = typer.Typer(name="device", help="Talk to a board: infer, learn, remember.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(device_app)


def classes_of(device: Device) -> int:
    """Number of classes of the board's plan."""
    return int(device.model.tensors[device.model.outputs[0]].shape[-1])


def _numbers(info: DeviceInfo) -> dict[str, Any]:
    return {**asdict(info), "checksum": f"{info.checksum:08x}"}


@device_app.command()
def info(port: Port, plan: PlanFile = None, baud: Baud = 115200, memory: Memory = None, as_json: Json = False) -> None:
    """Name the board and its plan."""
    report = Report(as_json)
    with open_board(port, plan, baud, memory) as device:
        about = device.info
        tensors = [device.model.tensors[n] for n in (*device.model.inputs, *device.model.outputs)] if about.has_plan else []
        ports = [{"name": t.name, "shape": list(t.shape), "type": t.dtype.value} for t in tensors]
    report.result({**_numbers(about), "tensors_in_out": ports})
    report.say(f"board {about.board}, protocol {about.protocol}, frames up to {about.max_request} bytes")
    if not about.has_plan:
        report.say("no plan")
        return
    what = "learns" if about.trains else "infers only"
    report.say(f"plan {about.plan} (checksum {about.checksum:08x}), {kilobytes(about.plan_bytes)}, {what}")
    for tensor, kind in zip(tensors, ["input"] * about.inputs + ["output"] * about.outputs, strict=True):
        report.say(f"{kind} {tensor.name} {list(tensor.shape)} {tensor.dtype.value}")
    report.say(f"arena {kilobytes(about.arena_bytes)}, state {kilobytes(about.state_bytes)}")
    can = [name for name, yes in (("saves", about.saves), (f"takes plans up to {kilobytes(about.plan_room)}", about.updates)) if yes]
    report.say(", ".join(can) or "keeps nothing without power")


@device_app.command()
def infer(
    port: Port,
    input: Annotated[Path, typer.Option("--input", metavar="X.npy", help="One sample or several.", show_default=False)],  # noqa: A002
    output: Annotated[Path | None, typer.Option("--output", metavar="Y.npy", help="Where the results go.", show_default=False)] = None,
    plan: PlanFile = None,
    baud: Baud = 115200,
    memory: Memory = None,
    as_json: Json = False,
) -> None:
    """Run samples from a .npy file on the board."""
    report, x = Report(as_json), read_array(input)
    with open_board(port, plan, baud, memory) as device:
        spec = plan_spec(device.model)
        samples, note = convert(x[None] if x.shape in (spec.shape[1:], ()) else x, spec, f"'{input}'")
        begin = time.perf_counter()
        with report.progress("infer", len(samples)) as done:
            y = device.infer(samples, progress=lambda n, _: done(n))
        seconds = time.perf_counter() - begin
    if output is not None:
        np.save(output, y)
    best = y.reshape(len(y), -1).argmax(axis=1)
    report.result({"samples": len(y), "output_shape": list(y.shape), "argmax": best, "input": note, "seconds": seconds})
    report.say(f"{len(y)} samples in {seconds:.1f} s: {note}")
    report.say(f"results {list(y.shape)} {y.dtype}; largest output of the first samples: {best[:10].tolist()}")
    if output is not None:
        report.say(f"wrote {output}")


@device_app.command()
def tune(
    port: Port,
    data: Data,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training samples.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the order of samples.")] = 0,
    limit: Limit = None,
    save: Annotated[bool, typer.Option("--save", help="Save on the board what it learned.")] = False,
    plan: PlanFile = None,
    baud: Baud = 115200,
    memory: Memory = None,
    as_json: Json = False,
) -> None:
    """Let the board learn from a data file, sample by sample: accuracy before and after, and the loss curve."""
    report = Report(as_json)
    with open_board(port, plan, baud, memory) as device:
        dataset = load_dataset(data, plan_spec(device.model), classes_of(device))
        report.say(dataset.description)
        x, y = dataset.x_train[:limit], dataset.y_train[:limit]
        before = evaluated(report, device, dataset.x_test[:limit], dataset.y_test[:limit], "before")
        order = shuffled(len(x), epochs, seed)
        begin, losses, hits, skipped = time.perf_counter(), [], [], 0
        with report.progress("learning", len(order)) as done:
            for i, step in zip(order, device.train_steps(x, y, order), strict=True):
                losses.append(step.loss)
                hits.append(float(step.predicted == y[i]))
                skipped += step.skipped
                done(len(losses))
        seconds = time.perf_counter() - begin
        after = evaluated(report, device, dataset.x_test[:limit], dataset.y_test[:limit], "after")
        if save:
            device.save()
        resent = device.resent
    report.result(
        {
            "accuracy_before": before, "accuracy_after": after, "steps": len(losses), "skipped": skipped, "seconds": seconds,
            "losses": condensed(np.array(losses)), "accuracies": condensed(np.array(hits)), "resent": resent, "saved": save,
            "data": dataset.description,
        }
    )  # fmt: skip
    report.say(loss_curve(condensed(np.array(losses))))
    report.say(loss_curve(condensed(np.array(hits), 25)).replace("    loss └", "accuracy └"))
    report.say(f"accuracy before {100 * before:.1f} %, after {100 * after:.1f} %")
    note = f", {skipped} of them without a backward pass" if skipped else ""
    report.say(f"{len(losses)} samples in {seconds:.1f} s{note}{', saved' if save else ''}")


def evaluated(report: Report, device: Device, x: Any, y: Any, title: str) -> float:
    """Accuracy on the board, with a progress bar."""
    with report.progress(title, len(x)) as done:
        return device.evaluate(x, y, progress=lambda n, _: done(n))


@device_app.command("eval")
def evaluate(
    port: Port, data: Data, limit: Limit = None, plan: PlanFile = None, baud: Baud = 115200, memory: Memory = None, as_json: Json = False
) -> None:
    """Accuracy on the test samples of a data file."""
    report = Report(as_json)
    with open_board(port, plan, baud, memory) as device:
        dataset = load_dataset(data, plan_spec(device.model), classes_of(device))
        accuracy = evaluated(report, device, dataset.x_test[:limit], dataset.y_test[:limit], "evaluate")
    samples = len(dataset.x_test[:limit])
    report.result({"accuracy": accuracy, "samples": samples})
    report.say(f"accuracy {100 * accuracy:.1f} % on {samples} samples")


@device_app.command()
def save(port: Port, plan: PlanFile = None, baud: Baud = 115200, memory: Memory = None, as_json: Json = False) -> None:
    """Keep what the board learned in its flash."""
    report = Report(as_json)
    with open_board(port, plan, baud, memory) as device:
        device.save()
        number = device.stats().saved_sequence
    report.result({"saved_sequence": number})
    report.say(f"saved as checkpoint {number}")


@device_app.command()
def load(port: Port, plan: PlanFile = None, baud: Baud = 115200, memory: Memory = None, as_json: Json = False) -> None:
    """Go back to what was saved last."""
    report = Report(as_json)
    with open_board(port, plan, baud, memory) as device:
        device.load()
        number = device.stats().saved_sequence
    report.result({"saved_sequence": number})
    report.say(f"loaded checkpoint {number}")


@device_app.command()
def reset(port: Port, plan: PlanFile = None, baud: Baud = 115200, memory: Memory = None, as_json: Json = False) -> None:
    """Forget everything learned, also what was saved."""
    report = Report(as_json)
    with open_board(port, plan, baud, memory) as device:
        device.reset()
    report.result({"reset": True})
    report.say("factory state")


@device_app.command()
def stats(port: Port, plan: PlanFile = None, baud: Baud = 115200, memory: Memory = None, as_json: Json = False) -> None:
    """Counters of the board: time of the last runs, stack, memory, flash, line."""
    report = Report(as_json)
    with open_board(port, plan, baud, memory) as device:
        found = device.stats()
    report.result(asdict(found))
    names = {"infer_ticks": "last inference", "train_ticks": "last training step"}
    for name, value in asdict(found).items():
        if name in names:
            report.say(f"{names[name]:<22}{value:>14,} {found.unit}")
        elif name != "unit":
            report.say(f"{name.replace('_', ' '):<22}{value:>14,}{' B' if name.endswith('_bytes') or name == 'stack_used' else ''}")


@device_app.command()
def update(
    port: Port,
    new: Annotated[Path, typer.Argument(metavar="FILE.kgp", help="The new plan.")],
    plan: PlanFile = None,
    baud: Baud = 115200,
    memory: Memory = None,
    as_json: Json = False,
) -> None:
    """Send a new plan into the board's flash; the board checks it and runs it from then on."""
    report, options = Report(as_json), None
    if port.startswith(EMULATED):  # firmware is built for the occasion: with room for the new plan, and its kernels
        arriving = Plan.load(new)
        options = Options(all_kernels=True, arena_bytes=arriving.arena_bytes, state_bytes=len(arriving.state))
    with open_board(port, plan, baud, memory, options) as device, report.progress("sending", new.stat().st_size) as done:
        about = device.update_plan(new, progress=lambda n, _: done(n))
    report.result(_numbers(about))
    report.say(f"the board runs {about.plan} (checksum {about.checksum:08x})")


@device_app.command()
def monitor(
    port: Port,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many looks.", show_default=False)] = None,
    plan: PlanFile = None,
    baud: Baud = 115200,
    memory: Memory = None,
    as_json: Json = False,
) -> None:
    """Watch the counters of a board; one line (with --json one object) a look, until Ctrl-C. An emulated board is started for it, and idle:
    to watch one at work, give the port that its emulator listens on."""
    report, looks = Report(as_json), 0
    with open_board(port, plan, baud, memory) as device:
        report.say(f"{'inference':>14}{'training step':>16}{'stack used':>12}{'saved':>8}{'erases':>8}{'damaged':>9}{'repeated':>10}")
        while count is None or looks < count:
            if looks:
                time.sleep(every)
            now, looks = device.stats(), looks + 1
            report.result(asdict(now))
            report.say(
                f"{now.infer_ticks:>14,}{now.train_ticks:>16,}{now.stack_used:>12,}{now.saved_sequence:>8}{now.erases:>8}"
                f"{now.damaged_frames:>9}{now.repeated_requests:>10}"
            )

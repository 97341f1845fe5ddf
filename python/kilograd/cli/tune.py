"""`kilograd tune`: fine-tune a model on a data file with exactly the integers that the device will use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import kilograd as kg
from kilograd.cli import recipe
from kilograd.cli.console import Report, kilobytes
from kilograd.cli.models import is_plan, plan_classes, plan_spec
from kilograd.cli.options import Classes, Flash, Json, Model, Sram, Train
from kilograd.cli.tuning import Outcome, fine_tune, learned
from kilograd.data import Dataset, input_spec, load_dataset
from kilograd.errors import KilogradError
from kilograd.ir.graph import DType
from kilograd.plan.plan import Plan
from kilograd.plan.report import check_budget
from kilograd.report.figures import figures
from kilograd.report.terminal import loss_curve
from kilograd.train.config import TrainConfig

Loss = Literal["cross_entropy", "mean_squared_error"]
Schedule = Literal["constant", "linear", "cosine"]
Storage = Literal["w8", "w8f8"]
Bias = Literal["int32", "int16"]


FIXED_BY_A_PLAN = ("train", "classes", "lr", "schedule", "warmup", "loss", "storage", "bias", "accumulate", "skip_threshold")


@dataclass(frozen=True)
class Job:
    """What to compile: everything of the command line that is not the data."""

    model: Path
    train: str | None
    classes: int | None
    sram: str | None
    flash: str | None
    regression: bool


def prepare(job: Job, data: Path, config: Callable[[int], TrainConfig]) -> tuple[Plan, Dataset]:
    """Plan and converted data. `config` takes the number of training samples. A plan file is taken as it is."""
    if is_plan(job.model):
        plan = Plan.load(job.model)
        if "train_step" not in plan.entries:
            raise KilogradError(f"'{job.model}' was compiled for inference only: compile it with --train, or give the model file")
        check_budget(plan, job.sram, job.flash)
        return plan, load_dataset(data, plan_spec(plan), plan_classes(plan), labels=not is_regression(plan))
    graph = kg.load(job.model)
    classes = job.classes or int(graph[graph.outputs[0]].shape[-1])
    dataset = load_dataset(data, input_spec(graph), classes, labels=not job.regression)
    scheme = job.train or recipe.SCHEME
    plan = kg.compile(graph, train=scheme, classes=job.classes, config=config(len(dataset.x_train)), sram=job.sram, flash=job.flash)
    return plan, dataset


def is_regression(plan: Plan) -> bool:
    """True for a plan that learns by mean squared error: its target looks like its output, int8."""
    return plan.tensors[plan.label].dtype is DType.INT8


def refuse_fixed(context: typer.Context, model: Path) -> None:
    """Raise where an option is given that the plan has fixed already, so that none is ignored in silence."""
    given = [n for n in FIXED_BY_A_PLAN if (source := context.get_parameter_source(n)) is not None and source.name == "COMMANDLINE"]
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise KilogradError(f"'{model}' is a plan, which fixes what learns and how: leave {names} out, or give the model file")


def tell(report: Report, outcome: Outcome, name: str, memory: dict[str, Any], fresh: bool) -> None:
    """The outcome for people."""
    report.say(loss_curve(outcome.losses))

    def unit(value: float) -> str:
        return f"{value:.6g}" if name == "mse" else f"{100 * value:.1f} %"

    note = " (fresh head: guessing)" if fresh else ""
    report.say(f"{name} before {unit(outcome.before)}{note}, after {unit(outcome.after)}")
    skipped = f", {outcome.skipped} of them without a backward pass" if outcome.skipped else ""
    report.say(f"{outcome.steps} samples in {outcome.seconds:.1f} s{skipped}")
    report.say(f"SRAM {kilobytes(memory['sram_bytes'])}, flash {kilobytes(memory['flash_bytes'])}")


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def tune(
        context: typer.Context,
        model: Model,
        data: Annotated[Path, typer.Option("--data", metavar="FILE.npz", help="x_train, y_train, x_test, y_test (or x, y, is_test).")],
        train: Train = None,
        classes: Classes = None,
        epochs: Annotated[int, typer.Option(min=1, help="Passes over the training samples.")] = recipe.EPOCHS,
        seed: Annotated[int, typer.Option(min=0, help="Of the order of samples and of rounding.")] = 0,
        lr: Annotated[float, typer.Option(help="Learning rate, in real units as for float SGD.")] = recipe.LEARNING_RATE,
        schedule: Annotated[Schedule, typer.Option(help="constant, linear or cosine.")] = recipe.SCHEDULE,
        warmup: Annotated[int, typer.Option(min=0, help="Samples over which the rate rises.")] = recipe.WARMUP_STEPS,
        loss: Annotated[Loss, typer.Option(help="cross_entropy, or mean_squared_error for autoencoders.")] = "cross_entropy",
        storage: Annotated[Storage, typer.Option(help="Learned weights: w8, or w8f8 (8 more bits each).")] = "w8",
        bias: Annotated[Bias, typer.Option(help="Learned biases: int32, or int16 deltas.")] = "int32",
        accumulate: Annotated[int, typer.Option(min=1, help="Samples a step.")] = 1,
        skip_threshold: Annotated[float, typer.Option(min=0.0, help="No backward pass when max|p - y| is below it.")] = 0.0,
        sram: Sram = None,
        flash: Flash = None,
        output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE.kgp", help="Where the learned plan goes.")] = None,
        as_json: Json = False,
    ) -> None:
        """Fine-tune on a data file: accuracy before and after, the loss curve, memory.

        With --classes the head starts fresh, so the accuracy before is that of guessing. A plan has fixed what learns and how; only --data,
        --epochs, --seed (of the order) and budgets go with it.
        """
        report = Report(as_json)
        if is_plan(model):
            refuse_fixed(context, model)

        def config(samples: int) -> TrainConfig:
            steps = samples * epochs
            return TrainConfig(
                learning_rate=lr, schedule=schedule, warmup_steps=min(warmup, steps // 10), total_steps=steps, seed=seed, loss=loss,
                storage=storage, bias=bias, accumulate=accumulate, skip_threshold=skip_threshold,
            )  # fmt: skip

        plan, dataset = prepare(Job(model, train, classes, sram, flash, loss == "mean_squared_error"), data, config)
        report.say(dataset.description)
        regression = is_regression(plan)
        outcome, simulator = fine_tune(plan, dataset, epochs, seed, report, regression)
        if output is not None:
            learned(plan, simulator).save(output)
        name = "mse" if regression else "accuracy"
        memory = figures(plan)
        report.result(
            {
                f"{name}_before": outcome.before, f"{name}_after": outcome.after, "sram_bytes": memory["sram_bytes"],
                "flash_bytes": memory["flash_bytes"], "steps": outcome.steps, "skipped": outcome.skipped, "seconds": outcome.seconds,
                "losses": outcome.losses, "data": dataset.description,
            }
        )  # fmt: skip
        tell(report, outcome, name, memory, classes is not None)
        if output is not None:
            report.say(f"wrote {output}: the plan with what was learned as its initial state")

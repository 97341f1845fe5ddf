"""Fine-tuning in the simulator: order, training, scores. What `kilograd tune` and `kilograd demo` share."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import kilograd as kg
from kilograd.cli.console import Report
from kilograd.data import Dataset, quantize
from kilograd.errors import DataError
from kilograd.ir.graph import Array, DType
from kilograd.plan.plan import Plan

CURVE_POINTS = 100
SKIPPED_WORD = 7  # of kg_train_state


def shuffled(samples: int, epochs: int, seed: int) -> Array:
    """Order of training: every epoch goes once through all samples, in its own order."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(samples) for _ in range(epochs)]).astype(np.int64)


def condensed(losses: Array, points: int = CURVE_POINTS) -> list[float]:
    """Means of at most `points` consecutive stretches of per-sample losses."""
    parts = np.array_split(np.asarray(losses, np.float64), min(points, len(losses)))
    return [float(p.mean()) for p in parts]


def learned(plan: Plan, simulator: Any) -> Plan:
    """The plan with what the simulator learned as its initial state; the step counter starts anew."""
    state = bytearray(simulator.state())
    train = plan.tensors["train"]
    state[train.offset : train.offset + train.nbytes] = plan.state[train.offset : train.offset + train.nbytes]
    return replace(plan, state=bytes(state))


@dataclass(frozen=True)
class Outcome:
    """What a fine-tuning gave. `score` is accuracy (0..1) of classifiers, mean squared error (real units) of autoencoders."""

    before: float
    after: float
    losses: list[float]
    steps: int
    seconds: float
    skipped: int


def targets(plan: Plan, x: Array) -> Array:
    """Targets of an autoencoder: its inputs, in the integers of its output."""
    output, source = plan.tensors[plan.outputs[0]], plan.tensors[plan.inputs[0]]
    if output.shape != source.shape or output.quant is None or source.quant is None or source.dtype is not DType.INT8:
        raise DataError(f"mean squared error needs a model whose output is its input again; this one maps {source.shape} to {output.shape}")
    return quantize((x.astype(np.float64) - source.quant.z) * source.quant.s, output.quant)


def mean_squared_error(simulator: Any, plan: Plan, x: Array, y: Array) -> float:
    """Mean squared error in real units."""
    scale = _scale(plan)
    errors = [np.mean((np.asarray(simulator.infer(s[None]), np.float64)[0] - t) ** 2) for s, t in zip(x, y, strict=True)]
    return float(np.mean(errors)) * scale * scale


def _scale(plan: Plan) -> float:
    quant = plan.tensors[plan.outputs[0]].quant
    return 1.0 if quant is None else quant.s


def fine_tune(plan: Plan, data: Dataset, epochs: int, seed: int, report: Report, regression: bool = False) -> tuple[Outcome, Any]:
    """Evaluate, train, evaluate; gives the outcome and the simulator with what was learned."""
    simulator = kg.Simulator(plan)
    y_train, y_test = (targets(plan, data.x_train), targets(plan, data.x_test)) if regression else (data.y_train, data.y_test)

    def score() -> float:
        if regression:
            return mean_squared_error(simulator, plan, data.x_test, y_test)
        return float(simulator.evaluate(data.x_test, y_test))

    before = score()
    order = shuffled(len(data.x_train), epochs, seed)
    begin = time.perf_counter()
    with report.progress("learning", len(order)) as done:
        losses = simulator.train(data.x_train, y_train, order=order, progress=lambda n, *_: done(int(n)))
    seconds = time.perf_counter() - begin
    skipped = int(simulator.read("train").reshape(-1)[SKIPPED_WORD])
    return Outcome(before, score(), condensed(losses), len(order), seconds, skipped), simulator

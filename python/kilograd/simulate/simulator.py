"""The Simulator executes a plan file with the C runtime: the bits that a device gives, at the speed of the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kilograd.errors import DataError, PlanError
from kilograd.ir.graph import Array, DType, Kind
from kilograd.plan.kgp import dump
from kilograd.plan.plan import Plan, PlanTensor
from kilograd.simulate.samples import as_labels, as_samples

Progress = Callable[[int, int], Any]  # samples done, samples in all
EVERY = 64  # samples between two calls of the progress function
LOSS_ONE = 1 << 16


@dataclass(frozen=True)
class StepResult:
    """One training step: loss in nats (cross-entropy) or squared real units, the class predicted before the update (-1: none), and whether
    the backward pass was skipped because the sample was known well enough."""

    loss: float
    predicted: int
    skipped: bool


@dataclass(frozen=True)
class Snapshot:
    """Memory of a simulator at one moment."""

    state: bytes
    arena: bytes


class Simulator:
    """A plan at work. Samples are arrays of the model's input shape, or many of them along the first axis.

    A model with variables (`plan.variables`) is a stream: every sample that is inferred or learned from moves them on, in the order of the
    calls; `reset_variables` begins anew, `fresh` does so for every sample.

    int8 samples go in as they are; floats are real values and are quantized as the input says; uint8 samples are shifted for models that
    were uint8 when they were imported.
    """

    def __init__(self, plan: Plan | str | Path) -> None:
        from kilograd import _core

        self.plan = plan if isinstance(plan, Plan) else Plan.load(plan)
        if not self.plan.inputs or not self.plan.outputs:
            raise PlanError(f"plan '{self.plan.name}' has no input or no output: there is nothing to run")
        try:
            self._session = _core.Session(dump(self.plan))
        except RuntimeError as e:
            raise PlanError(f"plan '{self.plan.name}' cannot run: {e}") from None

    # ---- samples ----------------------------------------------------------------------------------------------------------

    @property
    def input(self) -> PlanTensor:
        """The (first) input tensor."""
        return self.plan.tensors[self.plan.inputs[0]]

    @property
    def output(self) -> PlanTensor:
        """The (first) output tensor."""
        return self.plan.tensors[self.plan.outputs[0]]

    @property
    def trains(self) -> bool:
        """The plan has a training step."""
        return "train_step" in self.plan.entries

    def _samples(self, x: npt.ArrayLike) -> tuple[Array, Array]:
        if len(self.plan.inputs) != 1:
            raise DataError(f"plan '{self.plan.name}' has {len(self.plan.inputs)} inputs; write() them one by one and call run('infer')")
        raw = as_samples(np.asarray(x), self.input, self.input.name in self.plan.meta.get("uint8", ()))
        return raw, np.arange(len(raw), dtype=np.int64)

    def _need_training(self) -> None:
        if not self.trains:
            raise PlanError(f"plan '{self.plan.name}' was compiled for inference: compile it with train='head' or another scheme")

    def _order(self, order: npt.ArrayLike | None, default: Array) -> Array:
        if order is None:
            return default
        chosen = np.asarray(order)
        if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
            raise DataError("order must be a list of sample indices")
        chosen = chosen.astype(np.int64)
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(default)):
            raise DataError(f"order names sample {int(chosen.max())}, there are {len(default)} samples")
        return chosen

    # ---- running ----------------------------------------------------------------------------------------------------------

    def infer(self, x: npt.ArrayLike, cache_frozen: bool = False, progress: Progress | None = None) -> Array:
        """The model's (first) output for each sample, in the output's type: [samples, *shape without the batch axis]."""
        raw, order = self._samples(x)
        y = self._session.infer(raw, order, cache_frozen, EVERY, progress)
        shape = self.output.shape[1:] if self.output.shape[:1] == (1,) else self.output.shape
        return np.ascontiguousarray(y).view(self.output.dtype.numpy).reshape(len(order), *shape)

    def train_step(self, x: npt.ArrayLike, label: npt.ArrayLike) -> StepResult:
        """Learn from one sample."""
        self._need_training()
        raw, order = self._samples(x)
        if len(raw) != 1:
            raise DataError(f"train_step takes one sample, given are {len(raw)}: use train")
        labels = as_labels(np.asarray(label)[None] if np.ndim(label) == 0 else np.asarray(label), 1, self.plan)
        loss, predicted, skipped = self._session.train(raw, labels, order, False, 1, None)
        return StepResult(float(loss[0]) / LOSS_ONE, int(predicted[0]), bool(skipped[0]))

    def train(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        order: npt.ArrayLike | None = None,
        cache_frozen: bool = True,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float64]:
        """Learn from samples one by one, in `order` (indices; all of them once by default). Gives the loss of each step.

        With `cache_frozen`, what the frozen part of the network gives is kept for each distinct sample; the bits are the same.
        """
        self._need_training()
        raw, every = self._samples(x)
        labels = as_labels(np.asarray(y), len(raw), self.plan)
        loss, _, _ = self._session.train(raw, labels, self._order(order, every), cache_frozen, EVERY, progress)
        return np.asarray(loss, np.float64) / LOSS_ONE

    def evaluate(self, x: npt.ArrayLike, y: npt.ArrayLike, cache_frozen: bool = True, progress: Progress | None = None) -> float:
        """Share of samples whose largest output is the one of their class."""
        raw, order = self._samples(x)
        labels = np.asarray(y).reshape(-1)
        if labels.dtype.kind not in "iu" or len(labels) != len(raw):
            raise DataError(f"evaluate needs one whole-number label a sample; {len(raw)} samples, labels {labels.dtype} {np.shape(y)}")
        if not len(raw):
            raise DataError("evaluate needs at least one sample")
        out = np.ascontiguousarray(self._session.infer(raw, order, cache_frozen, EVERY, progress)).view(self.output.dtype.numpy)
        return float(np.mean(out.reshape(len(raw), -1).argmax(axis=1) == labels))

    def run(self, entry: str = "infer") -> None:
        """Run an entry point on what write() has put in place."""
        if entry not in self.plan.entries:
            raise PlanError(f"plan '{self.plan.name}' has no entry point '{entry}'; it has {', '.join(self.plan.entries)}")
        self._session.run(entry)

    # ---- memory -----------------------------------------------------------------------------------------------------------

    def _tensor(self, name: str) -> PlanTensor:
        if name not in self.plan.tensors:
            near = [t for t in self.plan.tensors if name in t][:5]
            hint = f"; similar: {', '.join(near)}" if near else ""
            raise PlanError(f"plan '{self.plan.name}' has no tensor '{name}'{hint}")
        return self.plan.tensors[name]

    def read(self, name: str) -> Array:
        """A tensor by name. An arena tensor holds its value only until a later call reuses its place (compile with placement='disjoint' to
        keep all); masks are packed bytes."""
        tensor = self._tensor(name)
        flat = np.frombuffer(self._session.read(name), tensor.dtype.numpy).copy()
        return flat if tensor.dtype is DType.BITS else flat.reshape(tensor.shape)

    def write(self, name: str, value: npt.ArrayLike) -> None:
        """Set a tensor by name."""
        tensor = self._tensor(name)
        if tensor.kind is Kind.CONST:
            raise PlanError(f"tensor '{name}' is a constant of the plan and cannot be written")
        array = np.asarray(value)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"the value for tensor '{name}' has NaN or infinite elements")
        if tensor.dtype is not DType.BITS and array.shape != tensor.shape:
            raise DataError(f"tensor '{name}' has the shape {tensor.shape}, the value has {array.shape}")
        if not np.can_cast(array.dtype, tensor.dtype.numpy, "same_kind") or (array.astype(tensor.dtype.numpy) != array).any():
            raise DataError(f"tensor '{name}' holds {tensor.dtype.value}, the value is {array.dtype} and does not fit")
        raw = np.ascontiguousarray(array, tensor.dtype.numpy).tobytes()
        if len(raw) != tensor.nbytes:
            raise DataError(f"tensor '{name}' has {tensor.nbytes} bytes, the value has {len(raw)}")
        self._session.write(name, raw)

    def reset(self) -> None:
        """Forget everything learned."""
        self._session.reset()

    @property
    def fresh(self) -> bool:
        """Every sample begins a new stream: variables are reset before each. For samples that are whole sequences (LSTM) or have nothing to
        do with each other; False (the default) for a stream that goes on from sample to sample."""
        return bool(self._session.fresh)

    @fresh.setter
    def fresh(self, value: bool) -> None:
        self._session.fresh = bool(value)

    def reset_variables(self) -> None:
        """Begin a new stream: the model's own variables get their first content, what was learned stays."""
        self._session.reset_variables()

    def state(self) -> bytes:
        """The whole state segment."""
        return bytes(self._session.memory(True))

    def arena(self) -> bytes:
        """The whole arena."""
        return bytes(self._session.memory(False))

    def snapshot(self) -> Snapshot:
        """All memory, to be put back by restore."""
        return Snapshot(self.state(), self.arena())

    def restore(self, snapshot: Snapshot) -> None:
        """Put a snapshot of the same plan back."""
        try:
            self._session.restore(True, snapshot.state)
            self._session.restore(False, snapshot.arena)
        except ValueError as e:
            raise PlanError(f"the snapshot is of another plan: {e}") from None

    def clear_cache(self) -> None:
        """Forget what the frozen part gave for samples seen."""
        self._session.clear_cache()

    @property
    def cached_samples(self) -> int:
        """Distinct samples whose frozen part is kept."""
        return int(self._session.cached)

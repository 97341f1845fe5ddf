"""A board on a serial line, used like a Simulator."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from kilograd.device.conversation import Conversation
from kilograd.device.frames import Command
from kilograd.device.messages import DeviceInfo, Statistics, parse_info, parse_statistics, parse_tensor
from kilograd.device.transport import SerialTransport, Transport
from kilograd.errors import DataError, DeviceError, PlanError
from kilograd.ir.graph import Array, DType, Kind
from kilograd.plan.plan import Plan, PlanTensor
from kilograd.simulate.samples import as_labels, as_samples
from kilograd.simulate.simulator import LOSS_ONE, Progress, StepResult

TABLE, INPUT, OUTPUT, LABEL = range(4)
HELLO_PATIENCE = 10.0
RESTART_PATIENCE = 30.0
SAVING_PAUSE = 0.02


class Device:
    """A board with kilograd's firmware. Samples and labels are what a Simulator takes; the results are the same bits.

    `plan`: the plan that the board should have, when it is at hand. It is compared with the board's, and says more than the board can (such
    as that a model was uint8 when it was imported).
    """

    def __init__(self, transport: Transport, plan: Plan | str | Path | None = None, timeout: float = 1.0, patience: float = 60.0) -> None:
        self._link = Conversation(transport, timeout, patience)
        self._expect(plan)
        self.info: DeviceInfo
        self._model: Plan | None = None
        self.connect(min(patience, HELLO_PATIENCE))

    def _expect(self, plan: Plan | str | Path | None) -> None:
        self._wanted = plan if isinstance(plan, Plan) or plan is None else Plan.load(plan)
        self._wanted_checksum = 0
        if plan is not None:
            self._wanted_checksum = checksum(plan.to_bytes() if isinstance(plan, Plan) else Path(plan).read_bytes())

    @classmethod
    def open(cls, port: str, plan: Plan | str | Path | None = None, baud: int = 115200, **options: float) -> Device:
        """The board on a port: /dev/ttyACM0, COM3, socket://host:port."""
        transport = SerialTransport(port, baud)
        try:
            return cls(transport, plan, **options)
        except BaseException:
            transport.close()
            raise

    def connect(self, patience: float = HELLO_PATIENCE) -> DeviceInfo:
        """Begin a conversation anew, as after a restart of the board."""
        self._model = None
        self.info = parse_info(self._link.request(Command.INFO, patience=patience))
        if self._wanted is not None and self.info.has_plan and self._wanted_checksum != self.info.checksum:
            raise DeviceError(
                f"the board runs the plan '{self.info.plan}' (checksum {self.info.checksum:08x}), not the one given "
                f"('{self._wanted.name}'): send it with `kilograd device update`",
                "WRONG_PLAN",
            )
        return self.info

    def close(self) -> None:
        """Hang up."""
        self._link.close()

    def __enter__(self) -> Device:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def resent(self) -> int:
        """Requests that had to be sent again."""
        return self._link.resent

    # ---- the plan's inputs and outputs -----------------------------------------------------------------------------------------

    def _ask(self, command: Command, content: bytes = b"") -> bytes:
        """A request on the plan that the board had when the conversation began."""
        return self._link.request(command, struct.pack("<I", self.info.checksum) + content)

    def _describe(self, role: int, index: int) -> tuple[int, PlanTensor]:
        return parse_tensor(self._ask(Command.DESCRIBE, struct.pack("<HI", role, index)))

    @property
    def model(self) -> Plan:
        """The plan: the one given, or inputs, outputs and label as the board describes them."""
        if self._model is None:
            self._model = self._wanted if self._wanted is not None else self._described()
        return self._model

    def _described(self) -> Plan:
        if not self.info.has_plan:
            raise DeviceError("the board has no plan: send one with `kilograd device update`", "NO_PLAN")
        inputs = [self._describe(INPUT, i)[1] for i in range(self.info.inputs)]
        outputs = [self._describe(OUTPUT, i)[1] for i in range(self.info.outputs)]
        label = [self._describe(LABEL, 0)[1]] if self.info.trains else []
        return Plan(
            self.info.plan, {t.name: t for t in (*inputs, *outputs, *label)}, [], [], {}, b"", b"", self.info.arena_bytes,
            [t.name for t in inputs], [t.name for t in outputs], label[0].name if label else "",
        )  # fmt: skip

    def _samples(self, x: npt.ArrayLike) -> Array:
        if len(self.model.inputs) != 1:
            raise DataError(f"the board's plan has {len(self.model.inputs)} inputs; this program sends samples of one")
        name = self.model.inputs[0]
        return as_samples(np.asarray(x), self.model.tensors[name], name in self.model.meta.get("uint8", ()))

    def _need_training(self) -> None:
        if not self.info.trains:
            raise DeviceError("the board's plan was compiled for inference: compile it with --train", "CANNOT_TRAIN")

    # ---- running ---------------------------------------------------------------------------------------------------------------

    def _run(self, command: Command, sample: bytes) -> bytes:
        """A sample in chunks; the answer to the last one."""
        size, answer = self.info.max_request - 8, b""
        for offset in range(0, max(len(sample), 1), size):
            answer = self._ask(command, struct.pack("<I", offset) + sample[offset : offset + size])
        return answer

    def _infer(self, sample: bytes) -> bytes:
        answer = self._run(Command.INFER, sample)
        size, first = struct.unpack_from("<I", answer)[0], answer[4:]
        return first + self._read(OUTPUT, 0, len(first), size - len(first)) if len(first) < size else first

    def infer(self, x: npt.ArrayLike, progress: Progress | None = None) -> Array:
        """The model's (first) output for each sample: [samples, *shape without the batch axis]."""
        raw = self._samples(x)
        output = self.model.tensors[self.model.outputs[0]]
        results = [self._infer(s.tobytes()) for s in _watched(raw, progress)]
        shape = output.shape[1:] if output.shape[:1] == (1,) else output.shape
        return np.frombuffer(b"".join(results), output.dtype.numpy).reshape(len(raw), *shape).copy()

    def _train(self, sample: bytes) -> StepResult:
        loss, predicted, skipped = struct.unpack_from("<iii", self._run(Command.TRAIN, sample))
        return StepResult(loss / LOSS_ONE, predicted, bool(skipped))

    def train_step(self, x: npt.ArrayLike, label: npt.ArrayLike) -> StepResult:
        """Learn from one sample."""
        self._need_training()
        raw = self._samples(x)
        if len(raw) != 1:
            raise DataError(f"train_step takes one sample, given are {len(raw)}: use train")
        labels = as_labels(np.asarray(label)[None] if np.ndim(label) == 0 else np.asarray(label), 1, self.model)
        return self._train(raw[0].tobytes() + labels[0].tobytes())

    def train_steps(self, x: npt.ArrayLike, y: npt.ArrayLike, order: npt.ArrayLike | None = None) -> Iterator[StepResult]:
        """Learn from samples one by one, in `order` (indices; all of them once by default), and give each step's result."""
        self._need_training()
        raw = self._samples(x)
        labels = as_labels(np.asarray(y), len(raw), self.model)
        indices = np.arange(len(raw)) if order is None else np.asarray(order)
        if indices.ndim != 1 or (indices.size and (indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= len(raw))):
            raise DataError(f"order must be a list of sample indices below {len(raw)}")
        return (self._train(raw[i].tobytes() + labels[i].tobytes()) for i in indices)

    def train(
        self, x: npt.ArrayLike, y: npt.ArrayLike, order: npt.ArrayLike | None = None, progress: Progress | None = None
    ) -> npt.NDArray[np.float64]:
        """Learn from samples one by one and give the loss of each step."""
        total = len(np.asarray(y).reshape(-1)) if order is None else np.size(order)
        losses = []
        for step in self.train_steps(x, y, order):
            losses.append(step.loss)
            if progress is not None:
                progress(len(losses), total)
        return np.array(losses, np.float64)

    def evaluate(self, x: npt.ArrayLike, y: npt.ArrayLike, progress: Progress | None = None) -> float:
        """Share of samples whose largest output is the one of their class."""
        raw, labels = self._samples(x), np.asarray(y).reshape(-1)
        if labels.dtype.kind not in "iu" or len(labels) != len(raw) or not len(raw):
            raise DataError(f"evaluate needs samples and a class number each: {len(raw)} samples, labels {labels.dtype} {np.shape(y)}")
        found = [struct.unpack_from("<i", self._run(Command.EVALUATE, s.tobytes()))[0] for s in _watched(raw, progress)]
        return float(np.mean(np.array(found) == labels))

    # ---- memory ----------------------------------------------------------------------------------------------------------------

    def _find(self, name: str) -> tuple[int, PlanTensor]:
        raw = name.encode()
        if len(raw) > self.info.max_request - 4:
            raise DeviceError(f"the name '{name}' is longer than the board takes ({self.info.max_request - 4} bytes)")
        try:
            index, tensor = parse_tensor(self._ask(Command.FIND, raw))
        except DeviceError as error:
            if error.status == "NOT_FOUND":
                raise DeviceError(f"the board's plan '{self.info.plan}' has no tensor '{name}'", error.status) from None
            raise
        return index, tensor

    def _read(self, role: int, index: int, offset: int, size: int) -> bytes:
        out, most = bytearray(), self.info.max_answer - 1
        while len(out) < size:
            count = min(most, size - len(out))
            part = self._ask(Command.READ, struct.pack("<HIIH", role, index, offset + len(out), count))
            if len(part) != count:
                raise DeviceError(f"the board gave {len(part)} bytes of a tensor where {count} were asked")
            out += part
        return bytes(out)

    def read_bytes(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """Bytes of a tensor."""
        index, tensor = self._find(name)
        return self._read(TABLE, index, offset, tensor.nbytes - offset if size is None else size)

    def write_bytes(self, name: str, data: bytes, offset: int = 0) -> None:
        """Change bytes of a tensor."""
        index, _ = self._find(name)
        self._write(index, data, offset)

    def _write(self, index: int, data: bytes, offset: int) -> None:
        most = self.info.max_request - 14
        for at in range(0, max(len(data), 1), most):
            self._ask(Command.WRITE, struct.pack("<HII", TABLE, index, offset + at) + data[at : at + most])

    def read(self, name: str) -> Array:
        """A tensor by name; an arena tensor holds its value only until a later call of the plan reuses its place."""
        index, tensor = self._find(name)
        flat = np.frombuffer(self._read(TABLE, index, 0, tensor.nbytes), tensor.dtype.numpy).copy()
        return flat if tensor.dtype is DType.BITS else flat.reshape(tensor.shape)

    def write(self, name: str, value: npt.ArrayLike) -> None:
        """Set a tensor by name."""
        index, tensor = self._find(name)
        array = np.asarray(value)
        if tensor.kind is Kind.CONST:
            raise DeviceError(f"tensor '{name}' is a constant of the plan and cannot be written", "READ_ONLY")
        if tensor.dtype is not DType.BITS and array.shape != tensor.shape:
            raise DataError(f"tensor '{name}' has the shape {tensor.shape}, the value has {array.shape}")
        with np.errstate(invalid="ignore"):
            fits = array.astype(tensor.dtype.numpy)
        if array.dtype.kind not in "iuf" or (fits != array).any():
            raise DataError(f"tensor '{name}' holds {tensor.dtype.value}, the value is {array.dtype} and does not fit")
        if fits.nbytes != tensor.nbytes:
            raise DataError(f"tensor '{name}' has {tensor.nbytes} bytes, the value has {fits.nbytes}")
        self._write(index, fits.tobytes(), 0)

    # ---- what lasts ------------------------------------------------------------------------------------------------------------

    def _need_store(self) -> None:
        if not self.info.saves:
            raise DeviceError(f"the board '{self.info.board}' has no store: it forgets what it learned when its power goes", "UNSUPPORTED")

    def save(self, wait: bool = True) -> None:
        """Keep what was learned in the board's flash. Firmware built with a snapshot takes other requests while it saves the state of this
        moment: `wait=False` returns then, and `stats().saving` is 1 until the save has ended."""
        self._need_store()
        self._ask(Command.SAVE)
        while wait and (saving := self.stats().saving):
            if saving != 1:
                raise DeviceError("the board could not save: its flash cannot be erased or programmed", "FLASH_ERROR")
            time.sleep(SAVING_PAUSE)

    def load(self) -> None:
        """Go back to what was saved last."""
        self._need_store()
        self._ask(Command.LOAD)

    def reset(self) -> None:
        """Forget everything learned, also what was saved: factory state."""
        self._ask(Command.FACTORY_RESET)

    def stats(self) -> Statistics:
        """Counters of the board."""
        return parse_statistics(self._link.request(Command.STATISTICS))

    def update_plan(self, plan: Plan | str | Path | bytes, progress: Callable[[int, int], Any] | None = None) -> DeviceInfo:
        """Send a new plan into the board's flash. The board checks it, and runs it from then on; on any failure its old plan stays."""
        raw = plan if isinstance(plan, bytes) else plan.to_bytes() if isinstance(plan, Plan) else Path(plan).read_bytes()
        if not self.info.updates:
            raise DeviceError(f"the board '{self.info.board}' has no place for another plan", "UNSUPPORTED")
        if not raw:
            raise PlanError("the plan is empty")
        room = self.info.max_request - 4
        size = room - room % max(self.info.plan_unit, 1)
        self._link.request(Command.PLAN_BEGIN, struct.pack("<II", len(raw), zlib.crc32(raw)))
        for offset in range(0, len(raw), size):
            self._link.request(Command.PLAN_WRITE, struct.pack("<I", offset) + raw[offset : offset + size])
            if progress is not None:
                progress(min(offset + size, len(raw)), len(raw))
        with _restart_is_fine():
            self._link.request(Command.PLAN_COMMIT)
        self._expect(None if isinstance(plan, bytes) else plan)
        info = self.connect(RESTART_PATIENCE)
        if info.checksum != checksum(raw):
            raise DeviceError(f"the board runs the plan '{info.plan}' and not the new one: the update did not last", "PLAN_REFUSED")
        return info


def checksum(plan_file: bytes) -> int:
    """The checksum in a plan file's header, by which a board names its plan."""
    return int.from_bytes(plan_file[12:16], "little")


def _watched(raw: Array, progress: Progress | None) -> Iterator[Array]:
    for i, sample in enumerate(raw):
        yield sample
        if progress is not None:
            progress(i + 1, len(raw))


@contextmanager
def _restart_is_fine() -> Iterator[None]:
    """A board may restart with its new plan, and then does not know the conversation; whether it has the plan is asked next."""
    try:
        yield
    except DeviceError as error:
        if error.status not in ("NO_CONVERSATION", ""):
            raise

"""From what the user names to a Device: a port, or an emulated board that is built and started for the occasion."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kilograd.device.build import Options, build
from kilograd.device.client import Device
from kilograd.errors import DeviceError
from kilograd.plan.plan import Plan

EMULATED = "qemu:"
EMULATED_TIMEOUT = 5.0  # an emulator takes bytes slowly
EMULATED_PATIENCE = 300.0


@contextlib.contextmanager
def open_board(
    target: str, plan: Plan | Path | None = None, baud: int = 115200, memory: Path | None = None, options: Options | None = None
) -> Iterator[Device]:
    """A Device on a port (/dev/ttyACM0, COM3, socket://host:port), or on `qemu:BOARD`: firmware with the plan is built and the emulator
    started; it ends with the block. `memory`: file in which the emulated board's flash lasts; `options`: of the firmware built for it."""
    if not target.startswith(EMULATED):
        with Device.open(target, plan, baud) as device:
            yield device
        return
    from kilograd.device.boards import find_board
    from kilograd.device.emulator import Emulator

    board = find_board(target.removeprefix(EMULATED))
    if plan is None:
        raise DeviceError(f"'{target}' is started anew each time: name the plan that it shall run (--plan FILE.kgp)")
    loaded = plan if isinstance(plan, Plan) else Plan.load(plan)
    with tempfile.TemporaryDirectory(prefix="kilograd-") as folder:
        firmware = build(board, loaded, Path(folder), options)
        with (
            Emulator(board, firmware.elf, memory) as emulator,
            Device.open(emulator.url, loaded, timeout=EMULATED_TIMEOUT, patience=EMULATED_PATIENCE) as device,
        ):
            yield device

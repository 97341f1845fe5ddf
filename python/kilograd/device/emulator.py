"""QEMU boards: start, talk over a TCP serial line, and end, whatever happens."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from kilograd.device.boards import Board, Run, find_board
from kilograd.errors import BoardError

START_SECONDS = 20.0
ATTEMPTS = 5


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def program(board: Board) -> str:
    """Path of the QEMU that runs the board."""
    if board.run is None:
        raise BoardError(f"board '{board.name}' is hardware, no emulator runs it")
    found = shutil.which(board.run.qemu)
    if found is None:
        raise BoardError(f"board '{board.name}' is run by {board.run.qemu}, which is not installed here")
    return found


def command(board: Board, elf: Path, port: int, memory: Path | None = None, extra: Sequence[str] = ()) -> list[str]:
    """The command line of the emulator. Instructions are counted (-icount), so that emulated time does not depend on the host."""
    qemu, run = program(board), board.run
    assert isinstance(run, Run)
    backing = (
        [a.replace("{file}", str(memory).replace(",", ",,")) for a in run.memory] if memory is not None else []
    )  # QEMU's ',' in a value
    args = [a.replace("{elf}", str(elf)) for a in run.args]
    boot = [] if any("{elf}" in a for a in run.args) else ["-kernel", str(elf)]
    return [
        qemu, "-M", run.machine, *backing, "-nographic", "-monitor", "none", "-serial", f"tcp:127.0.0.1:{port},server=on,wait=on",
        "-semihosting-config", "enable=on,target=native", "-icount", f"shift={run.icount_shift},sleep=off,align=off", *args, *boot, *extra,
    ]  # fmt: skip


def prepare(board: Board, memory: Path) -> None:
    """The file that is the board's flash: erased when it is new, and of the size that the emulator wants. The store is its beginning; the
    rest takes no space."""
    size = board.run.memory_bytes if board.run else 0
    if not size or board.store is None:
        reason = "no store" if board.store is None else "a store that ends with its emulator"
        raise BoardError(f"board '{board.name}' has {reason}: no file can keep it")
    if not memory.exists():
        with memory.open("wb") as file:
            file.write(b"\xff" * (board.store.sector_bytes * (board.store.sectors + board.store.plan_sectors)))
            file.truncate(size)
    if memory.stat().st_size != size:
        raise BoardError(f"'{memory}' is not the memory of '{board.name}': it has {memory.stat().st_size:,} bytes, not {size:,}")


class Emulator:
    """A board under emulation, for `with`. The board starts when somebody connects to `url` (a serial port for pyserial) or calls
    `connect`; QEMU ends with the block at the latest."""

    def __init__(self, board: Board | str, elf: Path, memory: Path | None = None, extra: Sequence[str] = ()) -> None:
        self.board = find_board(board) if isinstance(board, str) else board
        self.elf, self.memory, self.extra = elf, memory, tuple(extra)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()
        self._socket: socket.socket | None = None

    @property
    def url(self) -> str:
        """The serial line as a pyserial URL; one connection only."""
        return f"socket://127.0.0.1:{self.port}"

    def __enter__(self) -> Emulator:
        if self.memory is not None:
            prepare(self.board, self.memory)
        for _ in range(ATTEMPTS):
            self.port = free_port()
            line = command(self.board, self.elf, self.port, self.memory, self.extra)
            self._process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
            if self._listening():
                return self
            self.stop()
            if "Address already in use" not in self.log:  # somebody took the port between looking and binding
                break
        raise BoardError(f"QEMU does not start '{self.board.name}': {self.log.strip() or 'it says nothing'}")

    def _listening(self) -> bool:
        """Wait until the port is open, without taking the one connection that QEMU accepts."""
        end = time.monotonic() + START_SECONDS
        wanted = f"0100007F:{self.port:04X}"
        while time.monotonic() < end and self.returncode is None:
            table = Path("/proc/net/tcp")
            if not table.exists():  # not Linux: trust a moment
                time.sleep(0.5)
                return self.returncode is None
            if any(row.split()[1:4:2] == [wanted, "0A"] for row in table.read_text().splitlines()[1:]):
                return True
            time.sleep(0.01)
        return False

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def returncode(self) -> int | None:
        """Exit code of the board's program, None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def log(self) -> str:
        """What QEMU said on its own."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def connect(self) -> socket.socket:
        """The serial line as a socket."""
        self._socket = socket.create_connection(("127.0.0.1", self.port), START_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def start(self, hello: bytes, seconds: float = START_SECONDS) -> None:
        """Wait until the board says hello, and answer with one byte. One only: QEMU ending with input unread would take its last output
        along (TCP resets the line)."""
        self.read_until(hello, seconds)
        assert self._socket is not None
        self._socket.sendall(b"\n")

    def read_until(self, end: bytes, seconds: float) -> bytes:
        """Bytes of the line up to `end`. The board stopping, or taking longer, is an error that shows the last of what it said."""
        line = self._socket or self.connect()
        got, stop = bytearray(), time.monotonic() + seconds
        while end not in got:
            line.settimeout(max(0.01, stop - time.monotonic()))
            try:
                part = line.recv(4096)
            except TimeoutError:
                raise BoardError(f"'{self.board.name}' did not finish within {seconds:.0f} s; it said: {_tail(got)}") from None
            except ConnectionError:
                part = b""
            if not part:
                raise self._stopped(got)
            got += part
        return bytes(got)

    def _stopped(self, got: bytes | bytearray) -> BoardError:
        log = "\n".join(line for line in self.log.splitlines() if "waiting for connection" not in line)
        return BoardError(f"'{self.board.name}' stopped (exit code {self.wait(5)}); it said: {_tail(got)} {log}".rstrip())

    def wait(self, seconds: float) -> int | None:
        """Exit code of the board's program once it ended, None when it did not within `seconds`."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def kill(self) -> None:
        """Cut the power: no instruction more."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End the emulator."""
        self.kill()
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _tail(got: bytes | bytearray) -> str:
    text = bytes(got[-300:]).decode(errors="replace").strip()
    return repr(text) if text else "nothing"

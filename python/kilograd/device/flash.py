"""Flashing: one command line for each tool, printed before it runs. The tools are wrapped, not replaced.

board.toml says in [program] which `tool` is the usual one, and holds a table for each tool that can do it: [program.openocd],
[program.pyocd], [program.esptool], [program.uf2], [program.dfu]. Emulated boards take the image through gdb, from QEMU's gdbstub.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from kilograd.device.boards import Board
from kilograd.device.images import Segment, flat
from kilograd.device.uf2 import uf2
from kilograd.errors import BoardError

GDB_PORT = "localhost:1234"  # QEMU's -s
GDB_FAILURE = r"MIS-MATCHED|Connection refused|onnection timed out|Remote communication error|Load failed|Error erasing|not allowed"
UF2_MARK = "INFO_UF2.TXT"  # every UF2 drive has it
IMAGE, ESP_IMAGE = "firmware.elf", "build/kilograd_firmware.bin"  # in the folder of a build; the latter is what ESP-IDF makes there
_VOLUMES = ("/media/*/{0}", "/run/media/*/{0}", "/media/{0}", "/mnt/{0}", "/Volumes/{0}")

#: how to get a tool that is missing
HINTS = {
    "openocd": "apt-get install openocd, or brew install open-ocd",
    "pyocd": "pip install pyocd",
    "esptool": "pip install esptool",
    "dfu-util": "apt-get install dfu-util, or brew install dfu-util",
    "gdb-multiarch": "apt-get install gdb-multiarch",
}


@dataclass(frozen=True)
class Job:
    """What flashing one image means: a file to make first (for tools that take no ELF), and a command line."""

    tool: str
    argv: tuple[str, ...]
    makes: Path | None = None
    content: bytes = b""
    failure: str = ""  # a pattern that means failure though the tool's exit code says success

    @property
    def line(self) -> str:
        """The command line for a shell."""
        return shlex.join(self.argv)


class _Request:
    """One image for one board with one tool; gives the tool's settings, each of which must be there and of its type."""

    def __init__(self, board: Board, tool: str, image: Path, port: str | None) -> None:
        self.board, self.tool, self.image, self.port = board, tool, image, port
        settings = board.program.get(tool, {})
        if not isinstance(settings, Mapping):
            raise BoardError(f"{board.folder / 'board.toml'}: 'program.{tool}' must be a table")
        self.settings: Mapping[str, Any] = settings

    def text(self, key: str, default: str | None = None) -> str:
        value = self.settings.get(key, default)
        if not isinstance(value, str) or not value:
            raise BoardError(f"{self.board.folder / 'board.toml'}: 'program.{self.tool}.{key}' is missing or no text")
        return value

    def texts(self, key: str) -> list[str]:
        value = self.settings.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise BoardError(f"{self.board.folder / 'board.toml'}: 'program.{self.tool}.{key}' must be a list of texts")
        return list(value)

    def number(self, key: str, default: int) -> int:
        value = self.settings.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise BoardError(f"{self.board.folder / 'board.toml'}: 'program.{self.tool}.{key}' must be a number")
        return value

    @property
    def is_elf(self) -> bool:
        """The image knows its addresses."""
        return self.image.suffix in (".elf", ".axf", "")

    def refuse(self, *suffixes: str) -> BoardError:
        return BoardError(f"{self.tool} takes {' or '.join(suffixes)} files, not '{self.image.name}'")

    def flat(self) -> Segment:
        """The image and its address: of an ELF file its own, of a .bin the board's flash."""
        if self.is_elf:
            return flat(self.image)
        if self.image.suffix == ".bin":
            return Segment(self.board.flash.origin, self.image.read_bytes())
        raise self.refuse(".elf", ".bin")


def _openocd(request: _Request) -> Job:
    image = str(request.image)
    if set(image) & set("{}\\\n"):
        raise BoardError(f"openocd cannot take the path '{image}': rename the folder so that it has no braces and backslashes")
    address = f" {request.board.flash.origin:#010x}" if request.image.suffix == ".bin" else ""
    if not address and not request.is_elf and request.image.suffix != ".hex":
        raise request.refuse(".elf", ".bin", ".hex")
    argv = ["openocd"]
    for config in request.texts("config"):
        argv += ["-f" if config.endswith(".cfg") else "-c", config]  # a file, or a command of its language
    if request.port:
        argv += ["-c", f"adapter serial {request.port}"]
    return Job("openocd", (*argv, "-c", f"program {{{image}}}{address} verify reset exit"))


def _pyocd(request: _Request) -> Job:
    argv = ["pyocd", "load", "--no-wait", "--target", request.text("target")]
    if request.port:
        argv += ["--probe", request.port]
    if request.image.suffix == ".bin":
        argv += ["--format", "bin", "--base-address", f"{request.board.flash.origin:#010x}"]
    elif request.image.suffix == ".hex":
        argv += ["--format", "hex"]
    elif request.is_elf:
        argv += ["--format", "elf"]
    else:
        raise request.refuse(".elf", ".bin", ".hex")
    return Job("pyocd", (*argv, str(request.image)))


def _esptool(request: _Request) -> Job:
    if request.image.suffix != ".bin":
        raise BoardError(f"esptool takes the .bin file that ESP-IDF's build makes, not '{request.image.name}'")
    argv = ["esptool", "--chip", request.text("chip")]
    if request.port:
        argv += ["--port", request.port]
    argv += ["--baud", str(request.number("baud", 460800)), "write-flash", f"{request.number('offset', 0):#x}"]
    return Job("esptool", (*argv, str(request.image)))


def _dfu(request: _Request) -> Job:
    image = request.flat()
    path = request.image if request.image.suffix == ".bin" else request.image.with_suffix(".dfu.bin")
    argv = ["dfu-util", "--device", request.text("device"), "--alt", str(request.number("alt", 0))]
    if request.port:
        argv += ["--serial", request.port]
    argv += ["--dfuse-address", f"{image.address:#010x}:leave", "--download", str(path)]
    return Job("dfu-util", tuple(argv), None if path == request.image else path, image.data)


def find_volume(name: str, places: Sequence[str] = _VOLUMES) -> Path | None:
    """Where the drive of that name is mounted."""
    for pattern in places:
        for place in sorted(glob(pattern.format(name))):
            if (Path(place) / UF2_MARK).is_file():
                return Path(place)
    return None


def _uf2(request: _Request) -> Job:
    name = request.text("volume")
    volume = Path(request.port) if request.port else find_volume(name)
    if request.image.suffix == ".uf2":
        path, content = request.image, b""
    else:
        image, family = request.flat(), request.number("family", request.board.uf2_family)
        path, content = request.image.with_suffix(".uf2"), uf2(image.data, image.address, family)
    target = str(volume) if volume is not None else f"<drive {name}>"
    return Job("uf2", ("cp", str(path), f"{target}/{path.name}"), None if path == request.image else path, content)


def _gdb(request: _Request) -> Job:
    """Load through QEMU's gdbstub, compare every section with what was loaded, reset so that the core takes its vectors, and let it run."""
    if not request.is_elf:
        raise request.refuse(".elf")
    host, _, number = (request.port or GDB_PORT).rpartition(":")
    if not number.isdigit():
        raise BoardError(f"'{request.port}' is not the address of a gdbstub: give --port HOST:NUMBER, such as {GDB_PORT}")
    steps = [
        f"target remote {host or 'localhost'}:{number}", "load", "compare-sections", "monitor system_reset", "detach",
    ]  # fmt: skip
    argv = ["gdb-multiarch", "-nx", "-batch", "-ex", "set confirm off", "-ex", "set tcp auto-retry off"]
    for step in steps:
        argv += ["-ex", step]
    return Job("gdb-multiarch", (*argv, str(request.image)), failure=GDB_FAILURE)


TOOLS: dict[str, Callable[[_Request], Job]] = {
    "openocd": _openocd,
    "pyocd": _pyocd,
    "esptool": _esptool,
    "uf2": _uf2,
    "dfu": _dfu,
    "gdb": _gdb,
}


def tools_of(board: Board) -> list[str]:
    """Tools that can flash the board, the usual one first."""
    if board.emulated:
        return ["gdb"]
    usual = board.program.get("tool")
    return sorted((t for t in TOOLS if t == usual or t in board.program), key=lambda t: t != usual)


def flash_job(board: Board, image: Path, port: str | None = None, tool: str | None = None) -> Job:
    """The command line that flashes `image`, a file or the folder of a build, and what has to be made for it. Nothing is run or written."""
    known = tools_of(board)
    if not known:
        raise BoardError(f"board '{board.name}' does not say how it is flashed: {board.folder / 'board.toml'} has no 'program.tool'")
    chosen = tool or known[0]
    if chosen not in TOOLS or chosen not in known:
        raise BoardError(f"board '{board.name}' is not flashed by '{chosen}'; there is {', '.join(known)}")
    if image.is_dir():
        image = image / (ESP_IMAGE if board.external else IMAGE)
    if not image.is_file():
        maker = f"{board.external} makes it, see {board.folder}/README.md" if board.external else "kilograd build makes it"
        raise BoardError(f"there is no image '{image}': {maker}")
    return TOOLS[chosen](_Request(board, chosen, image, port))


def flash(job: Job, timeout: float = 600.0) -> str:
    """Do it; gives what the tool said."""
    if job.makes is not None:
        job.makes.write_bytes(job.content)
    if job.tool == "uf2":
        return _copy(Path(job.argv[1]), Path(job.argv[2]))
    program = shutil.which(job.tool)
    if program is None:
        raise BoardError(f"{job.tool} is not installed: {HINTS[job.tool]}. It would have been run as: {job.line}")
    try:
        done = subprocess.run([program, *job.argv[1:]], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise BoardError(f"{job.tool} did not finish within {timeout:.0f} s: {job.line}") from None
    said = (done.stdout + done.stderr).strip()
    if done.returncode != 0 or (job.failure and re.search(job.failure, said)):
        end = "\n".join(said.splitlines()[-8:])
        raise BoardError(f"{job.tool} failed (exit code {done.returncode}): {job.line}\n{end}")
    return said


def _copy(source: Path, target: Path) -> str:
    """Copy onto a UF2 drive; the board restarts when the last block is there."""
    if not (target.parent / UF2_MARK).is_file():
        raise BoardError(
            f"'{target.parent}' is no UF2 drive: hold the board's BOOTSEL button while you plug it in; if the drive is mounted where it is "
            "not found, give it with --port"
        )
    shutil.copyfile(source, target)
    return f"{source} copied to {target}"

"""Boards as data: firmware/boards/<name>/board.toml, read and checked. firmware/boards/README.md describes every key."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kilograd._sources import firmware_dir
from kilograd.errors import BoardError

EMULATED = "qemu:"


@dataclass(frozen=True)
class Region:
    """A stretch of memory."""

    origin: int
    bytes: int


@dataclass(frozen=True)
class Store:
    """Flash for checkpoints (the first `sectors`) and for a plan that arrives over the link (the next `plan_sectors`)."""

    origin: int
    sector_bytes: int
    program_bytes: int
    sectors: int
    plan_sectors: int = 0


@dataclass(frozen=True)
class Run:
    """How QEMU runs the board."""

    qemu: str
    machine: str
    args: tuple[str, ...] = ()
    icount_shift: int = 0
    memory: tuple[str, ...] = ()  # arguments that put the store into a {file}, of memory_bytes; none: it ends with the emulator
    memory_bytes: int = 0


@dataclass(frozen=True)
class Board:
    """One board."""

    folder: Path
    name: str
    title: str
    core: str
    emulated: bool
    clock_hz: int
    prefix: str
    flags: tuple[str, ...]
    link: tuple[str, ...]
    memory: dict[str, Region]
    sources: tuple[Path, ...]
    include: tuple[Path, ...]
    linker: Path | None
    stack_bytes: int  # of boards that a framework builds; else the stack is derived from the program
    defines: dict[str, int | str]
    outputs: tuple[str, ...]
    uf2_family: int
    ticks_hz: int
    ticks_exact: bool
    store: Store | None
    run: Run | None
    program: dict[str, Any] = field(default_factory=dict)
    external: str = ""

    @property
    def flash(self) -> Region:
        """Where code and constants are."""
        return self.memory["flash"]

    @property
    def ram(self) -> Region:
        """Where stack, state and arena are."""
        return self.memory["ram"]


class _Table:
    """A table of the file; whatever is wrong with a value is said with the file and the key."""

    def __init__(self, file: Path, path: str, values: dict[str, Any]) -> None:
        self.file, self.path, self.values = file, path, values

    def error(self, key: str, what: str) -> BoardError:
        where = f"{self.path}.{key}" if self.path else key
        return BoardError(f"{self.file}: '{where}' {what}")

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        if key not in self.values:
            if default is None:
                raise self.error(key, "is missing")
            return default
        value = self.values[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(key, f"must be of type {kind.__name__}, not {value!r}")
        return value

    def number(self, key: str, default: int | None = None, least: int = 0) -> int:
        value = int(self.get(key, int, default))
        if value < least:
            raise self.error(key, f"must be at least {least}, not {value}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.get(key, list, [])
        if not all(isinstance(v, str) for v in value):
            raise self.error(key, "must be a list of texts")
        return tuple(value)

    def table(self, key: str) -> _Table | None:
        if key not in self.values:
            return None
        return _Table(self.file, f"{self.path}.{key}" if self.path else key, self.get(key, dict))

    def need(self, key: str) -> _Table:
        found = self.table(key)
        if found is None:
            raise self.error(key, "is missing")
        return found

    def only(self, *known: str) -> None:
        """A key that nobody reads is a spelling mistake."""
        for key in self.values:
            if key not in known:
                raise self.error(key, f"is not known here; there are {', '.join(known)}")

    def file_of(self, text: str, key: str) -> Path:
        for base in (self.file.parent, firmware_dir()):
            if (base / text).exists():
                return base / text
        raise self.error(key, f"names '{text}', which is neither in the board's folder nor in {firmware_dir()}")


def _region(table: _Table) -> Region:
    table.only("origin", "bytes")
    return Region(table.number("origin"), table.number("bytes", least=1))


def _store(table: _Table | None) -> Store | None:
    if table is None:
        return None
    table.only("origin", "sector_bytes", "program_bytes", "sectors", "plan_sectors")
    return Store(
        table.number("origin"), table.number("sector_bytes", least=64), table.number("program_bytes", least=1),
        table.number("sectors", least=2), table.number("plan_sectors", 0),
    )  # fmt: skip


def _run(table: _Table | None) -> Run | None:
    if table is None:
        return None
    table.only("qemu", "machine", "args", "icount_shift", "memory", "memory_bytes")
    memory, size = table.texts("memory"), table.number("memory_bytes", 0)
    if bool(memory) != bool(size) or (memory and not any("{file}" in a for a in memory)):
        raise table.error("memory", "has {file} in an argument, and 'memory_bytes' says how large that file is; or both are left out")
    qemu, machine = str(table.get("qemu", str)), str(table.get("machine", str))
    return Run(qemu, machine, table.texts("args"), table.number("icount_shift", 0), memory, size)


def read_board(folder: Path) -> Board:
    """Read and check a board's folder."""
    file = folder / "board.toml"
    try:
        values = tomllib.loads(file.read_text())
    except OSError as e:
        raise BoardError(f"{file}: cannot be read ({e.strerror})") from None
    except tomllib.TOMLDecodeError as e:
        raise BoardError(f"{file}: {e}") from None
    top = _Table(file, "", values)
    top.only("name", "title", "core", "emulated", "clock_hz", "toolchain", "memory", "build", "time", "store", "run", "program")
    tool, memory, build = top.need("toolchain"), top.need("memory"), top.need("build")
    tool.only("prefix", "flags", "link", "external")
    build.only("sources", "include", "linker", "stack_bytes", "defines", "outputs", "uf2_family")
    external = str(tool.get("external", str, ""))
    time = top.table("time") or _Table(file, "time", {})
    time.only("hz", "exact")
    linker = build.get("linker", str, "")
    if "stack_bytes" in build.values and not external:
        raise build.error("stack_bytes", "is for boards that a framework builds: here the stack is derived from the program")
    if not linker and not external:
        raise build.error("linker", "is missing")
    regions = {name: _region(memory.need(name)) for name in memory.values}
    for name in ("flash", "ram"):
        memory.need(name)
    board = Board(
        folder=folder,
        name=str(top.get("name", str)),
        title=str(top.get("title", str)),
        core=str(top.get("core", str)),
        emulated=bool(top.get("emulated", bool, False)),
        clock_hz=top.number("clock_hz", least=1),
        prefix=str(tool.get("prefix", str)),
        flags=tool.texts("flags"),
        link=tool.texts("link"),
        memory=regions,
        sources=tuple(build.file_of(s, "sources") for s in build.texts("sources")),
        include=tuple(build.file_of(s, "include") for s in build.texts("include")),
        linker=build.file_of(linker, "linker") if linker else None,
        stack_bytes=build.number("stack_bytes", least=256) if external else 0,
        defines=dict(build.get("defines", dict, {})),
        outputs=build.texts("outputs"),
        uf2_family=build.number("uf2_family", 0),
        ticks_hz=time.number("hz", top.number("clock_hz"), least=1),
        ticks_exact=bool(time.get("exact", bool, False)),
        store=_store(top.table("store")),
        run=_run(top.table("run")),
        program=dict(top.get("program", dict, {})),
        external=external,
    )
    if board.name != folder.name:
        raise top.error("name", f"is '{board.name}', the folder is '{folder.name}'")
    if board.emulated and board.run is None:
        raise top.error("run", "is missing: an emulated board says how QEMU runs it")
    return board


def boards() -> list[Board]:
    """All boards that travel with kilograd, by name."""
    return [read_board(p.parent) for p in sorted((firmware_dir() / "boards").glob("*/board.toml"))]


def find_board(name: str) -> Board:
    """A board by name, by 'qemu:name', or by the path of its folder."""
    emulated = name.startswith(EMULATED)
    plain = name.removeprefix(EMULATED)
    if "/" in plain and (Path(plain) / "board.toml").is_file():
        board = read_board(Path(plain).resolve())
    elif (firmware_dir() / "boards" / plain / "board.toml").is_file() and "/" not in plain:
        board = read_board(firmware_dir() / "boards" / plain)
    else:
        known = ", ".join(b.name for b in boards())
        raise BoardError(f"there is no board '{plain}'; there are {known}, or give the path of a folder with a board.toml")
    if emulated and board.run is None:
        raise BoardError(f"board '{plain}' is hardware, no emulator runs it: use '--board {plain}' and '--port'")
    return board

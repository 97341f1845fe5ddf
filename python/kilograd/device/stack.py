"""How much stack firmware can need at most, from the compiler's call graphs and the linked program.

gcc's `-fcallgraph-info=su` says for every function of every object how large its frame is and whom it calls. Three things are missing
there, and none of them is guessed: who is behind a function pointer (POINTERS, a declared table; a call or an address taken that it does
not know is an error), functions of the C library (read from the disassembly), and interrupts (INTERRUPTS, with the frame that the core
pushes). Recursion and frames of variable size have no bound: they are errors too.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from kilograd.device.callgraph import Graph, short
from kilograd.device.disassembly import Program
from kilograd.errors import BoardError

ALIGN = 32  # the guard's region must start at a multiple of its size
GUARD_BYTES = 32


@dataclass(frozen=True)
class Pointer:
    """Who can be behind a call `member(...)` in files `where`. Targets are patterns for titles of functions: a function with external
    linkage by its name, any other as file:name. The first row that fits counts."""

    member: str
    where: str
    targets: tuple[str, ...]
    outside_bytes: int = 0  # stack of code that is not in the program, such as a boot ROM


#: RP2040 boot ROM, flash routines: an allowance, not a measurement. Five nested calls that each save all nine registers and have 12 bytes
#: of locals take 240 bytes.
RP2040_ROM_BYTES = 256
_ROM = ("lookup", "connect", "exit_xip", "flush", "erase", "program")

POINTERS = (
    Pointer("run", "*/session/session.c", ("*/session/kernel_table.c:run_*",)),
    Pointer("check", "*/session/verify.c", ("*/session/kernel_table.c:check_*",)),
    *(Pointer(name, "*/rp2040-pico/flash.c", (), RP2040_ROM_BYTES) for name in _ROM),
    # the area of the plans is cut out of the driver's
    Pointer("read", "*/app/new_plan.c", ("*:read_bytes",)),
    Pointer("program", "*/app/new_plan.c", ("*:program",)),
    Pointer("erase", "*/app/new_plan.c", ("*:erase",)),
    Pointer("read", "*/store/*.c", ("*:read_bytes", "*/app/new_plan.c:area_read")),
    Pointer("program", "*/store/*.c", ("*:program", "*/app/new_plan.c:area_program")),
    Pointer("erase", "*/store/*.c", ("*:erase", "*/app/new_plan.c:area_erase")),
    Pointer("write", "*/link/*.c", ("*/app/main.c:send",)),
    Pointer("ticks", "*/link/*.c", ("*/app/main.c:ticks",)),
    Pointer("statistics", "*/link/*.c", ("*/app/main.c:statistics",)),
    Pointer("function", "*/link/commands.c", ("kg_app_save", "kg_app_load", "kg_app_forget")),
    Pointer("factory_reset", "*/link/*.c", ("kg_app_forget",)),
    *(Pointer(f"plan_{name}", "*/link/*.c", (f"kg_app_plan_{name}",)) for name in ("begin", "write", "commit")),
)

#: where the processor starts; RISC-V's kg_reset is assembly that jumps to kg_begin
STARTS = ("kg_reset", "kg_begin")
#: handlers that come back. They do not interrupt one another: all of them have the same priority.
INTERRUPTS = ("kg_tick_handler",)
#: reports of a fault end the program. On a Cortex-M they need FAULT_BYTES at most: with less left they begin again at the top
#: (common/cortex_m/fault.c). What the core pushes for the fault is counted: else a fault of another kind would be taken for an overflow.
FAULTS = ("kg_fault", "kg_trap")
FAULT_ENTRIES = ("kg_fault_entry", "kg_trap_entry")
FAULT_BYTES = 320

_NODE = re.compile(r'^node: \{ title: "([^"]+)" label: "([^"]*)"( shape : ellipse)? \}$', re.M)
_EDGE = re.compile(r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"(?: label: "([^"]*)")? \}$', re.M)
_SIZE = re.compile(r"(\d+) bytes \(([\w,]+)\)")
INDIRECT = "__indirect_call"


def parse_ci(text: str) -> Graph:
    """The call graph of one object (.ci)."""
    graph = Graph()
    for title, label, elsewhere in _NODE.findall(text):
        if elsewhere:
            continue
        size = _SIZE.search(label)
        if size is None:
            raise BoardError(f"no bound for the stack: the compiler does not say how large the frame of '{short(title)}' is")
        if size[2] not in ("static", "dynamic,bounded"):
            raise BoardError(f"no bound for the stack: the frame of '{short(title)}' has no fixed size ({size[2]})")
        graph.frames[title] = int(size[1])
    for source, target, at in _EDGE.findall(text):
        if target == INDIRECT:
            graph.indirect.append((source, at))
        else:
            graph.calls.setdefault(source, set()).add(target)
    return graph


def _line(place: str) -> str:
    file, number = place.rsplit(":", 2)[:2]
    return Path(file).read_text().splitlines()[int(number) - 1]


def resolve_pointers(graph: Graph, pointers: Iterable[Pointer] = POINTERS, line: Callable[[str], str] = _line) -> None:
    """Turn calls through pointers into calls of everybody who can be behind them. A pointer that nobody in this program sets is null."""
    rows = list(pointers)
    for source, place in graph.indirect:
        text, file = line(place), place.rsplit(":", 2)[0]
        found: dict[str, Pointer] = {}
        for row in rows:
            if fnmatchcase(file, row.where) and re.search(rf"\b{row.member}\(", text):
                found.setdefault(row.member, row)
        if not found:
            raise BoardError(
                f"no bound for the stack: '{short(source)}' calls through a pointer at {short(place)} ({text.strip()}) "
                "that POINTERS in kilograd/device/stack.py does not know"
            )
        for row in found.values():
            called = graph.calls.setdefault(source, set())
            called.update(t for t in list(graph.frames) if any(fnmatchcase(t, p) for p in row.targets))
            if row.outside_bytes:
                graph.frames[f"{row.member} outside"] = row.outside_bytes
                called.add(f"{row.member} outside")
    graph.indirect = []


def check_addresses(taken: Iterable[str], pointers: Iterable[Pointer] = POINTERS) -> None:
    """Every function whose address is taken must be someone's target: else the table of pointers is behind the sources."""
    known = [p for row in pointers for p in row.targets]
    for title in taken:
        plain = title.rpartition(":")[2]
        if plain in (*STARTS, *INTERRUPTS, *FAULTS, *FAULT_ENTRIES) or any(fnmatchcase(title, p) for p in known):
            continue
        raise BoardError(
            f"no bound for the stack: the address of '{short(title)}' is taken, but POINTERS in kilograd/device/stack.py "
            "does not say who calls it"
        )


@dataclass(frozen=True)
class Core:
    """What of the processor matters for its stack."""

    exception_bytes: int  # pushed for an interrupt or a fault, with the word that aligns it
    guard_bytes: int  # at the end of the stack, that nobody may touch
    fault_bytes: int  # that a report of a fault may take; 0: it begins at the top


def core_of(macros: str) -> Core:
    """From the compiler's predefined macros. A Cortex-M pushes 8 words; where there are vectors or floats room for 18 more (lazily)."""
    has = set(re.findall(r"^#define (\w+)", macros, re.M))
    if "__riscv" in has:
        return Core(0, GUARD_BYTES, 0)
    floats = bool(has & {"__ARM_FP", "__ARM_FEATURE_MVE"})
    limit = bool(has & {"__ARM_ARCH_6M__", "__ARM_ARCH_8M_MAIN__", "__ARM_ARCH_8_1M_MAIN__"})  # no MPU guard; a limit register, or nothing
    return Core(4 + (104 if floats else 32), 0 if limit else GUARD_BYTES, FAULT_BYTES)


@dataclass(frozen=True)
class Bound:
    """The stack that firmware can need at most. `bytes` is what is reserved: all of them, rounded up."""

    bytes: int
    program_bytes: int
    interrupt_bytes: int
    fault_bytes: int
    guard_bytes: int
    path: tuple[str, ...]  # the chain of calls that needs program_bytes


def bound(graph: Graph, core: Core, weak: frozenset[str] = frozenset()) -> Bound:
    """The bound of a graph without pointers. A handler that is only weakly there fills the table of vectors: nobody turns its interrupt
    on."""
    starts = [graph.deepest(name) for name in STARTS if name in graph.frames]
    if not starts:
        raise BoardError(f"no bound for the stack: none of {', '.join(STARTS)} is in the program")
    deepest, path = max(starts)
    handlers = [graph.deepest(name)[0] + core.exception_bytes for name in INTERRUPTS if name in graph.frames and name not in weak]
    interrupt = max(handlers, default=0)
    report = max((graph.deepest(name)[0] for name in FAULTS if name in graph.frames), default=0)
    if core.fault_bytes and report > core.fault_bytes:
        raise BoardError(f"the report of a fault needs {report} B of stack, firmware/common/cortex_m/fault.c keeps {core.fault_bytes} B")
    total = deepest + interrupt + core.exception_bytes + core.guard_bytes
    # a report that begins at the top stays above what it reports
    total = max(total, 2 * core.fault_bytes, report + core.guard_bytes)
    return Bound(-(-total // ALIGN) * ALIGN, deepest, interrupt, core.exception_bytes, core.guard_bytes, tuple(short(p) for p in path))


_ROW = re.compile(r"^([0-9a-f]+) .(.)....F (\S+)\t[0-9a-f]+ (?:\.hidden )?(\S+)$", re.M)  # address, weak, section, name
_SECTION = re.compile(r"^RELOCATION RECORDS FOR \[(\S+)\]:\n(.*?)(?=^RELOCATION|\Z)", re.M | re.S)
_ADDRESS = re.compile(r"^[0-9a-f]+ +(?:R_ARM_ABS32|R_ARM_(?:THM_)?MOVW_\S+|R_RISCV_32|R_RISCV_(?:PCREL_)?HI20) +([\w.$]+)", re.M)
_NOT_CODE = (".debug", ".eh_frame", ".ARM.exidx", ".ARM.extab")


@dataclass(frozen=True)
class Symbols:
    """Of one object: weak functions, names of the same code, and functions whose address is taken."""

    weak: frozenset[str]
    same: dict[str, tuple[str, ...]]
    taken: frozenset[str]


def parse_symbols(text: str) -> Symbols:
    """From `objdump -tr` of an object."""
    rows = [(name, bool(weak.strip()), (section, address)) for address, weak, section, name in _ROW.findall(text)]
    places: dict[tuple[str, str], list[str]] = {}
    for name, _, place in rows:
        places.setdefault(place, []).append(name)
    same = {n: tuple(o for o in names if o != n) for names in places.values() for n in names}
    taken = {s for section, body in _SECTION.findall(text) if not section.startswith(_NOT_CODE) for s in _ADDRESS.findall(body)}
    return Symbols(frozenset(n for n, weak, _ in rows if weak), same, frozenset(taken))


def merge(objects: Iterable[tuple[Graph, Symbols]]) -> tuple[Graph, frozenset[str], frozenset[str]]:
    """One graph of all objects: weak functions give way, functions that share their code are the same. With it the functions whose address
    is taken, and those that are only weakly there."""
    whole, units = Graph(), list(objects)
    strong = {t for graph, _ in units for t in graph.frames if ":" not in t}
    taken: set[str] = set()
    weak: set[str] = set()
    for graph, symbols in units:
        titles = {t.rpartition(":")[2]: t for t in graph.frames}
        rename = {t: n for n, t in titles.items() if n in symbols.weak}  # gcc titles weak functions as if they were static
        gone = {t for t, n in rename.items() if n in strong}
        weak |= set(rename.values()) - strong
        new = Graph()
        for t, size in graph.frames.items():
            if t not in gone:
                new.frames[rename.get(t, t)] = size
        for name, others in symbols.same.items():
            twin = next((titles[o] for o in others if o in titles), None)
            if name not in titles and twin is not None and twin not in gone:
                title = name if name in symbols.weak or twin.rpartition(":")[0] == "" else f"{twin.rpartition(':')[0]}:{name}"
                new.frames[title] = 0
                new.calls[title] = {rename.get(twin, twin)}
        for source, called in graph.calls.items():
            if source not in gone:
                new.calls.setdefault(rename.get(source, source), set()).update(rename.get(c, c) for c in called)
        new.indirect = [(rename.get(s, s), at) for s, at in graph.indirect if s not in gone]
        taken |= {rename.get(titles[n], titles[n]) if n in titles else n for n in symbols.taken}
        whole.add(new)
    return whole, frozenset(taken & whole.frames.keys()), frozenset(weak)


def _output(*command: str | Path) -> str:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True).stdout


def derive(prefix: str, flags: Iterable[str], objects: Iterable[Path], elf: Path) -> Bound:
    """The bound of a linked program. Beside every object lies the .ci that the compiler wrote with it; assembly has none."""
    found = [(parse_ci(o.with_suffix(".ci").read_text()), o) for o in objects if o.with_suffix(".ci").exists()]
    graph, taken, weak = merge((g, parse_symbols(_output(f"{prefix}objdump", "-tr", o))) for g, o in found)
    check_addresses(sorted(taken))
    resolve_pointers(graph)
    program = Program(_output(f"{prefix}nm", "-S", elf), _output(f"{prefix}objdump", "-d", elf))
    graph.add(program.library({c for called in graph.calls.values() for c in called} - graph.frames.keys()))
    macros = _output(f"{prefix}gcc", *flags, "-dM", "-E", "-x", "c", "/dev/null")
    return bound(graph, core_of(macros), weak)

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
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

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


#: RP2040 boot ROM, flash routines: nobody of this project measured them. Their published source nests at most five calls with small
#: locals; with all nine registers that can be saved and 12 bytes of locals each, that is 240 bytes.
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


@dataclass
class Graph:
    """Functions: bytes of their frame, whom they call, and from where they call through a pointer ("file:line:column")."""

    frames: dict[str, int] = field(default_factory=dict)
    calls: dict[str, set[str]] = field(default_factory=dict)
    indirect: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Graph) -> None:
        """Take in the functions of another graph."""
        for name, size in other.frames.items():
            self.frames[name] = max(size, self.frames.get(name, 0))
        for name, called in other.calls.items():
            self.calls.setdefault(name, set()).update(called)
        self.indirect += other.indirect

    def deepest(self, root: str) -> tuple[int, tuple[str, ...]]:
        """Most bytes that a call of `root` can need, and the chain of calls that needs them."""
        known: dict[str, tuple[int, tuple[str, ...]]] = {}
        chain: list[str] = []

        def visit(name: str) -> tuple[int, tuple[str, ...]]:
            if name in chain:
                cycle = [*chain[chain.index(name) :], name]
                raise BoardError(f"no bound for the stack: recursion {' -> '.join(map(short, cycle))}")
            if name not in known:
                if name not in self.frames:
                    caller = f", which {short(chain[-1])} calls" if chain else ""
                    raise BoardError(f"no bound for the stack: nothing is known about '{name}'{caller}")
                chain.append(name)
                below = max((visit(c) for c in sorted(self.calls.get(name, ()))), default=(0, ()))
                chain.pop()
                known[name] = (self.frames[name] + below[0], (name, *below[1]))
            return known[name]

        return visit(root)


def short(title: str) -> str:
    """A function's name without the folders of its file."""
    return title.rpartition("/")[2]


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


_SYMBOL = re.compile(r"^([0-9a-f]+) (?:[0-9a-f]+ )?[TtWw] ([^.$\s]\S*)$", re.M)  # labels inside of a function begin with a dot
_INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t([0-9a-f ]+)\t(\S+)(?:\t((?:(?![;@]|# )[^\n])*))?", re.M)
_CALL = re.compile(r"^(?:bl|blx|jal|call)(?:\.[nw])?$")
_JUMP = re.compile(r"^(?:b(?:cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|eqz?|nez?|gez?|ltz?|gtz?|lez?)?(?:\.[nw])?|b(?:lt|ge|gt|le)u|cbn?z|j|tail)$")
_LEAVES = re.compile(r"^(?:b|b\.[nw]|bx|j|jr|ret|tail|udf|mret)$")
_TARGET = re.compile(r"(?:^|,)\s*(?:0x)?([0-9a-f]+) <")


def _registers(text: str) -> int:
    """Number of registers in {r4, r6-r8, lr}."""
    count = 0
    for part in text.strip("{} ").split(","):
        first, _, last = part.strip().partition("-")
        count += int(last.lstrip("rsd")) - int(first.lstrip("rsd")) + 1 if last else 1
    return count


def pushed(mnemonic: str, operands: str) -> int | None:
    """Bytes by which an instruction makes the stack deeper; None: it sets the stack pointer to what cannot be told from here."""
    name, text = mnemonic.split(".")[0], operands.replace(" ", "")
    registers = text[text.find("{") :] if "{" in text else ""
    if name == "push" or (name == "stmdb" and text.startswith("sp!")):
        return 4 * _registers(registers)
    if name == "vpush" or (name == "vstmdb" and text.startswith("sp!")):
        return _registers(registers) * (8 if registers.startswith("{d") else 4)
    if before := re.search(r"\[sp,#-(\d+)\]!", text):
        return int(before[1])
    if name in ("sub", "subw") and (by := re.fullmatch(r"sp,(?:sp,)?#(\d+)", text)):
        return int(by[1])
    if name in ("add", "addw", "addi", "c.addi16sp") and (by := re.fullmatch(r"sp,(?:sp,)?#?(-?\d+)", text)):
        return max(0, -int(by[1]))
    if name not in ("cmp", "sw", "sd", "str", "pop", "ldm", "ldmia") and text.startswith("sp,"):
        return None
    return 0


class Program:
    """The linked program: where functions are, and what the disassembly says of those that no call graph describes."""

    def __init__(self, symbols: str, disassembly: str) -> None:
        self.starts = {name: int(address, 16) & ~1 for address, name in _SYMBOL.findall(symbols)}
        self.names = {address: name for name, address in sorted(self.starts.items(), reverse=True)}
        rows = _INSTRUCTION.findall(disassembly)
        self.instructions = {int(a, 16): (len(raw.replace(" ", "")) // 2, m, o.strip()) for a, raw, m, o in rows}

    def library(self, names: Iterable[str]) -> Graph:
        """The graph of these functions, and of those that they call."""
        graph, wanted = Graph(), list(names)
        while wanted:
            name = wanted.pop()
            if name in graph.frames or name not in self.starts:
                continue
            graph.frames[name] = self._read(name, graph.calls.setdefault(name, set()))
            wanted += graph.calls[name]
        return graph

    def _read(self, name: str, called: set[str]) -> int:
        """Bytes that all instructions of a function together push: at least as much as any way through it. Adds to `called`."""
        size, seen, ahead = 0, set(), [self.starts[name]]
        while ahead:
            at = ahead.pop()
            if at in seen:
                continue
            seen.add(at)
            if at not in self.instructions or self.instructions[at][1].startswith("."):
                raise BoardError(f"no bound for the stack: '{name}' of the C library leads to {at:#x}, where no instruction is")
            length, mnemonic, operands = self.instructions[at]
            deeper = pushed(mnemonic, operands)
            if self._is_switch(at, mnemonic, operands):
                ahead += self._extent(name)
                size += deeper or 0
                continue
            if deeper is None or (mnemonic in ("bx", "blx", "jr", "jalr") and operands not in ("lr", "ra")):
                what = "sets the stack pointer" if deeper is None else "goes where a register says"
                raise BoardError(f"no bound for the stack: '{name}' of the C library {what} ({mnemonic} {operands})")
            size += deeper
            target = _TARGET.search(operands)
            if target and (_CALL.match(mnemonic) or _JUMP.match(mnemonic)):
                self._go(name, int(target[1], 16), bool(_CALL.match(mnemonic)), called, ahead)
            if not _LEAVES.match(mnemonic) and not (re.search(r"\bpc\b", operands) and mnemonic.startswith(("pop", "ldm"))):
                self._go(name, at + length, False, called, ahead)
        return size

    def _is_switch(self, at: int, mnemonic: str, operands: str) -> bool:
        """A jump by a table, inside of the function. (A call through a pointer adds nothing to it.)"""
        before = next(
            (self.instructions[at - n] for n in (2, 4) if at - n in self.instructions and self.instructions[at - n][0] == n), None
        )
        added = before is not None and before[1] == "add" and before[2].startswith(f"{operands},")
        return mnemonic in ("tbb", "tbh") or "<__gnu_thumb1_case" in operands or (mnemonic == "jr" and added)

    def _extent(self, name: str) -> list[int]:
        """Addresses of all instructions up to the next function."""
        start = self.starts[name]
        end = min((a for a in self.names if a > start), default=1 << 32)
        return [a for a, (_, mnemonic, _) in self.instructions.items() if start <= a < end and not mnemonic.startswith(".")]

    def _go(self, name: str, target: int, call: bool, called: set[str], ahead: list[int]) -> None:
        """To another function, or on in this one."""
        other = self.names.get(target)
        if other is not None and target != self.starts[name]:
            called.add(other)
        elif call:
            raise BoardError(f"no bound for the stack: '{name}' of the C library calls {target:#x}, where no function begins, or itself")
        else:
            ahead.append(target)


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

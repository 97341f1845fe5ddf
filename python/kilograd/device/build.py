"""Plan and board to firmware: generated configuration, objects, the stack that they need, the link, and what came out of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from kilograd._sources import csrc_dir, firmware_dir, runtime_dir
from kilograd.device.boards import Board, find_board
from kilograd.device.images import seal_boot2
from kilograd.device.stack import Bound, derive
from kilograd.device.uf2 import uf2
from kilograd.emit.csource import sources
from kilograd.errors import BoardError, BudgetError, PlanError
from kilograd.plan.plan import Plan

APPS = {"serve": ("main.c", "memory.c", "checkpoint.c", "new_plan.c"), "bench": ("bench.c", "memory.c")}
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
#: the same bits at every level; nothing is linked that nobody calls
CODE = ("-std=c11", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections", "-fno-common", "-g")
ALIGN = 16
TRIAL_SPARE = 64 << 20


@dataclass(frozen=True)
class Options:
    """How firmware is built. `arena_bytes` and `state_bytes` reserve more than the plan needs, for plans that arrive later over the link;
    `all_kernels` links every kernel for the same reason."""

    app: str = "serve"
    optimize: str = "-O2"
    stack_bytes: int = 0  # 0: what the program can need at most
    arena_bytes: int = 0
    state_bytes: int = 0
    all_kernels: bool = False
    samples: int = 50  # of the bench
    frame_bytes: int = 0  # payload of the link, 0: what suits the RAM
    snapshot: bool = False  # RAM for a second state, so that training goes on during a save
    stack_unchecked: bool = False  # a stack smaller than the program may need, to see it overflow


@dataclass(frozen=True)
class Firmware:
    """What a build made, and its sizes in bytes. `static_bytes` are the program's own variables (.data and .bss)."""

    board: str
    app: str
    elf: Path
    text_bytes: int
    rodata_bytes: int
    plan_bytes: int
    data_bytes: int
    bss_bytes: int
    memory_bytes: int  # state, arena and snapshot
    stack_bytes: int  # reserved
    flash_bytes: int
    sram_bytes: int
    files: tuple[str, ...]
    stack_bytes_planned: int  # what the program can need at most, derived from it
    stack_path: tuple[str, ...]  # the calls that need it

    @property
    def static_bytes(self) -> int:
        """.data and .bss: what the program keeps for itself."""
        return self.data_bytes + self.bss_bytes

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return {**asdict(self), "elf": str(self.elf), "files": list(self.files), "stack_path": list(self.stack_path)}


def compiler(board: Board) -> str:
    """Path of the board's compiler."""
    if board.external:
        raise BoardError(f"board '{board.name}' is built by {board.external}, not by kilograd: see {board.folder}/README.md")
    found = shutil.which(f"{board.prefix}gcc")
    if found is None:
        raise BoardError(f"board '{board.name}' needs the compiler {board.prefix}gcc, which is not installed here")
    return found


def round_up(count: int) -> int:
    """To the alignment of the arena, behind which the state lies without a gap."""
    return -(-count // ALIGN) * ALIGN


def memory_sizes(plan: Plan, options: Options) -> tuple[int, int]:
    """Bytes of state and arena that the firmware reserves."""
    return max(len(plan.state), options.state_bytes), round_up(max(plan.arena_bytes, options.arena_bytes))


def snapshot_bytes(board: Board, plan: Plan, options: Options) -> int:
    """Bytes of state that is being saved, beside the one that learns; 0: a save holds everything else up."""
    return memory_sizes(plan, options)[0] if options.snapshot and options.app == "serve" and board.store else 0


def _define(name: str, value: int | str) -> str:
    if isinstance(value, str):
        return f"#define {name} {value}"
    return f"#define {name} {value:#x}u" if value > 9 else f"#define {name} {value}u"


def config(board: Board, plan: Plan, options: Options) -> str:
    """Text of kg_config.h."""
    state, arena = memory_sizes(plan, options)
    store = board.store
    frame = options.frame_bytes or (96 if board.ram.bytes <= 16384 else 256 if board.ram.bytes < 65536 else 1024)
    values: dict[str, int | str] = {
        "KG_BOARD_NAME": f'"{board.name}"',
        "KG_EMULATED": int(board.emulated),
        "KG_CLOCK_HZ": board.clock_hz,
        "KG_TICKS_HZ": board.ticks_hz,
        "KG_ICOUNT_SHIFT": board.run.icount_shift if board.run else 0,
        "KG_STATE_BYTES": state,
        "KG_ARENA_BYTES": arena,
        "KG_SNAPSHOT_BYTES": snapshot_bytes(board, plan, options),
        "KG_STORE_ORIGIN": store.origin if store else 0,
        "KG_STORE_SECTOR_BYTES": store.sector_bytes if store else 0,
        "KG_STORE_PROGRAM_BYTES": store.program_bytes if store else 0,
        "KG_STORE_SECTORS": store.sectors if store else 0,
        "KG_STORE_PLAN_SECTORS": store.plan_sectors if store else 0,
        "KG_LINK_FRAME_BYTES": frame,
        "KG_BENCH_SAMPLES": options.samples,
        **board.defines,
    }
    if board.external:  # elsewhere the linker says it: the program is compiled before its stack is known
        values["KG_STACK_BYTES"] = options.stack_bytes or board.stack_bytes
    lines = [_define(name, value) for name, value in values.items()]
    return "\n".join(["/* Made by kilograd build. */", "#ifndef KG_CONFIG_H", "#define KG_CONFIG_H", "", *lines, "", "#endif", ""])


def memory_script(board: Board, stack_bytes: int, spare: int = 0) -> str:
    """Text of memory.ld. `spare` makes every region larger."""
    regions = "\n".join(
        f"  {name.upper()} ({'rx' if name == 'flash' else 'rwx'}) : ORIGIN = {r.origin:#x}, LENGTH = {r.bytes + spare:#x}"
        for name, r in board.memory.items()
    )
    return f"MEMORY\n{{\n{regions}\n}}\n_stack_bytes = {stack_bytes};\n"


def kernel_names(plan: Plan, options: Options) -> list[str]:
    """Kernels that the firmware has."""
    return sorted(sources().kernels) if options.all_kernels else sorted({c.kernel for c in plan.calls})


def kernel_sources(names: list[str]) -> list[Path]:
    """C files of these kernels and of their checks."""
    index = sources()
    wanted = [index.definitions[f] for n in names for f in (f"kg_{n}", index.kernel(n).check)]
    return [index.root / p for p in index.closure_of(wanted) if p.suffix in (".c", ".S")]


def kernel_list(names: list[str]) -> str:
    """Text of kernels.def: the lines of csrc/kernels.def for these kernels."""
    rows = [sources().kernel(n) for n in names]
    lines = [f"KG_KERNEL({k.id}, {k.name}, {k.args}, {k.check})" for k in sorted(rows, key=lambda k: k.id)]
    return "\n".join(["/* Made by kilograd build: the kernels of the plan. */", *lines, ""])


PLAN_ASSEMBLY = """/* Made by kilograd build. */
  .section .plan, "a"
  .balign 16
  .global kg_embedded_plan
kg_embedded_plan:
  .incbin "plan.kgp"
  .global kg_embedded_plan_end
kg_embedded_plan_end:
"""


def generate(board: Board, plan: Plan, options: Options, directory: Path) -> Path:
    """Write what a build needs beside the sources; gives the folder."""
    generated = directory / "generated"
    generated.mkdir(parents=True, exist_ok=True)
    texts = {
        "kg_config.h": config(board, plan, options),
        "kernels.def": kernel_list(kernel_names(plan, options)),
        "plan.S": PLAN_ASSEMBLY,
    }
    for name, text in texts.items():
        (generated / name).write_text(text)
    plan.save(generated / "plan.kgp")
    return generated


def source_files(board: Board, plan: Plan, options: Options, generated: Path) -> list[Path]:
    """Everything that is compiled."""
    if options.app not in APPS:
        raise BoardError(f"there is no firmware application '{options.app}'; there are {', '.join(APPS)}")
    firmware, runtime = firmware_dir(), runtime_dir()
    files = [firmware / "app" / f for f in APPS[options.app]]
    files += [firmware / "common/text.c", *board.sources, generated / "plan.S"]
    parts = ("session", "link", "store") if options.app == "serve" else ("session",)
    for part in parts:
        files += sorted((runtime / part).glob("*.c"))
    return files + kernel_sources(kernel_names(plan, options))


def include_folders(board: Board, generated: Path) -> list[Path]:
    """Where headers are looked for; the generated ones first, because kernels.def there stands for that of csrc."""
    runtime = runtime_dir()
    return [generated, board.folder, *board.include, firmware_dir() / "common", runtime / "include", runtime, csrc_dir()]


def compile_flags(board: Board, options: Options) -> list[str]:
    """Flags of every file."""
    return [*board.flags, options.optimize, *CODE, *WARNINGS]


def link_flags(board: Board, directory: Path, scripts: Path) -> list[str]:
    """Flags of the link; memory.ld is in `scripts`."""
    assert board.linker is not None
    end = ["-nostartfiles", "-static", "-Wl,--gc-sections", f"-Wl,-Map={directory / 'firmware.map'}", f"-L{scripts}"]
    return [*board.link, *end, f"-L{board.folder}", "-T", str(board.linker)]


def _run(board: Board, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise _Failed(done.stderr)


class _Failed(Exception):
    """The compiler's or the linker's own words."""


def compile_objects(board: Board, plan: Plan, options: Options, generated: Path, folder: Path) -> list[Path]:
    """Compile every file into `folder`, each with its call graph."""
    flags = [*compile_flags(board, options), *(f"-I{f}" for f in include_folders(board, generated))]
    objects = []
    for index, file in enumerate(source_files(board, plan, options, generated)):
        objects.append(folder / f"{index:03}_{file.stem}.o")
        graph = ["-fcallgraph-info=su"] if file.suffix == ".c" else []
        _run(board, [compiler(board), *flags, *graph, "-c", str(file), "-o", str(objects[-1])])
    return objects


def link(board: Board, options: Options, objects: list[Path], scripts: Path, directory: Path) -> Path:
    """Link; gives firmware.elf in `directory`."""
    elf = directory / "firmware.elf"
    flags = [*compile_flags(board, options), *map(str, objects), *link_flags(board, directory, scripts)]
    _run(board, [compiler(board), *flags, "-o", str(elf)])
    return elf


def derive_stack(board: Board, options: Options, objects: list[Path], folder: Path) -> Bound:
    """The stack that these objects can need, linked for trial into regions in which everything fits."""
    (folder / "memory.ld").write_text(memory_script(board, 0, TRIAL_SPARE))
    return derive(board.prefix, board.flags, objects, link(board, options, objects, folder, folder))


def cmake_lists(board: Board, plan: Plan, options: Options, directory: Path) -> str:
    """Text of build.cmake: the same for firmware/CMakeLists.txt."""
    directory = directory.resolve()
    generated = directory / "generated"
    lists = {
        "KG_SOURCES": [str(f) for f in source_files(board, plan, options, generated)],
        "KG_INCLUDES": [str(f) for f in include_folders(board, generated)],
        "KG_FLAGS": compile_flags(board, options),
        "KG_LINK": link_flags(board, directory, generated),
    }
    lists["KG_LINK"] = [f"SHELL:-T {f}" for f in lists["KG_LINK"][-1:]] + lists["KG_LINK"][:-2]
    rows = [f"set({name}\n" + "".join(f'  "{v}"\n' for v in values) + ")\n" for name, values in lists.items()]
    return "# Made by kilograd build.\n" + "".join(rows)


def _check_memory(board: Board, plan: Plan, options: Options, stack: int | None) -> None:
    """RAM; before anything is compiled `stack` is None."""
    state, arena = memory_sizes(plan, options)
    snapshot = snapshot_bytes(board, plan, options)
    total = state + arena + snapshot + (stack or 0)
    if total > board.ram.bytes:
        second = f" + snapshot {snapshot:,} B" if snapshot else ""
        third = "stack (not derived yet)" if stack is None else f"stack {stack:,} B"
        room = max(0, board.ram.bytes - (stack or 0))
        raise BudgetError(
            f"plan '{plan.name}' does not fit the RAM of {board.name}: arena {arena:,} B + state {state:,} B{second} + {third} = "
            f"{total:,} B, there are {board.ram.bytes:,} B; compile with --sram {room} or less, or another scheme"
        )


def _stack_size(board: Board, options: Options, bound: Bound) -> int:
    """The stack to reserve. Less than the bound is refused: no run can show that the deepest chain of calls never comes, and where it comes
    the board stops."""
    if options.stack_bytes and options.stack_bytes < bound.bytes and not options.stack_unchecked:
        calls = f"{bound.program_bytes:,} B in {' -> '.join(bound.path)}"
        parts = f"{calls}, interrupts {bound.interrupt_bytes:,} B, faults {bound.fault_bytes:,} B, guard {bound.guard_bytes:,} B"
        raise BudgetError(
            f"a stack of {options.stack_bytes:,} B is too small for {board.name}: this firmware can need {bound.bytes:,} B ({parts}); "
            f"give --stack {bound.bytes} or more, or leave it out"
        )
    return options.stack_bytes or bound.bytes


def _explain(board: Board, plan: Plan, options: Options, text: str, stack: int) -> Exception:
    """The linker's message about a region, in our words; anything else as it is."""
    overflow = re.search(r"region `(\w+)' overflowed by (\d+) bytes", text)
    if overflow is None:
        first = [line for line in text.splitlines() if "error" in line or "undefined" in line][:8] or text.splitlines()[-8:]
        return BoardError(f"{board.prefix}gcc could not build for {board.name}:\n" + "\n".join(first))
    region = overflow[1].lower()
    size, over = board.memory[region].bytes, int(overflow[2])
    state, arena = memory_sizes(plan, options)
    snapshot = snapshot_bytes(board, plan, options)
    second = f", snapshot {snapshot:,} B" if snapshot else ""
    parts = f"arena {arena:,} B, state {state:,} B{second}, stack {stack:,} B, the rest the program's own variables"
    if region != "ram":
        parts = f"the plan file {len(plan.to_bytes()):,} B, the rest code and constants"
    return BudgetError(
        f"plan '{plan.name}' does not fit the {'RAM' if region == 'ram' else region} of {board.name}: {size + over:,} B are needed "
        f"({parts}), there are {size:,} B"
    )


def section_sizes(board: Board, elf: Path) -> dict[str, int]:
    """Section -> bytes, of sections that are loaded or reserved."""
    listing = subprocess.run([f"{board.prefix}size", "-A", str(elf)], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^(\.[\w.]+)\s+(\d+)\s+\d+$", listing, re.M)
    return {name: int(size) for name, size in rows if not name.startswith((".debug", ".comment"))}


def _measure(board: Board, options: Options, elf: Path, files: tuple[str, ...], bound: Bound) -> Firmware:
    s = section_sizes(board, elf)
    text, plan = s.get(".text", 0), s.get(".plan", 0)
    rodata = sum(s.get(n, 0) for n in (".rodata", ".ARM.exidx", ".srodata"))
    data, bss = s.get(".data", 0), s.get(".bss", 0)
    memory, stack = s.get(".memory", 0), s.get(".stack", 0)
    return Firmware(
        board.name, options.app, elf, text, rodata, plan, data, bss, memory, stack, text + rodata + plan + data,
        data + bss + memory + stack, files, bound.bytes, bound.path,
    )  # fmt: skip


def _outputs(board: Board, elf: Path) -> tuple[str, ...]:
    """Further files that flashing tools want."""
    made = [elf.name, "firmware.map"]
    wanted = set(board.outputs) | ({"bin"} if "uf2" in board.outputs else set())
    for kind in sorted(wanted - {"uf2"}):
        form = {"bin": "binary", "hex": "ihex"}.get(kind)
        if form is None:
            raise BoardError(f"{board.folder / 'board.toml'}: 'build.outputs' knows bin, hex and uf2, not '{kind}'")
        target = elf.with_suffix(f".{kind}")
        subprocess.run([f"{board.prefix}objcopy", "-O", form, str(elf), str(target)], check=True)
        made.append(target.name)
    if "uf2" in board.outputs:
        elf.with_suffix(".uf2").write_bytes(uf2(elf.with_suffix(".bin").read_bytes(), board.flash.origin, board.uf2_family))
        made.append("firmware.uf2")
    return tuple(made)


def build(board: Board | str, plan: Plan | str | Path, directory: str | Path, options: Options | None = None) -> Firmware:
    """Build firmware that runs `plan` on `board` into `directory`."""
    options = options or Options()
    board = find_board(board) if isinstance(board, str) else board
    plan = plan if isinstance(plan, Plan) else Plan.load(plan)
    if not plan.calls:
        raise PlanError(f"plan '{plan.name}' has no calls: there is nothing to build")
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise BoardError(f"cannot build into '{directory}': it is a file, give a folder")
    compiler(board)
    _check_memory(board, plan, options, None)
    generated = generate(board, plan, options, directory)
    (generated / "build.cmake").write_text(cmake_lists(board, plan, options, directory))
    stack = 0
    with tempfile.TemporaryDirectory(dir=directory, prefix="objects-") as temporary:
        folder = Path(temporary)
        try:
            objects = compile_objects(board, plan, options, generated, folder)
            bound = derive_stack(board, options, objects, folder)
            stack = _stack_size(board, options, bound)
            _check_memory(board, plan, options, stack)
            (generated / "memory.ld").write_text(memory_script(board, stack))
            elf = link(board, options, objects, generated, directory)
        except _Failed as e:
            raise _explain(board, plan, options, str(e), stack) from None
    seal_boot2(elf)  # nothing to do but on an RP2040
    return _measure(board, options, elf, _outputs(board, elf), bound)

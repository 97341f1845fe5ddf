"""The bound of the stack: small call graphs with known answers, what is refused, and firmware that stays below it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kilograd as kg
from kilograd.device import build as building
from kilograd.device.bench import bench
from kilograd.device.build import Options, build
from kilograd.device.callgraph import Graph
from kilograd.device.disassembly import Program, pushed
from kilograd.device.stack import (
    FAULT_BYTES,
    POINTERS,
    Core,
    Pointer,
    bound,
    check_addresses,
    core_of,
    merge,
    parse_ci,
    parse_symbols,
    resolve_pointers,
)
from kilograd.errors import BoardError, BudgetError
from tests.firmware.plans import need, small

BARE = Core(0, 0, 0)


def node(title: str, size: int, kind: str = "static") -> str:
    return f'node: {{ title: "{title}" label: "{title}\\n/a.c:1:1\\n{size} bytes ({kind})" }}\n'


def edge(source: str, target: str, place: str = "/a.c:2:3") -> str:
    return f'edge: {{ sourcename: "{source}" targetname: "{target}" label: "{place}" }}\n'


def ci(text: str) -> Graph:
    return parse_ci(f'graph: {{ title: "/a.c"\n{text}}}\n')


def test_a_chain_is_the_sum() -> None:
    graph = ci(node("kg_reset", 8) + node("main", 100) + node("f", 24) + edge("kg_reset", "main") + edge("main", "f"))
    found = bound(graph, BARE)
    assert (found.program_bytes, found.path) == (132, ("kg_reset", "main", "f"))
    assert found.bytes == 160  # a multiple of 32


def test_a_diamond_is_its_deeper_side() -> None:
    text = node("a", 8) + node("left", 40) + node("right", 16) + node("end", 4) + node("far", 30)
    text += edge("a", "left") + edge("a", "right") + edge("left", "end") + edge("right", "end") + edge("right", "far")
    assert ci(text).deepest("a") == (54, ("a", "right", "far"))
    assert ci(text.replace("30 bytes", "20 bytes")).deepest("a") == (52, ("a", "left", "end"))


def test_what_does_not_come_from_the_start_does_not_count() -> None:
    graph = ci(node("kg_begin", 8) + node("never", 5000) + edge("never", "kg_begin"))
    assert bound(graph, BARE).program_bytes == 8
    with pytest.raises(BoardError, match="none of kg_reset, kg_begin is in the program"):
        bound(ci(node("main", 8)), BARE)


@pytest.mark.parametrize(
    ("edges", "cycle"), [((("a", "b"), ("b", "c"), ("c", "b")), "b -> c -> b"), ((("a", "a"),), "a -> a")], ids=["three", "itself"]
)
def test_recursion_is_named(edges: tuple[tuple[str, str], ...], cycle: str) -> None:
    graph = ci("".join(node(n, 8) for n in "abc") + "".join(edge(*e) for e in edges))
    with pytest.raises(BoardError, match=f"recursion {cycle}$"):
        graph.deepest("a")


def test_an_unknown_function_is_named_with_its_caller() -> None:
    with pytest.raises(BoardError, match="nothing is known about 'sqrt', which main calls"):
        ci(node("main", 8) + edge("main", "sqrt")).deepest("main")


def test_a_frame_without_a_fixed_size_is_refused() -> None:
    assert ci(node("f", 64, "dynamic,bounded")).frames == {"f": 64}
    with pytest.raises(BoardError, match=r"the frame of 'a.c:f' has no fixed size \(dynamic\)"):
        ci(node("/x/a.c:f", 64, "dynamic"))
    with pytest.raises(BoardError, match="does not say how large the frame of 'f' is"):
        ci('node: { title: "f" label: "f\\n/a.c:1:1" }\n')


# ---- pointers ---------------------------------------------------------------------------------------------------------------

ROWS = (
    Pointer("run", "*/first.c", ("/t.c:run_*",)),
    Pointer("run", "*.c", ("other",)),
    Pointer("rom", "*.c", (), 200),
    Pointer("absent", "*.c", ("nobody",)),
)


def indirect(place: str) -> Graph:
    frames = node("main", 10) + node("/t.c:run_a", 20) + node("/t.c:run_b", 50) + node("other", 90)
    return ci(frames + edge("main", "__indirect_call", place))


@pytest.mark.parametrize(
    ("file", "line", "deepest"),
    [
        ("/s/first.c", "  find(i)->run(args);", 60),  # everybody that the first row names, nobody of the second
        ("/s/second.c", "  x.run(args);", 100),
        ("/s/second.c", "  r->rom(1);", 210),
        ("/s/second.c", "  if (a->run) a->absent(1);", 10),  # nobody sets it: null
    ],
)
def test_pointers_lead_to_whom_the_table_names(file: str, line: str, deepest: int) -> None:
    graph = indirect(f"{file}:7:3")
    resolve_pointers(graph, ROWS, lambda _: line)
    assert graph.deepest("main")[0] == deepest and graph.indirect == []


def test_a_pointer_that_the_table_does_not_know_is_named() -> None:
    with pytest.raises(BoardError, match=r"'main' calls through a pointer at second.c:7:3 \(p->walk\(1\);\)"):
        resolve_pointers(indirect("/s/second.c:7:3"), ROWS, lambda _: "  p->walk(1);")


def test_the_line_is_read_from_the_source(tmp_path: Path) -> None:
    (tmp_path / "first.c").write_text("\n  table[3].run(0);\n")
    graph = indirect(f"{tmp_path}/first.c:2:3")
    resolve_pointers(graph, ROWS)
    assert graph.deepest("main")[0] == 60


def test_an_address_that_is_taken_must_be_in_the_table() -> None:
    check_addresses(["kg_app_save", "kg_reset", "/x/flash/nvmc.c:program", "/x/session/kernel_table.c:run_add_ref_s8"])
    with pytest.raises(BoardError, match="the address of 'main.c:surprise' is taken"):
        check_addresses(["/x/app/main.c:surprise"])
    with pytest.raises(BoardError, match="the address of 'kg_app_save' is taken"):
        check_addresses(["kg_app_save"], [p for p in POINTERS if "kg_app_save" not in p.targets])


# ---- objects ----------------------------------------------------------------------------------------------------------------

OBJDUMP = """
SYMBOL TABLE:
00000000 l    d  .text.send\t00000000 .text.send
00000000 l     F .text.send\t00000010 send
00000000  w    F .text.tick\t00000002 tick
00000000 g     F .text.one\t00000008 one
00000000 g     F .text.one\t00000008 two

RELOCATION RECORDS FOR [.text.one]:
OFFSET   TYPE              VALUE
00000004 R_ARM_THM_CALL    tick

RELOCATION RECORDS FOR [.rodata.hooks]:
OFFSET   TYPE              VALUE
00000000 R_ARM_ABS32       send
00000004 R_ARM_ABS32       .bss.app

RELOCATION RECORDS FOR [.debug_info]:
OFFSET   TYPE              VALUE
00000000 R_ARM_ABS32       one
"""


def test_symbols_of_an_object() -> None:
    symbols = parse_symbols(OBJDUMP)
    assert symbols.weak == {"tick"} and symbols.same["two"] == ("one",) and {"send"} <= symbols.taken
    assert not {"one", "tick"} & symbols.taken  # a call, and debugging information


def test_weak_functions_give_way_and_twins_are_one() -> None:
    first = ci(node("/a.c:send", 16) + node("/a.c:tick", 400) + node("one", 24) + edge("one", "/a.c:tick"))
    second = ci(node("kg_reset", 0) + edge("kg_reset", "two"))
    nothing = parse_symbols("")
    graph, taken, weak = merge([(first, parse_symbols(OBJDUMP)), (second, nothing)])
    assert taken == {"/a.c:send"} and weak == {"tick"}
    assert graph.deepest("kg_reset") == (424, ("kg_reset", "two", "one", "tick"))
    graph, _, weak = merge([(first, parse_symbols(OBJDUMP)), (second, nothing), (ci(node("tick", 8)), nothing)])
    assert weak == set() and graph.deepest("kg_reset")[0] == 32


# ---- the C library ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("push {r4, r5, lr}", 12), ("push {r0, r4-r7, lr}", 24), ("stmdb sp!, {r4-r11, lr}", 36), ("vpush {d8-d9}", 16),
        ("vpush {s16}", 4), ("strd ip, lr, [sp, #-16]!", 16), ("sub sp, #20", 20), ("sub.w sp, sp, #264", 264), ("addi sp,sp,-48", 48),
        ("add sp,sp,-32", 32), ("add sp, #20", 0), ("addi sp,sp,48", 0), ("pop {r4, pc}", 0), ("ldr r0, [sp, #4]", 0), ("cmp sp, r3", 0),
        ("mov sp, r7", None), ("sub sp, r3", None),
    ],
)  # fmt: skip
def test_what_an_instruction_pushes(instruction: str, expected: int | None) -> None:
    mnemonic, _, operands = instruction.partition(" ")
    assert pushed(mnemonic, operands) == expected


SYMBOLS = "00000100 T divide\n00000100 T __divide\n0000010c t .inside\n00000110 00000006 T helper\n00000120 T wild\n00000130 T loop\n"
DISASSEMBLY = """
00000100 <__divide>:
     100:\tb510      \tpush\t{r4, lr}
     102:\t2900      \tcmp\tr1, #0\t@ 0x0
     104:\td003      \tbeq.n\t10c <.inside>
     106:\tf000 f803 \tbl\t110 <helper>
     10a:\tbd10      \tpop\t{r4, pc}

0000010c <.inside>:
     10c:\tb082      \tsub\tsp, #8
     10e:\te7fa      \tb.n\t106 <__divide+0x6>

00000110 <helper>:
     110:\tb5f0      \tpush\t{r4, r5, r6, r7, lr}
     112:\tbdf0      \tpop\t{r4, r5, r6, r7, pc}
     114:\t12345678 \t.word\t0x12345678

00000120 <wild>:
     120:\t4718      \tbx\tr3

00000130 <loop>:
     130:\tb500      \tpush\t{lr}
     132:\tf7ff fffd \tbl\t130 <loop>
"""


def test_library_functions_are_read_from_the_disassembly() -> None:
    program = Program(SYMBOLS, DISASSEMBLY)
    graph = program.library(["divide"])
    assert graph.frames == {"divide": 16, "helper": 20} and graph.deepest("divide") == (36, ("divide", "helper"))
    assert program.library(["not there"]).frames == {}
    with pytest.raises(BoardError, match=r"'wild' of the C library goes where a register says \(bx r3\)"):
        program.library(["wild"])
    with pytest.raises(BoardError, match="'loop' of the C library calls 0x130"):
        program.library(["loop"])


# ---- the core ---------------------------------------------------------------------------------------------------------------


def test_cores() -> None:
    assert core_of("#define __ARM_ARCH_6M__ 1\n") == Core(36, 0, FAULT_BYTES)
    assert core_of("#define __ARM_ARCH_7M__ 1\n") == Core(36, 32, FAULT_BYTES)
    assert core_of("#define __ARM_ARCH_7EM__ 1\n#define __ARM_FP 4\n") == Core(108, 32, FAULT_BYTES)
    assert core_of("#define __ARM_ARCH_8_1M_MAIN__ 1\n#define __ARM_FEATURE_MVE 1\n") == Core(108, 0, FAULT_BYTES)
    assert core_of("#define __riscv 1\n") == Core(0, 32, 0)


def test_interrupts_faults_and_guard_are_added() -> None:
    graph = ci(node("kg_reset", 1000) + node("kg_tick_handler", 16) + node("kg_fault", 100))
    core = Core(108, 32, FAULT_BYTES)
    found = bound(graph, core)
    assert (found.interrupt_bytes, found.fault_bytes, found.guard_bytes) == (124, 108, 32)
    assert found.bytes == 1280 >= 1000 + 124 + 108 + 32
    assert bound(graph, core, frozenset({"kg_tick_handler"})).interrupt_bytes == 0  # nobody turns it on
    assert bound(ci(node("kg_reset", 8)), core).bytes == 2 * FAULT_BYTES  # a report at the top stays above what it reports
    with pytest.raises(BoardError, match=f"needs 400 B of stack, .*fault.c keeps {FAULT_BYTES} B"):
        bound(ci(node("kg_reset", 8) + node("kg_fault", 400)), core)


# ---- firmware ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["microbit", "mps2-an386", "mps2-an500", "riscv-virt"])
def test_training_stays_below_the_bound(name: str) -> None:
    found = bench(small(), need(name), 2)
    assert found["bit_exact"] and found["stack_bytes_planned"] == found["stack_reserved_bytes"]
    assert 0.8 <= found["stack_bytes"] / found["stack_bytes_planned"] <= 1.0, found
    assert found["stack_path"][:2] in (["kg_reset", "main"], ["kg_begin", "main"])


def test_the_serving_firmware_stays_below_the_bound(tmp_path: Path) -> None:
    pytest.importorskip("serial")
    from kilograd.device.client import Device
    from kilograd.device.emulator import Emulator

    board, plan = need("mps2-an386"), small()
    firmware = build(board, plan, tmp_path)
    x = np.random.default_rng(5).integers(-128, 128, (2, *plan.tensors["x"].shape[1:])).astype(np.int8)
    with Emulator(board, firmware.elf, tmp_path / "flash.bin") as emulator, Device.open(emulator.url, plan, timeout=5) as device:
        assert np.array_equal(device.train(x, [1, 2]), kg.Simulator(plan).train(x, [1, 2]))
        device.save()
        device.update_plan(plan)  # the deepest: the new plan is verified inside of a request
        stats = device.stats()
    assert stats.stack_bytes == firmware.stack_bytes == firmware.stack_bytes_planned
    assert 0.8 <= stats.stack_used / stats.stack_bytes <= 1.0, stats


def test_a_smaller_stack_is_refused_and_a_larger_one_taken(tmp_path: Path) -> None:
    board = need("mps2-an386", emulator=False)
    planned = build(board, small(), tmp_path, Options(app="bench")).stack_bytes_planned
    with pytest.raises(BudgetError, match=rf"a stack of {planned - 32:,} B is too small .*kg_reset -> main .*--stack {planned} or more"):
        build(board, small(), tmp_path, Options(app="bench", stack_bytes=planned - 32))
    larger = build(board, small(), tmp_path, Options(app="bench", stack_bytes=4096))
    assert (larger.stack_bytes, larger.stack_bytes_planned) == (4096, planned)
    everything = build(board, small(), tmp_path, Options(app="bench", all_kernels=True))
    assert everything.stack_bytes_planned >= planned  # any of its kernels may be in a plan that arrives


BAD = """
#include "board.h"
int main(void);
%s
int main(void) { return (int)%s; }
"""


@pytest.mark.parametrize(
    ("helper", "body", "message"),
    [
        (
            "__attribute__((noipa)) static int32_t down(int32_t n) { return n ? down(n - 1) ^ down(n / 2) : 1; }",
            "down(9)",
            "recursion .*down -> ",
        ),
        ("extern int32_t (*volatile hidden)(void);\nint32_t (*volatile hidden)(void);", "hidden()", "calls through a pointer at bad.c:6"),
        ("extern void *hide;\nvoid *hide;", "(hide = __builtin_alloca((uint32_t)kg_uart_read()), 0)", "'main' has no fixed size"),
    ],
    ids=["recursion", "pointer", "variable frame"],
)
def test_firmware_without_a_bound(helper: str, body: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = need("mps2-an386", emulator=False)
    (tmp_path / "bad.c").write_text(BAD % (helper, body))
    monkeypatch.setitem(building.APPS, "bad", (str(tmp_path / "bad.c"), "memory.c"))
    with pytest.raises(BoardError, match=message):
        build(board, small(), tmp_path / "out", Options(app="bad"))

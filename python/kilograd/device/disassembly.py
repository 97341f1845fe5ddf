"""Frames and calls of functions that no call graph of the compiler describes, read from the disassembly of the linked program."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kilograd.device.callgraph import Graph
from kilograd.errors import BoardError

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
            if name in graph.frames:
                continue
            if name not in self.starts:
                # the compiler notes calls that it later removes: what a linked program does not contain, it does not call
                if name.startswith("__aeabi_"):
                    graph.frames[name] = 0
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

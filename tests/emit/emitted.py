"""Building and running emitted C next to the simulator."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cffi import FFI

import kilograd as kg
from kilograd.emit import emit
from kilograd.ir.graph import Array
from kilograd.plan.plan import Plan

#: nothing that cc would not do by itself, but for the optimisation level
COMPILERS = ("gcc", "clang")

MAIN = """
#include "model.h"
#include <stdio.h>
static _Alignas(16) uint8_t state[MODEL_STATE_BYTES], arena[MODEL_ARENA_BYTES];
int main(int argc, char **argv) { /* FILE_IN FILE_OUT: samples and labels in, state and arena out */
  if (argc != 3 || sizeof(void *) != POINTER_BYTES) return 2;
  FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
  model m;
  if (!in || !out || model_init(&m, state, arena) != 0) return 3;
  while (fread(model_input(&m), MODEL_INPUT_BYTES, 1, in) == 1 && fread(model_label(&m), MODEL_LABEL_BYTES, 1, in) == 1)
    model_train_step(&m);
  if (fwrite(state, sizeof state, 1, out) != 1 || fwrite(arena, sizeof arena, 1, out) != 1) return 4;
  return fclose(out);
}
"""


@dataclass(frozen=True)
class Memory:
    """State and arena after training, and where a byte belongs."""

    state: bytes
    arena: bytes


def need(compiler: str, *flags: str) -> None:
    """Skip, saying so, when the compiler cannot build a program with these flags."""
    if not _works(compiler, flags):
        pytest.skip(f"{compiler} {' '.join(flags)} cannot build a program here".replace("  ", " "))


@cache
def _works(compiler: str, flags: tuple[str, ...]) -> bool:
    if shutil.which(compiler) is None:
        return False
    command = [compiler, *flags, "-x", "c", "-", "-o", "/dev/null"]
    return subprocess.run(command, input=b"#include <stdio.h>\nint main(void){return 0;}\n", capture_output=True).returncode == 0


def simulate(plan: Plan, x: Array, y: Array) -> Memory:
    """Train in the simulator, everything computed anew for each sample."""
    simulator = kg.Simulator(plan)
    simulator.train(x, y, cache_frozen=False)
    return Memory(simulator.state(), simulator.arena())


def _sources(directory: Path) -> list[str]:
    return sorted(str(p) for p in directory.glob("*.c"))


@cache
def _object_folder() -> tempfile.TemporaryDirectory[str]:
    """Where objects are kept while the tests run."""
    return tempfile.TemporaryDirectory(prefix="kilograd-objects-")


def _content(source: Path) -> bytes:
    """A source and the headers beside it that it includes, directly or not: what its object depends on."""
    seen: dict[str, bytes] = {}
    waiting = [source.name]
    while waiting:
        name = waiting.pop()
        path = source.parent / name
        if name not in seen and path.is_file():
            seen[name] = path.read_bytes()
            waiting += re.findall(r'#include "([^"]+)"', seen[name].decode())
    return b"".join(name.encode() + b"\0" + text for name, text in sorted(seen.items()))


def objects(directory: Path, compiler: str, flags: list[str]) -> list[str]:
    """Object files of all sources of a folder. Plans share most kernels, so an object that was built before is taken again."""
    found = []
    for source in _sources(directory):
        key = hashlib.sha256(repr((compiler, flags)).encode() + _content(Path(source))).hexdigest()
        built = Path(_object_folder().name) / f"{key}.o"
        if not built.exists():
            subprocess.run([compiler, *flags, "-c", source, "-o", str(built)], check=True)
        found.append(str(built))
    return found


def train_library(plan: Plan, x: Array, y: Array, directory: Path, compiler: str, flags: list[str]) -> Memory:
    """Emit, build as a shared library, train through cffi."""
    emit(plan, directory)
    library = directory / "libmodel.so"
    subprocess.run([compiler, *flags, "-shared", *objects(directory, compiler, [*flags, "-fPIC"]), "-o", str(library)], check=True)
    ffi = FFI()
    ffi.cdef(
        "typedef struct { const uint8_t *constant; uint8_t *state, *arena; } model;"
        "int model_init(model *m, void *state, void *arena); void model_train_step(const model *m); void model_infer(const model *m);"
        "int8_t *model_input(const model *m); int32_t *model_label(const model *m); const int8_t *model_output(const model *m);"
    )
    lib: Any = ffi.dlopen(str(library))
    state, arena = aligned(len(plan.state)), aligned(plan.arena_bytes)
    model = ffi.new("model *")
    assert lib.model_init(model, ffi.from_buffer(state), ffi.from_buffer(arena)) == 0
    for sample, label in zip(x, y, strict=True):
        ffi.memmove(lib.model_input(model), np.ascontiguousarray(sample), sample.nbytes)
        lib.model_label(model)[0] = int(label)
        lib.model_train_step(model)
    return Memory(state.tobytes(), arena.tobytes())


def aligned(nbytes: int) -> Array:
    """Zeroed bytes at an address that is a multiple of 16."""
    raw = np.zeros(nbytes + 16, np.uint8)
    start = -raw.ctypes.data % 16
    return raw[start : start + nbytes]


def train_program(plan: Plan, x: Array, y: Array, directory: Path, compiler: str, flags: list[str], pointer_bytes: int) -> Memory:
    """Emit, build as a program of its own, train in a process."""
    emit(plan, directory)
    (directory / "main.c").write_text(MAIN)
    program = directory / "program"
    built = objects(directory, compiler, [*flags, f"-DPOINTER_BYTES={pointer_bytes}"])
    subprocess.run([compiler, *flags, *built, "-o", str(program)], check=True)
    with (directory / "in.bin").open("wb") as file:
        for sample, label in zip(x, y, strict=True):
            file.write(np.ascontiguousarray(sample).tobytes() + np.int32(label).tobytes())
    subprocess.run([str(program), str(directory / "in.bin"), str(directory / "out.bin")], check=True)
    raw = (directory / "out.bin").read_bytes()
    return Memory(raw[: len(plan.state)], raw[len(plan.state) :])


def assert_equal(plan: Plan, got: Memory, want: Memory) -> None:
    """All bytes are the same; a difference is told by the names of the tensors."""
    assert (len(got.state), len(got.arena)) == (len(want.state), len(want.arena))
    if got == want:
        return
    wrong = []
    for t in plan.tensors.values():
        a, b = {"state": (got.state, want.state), "arena": (got.arena, want.arena)}.get(t.kind.value, (b"", b""))
        if a[t.offset : t.offset + t.nbytes] != b[t.offset : t.offset + t.nbytes]:
            wrong.append(t.name)
    raise AssertionError(f"emitted C and simulator differ in {wrong or 'scratch or padding'}")

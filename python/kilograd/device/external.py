"""Boards that a framework builds (ESP-IDF): kilograd writes the framework's project, with the plan and a list of sources in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from kilograd._sources import csrc_dir, firmware_dir, runtime_dir
from kilograd.device.boards import Board
from kilograd.device.build import Options, generate, source_files
from kilograd.errors import BoardError
from kilograd.plan.plan import Plan

_NOT_COPIED = ("board.toml", "__pycache__")


def export(board: Board, plan: Plan, directory: Path, options: Options | None = None) -> list[Path]:
    """Write the project into `directory`. Gives the paths of what is new there."""
    options = options or Options()
    if directory.exists() and not directory.is_dir():
        raise BoardError(f"cannot write a project into '{directory}': it is a file, give a folder")
    generated = generate(board, plan, options, directory).resolve()
    assembly = generated / "plan.S"
    # the framework's linker script knows .rodata; a section of our own would land anywhere
    assembly.write_text(assembly.read_text().replace(".section .plan,", ".section .rodata.kilograd_plan,"))
    (generated / "memory.ld").unlink(missing_ok=True)  # the framework lays out memory
    includes = [generated, firmware_dir() / "common", firmware_dir() / "app", runtime_dir() / "include", runtime_dir(), csrc_dir()]
    lists = {"KILOGRAD_SOURCES": source_files(board, plan, options, generated), "KILOGRAD_INCLUDES": includes}
    text = "".join(f"set({name}\n" + "".join(f'  "{p}"\n' for p in paths) + ")\n" for name, paths in lists.items())
    (generated / "sources.cmake").write_text(f"# Made by kilograd build.\n{text}")
    for source in sorted(board.folder.rglob("*")):
        relative = source.relative_to(board.folder)
        if source.is_file() and not set(relative.parts) & set(_NOT_COPIED):
            target = directory / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return sorted(p for p in directory.rglob("*") if p.is_file())

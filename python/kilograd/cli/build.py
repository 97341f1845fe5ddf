"""`kilograd boards` and `kilograd build`: which boards there are, and firmware for one of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from kilograd.cli.console import Report, kilobytes
from kilograd.cli.models import open_plan
from kilograd.cli.options import Json
from kilograd.device.boards import Board, boards, find_board
from kilograd.device.build import APPS, Options
from kilograd.device.build import build as build_firmware
from kilograd.device.external import export
from kilograd.errors import BoardError
from kilograd.plan.report import parse_size

BoardName = Annotated[str, typer.Option("--board", metavar="BOARD", help="A board (see kilograd boards), or the path of its folder.")]
PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan (.kgp).")]


def _row(board: Board) -> dict[str, Any]:
    tools = [board.external] if board.external else [f"{board.prefix}gcc", *([board.run.qemu] if board.run else [])]
    return {
        "name": board.name,
        "title": board.title,
        "core": board.core,
        "emulated": board.emulated,
        "flash_bytes": board.flash.bytes,
        "ram_bytes": board.ram.bytes,
        "store_bytes": board.store.sectors * board.store.sector_bytes if board.store else 0,
        "plan_bytes": board.store.plan_sectors * board.store.sector_bytes // 2 if board.store else 0,
        "tools_missing": [t for t in tools if shutil.which(t) is None],
        "folder": str(board.folder),
    }


def add_to(app: typer.Typer) -> None:
    """Register the commands."""

    @app.command(name="boards")
    def list_boards(as_json: Json = False) -> None:
        """List the boards that firmware can be built for."""
        report = Report(as_json)
        rows = [_row(b) for b in boards()]
        report.result({"boards": rows})
        table = Table("board", "flash", "RAM", "remembers", "what", box=None)
        for column in table.columns[:4]:
            column.no_wrap = True
        for r in rows:
            missing = f" (needs {', '.join(r['tools_missing'])})" if r["tools_missing"] else ""
            sizes = (f"{r['flash_bytes'] // 1024} KB", f"{r['ram_bytes'] // 1024} KB", "yes" if r["store_bytes"] else "no")
            table.add_row(r["name"], *sizes, r["title"] + missing)
        report.say(table)

    @app.command()
    def build(
        plan: PlanFile,
        board: BoardName,
        output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to build in.", show_default=False)],
        application: Annotated[str, typer.Option("--app", help=f"What the firmware does: {', '.join(APPS)}.")] = "serve",
        optimize: Annotated[str, typer.Option("--optimize", metavar="LEVEL", help="2, 3 or s; the bits are the same.")] = "2",
        stack: Annotated[str | None, typer.Option(metavar="SIZE", help="More stack than the program can need.")] = None,
        arena: Annotated[str | None, typer.Option(metavar="SIZE", help="Reserve more for plans that come later.")] = None,
        state: Annotated[str | None, typer.Option(metavar="SIZE", help="Reserve more for plans that come later.")] = None,
        all_kernels: Annotated[bool, typer.Option("--all-kernels", help="Link every kernel, for plans that come later.")] = False,
        snapshot: Annotated[bool, typer.Option("--snapshot", help="RAM for a second state: learning goes on during a save.")] = False,
        as_json: Json = False,
    ) -> None:
        """Build firmware: the plan, its kernels, the serial link, and what the board needs."""
        if optimize not in ("0", "1", "2", "3", "s", "g"):
            raise BoardError(f"--optimize is 0, 1, 2, 3, s or g, not '{optimize}'")
        report = Report(as_json)
        sizes = [0 if size is None else parse_size(size) for size in (stack, arena, state)]
        options = Options(application, f"-O{optimize}", sizes[0], sizes[1], sizes[2], all_kernels, snapshot=snapshot)
        chosen = find_board(board)
        if chosen.external:
            files = export(chosen, open_plan(plan), output, options)
            report.result({"board": chosen.name, "external": chosen.external, "files": [str(f.relative_to(output)) for f in files]})
            report.say(f"wrote a project for {chosen.external} to {output}; {output}/README.md says how it is built")
            return
        firmware = build_firmware(chosen, open_plan(plan), output, options)
        report.result(firmware.as_dict())
        table = Table("memory", "used", "there is", "of which", box=None)
        code = f"code {firmware.text_bytes:,}, constants {firmware.rodata_bytes:,}, plan {firmware.plan_bytes:,}"
        data = f"state and arena {firmware.memory_bytes:,}, stack {firmware.stack_bytes:,}, variables {firmware.static_bytes:,}"
        table.add_row("flash", kilobytes(firmware.flash_bytes), kilobytes(chosen.flash.bytes), code)
        table.add_row("RAM", kilobytes(firmware.sram_bytes), kilobytes(chosen.ram.bytes), data)
        report.say(table)
        report.say(f"stack: this program can need {firmware.stack_bytes_planned:,} B, in {' > '.join(firmware.stack_path)}")
        report.say(f"wrote {firmware.elf}" + "".join(f", {f}" for f in firmware.files[1:]))

"""`kilograd flash`: firmware onto a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kilograd.cli.console import Report
from kilograd.cli.options import Json
from kilograd.device.boards import find_board
from kilograd.device.flash import flash as flash_image
from kilograd.device.flash import flash_job


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def flash(
        image: Annotated[
            Path, typer.Argument(metavar="IMAGE", help="Folder of a build, or firmware: .elf; some tools: .bin, .hex, .uf2.")
        ],
        board: Annotated[str, typer.Option("--board", metavar="BOARD", help="See kilograd boards.", show_default=False)],
        port: Annotated[
            str | None,
            typer.Option(help="Serial number of the probe, serial port, drive, or HOST:PORT of a gdbstub.", show_default=False),
        ] = None,
        tool: Annotated[str | None, typer.Option(help="Instead of the board's usual one: openocd, pyocd, esptool, uf2, dfu.")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command line, do nothing.")] = False,
        as_json: Json = False,
    ) -> None:
        """Put firmware onto a board with the tool that its board.toml names; onto an emulated one through QEMU's gdbstub."""
        report = Report(as_json)
        job = flash_job(find_board(board), image, port, tool)
        said = "" if dry_run else flash_image(job)
        made = str(job.makes) if job.makes is not None else None
        report.result({"tool": job.tool, "argv": list(job.argv), "makes": made, "dry_run": dry_run, "output": said})
        if dry_run and made is not None:
            report.say(f"# first made from {image}: {made}")
        report.say(job.line)
        if said:
            report.say(said)

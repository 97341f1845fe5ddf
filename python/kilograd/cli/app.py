"""The program `kilograd`: one typer application, one function a command, and what happens when something goes wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from kilograd.cli import bench as bench_command
from kilograd.cli import build as build_command
from kilograd.cli import compile as compile_command
from kilograd.cli import demo as demo_command
from kilograd.cli import device as device_command
from kilograd.cli import emit as emit_command
from kilograd.cli import export as export_command
from kilograd.cli import flash as flash_command
from kilograd.cli import inspect as inspect_command
from kilograd.cli import ops as ops_command
from kilograd.cli import quantize as quantize_command
from kilograd.cli import run as run_command
from kilograd.cli import tune as tune_command
from kilograd.errors import KilogradError

app = typer.Typer(
    name="kilograd",
    help="Train and run int8 neural networks in kilobytes.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_COMMANDS = (
    inspect_command, ops_command, compile_command, run_command, tune_command, emit_command, demo_command, build_command, flash_command,
    device_command, quantize_command, export_command,
)  # fmt: skip
for _command in _COMMANDS:
    _command.add_to(app)
bench_command.add_to(device_command.device_app)


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Train and run int8 neural networks in kilobytes."""


def run(argv: Sequence[str]) -> int:
    """Run a command line (without the program's name) and give the exit code. Errors are one paragraph on stderr."""
    debug = "--debug" in argv
    argv = [a for a in argv if a != "--debug"]  # welcome anywhere
    try:
        value: Any = app(args=argv, prog_name="kilograd", standalone_mode=False)
    except KilogradError as error:
        if debug:
            raise
        return _fail(argv, type(error).__name__, str(error))
    except typer.Abort:
        return _fail(argv, "Abort", "stopped")
    except KeyboardInterrupt:
        return _fail(argv, "KeyboardInterrupt", "stopped") + 129
    except BrokenPipeError:
        return 1
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # wrong use of the command line
            _fail(argv, "UsageError", f"{error.format_message()} (see kilograd --help)")
            return int(error.exit_code)
        if isinstance(error, OSError) and not debug:
            return _fail(argv, type(error).__name__, f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
        raise
    return value if isinstance(value, int) else 0


def _fail(argv: Sequence[str], kind: str, message: str) -> int:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"kilograd: {message}", markup=False, style="red")
    if "--json" in argv:
        print(json.dumps({"error": {"type": kind, "message": message}}))
    sys.stdout.flush()
    return 1

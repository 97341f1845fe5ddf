"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model (.tflite), or a plan (.kgp) where that makes sense.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")]
Train = Annotated[
    str | None,
    typer.Option("--train", metavar="SCHEME", help="What learns: head, last:K, bias:K, full, a scheme.json, or schemes.json:model/name."),
]
Classes = Annotated[int | None, typer.Option("--classes", min=1, help="Replace the last layer by a fresh one of this many classes.")]
Target = Annotated[
    str, typer.Option("--target", metavar="CORE", help="The core whose kernels are chosen: cortex-m4, cortex-m55, rv32, host, …")
]
Sram = Annotated[str | None, typer.Option("--sram", metavar="SIZE", help="Fail when more RAM is needed, such as 256K.")]
Flash = Annotated[str | None, typer.Option("--flash", metavar="SIZE", help="Fail when more flash is needed, such as 1M.")]

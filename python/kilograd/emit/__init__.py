"""Plan -> plain C11: a folder that any C compiler takes, with the same calls and the same argument structs as the plan file."""

from __future__ import annotations

import os
from pathlib import Path

from kilograd.emit.csource import flatten, sources
from kilograd.emit.header import header
from kilograd.emit.names import identifier
from kilograd.emit.program import program, tensor_table
from kilograd.emit.weights import weights
from kilograd.errors import PlanError
from kilograd.plan.plan import Plan

__all__ = ["emit", "emit_files"]


def emit_files(plan: Plan, name: str = "model") -> dict[str, str]:
    """File name -> text of everything that `emit` writes."""
    prefix = identifier(name)
    index = sources()
    kernels = sorted({call.kernel for call in plan.calls})
    memory = index.root / "common" / "memory.h"
    paths = {*index.closure(kernels), memory.relative_to(index.root)}
    files = flatten(index, sorted(paths))
    macs = _macs(plan)
    own = {
        f"{prefix}.h": header(plan, prefix),
        f"{prefix}.c": program(plan, prefix, index, macs),
        f"{prefix}_weights.c": weights(plan, prefix),
        f"{prefix}_tensors.c": tensor_table(plan, prefix),
    }
    for taken in own.keys() & files.keys():
        raise PlanError(f"the model name '{name}' gives a file '{taken}', which is also a kernel's file: choose another name")
    return {**own, **files}


def _macs(plan: Plan) -> list[int]:
    """MACs of each call, from the plan's report; a node's first call carries all of its MACs. 0 where the report is silent."""
    rows = plan.meta.get("report", {}).get("operators", [])
    left = {str(row["name"]): int(row["macs"]) for row in rows}
    return [left.pop(call.node, 0) for call in plan.calls]


def emit(plan: Plan, directory: str | os.PathLike[str], name: str = "model") -> list[Path]:
    """Write the plan as C into `directory` (made when it is missing; files of an earlier emission under other names stay).

    Functions, macros and files carry `name`, made a C identifier. Gives the paths written.
    """
    target = Path(directory)
    if target.exists() and not target.is_dir():
        raise PlanError(f"cannot emit into '{target}': it is a file, give a folder")
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for file, text in emit_files(plan, name).items():
        (target / file).write_text(text)
        paths.append(target / file)
    return paths

"""Emitted C wrapped for an ecosystem: CMake, Arduino, PlatformIO, Zephyr, ESP-IDF.

Each layout is a list of (path in the project, template); templates are plain text with @KEY@ where something is filled in. What is in
the templates follows the published rules of each ecosystem; tests/emit/test_projects.py checks the metadata against them.
"""

from __future__ import annotations

import os
from pathlib import Path

from kilograd.emit import emit_files
from kilograd.emit.names import identifier
from kilograd.emit.projects.details import Details, fields, library_json
from kilograd.emit.projects.layouts import LAYOUTS, Layout
from kilograd.errors import PlanError
from kilograd.plan.plan import Plan

__all__ = ["LAYOUTS", "Details", "emit_project", "project_files"]

_TEMPLATES = Path(__file__).parent / "templates"


def project_files(plan: Plan, kind: str, name: str = "model", details: Details | None = None) -> dict[str, str]:
    """Path in the project -> text of everything that `emit_project` writes."""
    layout = _layout(kind)
    prefix, details = identifier(name), details or Details()
    emitted = emit_files(plan, name)
    folders = {True: layout.headers.replace("@NAME@", prefix), False: layout.sources.replace("@NAME@", prefix)}
    code = {f"{folders[file.endswith('.h')]}/{file}": text for file, text in emitted.items()}
    values = fields(plan, prefix, details) | layout.values
    values["SOURCES"] = _source_list(layout, sorted(file for file in emitted if file.endswith((".c", ".S"))))
    values["LICENCE"] = (_TEMPLATES / "common" / "licence.md").read_text().rstrip()
    files = {path.replace("@NAME@", prefix): _fill(template, values) for path, template in layout.files.items()}
    if kind == "platformio":
        files[f"lib/{prefix}/library.json"] = library_json(prefix, details, values["SENTENCE"])
    if kind == "arduino":
        files["keywords.txt"] = _keywords(plan, prefix)
    return files | code


def emit_project(
    plan: Plan, directory: str | os.PathLike[str], kind: str, name: str = "model", details: Details | None = None
) -> list[Path]:
    """Write the project into `directory`, made when it is missing. Gives the paths written."""
    target = Path(directory)
    if target.exists() and not target.is_dir():
        raise PlanError(f"cannot emit into '{target}': it is a file, give a folder")
    paths = []
    for file, text in project_files(plan, kind, name, details).items():
        path = target / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        paths.append(path)
    return paths


def _layout(kind: str) -> Layout:
    try:
        return LAYOUTS[kind]
    except KeyError:
        raise PlanError(f"there is no project of kind '{kind}'; there are {', '.join(LAYOUTS)}") from None


def _fill(template: str, values: dict[str, str]) -> str:
    text = (_TEMPLATES / template).read_text()
    for key in ("LICENCE", *values):
        text = text.replace(f"@{key}@", values[key])
    return text


def _source_list(layout: Layout, files: list[str]) -> str:
    return "".join(f"{layout.indent}{layout.quote}{layout.source_path}{file}{layout.quote}\n" for file in files)


def _keywords(plan: Plan, prefix: str) -> str:
    """keywords.txt: what the Arduino editor colours. Fields are separated by one tab."""
    rows = [f"{prefix}\tKEYWORD1"]
    rows += [f"{prefix}_{function}\tKEYWORD2" for function in ("init", "attach", "input", "output", *plan.entries)]
    rows += [f"{prefix.upper()}_{macro}\tLITERAL1" for macro in ("STATE_BYTES", "ARENA_BYTES", "ALIGNMENT")]
    return "\n".join([*rows, ""])

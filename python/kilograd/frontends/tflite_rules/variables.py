"""Variables of a model: handles, reads, assignments, and the sub-graph that gives them their first content.

A handle is no tensor of the graph; it stands for a variable by its name. The initial content is what CALL_ONCE's sub-graph assigns, which
must be constants; a variable without any starts at (real) zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.tflite_file import RawOperator
from kilograd.frontends.tflite_rules.rule import Converted, Rule

if TYPE_CHECKING:
    from kilograd.frontends.tflite import Importer

MAX_NAME = 1024
Key = tuple[bytes, bytes]


def _key(op: RawOperator) -> Key:
    """What two handles of the same variable have in common."""
    container, name = bytes(op.options.Container() or b""), bytes(op.options.SharedName() or b"")
    if len(container) + len(name) > MAX_NAME:
        raise ModelError(f"{op.where} has a name of {len(container) + len(name)} bytes. The file is damaged: export it again.")
    return container, name


def _of(handles: dict[int, Key], op: RawOperator) -> Key:
    key = handles.get(op.inputs[0])
    if key is None:
        raise ModelError(f"{op.where}: tensor {op.inputs[0]} is no handle of a variable. The file is damaged: export it again.")
    return key


def call_once(importer: Importer, op: RawOperator) -> None:
    """CALL_ONCE: what its sub-graph assigns is the initial content of the variables."""
    index = int(op.options.InitSubgraphIndex())
    if not 1 <= index <= len(importer.raw.others):
        raise ModelError(f"{op.where} calls sub-graph {index}, which the file does not have. Export the model again.")
    sub = importer.raw.others[index - 1]
    handles: dict[int, Key] = {}
    for inner in sub.operators:
        where = f"sub-graph {index}, {inner.where}"
        if inner.name == "VAR_HANDLE" and len(inner.outputs) == 1 and type(inner.options).__name__ == "VarHandleOptions":
            handles[inner.outputs[0]] = _key(inner)
            continue
        assigns = inner.name == "ASSIGN_VARIABLE" and len(inner.inputs) == 2 and inner.inputs[1] >= 0
        value = sub.tensors[inner.inputs[1]] if assigns else None
        if value is None or value.data is None:
            raise UnsupportedOperator(f"{where} computes the first content of a variable; kilograd runs sub-graphs that assign constants.")
        importer.declare_variable(_of(handles, inner), value, where)


def var_handle(importer: Importer, op: RawOperator) -> None:
    """VAR_HANDLE: a name for a variable."""
    importer.handles[op.outputs[0]] = _key(op)


def read_variable(importer: Importer, op: RawOperator) -> Converted:
    """READ_VARIABLE."""
    key = _of(importer.handles, op)
    if key not in importer.variables:
        raise ModelError(f"{op.where} reads a variable to which nothing has been assigned before. Export the model again.")
    return Converted([importer.variables[key]])


def assign_variable(importer: Importer, op: RawOperator) -> Converted:
    """ASSIGN_VARIABLE."""
    key, value = _of(importer.handles, op), importer.activation(op, 1)
    if key not in importer.variables:
        importer.declare_variable(key, importer.raw.tensors[op.inputs[1]], op.where, keep=False)
    return Converted([value], mutates=(importer.variables[key],))


RULES: dict[str, Rule] = {
    "CALL_ONCE": Rule((0, 0), "CallOnceOptions", call_once, results=(0, 0)),
    "VAR_HANDLE": Rule((0, 0), "VarHandleOptions", var_handle),
    "READ_VARIABLE": Rule((1, 1), "", read_variable),
    "ASSIGN_VARIABLE": Rule((2, 2), "", assign_variable, results=(0, 0)),
}

"""LSTM over a sequence, forwards, backwards or both.

ONNX begins every run with the same states; the operator of kilograd goes on where the last call stopped. Where each sample is a sequence of
its own, let the simulator begin anew for each (`Simulator.fresh`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.onnx_file import RawNode
from kilograd.frontends.onnx_rules.rule import Rule
from kilograd.frontends.onnx_value import Operand, Value, plain
from kilograd.ir.graph import Array, DType, Kind, Tensor

if TYPE_CHECKING:
    from kilograd.frontends.onnx import Importer

GATES = (0, 2, 3, 1)  # ONNX has the rows of the gates input, output, forget, cell; kilograd input, forget, cell, output
MAX_UNITS = 1 << 14


def _ordered(rows: Array, units: int) -> Array:
    """Rows of the gates in the order of kilograd."""
    return np.ascontiguousarray(rows.reshape(4, units, *rows.shape[1:])[list(GATES)].reshape(rows.shape), np.float32)


def _check(b: Importer, node: RawNode, directions: int) -> None:
    named = [a.lower() for a in node.attrs.get("activations", ["sigmoid", "tanh", "tanh"] * directions)]
    if named != ["sigmoid", "tanh", "tanh"] * directions or int(node.attrs.get("input_forget", 0)) or float(node.attrs.get("clip", 0.0)):
        raise UnsupportedOperator(f"{node.where} has other activations, a clip or coupled gates; kilograd runs a plain LSTM. Train it so.")
    if b.has(node, 7) and np.any(b.constant(node, 7, "peepholes").real):
        raise UnsupportedOperator(f"{node.where} has peepholes; kilograd runs the LSTM without. Train it so.")


def _weights(b: Importer, node: RawNode, directions: int, width: int) -> tuple[int, Array, Array, Array]:
    """Units, weights, recurrent weights and biases of each direction."""
    w, r = (np.asarray(b.constant(node, i, "weights").real, np.float32) for i in (1, 2))
    units = r.shape[-1]
    if w.shape != (directions, 4 * units, width) or r.shape != (directions, 4 * units, units) or not 1 <= units <= MAX_UNITS:
        raise ModelError(f"{node.where}: weights {list(w.shape)} and {list(r.shape)} do not fit {width} inputs. The file is damaged.")
    biases = np.zeros((directions, 8 * units), np.float32)
    if b.has(node, 3):
        biases = np.asarray(b.constant(node, 3, "bias").real, np.float32)
    if biases.shape != (directions, 8 * units):
        raise ModelError(f"{node.where}: bias {list(biases.shape)} does not fit {units} units. The file is damaged: export it again.")
    return units, w, r, biases[:, : 4 * units] + biases[:, 4 * units :]


def lstm(b: Importer, node: RawNode) -> list[Operand]:
    """LSTM: results of all steps, and that of the last."""
    way = node.attrs.get("direction", "forward")
    if way not in ("forward", "reverse", "bidirectional"):
        raise ModelError(f"{node.where} has the direction {way!r}. The file is damaged: export it again.")
    directions = 2 if way == "bidirectional" else 1
    _check(b, node, directions)
    v, by_batch = b.real(b.activation(node, 0)), bool(node.attrs.get("layout", 0))
    if len(v.shape) != 3:
        raise ModelError(f"{node.where} reads {list(v.shape)}; a sequence has three axes. The file is damaged: export it again.")
    along = 1 if by_batch else 0
    steps, batch = v.shape[along], v.shape[1 - along]
    if b.has(node, 4) and any(n != steps for n in b.integers(node, 4, "lengths of sequences")):
        raise UnsupportedOperator(f"{node.where} has sequences shorter than {steps} steps; kilograd runs all steps. Cut the sequences.")
    units, w, r, bias = _weights(b, node, directions, v.shape[2])
    x, whole, last = b.arranged(v, range(3)), [], []
    for d in range(directions):
        name = f"{node.name or 'lstm'}/{d}"
        back = d == 1 or way == "reverse"
        source = _flipped(b, x, along, f"{name}/reversed") if back else x
        states = [_state(b, node, i, d, by_batch, (batch, units), f"{name}/{word}") for i, word in ((5, "hidden"), (6, "cell"))]
        constants = [
            b.add_constant(_ordered(rows[d], units), None, b.fresh(f"{name}/{word}"))
            for rows, word in ((w, "weights"), (bias, "bias"), (r, "recurrent"))
        ]
        inputs = [source, constants[0], constants[1], "", constants[2], *states]
        attrs = {"time_major": not by_batch, "cell_clip": 0.0}
        y = b.append("lstm", inputs, attrs, b.fresh(f"{name}/y"), DType.FLOAT32, None, mutates=tuple(states))
        begin, size = [0, 0, 0], list(b.graph[y].shape)
        begin[along], size[along] = steps - 1, 1
        last.append(b.append("slice", [y], {"begin": begin, "size": size}, b.fresh(f"{name}/last"), DType.FLOAT32, None))
        whole.append(_flipped(b, y, along, f"{name}/forward") if back else y)
    return [_joined(b, whole, by_batch, steps, batch, units, "y"), _joined(b, last, by_batch, 1, batch, units, "h")]


def _flipped(b: Importer, tensor: str, axis: int, name: str) -> str:
    """The tensor backwards along an axis."""
    shape = list(b.graph[tensor].shape)
    begin, step = [0] * len(shape), [1] * len(shape)
    begin[axis], step[axis] = shape[axis] - 1, -1
    return b.append("slice", [tensor], {"begin": begin, "step": step, "size": shape}, b.fresh(name), DType.FLOAT32, None)


def _state(b: Importer, node: RawNode, i: int, direction: int, by_batch: bool, shape: tuple[int, int], stem: str) -> str:
    """State that begins as operand i says, at zero without one."""
    data = np.zeros(shape, np.float32)
    if b.has(node, i):
        given = np.asarray(b.constant(node, i, "initial states").real, np.float32)
        data = np.ascontiguousarray((given[:, direction] if by_batch else given[direction]).reshape(shape))
    name = b.fresh(stem)
    b.graph.add(Tensor(name, shape, DType.FLOAT32, Kind.STATE, None, data))
    return name


def _joined(b: Importer, parts: list[str], by_batch: bool, steps: int, batch: int, units: int, word: str) -> Value:
    """[steps, directions, batch, units] (by_batch: [batch, steps, directions, units]); the last step has no axis of steps."""
    shape = [batch, steps, 1, units] if by_batch else [steps, 1, batch, units]
    views = [b.view(t, shape) for t in parts]
    joined = views[0]
    axis = 2 if by_batch else 1
    if len(views) > 1:
        joined = b.append("concatenation", views, {"axis": axis}, b.fresh(f"{parts[0]}/{word}"), DType.FLOAT32, None)
    shape[axis] = len(parts)
    value = plain(joined, shape)
    if word == "y":
        return value
    return Value(value.tensor, value.atoms, tuple(a for i, a in enumerate(value.axes) if i != (1 if by_batch else 0)))


RULES: dict[str, Rule] = {"LSTM": Rule((3, 8), lstm)}

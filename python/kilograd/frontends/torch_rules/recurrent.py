"""LSTM over a sequence.

PyTorch begins every call with the same states; the operator of kilograd goes on where the last call stopped. Where each sample is a
sequence of its own, let the simulator begin anew for each (`Simulator.fresh`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilograd.frontends.torch_rules.rule import Call, Handler

if TYPE_CHECKING:
    from kilograd.frontends.torch_import import Translator

GATES = (0, 3, 1, 2)  # rows of the gates: PyTorch input, forget, cell, output; ONNX input, output, forget, cell


def _rows(t: Translator, parts: list[Any]) -> Any:
    """Rows of each direction's gates in the order of ONNX: [directions, 4 units, ..]."""
    ordered = [t.torch.cat([p.chunk(4)[g] for g in GATES]) for p in parts]
    return t.torch.stack(ordered)


def lstm(t: Translator, call: Call) -> list[Any]:
    """All layers, one after another; results: all steps, and the last hidden state where there is one direction."""
    x, states, flat, biases, count, _, training, both, first = call.args[:9]
    if len(t.shape(x)) != 3 or any(t.is_value(s) for s in states) or any(t.is_value(p) for p in flat):
        raise call.refuse("has states or weights that the model computes, or a sequence without a batch; kilograd needs constants here.")
    directions, each = (2 if both else 1), (4 if biases else 2)
    if len(flat) != count * directions * each:
        raise call.refuse("projects its hidden state (proj_size), which kilograd does not run. Train it without.")
    along, last = (1 if first else 0), []
    for layer in range(count):
        own = [flat[(layer * directions + d) * each :][:each] for d in range(directions)]
        operands = [x, _rows(t, [p[0] for p in own]), _rows(t, [p[1] for p in own])]
        operands.append(t.torch.cat([_rows(t, [p[i] for p in own]) for i in (2, 3)], 1) if biases else "")
        operands.append("")
        for s in states:
            part = s[layer * directions : (layer + 1) * directions]
            operands.append(part.transpose(0, 1) if first else part)
        attrs = {"direction": "bidirectional" if both else "forward", "layout": int(first), "hidden_size": int(states[0].shape[-1])}
        y = t.record(call, "LSTM", operands, attrs, named=True)
        if not first:
            y = t.record(call, "Transpose", [y], {"perm": [0, 2, 1, 3]})
        shape = [*t.shape(call.args[0])[:2], directions * int(states[0].shape[-1])]
        x = t.record(call, "Reshape", [y, t.integers(shape)])
        end = t.record(call, "Slice", [x, *(t.integers([v]) for v in (shape[along] - 1, shape[along], along, 1))])
        last.append(t.record(call, "Reshape", [end, t.integers([1, shape[1 - along], shape[2]])]))
    hidden = None if both else last[0] if count == 1 else t.record(call, "Concat", last, {"axis": 0})
    return [x, hidden, None]


RULES: dict[str, Handler] = {"aten.lstm.input": lstm}

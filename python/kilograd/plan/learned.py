"""What a plan learned: values of the parameters that learn, from wherever they are, and whole weights and biases of the layers.

A plan notes for each layer that learns (`plan.meta["learned"]`) which of its tensors are what: weights, their live part (input channels
[0, k), where only a part learns), bias, the int16 delta beside it and its shift, and other parameters by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kilograd.errors import KilogradError, PlanError
from kilograd.ir.graph import Array, DType, Graph, Kind, QuantParams
from kilograd.plan.plan import Plan

Values = dict[str, Array]


def learned_layers(graph: Graph) -> dict[str, dict[str, Any]]:
    """`plan.meta["learned"]` of a training graph."""
    from kilograd.train.scheme import LAYERS

    layer_of: dict[str, str] = graph.meta.get("train", {}).get("learned", {})
    found: dict[str, dict[str, Any]] = {}
    for node in graph.nodes:
        if node.op not in LAYERS or node.name not in layer_of.values():
            continue
        inputs = [*node.inputs, *[""] * (4 - len(node.inputs))]
        entry: dict[str, Any] = {"op": node.op, "axis": LAYERS[node.op], "weights": inputs[1], "live": inputs[3], "bias": inputs[2]}
        entry |= {"delta": "", "shift": 0}
        quant = graph[inputs[0]].quant
        entry["input_scale"] = quant.s if quant is not None else 0.0
        source = graph.producer(inputs[2]) if inputs[2] else None
        if source is not None and source.op == "bias_delta":
            entry |= {"bias": source.inputs[0], "delta": source.inputs[1], "shift": int(source.attrs["u"])}
        known = {entry["weights"], entry["live"], entry["bias"], entry["delta"]}
        entry["others"] = [p for p, layer in layer_of.items() if layer == node.name and p not in known]
        found[node.name] = entry
    return found


def about(plan: Plan) -> dict[str, dict[str, Any]]:
    """Notes on the layers that learn; PlanError for a plan without any."""
    found: dict[str, dict[str, Any]] = plan.meta.get("learned", {})
    if not found:
        raise PlanError(f"plan '{plan.name}' says of no layer that it learns: compile the model again, with train=...")
    return found


def parameters(plan: Plan) -> list[str]:
    """Names of the tensors that learn."""
    names = [t for e in about(plan).values() for t in (e["weights"], e["live"], e["bias"], e["delta"], *e["others"]) if t]
    return [t for t in dict.fromkeys(names) if plan.tensors[t].kind is Kind.STATE]


def values_of(plan: Plan, source: Any = None) -> Values:
    """Values of all parameters that learn.

    `source`: None for the state that the plan starts with (a plan that `kilograd tune -o` wrote holds what was learned), bytes of a state
    segment, arrays by tensor name, a file (.kgp, .npz, or raw bytes of the state segment), or anything with read(name): a Simulator, a
    Device.
    """
    names = parameters(plan)
    if isinstance(source, (str, Path)):
        source = _file(plan, Path(source))
    if isinstance(source, Plan):
        _same(plan, source)
        source = source.state
    if hasattr(source, "read") and not isinstance(source, (bytes, Mapping)):
        found = {n: np.asarray(source.read(n)) for n in names}
    elif isinstance(source, Mapping):
        missing = [n for n in names if n not in source]
        if missing:
            raise PlanError(f"what was learned lacks the tensors {', '.join(missing[:4])} of plan '{plan.name}'")
        found = {n: np.asarray(source[n]) for n in names}
    else:
        found = _of_bytes(plan, plan.state if source is None else bytes(source), names)
    for name, value in found.items():
        t = plan.tensors[name]
        if value.shape != t.shape or value.dtype != t.dtype.numpy:
            found_type, wanted = f"{value.dtype}{list(value.shape)}", f"{t.dtype.value}{list(t.shape)}"
            raise PlanError(f"what was learned holds {found_type} for '{name}', plan '{plan.name}' has {wanted}: it is of another plan")
    return found


def _of_bytes(plan: Plan, state: bytes, names: list[str]) -> Values:
    if len(state) != len(plan.state):
        raise PlanError(f"the state has {len(state)} bytes, that of plan '{plan.name}' has {len(plan.state)}: it is of another plan")
    return {n: stored(plan, n, state) for n in names}


def stored(plan: Plan, name: str, state: bytes) -> Array:
    """A constant, or a tensor of that state."""
    t = plan.tensors[name]
    raw = plan.constant if t.kind is Kind.CONST else state
    return np.frombuffer(raw, t.dtype.numpy, t.nbytes // t.dtype.numpy.itemsize, t.offset).reshape(t.shape).copy()


def _same(plan: Plan, other: Plan) -> None:
    layout = [{n: (t.shape, t.dtype, t.ref) for n, t in p.tensors.items() if t.kind is Kind.STATE} for p in (plan, other)]
    if layout[0] != layout[1]:
        raise PlanError(f"plan '{other.name}' keeps other tensors than plan '{plan.name}': it was compiled from another model or scheme")


def _file(plan: Plan, path: Path) -> Any:
    if not path.is_file():
        raise KilogradError(f"there is no file '{path}'. Check the path.")
    if path.suffix.lower() == ".npz":
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {str(k): arrays[k] for k in arrays.files}
        except (ValueError, OSError) as error:
            raise KilogradError(f"'{path}' cannot be read: {error}") from None
    data = path.read_bytes()
    return Plan.load(path) if data[:4] == b"KGP\n" else data


def whole(plan: Plan, values: Values, layer: str) -> tuple[Array, QuantParams, Array | None]:
    """Integer weights of a layer in one piece, their quantization, and its int32 bias."""
    e = about(plan)[layer]

    def content(name: str) -> Array:
        return values[name] if name in values else stored(plan, name, plan.state)

    w, q = content(e["weights"]), plan.tensors[e["weights"]].quant
    if q is None:
        raise PlanError(f"the weights of '{layer}' have no quantization")
    if e["live"]:
        live = plan.tensors[e["live"]].quant
        w = np.concatenate([content(e["live"]), w], axis=e["axis"])
        if live is not None and q.axis == e["axis"]:
            q = QuantParams(np.concatenate([live.scale, q.scale]), np.concatenate([live.zero_point, q.zero_point]), q.axis)
    if not e["bias"]:
        return w, q, None
    b = content(e["bias"]).astype(np.int64)
    b = b + (content(e["delta"]).astype(np.int64) << e["shift"]) if e["delta"] else b
    return w, q, b.astype(DType.INT32.numpy)

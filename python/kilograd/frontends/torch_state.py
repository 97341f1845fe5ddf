"""Which parameter of a PyTorch module each constant of a graph came from, and the way back for what was learned.

A frontend moves the elements of a weight (axes, flattened images), and batch normalization is folded into it later. Where each element went
is found by importing the module a second time with numbers in place of weights: element i of all parameters is i. `graph.meta["torch"]`:

    {layer: {"weights": Place, "bias": Place or None, "norm": {gamma, beta, mean, variance: path; epsilon} or None}}

with Place = {"path", "shape" (of the parameter), "walk": [[(size, stride), ..] of each axis of the tensor]}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.errors import KilogradError
from kilograd.ir.graph import Array, Graph, Node

if TYPE_CHECKING:
    from kilograd.frontends.onnx_file import RawModel
    from kilograd.plan.plan import Plan

EXACT = 1 << 24  # integers below it are exact in float32
LAYERS = ("conv2d", "depthwise_conv2d", "fully_connected", "transpose_conv")
NORM = ("gamma", "beta", "mean", "variance")
Walk = list[list[tuple[int, int]]]


def _runs(steps: Array) -> list[tuple[int, int]] | None:
    """Numbers along one axis (the first is 0) as nested runs of (size, stride), slowest first; None when they are none."""
    if len(steps) == 1:
        return [] if steps[0] == 0 else None
    stride = int(steps[1])
    n = 2
    while n < len(steps) and steps[n] == n * stride:
        n += 1
    while len(steps) % n:
        n -= 1
    if n < 2:
        return None
    outer = _runs(steps[::n])
    found = None if outer is None else [*outer, (n, stride)]
    return found if found is not None and np.array_equal(_along(found), steps) else None


def _along(runs: list[tuple[int, int]]) -> Array:
    found = np.zeros(1, np.int64)
    for n, stride in runs:
        found = (found[:, None] + np.arange(n, dtype=np.int64) * stride).reshape(-1)
    return found


def places(walk: Walk) -> Array:
    """For each element of a tensor, which element of the parameter it is."""
    rank, found = len(walk), np.zeros((1,) * len(walk), np.int64)
    for i, runs in enumerate(walk):
        along = _along([(int(n), int(s)) for n, s in runs])
        found = found + along.reshape([-1 if j == i else 1 for j in range(rank)])
    return found


def walk_of(ids: Array) -> Walk | None:
    """How a tensor walks through a parameter; None when it is no such walk from its first element."""
    ids, walk = np.rint(ids).astype(np.int64), []
    if ids.size == 0 or ids.reshape(-1)[0] != 0:
        return None
    for i in range(ids.ndim):
        runs = _runs(ids[tuple(slice(None) if j == i else 0 for j in range(ids.ndim))])
        if runs is None:
            return None
        walk.append(runs)
    return walk if np.array_equal(places(walk), ids) else None


def provenance(graph: Graph, raw: RawModel, parameters: set[str], again: Callable[[RawModel], Graph]) -> dict[str, Any]:
    """What `graph.meta["torch"]` holds; `again` imports records as `graph` was imported. Empty for models that are too large to number."""
    numbered, first, at = dict(raw.constants), {}, 0
    for name in sorted(parameters):
        data = raw.constants[name]
        if data.dtype != np.float32:
            continue
        first[name] = at
        numbered[name] = np.arange(at, at + data.size, dtype=np.float32).reshape(data.shape)
        at += data.size
    if at >= EXACT:
        return {}
    ids = again(replace(raw, constants=numbered))
    starts = sorted((start, name) for name, start in first.items())

    def place(tensor: str) -> dict[str, Any] | None:
        data = ids.tensors[tensor].data if tensor in ids.tensors else None
        if data is None or data.dtype != np.float32:
            return None
        low = float(data.min())
        start, path = max(((s, n) for s, n in starts if s <= low), default=(0, ""))
        whole = raw.constants.get(path)
        if whole is None or data.size != whole.size or float(data.max()) >= start + whole.size:
            return None
        walk = walk_of(data.astype(np.float64) - start)
        return None if walk is None else {"path": path, "shape": list(whole.shape), "walk": walk}

    found: dict[str, Any] = {}
    for node in graph.nodes:
        weights = place(node.inputs[1]) if node.op in LAYERS else None
        if weights is not None:
            bias = place(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
            found[node.name] = {"weights": weights, "bias": bias, "norm": _norm(graph, node, place)}
    return found


def _norm(graph: Graph, layer: Node, place: Callable[[str], dict[str, Any] | None]) -> dict[str, Any] | None:
    """The batch normalization that the quantizer will fold into a layer."""
    readers = graph.consumers(layer.outputs[0])
    if len(readers) != 1 or readers[0].op != "batch_norm" or layer.outputs[0] in graph.outputs:
        return None
    norm = readers[0]
    paths = {role: place(t) for role, t in zip(NORM, norm.inputs[1:5], strict=True)}
    return {**{k: p["path"] if p else None for k, p in paths.items()}, "epsilon": float(norm.attrs["epsilon"])}


def to_torch_state(plan: Plan, module: Any, learned: Any = None) -> dict[str, Any]:
    """The state_dict of `module` with what a plan learned.

    `learned` says where that is: None for the state that the plan begins with (`kilograd tune -o` writes such plans), a Simulator, a
    Device, bytes of a state, arrays by tensor name, or a file of these. Weights are dequantized, batch normalizations that were folded into
    a layer are divided out again (what its bias learned goes into beta), and axes are permuted back. Other layers keep their values.
    """
    from kilograd.plan.learned import about, values_of, whole

    layers: dict[str, Any] = plan.meta.get("torch", {})
    missing = [layer for layer in about(plan) if layer not in layers]
    if missing:
        raise KilogradError(
            f"plan '{plan.name}' does not say from which parameters of a PyTorch module the layers {', '.join(missing[:4])} came. "
            "Begin with kilograd.from_torch, or write the model with kilograd export."
        )
    values, state = values_of(plan, learned), dict(module.state_dict())
    for layer in about(plan):
        weights, q, bias = whole(plan, values, layer)
        shape = [1] * weights.ndim
        if q.axis is not None:
            shape[q.axis] = -1
        real = (weights.astype(np.float64) - q.zero_point.reshape(shape)) * q.scale.astype(np.float64).reshape(shape)
        entry = about(plan)[layer]
        b = None if bias is None else bias * (entry["input_scale"] * q.scale.astype(np.float64))
        real, b = _unscaled(layers[layer]["equalized"], entry["op"], real, b)
        _put_back(state, layers[layer], real, b, layer, entry["op"])
    return state


def _unscaled(factors: dict[str, Any], op: str, weights: Array, bias: Array | None) -> tuple[Array, Array | None]:
    """Weights and bias before the quantizer scaled channels between layers (its `equalize`)."""
    if "out" in factors:
        factor = np.asarray(factors["out"])
        weights = weights / (factor if op == "depthwise_conv2d" else factor.reshape(-1, *[1] * (weights.ndim - 1)))
        bias = None if bias is None else bias / factor
    if "in" in factors:
        factor = np.asarray(factors["in"])
        times = weights.shape[-1] // len(factor)
        weights = weights * (np.tile(factor, times) if op == "fully_connected" else np.repeat(factor, times))
    return weights, bias


def _put_back(state: dict[str, Any], entry: dict[str, Any], weights: Array, bias: Array | None, layer: str, op: str) -> None:
    """Real weights and bias of a layer into the parameters that they came from."""
    norm, place = entry["norm"], entry["weights"]
    old = {k: _array(state, norm[k], layer) for k in NORM if norm and norm[k]} if norm else {}
    channels = weights.shape[3 if op == "depthwise_conv2d" else 0]
    one, zero = np.ones(channels), np.zeros(channels)
    factor, offset = one, zero  # y = (w x + b) factor + offset
    if norm:
        factor = old.get("gamma", one) / np.sqrt(old.get("variance", one) + norm["epsilon"])
        offset = old.get("beta", zero) - old.get("mean", zero) * factor
        if np.any(factor == 0):
            raise KilogradError(
                f"layer '{layer}': its batch normalization multiplies a channel by 0, so that its weights cannot be found again"
            )
    shape = [1] * weights.ndim
    shape[3 if op == "depthwise_conv2d" else 0] = -1
    flat = np.empty(weights.size)
    flat[places(place["walk"]).reshape(-1)] = (weights / factor.reshape(shape)).reshape(-1)
    _set(state, place["path"], flat.reshape(place["shape"]), layer)
    if bias is None:
        return
    inner = entry["bias"]["path"] if entry["bias"] else None
    if norm and norm["beta"]:
        before = _array(state, inner, layer) if inner else zero
        _set(state, norm["beta"], bias - before * factor + old.get("mean", zero) * factor, layer)
    elif inner:
        _set(state, inner, (bias - offset) / factor, layer)
    else:
        raise KilogradError(f"layer '{layer}' learned a bias and has none in the module: give it bias=True")


def _array(state: dict[str, Any], path: str, layer: str) -> Array:
    if path not in state:
        raise KilogradError(f"the module has no '{path}', from which layer '{layer}' came: give the module that was imported")
    found: Array = state[path].detach().cpu().numpy().astype(np.float64)
    return found


def _set(state: dict[str, Any], path: str, value: Array, layer: str) -> None:
    import torch

    old = _array(state, path, layer)
    if old.shape != value.shape:
        raise KilogradError(f"'{path}' of the module has shape {list(old.shape)}, what layer '{layer}' learned has {list(value.shape)}")
    state[path] = torch.from_numpy(np.ascontiguousarray(value)).to(state[path].dtype)

"""quantize_model: a float graph and calibration data to an int8 graph and a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kilograd.errors import DataError, ModelError
from kilograd.ir.graph import Array, DType, Graph
from kilograd.quantize.config import QuantizeConfig
from kilograd.quantize.convert import to_integers
from kilograd.quantize.groups import constraint_groups
from kilograd.quantize.lockstep import Twin, correct_biases
from kilograd.quantize.measure import measure
from kilograd.quantize.observe import Progress, find_range, observe
from kilograd.quantize.prepare import prepare
from kilograd.quantize.scheme import activation_params, group_ranges

LOCKSTEP_SAMPLES = 64


@dataclass(frozen=True)
class Quantized:
    """The int8 graph, the float graph whose names it has, and what was measured (see measure.py)."""

    graph: Graph
    prepared: Graph
    report: dict[str, Any]


def require_float(graph: Graph) -> None:
    """Refuse models that are integers already."""
    if any(graph[t].dtype is DType.INT8 for node in graph.nodes for t in node.reads()):
        raise ModelError(f"model '{graph.name}' is quantized already: compile it as it is, or give the float model it was made from")
    if not any(graph[t].dtype is DType.FLOAT32 for t in graph.inputs):
        raise ModelError(f"model '{graph.name}' has no float32 input; the quantizer takes float models")


def check_feeds(graph: Graph, data: Array | Mapping[str, Array], limit: int) -> dict[str, Array]:
    """Calibration samples by input, [n, *shape], at most `limit` of them spread over what is given."""
    if isinstance(data, np.ndarray):
        if len(graph.inputs) != 1:
            raise DataError(f"model '{graph.name}' has the inputs {', '.join(graph.inputs)}: give samples for each of them")
        data = {graph.inputs[0]: data}
    missing = [t for t in graph.inputs if t not in data]
    if missing:
        raise DataError(f"calibration data lacks samples for the inputs {', '.join(missing)}")
    counts = {len(data[t]) for t in graph.inputs}
    if len(counts) != 1 or 0 in counts:
        raise DataError(f"calibration data has {sorted(counts)} samples for its inputs; each needs the same number, at least one")
    count = counts.pop()
    feeds = {}
    for name in graph.inputs:
        t, x = graph[name], np.asarray(data[name])
        if x.size != count * t.size:
            raise DataError(f"calibration data for '{name}' has samples of shape {list(x.shape[1:])}; the model reads {list(t.shape[1:])}")
        feeds[name] = np.ascontiguousarray(x.reshape(count, *t.shape), t.dtype.numpy)
        if not np.isfinite(feeds[name]).all():
            raise DataError(f"calibration data for '{name}' holds NaN or infinite values: clean the data first")
    return spread(feeds, limit)


def spread(feeds: dict[str, Array], count: int) -> dict[str, Array]:
    """At most `count` of the samples, spread over them."""
    total = len(next(iter(feeds.values())))
    picked = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
    return {name: value[picked] for name, value in feeds.items()}


def quantize_model(
    graph: Graph, data: Array | Mapping[str, Array], config: QuantizeConfig | None = None, progress: Progress = lambda n: None
) -> Quantized:
    """Quantize a float graph with calibration samples (real values, [n, ...])."""
    config = config or QuantizeConfig()
    require_float(graph)
    feeds = check_feeds(graph, data, config.samples)
    prepared = prepare(graph)
    seen = observe(prepared, feeds, config, progress)
    groups = constraint_groups(prepared)
    ranges = group_ranges(prepared, groups, {name: find_range(s, config) for name, s in seen.items()})
    params = activation_params(prepared, groups, ranges)
    few = spread(feeds, LOCKSTEP_SAMPLES)
    corrected = correct_biases(prepared, groups, params, config, few) if config.bias_correction else prepared
    integers = to_integers(corrected, groups, params, config)
    report = measure(Twin(corrected, groups, params, config), few, seen)
    return Quantized(integers, corrected, report)

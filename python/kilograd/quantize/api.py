"""quantize_model: a float graph and calibration data to an int8 graph and a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kilograd.errors import DataError, ModelError, UnsupportedOperator
from kilograd.ir.graph import Array, DType, Graph
from kilograd.quantize.aware import aware_ranges, judged
from kilograd.quantize.config import QuantizeConfig
from kilograd.quantize.convert import to_integers
from kilograd.quantize.equalize import equalize
from kilograd.quantize.groups import Groups, constraint_groups
from kilograd.quantize.lockstep import Twin, correct
from kilograd.quantize.measure import measure
from kilograd.quantize.observe import Progress, find_range, observe
from kilograd.quantize.prepare import prepare
from kilograd.quantize.scheme import activation_params, group_ranges
from kilograd.quantize.synthetic import synthetic_inputs

LOCKSTEP_SAMPLES, LOCKSTEP_VALUES = (64, 256), 1 << 21  # least and most samples; numbers of the input
AWARE_SAMPLES = 32
MADE_UP_SAMPLES = 64


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


def require_samples(graph: Graph) -> None:
    """Samples must have nothing to do with each other; of layers with a memory only an LSTM, whose sample is a whole sequence, has such."""
    for node in graph.nodes:
        if node.mutates and node.op != "lstm":
            raise UnsupportedOperator(
                f"layer '{node.name}' ({node.op}) remembers from sample to sample, and the quantizer calibrates with samples one by one. "
                "Quantize the model with the tool that trained it."
            )


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
        order = graph.meta.get("layout", {}).get(name)
        if order is not None and x.shape[1:] != t.shape[1:] and [x.shape[a] for a in order[1:]] == list(t.shape[1:]):
            raise DataError(
                f"calibration data for '{name}' has samples of shape {list(x.shape[1:])} as ONNX has them; the imported model has channels "
                f"last and reads {list(t.shape[1:])}. Give x.transpose({', '.join(map(str, order))})."
            )
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


def widened(ranges: dict[str, tuple[float, float]], graph: Graph, groups: Groups, margin: float) -> dict[str, tuple[float, float]]:
    """Ranges found without real data: those of the outputs wider by a factor (real inputs are clearer cases than made-up ones), and what a
    relu6 gives may reach 6.
    """
    last = {groups.find(t) for t in judged(graph)} - {groups.find(t) for t in graph.inputs}
    wide = {root: (r[0] * margin, r[1] * margin) if root in last else r for root, r in ranges.items()}
    for node in graph.nodes:
        if node.attrs.get("activation", "none") == "relu6" or node.op == "relu6":
            root = groups.find(node.outputs[0])
            wide[root] = (min(wide[root][0], 0.0), 6.0)
    return wide


def quantize_model(
    graph: Graph,
    data: Array | Mapping[str, Array] | None,
    config: QuantizeConfig | None = None,
    progress: Progress = lambda n: None,
    input_range: tuple[float, float] | None = None,
) -> Quantized:
    """Quantize a float graph with calibration samples (real values, [n, ...]).

    Without data, samples are made up within `input_range` (the lowest and highest value of the inputs), and where the graph still knows the
    statistics of its batch normalisations, activations are given these.
    """
    config = config or QuantizeConfig()
    require_float(graph)
    require_samples(graph)
    prepared, promised = prepare(graph), None
    if data is None:
        feeds, promised = made_up(graph, input_range, config), prepared.meta["batch_norm"]
    else:
        feeds = check_feeds(graph, data, config.samples)
    seen = observe(prepared, feeds, config, progress, promised)
    if config.equalize != "off":
        prepared = equalize(prepared, config.equalize, seen, config.dense_per_channel, data is not None)
        promised = None if promised is None else prepared.meta["batch_norm"]
        seen = observe(prepared, feeds, config, progress, promised)
    groups = constraint_groups(prepared)
    ranges = group_ranges(prepared, groups, {name: find_range(s, config) for name, s in seen.items()})
    if data is None:
        ranges = widened(ranges, prepared, groups, config.margin)
    if config.output_aware:
        ranges = aware_ranges(prepared, groups, ranges, config, spread(feeds, AWARE_SAMPLES), lambda n: None)
    params, few = activation_params(prepared, groups, ranges), spread(feeds, lockstep_samples(prepared))
    corrected = correct(prepared, groups, params, config, few, promised)
    integers = to_integers(corrected, groups, params, config)
    report = measure(Twin(corrected, groups, params, config), prepared, few, seen)
    return Quantized(integers, prepared, {"calibration": _source(data is None, bool(promised)), **report})


def lockstep_samples(graph: Graph) -> int:
    """How many samples both networks run side by side."""
    least, most = LOCKSTEP_SAMPLES
    return min(max(LOCKSTEP_VALUES // max(graph[t].size for t in graph.inputs), least), most)


def _source(made: bool, promised: bool) -> str:
    if not made:
        return "data"
    return "made-up samples with the statistics of batch normalisation" if promised else "made-up samples"


def made_up(graph: Graph, input_range: tuple[float, float] | None, config: QuantizeConfig) -> dict[str, Array]:
    """Samples for every input within the range."""
    if input_range is None or not input_range[0] < input_range[1]:
        raise DataError("calibration without data needs the range of the input: --input-range LOW,HIGH, such as 0,255 or -1,1")
    return {
        t: synthetic_inputs(graph[t].shape, *input_range, min(config.samples, MADE_UP_SAMPLES), seed)
        for seed, t in enumerate(graph.inputs)
        if graph[t].dtype is DType.FLOAT32
    }

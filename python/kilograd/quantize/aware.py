"""Ranges chosen by what they do to the network's output (the idea of PD-Quant), one group of activations after the other.

The quantized twin runs on a few samples; for each group, in program order, ranges shortened by several factors are tried, everything
after the group is run again, and the one whose outputs differ least from the float network's stays.
"""

from __future__ import annotations

import numpy as np

from kilograd.ir.graph import Array, Graph
from kilograd.quantize.config import QuantizeConfig
from kilograd.quantize.groups import Groups
from kilograd.quantize.lockstep import Twin, Values, store
from kilograd.quantize.observe import Progress
from kilograd.quantize.runner import Runner
from kilograd.quantize.scheme import activation_params

FACTORS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7)
SQUASHING = ("softmax", "log_softmax", "logistic")
LEAST_GAIN = 0.99  # a shorter range must lower the difference below this part of the best


def judged(graph: Graph) -> list[str]:
    """The values that are compared: the outputs, in front of a softmax or logistic function (which hides what it saturates)."""
    makers = {t: graph.producer(t) for t in graph.outputs}
    return [n.inputs[0] if n is not None and n.op in SQUASHING else t for t, n in makers.items()]


def output_difference(want: Values, got: Values) -> float:
    """Noise over signal, summed over the outputs."""
    pairs = [(a.astype(np.float64), got[name].astype(np.float64)) for name, a in want.items()]
    return sum(float(np.sum((a - b) ** 2) / max(float(np.sum(a**2)), 1e-30)) for a, b in pairs)


def aware_ranges(
    graph: Graph, groups: Groups, ranges: dict[str, tuple[float, float]], config: QuantizeConfig, feeds: Values, done: Progress
) -> dict[str, tuple[float, float]]:
    """The ranges of the groups (of `group_ranges`), shortened where the outputs gain by it."""
    names = judged(graph)
    values = Runner(graph, keep=names).run(feeds)
    want = {t: values[t] for t in names}
    chosen = dict(ranges)
    first = {name: i for i, node in enumerate(graph.nodes) for name in node.writes()}
    members = groups.members()
    order = sorted((r for r in ranges if r not in groups.fixed), key=lambda r: min(first.get(t, -1) for t in members[r]))
    for step, root in enumerate(order):
        start = min(first.get(t, -1) for t in members[root])
        prefix = _prefix(Twin(graph, groups, activation_params(graph, groups, chosen), config), feeds, start)
        best, least = 1.0, np.inf
        for factor in FACTORS:
            low, high = ranges[root]
            twin = Twin(graph, groups, activation_params(graph, groups, {**chosen, root: (low * factor, high * factor)}), config)
            difference = output_difference(want, _rest(twin, feeds, prefix, start, names))
            if difference < least * (LEAST_GAIN if factor < 1 else 1):
                best, least = factor, difference
        chosen[root] = (ranges[root][0] * best, ranges[root][1] * best)
        done(step + 1)
    return chosen


def _prefix(twin: Twin, feeds: Values, start: int) -> Values:
    """Values of the twin in front of node `start` (before the inputs are quantized for -1)."""
    if start < 0:
        return {}
    values: dict[str, Array] = twin.feed(feeds)
    for i, node in enumerate(twin.graph.nodes[:start]):
        store(node, values, twin.step(i, values))
        twin.runner.forget(i, values)
    return values


def _rest(twin: Twin, feeds: Values, prefix: Values, start: int, names: list[str]) -> Values:
    """The values `names` of the twin when it goes on from `prefix`."""
    values = dict(prefix) if start >= 0 else twin.feed(feeds)
    for i in range(max(start, 0), len(twin.graph.nodes)):
        store(twin.graph.nodes[i], values, twin.step(i, values))
        for t in {*twin.graph.nodes[i].reads()} - {*names}:
            if twin.runner.last.get(t) == i:
                values.pop(t, None)
    return {t: values[t] for t in names}

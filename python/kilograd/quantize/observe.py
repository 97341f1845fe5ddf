"""What calibration sees of each activation, and how a range is found from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from kilograd.errors import DataError
from kilograd.ir.graph import Array, Graph, Node
from kilograd.quantize.config import QuantizeConfig
from kilograd.quantize.runner import Promised, Runner, batches, real_tensors

BINS = 2048
Range = tuple[float, float]
Progress = Callable[[int], None]


@dataclass
class Statistics:
    """Of one tensor: extremes, extremes and mean of each channel (last axis), histogram between the extremes."""

    low: float
    high: float
    channel_low: Array
    channel_high: Array
    channel_sum: Array
    count: int  # values of one channel
    histogram: Array = field(default_factory=lambda: np.zeros(BINS, np.int64))

    @property
    def mean(self) -> Array:
        """Mean of each channel."""
        return self.channel_sum / max(self.count, 1)


def observe(
    graph: Graph, feeds: dict[str, Array], config: QuantizeConfig, done: Progress = lambda n: None, promised: Promised | None = None
) -> dict[str, Statistics]:
    """Run the samples through the network, twice where histograms are needed. `promised`: see Runner."""
    found: dict[str, Statistics] = {}
    runner, seen = Runner(graph, promised=promised), 0
    rounds: list[Callable[[str, Array], None]] = [lambda name, value: _extremes(found, name, value)]
    if config.method != "minmax":
        rounds.append(lambda name, value: _count(found[name], value))
    names = set(real_tensors(graph))
    for look in rounds:
        for feed in batches(feeds, config.batch):
            for name, value in feed.items():
                look(name, value)
            runner.run(feed, _visitor(names, look))
            seen += len(next(iter(feed.values())))
            done(seen // len(rounds))
    return found


def _visitor(names: set[str], look: Callable[[str, Array], None]) -> Callable[[Node, list[Array]], list[Array]]:
    def visit(node: Node, results: list[Array]) -> list[Array]:
        for name, value in zip(node.outputs, results, strict=False):
            if name in names:
                look(name, value)
        return results

    return visit


def _extremes(found: dict[str, Statistics], name: str, value: Array) -> None:
    rows = value.reshape(-1, value.shape[-1] if value.ndim > 1 else 1)
    low, high = rows.min(axis=0), rows.max(axis=0)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise DataError(
            f"calibration gives values that are not finite in tensor '{name}': check the data (range, --mean, --std) and the model"
        )
    total = rows.sum(axis=0, dtype=np.float64)
    if name not in found:
        found[name] = Statistics(float(low.min()), float(high.max()), low, high, total, len(rows))
        return
    s = found[name]
    s.low, s.high = min(s.low, float(low.min())), max(s.high, float(high.max()))
    s.channel_low, s.channel_high = np.minimum(s.channel_low, low), np.maximum(s.channel_high, high)
    s.channel_sum, s.count = s.channel_sum + total, s.count + len(rows)


def _count(s: Statistics, value: Array) -> None:
    if s.high > s.low:
        s.histogram += np.histogram(value, BINS, (s.low, s.high))[0]


def find_range(s: Statistics, config: QuantizeConfig) -> Range:
    """The range that the chosen method gives."""
    low, high = min(s.low, 0.0), max(s.high, 0.0)
    if config.method == "minmax" or s.high <= s.low or not s.histogram.any():
        return low, high
    edges = np.linspace(s.low, s.high, BINS + 1)
    if config.method == "percentile":
        return _percentile(s.histogram, edges, config.percentile)
    centres = (edges[1:] + edges[:-1]) / 2
    return (_least_squares if config.method == "mse" else _least_divergence)(s.histogram, centres, low, high)


def _percentile(histogram: Array, edges: Array, percentile: float) -> Range:
    share = np.cumsum(histogram) / histogram.sum()
    rest = 1 - percentile / 100
    low = edges[int(np.searchsorted(share, rest, side="right"))] if edges[0] < 0 else 0.0
    high = edges[1 + int(np.searchsorted(share, 1 - rest, side="left").clip(max=len(histogram) - 1))]
    return min(float(low), 0.0), max(float(high), 0.0)


def round_trip(values: Array, low: float, high: float) -> Array:
    """Values after quantization to int8 over a range (which contains 0) and back."""
    scale = max((high - low) / 255, 1e-30)
    zero = np.round(-128 - low / scale)
    back: Array = (np.clip(np.round(values / scale) + zero, -128, 127) - zero) * scale
    return back


def _candidates(low: float, high: float) -> list[Range]:
    """Ranges inside one, each end shortened by itself and both together."""
    parts = np.linspace(0.3, 1.0, 36)
    if low == 0.0 or high == 0.0:
        return [(low * p, high * p) for p in parts]
    both = [(low * p, high * p) for p in parts]
    return [*both, *((low * p, high * q) for p in parts[::3] for q in parts[::3])]


def _least_squares(histogram: Array, centres: Array, low: float, high: float) -> Range:
    """The range with the least mean square error."""
    errors = [float(histogram @ (round_trip(centres, lo, hi) - centres) ** 2) for lo, hi in _candidates(low, high)]
    return _candidates(low, high)[int(np.argmin(errors))]


def _least_divergence(histogram: Array, centres: Array, low: float, high: float) -> Range:
    """The range whose quantized distribution differs least from the true one (Kullback-Leibler), values outside counted at its ends."""
    best, least = (low, high), np.inf
    weights = histogram.astype(np.float64)
    if low == 0.0:
        weights[np.abs(centres) < (high - low) / BINS] = 0  # what a relu made zero is exact whatever the range
    if weights.sum() == 0:
        return best
    for lo, hi in _candidates(low, high):
        inside = np.clip(centres, lo, hi)
        at = np.round(inside / max((hi - lo) / 255, 1e-30)).astype(np.int64)
        at -= at.min()
        kept = (centres >= lo) & (centres <= hi) & (weights > 0)
        p = np.where(kept, weights, 0.0)
        ends = [i for i in (np.flatnonzero(kept)[:1], np.flatnonzero(kept)[-1:]) if len(i)]
        if not ends:
            continue
        p[ends[0]] += weights[centres < lo].sum()
        p[ends[-1]] += weights[centres > hi].sum()
        level = np.bincount(at, np.where(kept, weights, 0.0))
        members = np.bincount(at, kept.astype(np.float64))
        q = np.where(kept, (level / np.maximum(members, 1))[at], 0.0)
        p, q = p / p.sum(), q / q.sum()
        divergence = float(np.sum(p[kept] * np.log(p[kept] / np.maximum(q[kept], 1e-12))))
        if divergence < least - 1e-9:
            best, least = (lo, hi), divergence
    return best

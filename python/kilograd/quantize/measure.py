"""How good a quantized model is: signal-to-noise layer by layer, agreement of the outputs, and what to try about the worst layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kilograd.ir.graph import Array, Graph
from kilograd.quantize.config import QuantizeConfig
from kilograd.quantize.lockstep import Twin, Values, compare
from kilograd.quantize.observe import Statistics
from kilograd.quantize.prepare import weighted

WORST = 5
GOOD_DB = 25.0
LIMIT_DB = 99.9  # what a noise of zero is shown as


@dataclass(frozen=True)
class LayerNoise:
    """Of one result: signal-to-noise of the network up to here, and of this layer alone on exact operands, in decibels."""

    layer: str
    op: str
    sqnr_db: float
    local_db: float
    low: float
    high: float
    scale: float
    zero_point: int
    channel_spread: float  # range of the widest channel over that of the median one
    advice: str


def decibels(signal: Array, noise: Array) -> float:
    """10 log10 of the powers' ratio."""
    power, lost = float(np.sum(np.square(signal, dtype=np.float64))), float(np.sum(np.square(noise, dtype=np.float64)))
    if lost == 0.0:
        return LIMIT_DB
    return float(np.clip(10 * np.log10(max(power, 1e-30) / lost), -LIMIT_DB, LIMIT_DB))


def channel_spread(s: Statistics | None) -> float:
    """How much wider the widest channel is than the median one."""
    if s is None:
        return 1.0
    width = np.asarray(s.channel_high, np.float64) - np.minimum(s.channel_low, 0.0)
    middle = float(np.median(width))
    return float(width.max() / middle) if middle > 0 else float("inf") if width.max() > 0 else 1.0


def measure(twin: Twin, original: Graph, feeds: Values, seen: Mapping[str, Statistics]) -> dict[str, Any]:
    """The report on the twin of a float graph: layers in program order, the five worst, how well the outputs agree."""
    rows: list[LayerNoise] = []

    def look(node: Any, name: str, want: Array, got: Array, local: Array) -> None:
        q, s = twin.params[name], seen.get(name)
        alone, spread = decibels(want, local - want), channel_spread(s)
        low, high = (float(want.min()), float(want.max())) if s is None else (s.low, s.high)
        advice = _advice(twin, node, alone, spread) if alone < GOOD_DB else ""
        rows.append(LayerNoise(name, node.op, decibels(want, got - want), alone, low, high, q.s, q.z, min(spread, 1e6), advice))

    want, got = compare(twin, original, feeds, look)
    weighted_layers = [r for r in rows if r.local_db < LIMIT_DB]
    worst = sorted(weighted_layers, key=lambda r: r.local_db)[:WORST]
    return {
        "samples": len(next(iter(feeds.values()))),
        "layers": [asdict(r) for r in rows],
        "worst": [asdict(r) for r in worst],
        "outputs": {name: _agreement(want[name], got[name]) for name in want},
        "try": suggestions(worst, twin.config),
    }


def _agreement(want: Array, got: Array) -> dict[str, float]:
    """Signal-to-noise, largest difference, and how often the largest element is the same one."""
    a, b = want.reshape(len(want), -1), got.reshape(len(got), -1)
    result = {"sqnr_db": decibels(a, b - a), "largest_difference": float(np.abs(b - a).max())}
    if a.shape[1] > 1:
        result["same_largest"] = float(np.mean(a.argmax(axis=1) == b.argmax(axis=1)))
    return result


def _advice(twin: Twin, node: Any, local: float, spread: float) -> str:
    if node.op == "fully_connected" and not twin.config.dense_per_channel and weighted(twin.graph, node) and _row_spread(twin, node) > 8:
        return "weights of its outputs differ much in size: --dense-per-channel"
    if spread > 8 and twin.config.equalize == "off":
        return f"its widest channel is {spread:.0f} times the median one: --equalize activations"
    if twin.config.method == "minmax":
        return "few large values may stretch its range: --method mse"
    if not twin.config.output_aware:
        return "let the network's output choose the range: --output-aware"
    return "leave the layer's neighbours float at training, or train with quantization"


def _row_spread(twin: Twin, node: Any) -> float:
    width = np.abs(np.asarray(twin.graph[node.inputs[1]].data)).max(axis=1)
    return float(width.max() / max(float(np.median(width)), 1e-30))


def suggestions(worst: list[LayerNoise], config: QuantizeConfig) -> list[str]:
    """What to try, most often advised first."""
    found: dict[str, int] = {}
    for row in worst:
        if row.advice:
            option = row.advice.split(": ", 1)[-1]
            found[option] = found.get(option, 0) + 1
    return sorted(found, key=lambda k: -found[k])

"""What a plan costs: per operator, at the peak, and in total; and the budget check."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kilograd.errors import BudgetError
from kilograd.ir.graph import Graph, Kind, Node, Phase
from kilograd.ops import operator
from kilograd.plan.lifetime import Lifetimes
from kilograd.plan.place import Placement
from kilograd.plan.plan import Plan
from kilograd.plan.program import Program

UNITS = {"": 1, "b": 1, "k": 1024, "kb": 1024, "kib": 1024, "m": 1 << 20, "mb": 1 << 20, "mib": 1 << 20}
INFERENCE = (Phase.FROZEN, Phase.FORWARD)
PEAK_TENSORS = 12


def parse_size(text: str | int) -> int:
    """Bytes of '256K' (1024), '1.5M', '4096'."""
    if isinstance(text, int):
        if text < 0:
            raise BudgetError(f"{text} is no memory size: give bytes from 0 on")
        return text
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in UNITS:
        raise BudgetError(f"'{text}' is no memory size: write bytes, or a number with K or M, such as 256K")
    return int(float(match[1]) * UNITS[match[2].lower()])


def _operators(graph: Graph, nodes: Sequence[Node], order: Sequence[int], lives: Lifetimes, calls: dict[str, int]) -> list[dict[str, Any]]:
    rows = []
    for t, index in enumerate(order):
        node = nodes[index]
        cost = operator(node.op).cost(graph, node)
        rows.append(
            {
                "name": node.name or node.op,
                "op": node.op,
                "phase": node.phase.value,
                "macs": cost.macs,
                "bytes_in": cost.bytes_in,
                "bytes_out": cost.bytes_out,
                "live_bytes": lives.live[t],
                "calls": calls.get(node.name or node.op, 0),
            }
        )
    return rows


def _saved_bytes(program: Program) -> int:
    """Bytes of buffers that the forward pass leaves for the backward pass."""
    forward = {b for s in program.steps if s.phase in INFERENCE for b in s.writes} | program.inputs
    later = {b for s in program.steps if s.phase in (Phase.BACKWARD, Phase.APPLY) for b in s.reads}
    return sum(program.sizes[b] for b in forward & later)


def _weights_mutable(graph: Graph, plan: Plan) -> int:
    """Bytes of state that the forward pass reads: what learns."""
    names = {t for n in graph.nodes if n.phase in INFERENCE for t in n.reads()}
    return sum(t.nbytes for t in plan.tensors.values() if t.kind is Kind.STATE and t.name in names)


def build_report(
    graph: Graph, nodes: Sequence[Node], program: Program, order: Sequence[int], lives: Lifetimes, placement: Placement, plan: Plan,
    args_bytes: int, schedule_exact: bool,
) -> dict[str, Any]:  # fmt: skip
    """The report of a plan as plain data (bytes and MACs); the totals carry the names that `--json` prints."""
    counts: dict[str, int] = {}
    for call in plan.calls:
        counts[call.node] = counts.get(call.node, 0) + 1
    rows = _operators(graph, nodes, order, lives, counts)
    peak = lives.peak_step()
    return {
        "arena_bytes": plan.arena_bytes,
        "state_bytes": len(plan.state),
        "weights_mutable_bytes": _weights_mutable(graph, plan),
        "saved_bytes": _saved_bytes(program),
        "sram_bytes": plan.arena_bytes + len(plan.state),
        "const_bytes": len(plan.constant),
        "args_bytes": args_bytes,
        "flash_bytes": len(plan.constant) + args_bytes + len(plan.state),
        "macs_forward": sum(r["macs"] for r in rows if r["phase"] in {p.value for p in INFERENCE}),
        "macs_step": sum(r["macs"] for r in rows),
        "liveness_bound_bytes": lives.bound,
        "schedule": {"exact": schedule_exact},
        "placement": {"method": placement.method, "proved": placement.proved, "note": placement.note},
        "peak": {
            "step": peak,
            "name": rows[peak]["name"] if rows else "",
            "tensors": [{"name": b.name, "bytes": b.nbytes} for b in lives.at(peak)[:PEAK_TENSORS]],
        },
        "buffers": [
            {"name": b.name, "bytes": b.nbytes, "offset": o, "first": b.first, "last": b.last}
            for b, o in zip(lives.buffers, placement.offsets, strict=True)
        ],
        "operators": rows,
    }


def _kilobytes(n: int) -> str:
    return f"{n:,} bytes ({n / 1024:.1f} KB)"


def check_budget(plan: Plan, sram: str | int | None, flash: str | int | None) -> None:
    """Raise BudgetError when the plan takes more SRAM or flash than it was given."""
    report = plan.meta["report"]
    if sram is not None and report["sram_bytes"] > parse_size(sram):
        raise BudgetError(_overrun("SRAM", report["sram_bytes"], parse_size(sram)) + _sram_advice(plan, report))
    if flash is not None and report["flash_bytes"] > parse_size(flash):
        largest = sorted((t for t in plan.tensors.values() if t.kind is Kind.CONST), key=lambda t: -t.nbytes)[:5]
        text = _overrun("flash", report["flash_bytes"], parse_size(flash))
        text += "The largest constants: " + _listing([(t.name, t.nbytes) for t in largest])
        raise BudgetError(text + " What to try: a smaller model (fewer channels), or fewer classes.")


def brief(name: str, limit: int = 60) -> str:
    """A name short enough for a message: converters join the names of all operators that they fused."""
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


def _overrun(what: str, needed: int, given: int) -> str:
    return f"The plan needs {_kilobytes(needed)} of {what}; the budget is {_kilobytes(given)}, short by {needed - given:,} bytes. "


def _listing(items: list[tuple[str, int]]) -> str:
    return "; ".join(f"'{brief(name)}' {size:,} bytes" for name, size in items) + "."


def _sram_advice(plan: Plan, report: dict[str, Any]) -> str:
    peak = report["peak"]
    text = f"Arena {report['arena_bytes']:,}, state {report['state_bytes']:,}. "
    text += f"The peak is at '{brief(peak['name'])}'; the five largest tensors there: "
    text += _listing([(t["name"], t["bytes"]) for t in peak["tensors"][:5]])
    advice = []
    if plan.label:
        advice.append("a smaller scheme (fewer layers or a smaller fraction of their channels, 'bias:K', 'last:K' or 'head')")
        config = plan.meta.get("train", {}).get("config", {})
        if config.get("storage") == "w8f8":
            advice.append("storage 'w8' instead of 'w8f8'")
        if config.get("bias") == "int32":
            advice.append("int16 biases (bias='int16')")
        if config.get("accumulate", 1) > 1:
            advice.append("no gradient accumulation (accumulate=1)")
    if not report["placement"]["proved"]:
        advice.append(f"placement='exact' (the liveness bound is {report['liveness_bound_bytes']:,} bytes)")
    advice.append("a smaller input or fewer channels in the layers around the peak")
    return text + " What to try: " + "; ".join(advice) + "."

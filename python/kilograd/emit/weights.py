"""model_weights.c: constants and initial state as bytes in readable rows."""

from __future__ import annotations

from kilograd.emit.header import ALIGNMENT, describe
from kilograd.emit.names import comment
from kilograd.ir.graph import Kind
from kilograd.plan.plan import Plan

_ROW = 24


def rows(content: bytes, labels: dict[int, list[str]]) -> list[str]:
    """Lines of an initialiser; a label stands before the byte at its offset."""
    lines: list[str] = []
    cuts = sorted({0, len(content), *(o for o in labels if o < len(content))})
    for begin, end in zip(cuts, cuts[1:], strict=False):
        lines += [f"    /* {begin}: {comment(text)} */" for text in labels.get(begin, [])]
        for i in range(begin, end, _ROW):
            lines.append("    " + "".join(f"{b}," for b in content[i : min(i + _ROW, end)]))
    return lines or ["    0"]


def _labels(plan: Plan, kind: Kind) -> dict[int, list[str]]:
    labels: dict[int, list[str]] = {}
    for t in plan.tensors.values():
        if t.kind is kind:
            labels.setdefault(t.offset, []).append(f"{t.name}: {describe(t)}")
    return labels


def weights(plan: Plan, prefix: str) -> str:
    """Text of <prefix>_weights.c. Tables that are no tensors (multipliers, shifts) stand between the named tensors."""
    title = f"{comment(plan.name)}: {len(plan.constant)} bytes of constants, {len(plan.state)} of initial state."
    lines = [f"/* {title} */", f'#include "{prefix}.h"', ""]
    for name, content, kind in (("constants", plan.constant, Kind.CONST), ("initial_state", plan.state, Kind.STATE)):
        lines += [f"_Alignas({ALIGNMENT}) const uint8_t {prefix}_{name}[{max(1, len(content))}] = {{"]
        lines += [*rows(content, _labels(plan, kind)), "};", ""]
    return "\n".join(lines)

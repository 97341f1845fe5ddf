"""A report page: totals, memory map, table of operators. One file, nothing loaded from elsewhere."""

from __future__ import annotations

from html import escape

from kilograd.plan.plan import Plan
from kilograd.report.figures import figures, steps
from kilograd.report.memory_map import memory_map

STYLE = (
    "body{font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif;color:#1f2937;max-width:1040px;margin:32px auto;padding:0 16px}"
    "table{border-collapse:collapse;margin:16px 0;font-size:13px}td,th{padding:3px 12px;border-bottom:1px solid #e5e7eb;text-align:right}"
    "td:first-child,th:first-child{text-align:left}td.l,th.l{text-align:left}svg{max-width:100%;height:auto}tr.peak{background:#fef2f2}"
)
_TEXT = {
    "sram_bytes": "SRAM, bytes: arena and state",
    "arena_bytes": "arena, bytes",
    "liveness_bound_bytes": "liveness bound of the arena, bytes",
    "saved_bytes": "saved from forward to backward, bytes",
    "state_bytes": "state, bytes",
    "weights_mutable_bytes": "learned weights and biases, bytes",
    "flash_bytes": "flash, bytes: constants, arguments of calls, initial state",
    "macs_forward": "forward pass, MACs",
    "macs_step": "whole step, MACs",
}


def html_report(plan: Plan) -> str:
    """The page as text."""
    total, program = figures(plan), steps(plan)
    peak = max((s.live_bytes for s in program), default=0)
    lines = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(plan.name)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(plan.name)}</h1>",
        "<table>",
        *[f"<tr><td>{text}</td><td>{total[key]:,}</td></tr>" for key, text in _TEXT.items()],
        "</table>",
        memory_map(plan),
        "<h2>Operators</h2><table>",
        '<tr><th>layer</th><th class="l">operator</th><th class="l">phase</th><th>MACs</th><th>bytes in</th><th>bytes out</th>'
        "<th>live bytes</th></tr>",
    ]
    for s in program:
        mark = ' class="peak"' if s.live_bytes == peak else ""
        numbers = "".join(f"<td>{v:,}</td>" for v in (s.macs, s.bytes_in, s.bytes_out, s.live_bytes))
        lines.append(f'<tr{mark}><td>{escape(s.name)}</td><td class="l">{escape(s.op)}</td><td class="l">{s.phase}</td>{numbers}</tr>')
    lines.append("</table><p>The row in red is the peak of the arena. Bytes in and out count each operand once.</p></body></html>")
    return "\n".join(lines) + "\n"

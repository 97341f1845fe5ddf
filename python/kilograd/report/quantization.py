"""A page about a quantized model: signal-to-noise of every layer as bars, the worst layers, what to try. One file, nothing loaded."""

from __future__ import annotations

from html import escape
from typing import Any

from kilograd.report.html import STYLE

WIDTH, ROW, LEFT = 980, 18, 330
TOP_DB = 60.0
GOOD_DB = 25.0


def _bar(db: float) -> float:
    return max(0.0, min(db, TOP_DB)) / TOP_DB * (WIDTH - LEFT - 60)


def noise_chart(layers: list[dict[str, Any]]) -> str:
    """An SVG: for each layer the signal-to-noise up to there (dark) and of the layer alone (light)."""
    height = ROW * (len(layers) + 2)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-size="11" font-family="system-ui,sans-serif">']
    for db in range(0, int(TOP_DB) + 1, 10):
        x = LEFT + _bar(db)
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{ROW}" y2="{height - ROW}" stroke="#e5e7eb"/>')
        lines.append(f'<text x="{x:.1f}" y="12" text-anchor="middle" fill="#6b7280">{db} dB</text>')
    for i, row in enumerate(layers):
        y, colour = ROW * (i + 1) + 2, "#dc2626" if row["local_db"] < GOOD_DB else "#1d4ed8"
        name = f"{row['op']} {row['layer'][-34:]}"
        lines.append(f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end" fill="#1f2937">{escape(name)}</text>')
        lines.append(f'<rect x="{LEFT}" y="{y}" width="{_bar(row["local_db"]):.1f}" height="{ROW - 4}" fill="#bfdbfe"/>')
        lines.append(f'<rect x="{LEFT}" y="{y + 4}" width="{_bar(row["sqnr_db"]):.1f}" height="{ROW - 12}" fill="{colour}"/>')
    lines.append("</svg>")
    return "\n".join(lines)


def quantization_report(name: str, note: str, report: dict[str, Any]) -> str:
    """The page as text; `report` is Quantized.report."""
    outputs = "".join(
        f"<tr><td>{escape(t)}</td><td>{o['sqnr_db']:.1f}</td><td>{o['largest_difference']:.4g}</td>"
        f"<td>{100 * o['same_largest']:.1f} %</td></tr>"
        if "same_largest" in o
        else f"<tr><td>{escape(t)}</td><td>{o['sqnr_db']:.1f}</td><td>{o['largest_difference']:.4g}</td><td></td></tr>"
        for t, o in report["outputs"].items()
    )
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(name)}</title><style>{STYLE}</style></head><body><h1>{escape(name)}, quantized</h1><p>{escape(note)}</p>",
        "<table><tr><th>output</th><th>signal-to-noise, dB</th><th>largest difference</th><th>same largest</th></tr>",
        f"{outputs}</table>",
        "<h2>Signal-to-noise by layer</h2>",
        "<p>Narrow bars: of the network up to the layer. Wide bars: of the layer alone, on exact operands. "
        f"Red: below {GOOD_DB:.0f} dB alone.</p>",
        noise_chart(report["layers"]),
        "<h2>Worst layers by themselves</h2>",
        _table(report["worst"]),
    ]
    if report["try"]:
        parts.append("<h2>What to try</h2><ul>" + "".join(f"<li>{escape(t)}</li>" for t in report["try"]) + "</ul>")
    return "\n".join([*parts, "<h2>All layers</h2>", _table(report["layers"]), "</body></html>"]) + "\n"


def _table(rows: list[dict[str, Any]]) -> str:
    head = "<tr><th>layer</th><th>dB so far</th><th>dB alone</th><th>lowest</th><th>highest</th><th>scale</th><th>zero point</th>"
    lines = [f'<table>{head}<th class="l">advice</th></tr>']
    for r in rows:
        numbers = (f"{r['sqnr_db']:.1f}", f"{r['local_db']:.1f}", f"{r['low']:.4g}", f"{r['high']:.4g}", f"{r['scale']:.4g}")
        cells = "".join(f"<td>{v}</td>" for v in (*numbers, r["zero_point"]))
        title = f"{escape(r['op'])} {escape(r['layer'][-60:])}"
        lines.append(f'<tr><td>{title}</td>{cells}<td class="l">{escape(r["advice"])}</td></tr>')
    return "\n".join([*lines, "</table>"])

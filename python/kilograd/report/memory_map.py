"""The memory map as SVG: the arena over the steps of the program, the state beside it. Plain text, no drawing library."""

from __future__ import annotations

from html import escape

from kilograd.plan.plan import Plan
from kilograd.report.figures import KINDS, Block, Step, arena, figures, state, steps

COLOUR = {
    "input": "#8c96a3",
    "activation": "#4c8bd6",
    "saved": "#2a5c99",
    "mask": "#7a5cc4",
    "error": "#d9694a",
    "scratch": "#c9b458",
    "weights": "#3f9f6b",
    "bias": "#7cc29a",
    "exponent": "#b07ab8",
    "training": "#6b7280",
}
PHASES = {"begin": "begin", "frozen": "frozen forward", "forward": "forward", "loss": "loss", "backward": "backward", "apply": "apply"}
WIDTH, HEIGHT = 760.0, 380.0  # of the plot
LEFT, TOP, STATE_WIDTH, GAP = 64.0, 72.0, 84.0, 30.0
STYLE = (
    "text{font:11px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2937}.t{font-size:14px;font-weight:600}.g{fill:#6b7280}"
    ".n{fill:#fff;font-size:10px;pointer-events:none}rect.b{stroke:#fff;stroke-width:.6}rect.b:hover{stroke:#111;stroke-width:1.5}"
)


def _size(count: float) -> str:
    return f"{count / 1024:.1f} KB" if count >= 1024 else f"{count:.0f} B"


def _rect(x: float, y: float, w: float, h: float, block: Block, when: str) -> list[str]:
    title = f"{block.name}: {block.kind}, {block.nbytes:,} bytes at {block.offset:,}{when}"
    lines = [
        f'<rect class="b" x="{x:.1f}" y="{y:.1f}" width="{max(w, 0.8):.1f}" height="{max(h, 0.5):.1f}" fill="{COLOUR[block.kind]}">'
        f"<title>{escape(title)}</title></rect>"
    ]
    label = block.name.rsplit("/", 1)[-1] if not block.name.startswith("d/") else block.name
    room = int((w - 6) / 5.6)
    if h >= 12 and room >= 4:
        text = label if len(label) <= room else label[: room - 1] + "…"
        lines.append(f'<text class="n" x="{x + 3:.1f}" y="{y + h / 2 + 3.5:.1f}">{escape(text)}</text>')
    return lines


def _grid(total: int, scale: float, bottom: float, x0: float, x1: float) -> list[str]:
    step = 1
    while total / step > 8:
        step *= 2
    lines = []
    for value in range(0, total + 1, step):
        y = bottom - value * scale
        lines.append(f'<line x1="{x0}" y1="{y:.1f}" x2="{x1}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        lines.append(f'<text class="g" x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{_size(value)}</text>')
    return lines


def _phases(program: list[Step], dx: float, bottom: float) -> list[str]:
    lines, begin = [], 0
    for i in range(1, len(program) + 1):
        if i < len(program) and program[i].phase == program[begin].phase:
            continue
        x0, x1 = LEFT + dx * (begin + 1), LEFT + dx * (i + 1)
        lines.append(f'<line x1="{x0:.1f}" y1="{TOP}" x2="{x0:.1f}" y2="{bottom + 6}" stroke="#9ca3af" stroke-dasharray="2 3"/>')
        name = PHASES.get(program[begin].phase, program[begin].phase)
        if x1 - x0 > 6 * len(name):
            lines.append(f'<text class="g" x="{(x0 + x1) / 2:.1f}" y="{bottom + 16}" text-anchor="middle">{escape(name)}</text>')
        begin = i
    return lines


def memory_map(plan: Plan) -> str:
    """The picture as SVG text. Left to right: steps; upwards: bytes. A rectangle is a tensor; its name shows on hover."""
    program, blocks, kept, total = steps(plan), arena(plan), state(plan), figures(plan)
    high = max(total["arena_bytes"], total["state_bytes"], 1)
    scale, dx, bottom = HEIGHT / high, WIDTH / (len(program) + 1), TOP + HEIGHT
    x_state = LEFT + WIDTH + GAP
    lines = _grid(high, scale, bottom, LEFT, x_state + STATE_WIDTH)
    lines += _phases(program, dx, bottom)
    for b in blocks:
        when = f", steps {b.first} to {b.last}" if b.last >= 0 else ""
        x, y = LEFT + dx * (b.first + 1), bottom - (b.offset + b.nbytes) * scale
        lines += _rect(x, y, dx * (b.last - b.first + 1), b.nbytes * scale, b, when)
    for b in kept:
        lines += _rect(x_state, bottom - (b.offset + b.nbytes) * scale, STATE_WIDTH, b.nbytes * scale, b, "")
    lines += _peak(program, dx, bottom, scale)
    middle = x_state + STATE_WIDTH / 2
    lines.append(f'<text x="{middle}" y="{bottom + 16}" text-anchor="middle">state {_size(total["state_bytes"])}</text>')
    used = {b.kind for b in (*blocks, *kept)}
    width, height = x_state + STATE_WIDTH + 20, bottom + 58
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}">'
        f"<title>Memory map of {escape(plan.name)}</title><style>{STYLE}</style>"
        '<rect width="100%" height="100%" fill="#fff"/>'
    )
    title = f"{plan.name}: {_size(total['sram_bytes'])} of SRAM = arena {_size(total['arena_bytes'])} + state {_size(total['state_bytes'])}"
    lines.append(f'<text class="t" x="{LEFT}" y="22">{escape(title)}</text>')
    lines.append(f'<text class="g" x="{LEFT}" y="40">arena: tensors over the steps of the program; right: state, there at all times</text>')
    return "\n".join([head, *lines, *_legend(used, bottom + 42), "</svg>", ""])


def _peak(program: list[Step], dx: float, bottom: float, scale: float) -> list[str]:
    if not program:
        return []
    at = max(range(len(program)), key=lambda i: program[i].live_bytes)
    x, y = LEFT + dx * (at + 1.5), bottom - program[at].live_bytes * scale
    anchor = "end" if x > LEFT + WIDTH / 2 else "start"
    text = f"peak: {_size(program[at].live_bytes)} live at {program[at].name[-48:]}"
    return [
        f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="#b91c1c" stroke-width="1.2"/>',
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#b91c1c"/>',
        f'<text x="{x:.1f}" y="{TOP - 8}" text-anchor="{anchor}" style="fill:#b91c1c">{escape(text)}</text>',
    ]


def _legend(used: set[str], y: float) -> list[str]:
    lines, x = [], LEFT
    for kind in KINDS:
        if kind in used:
            lines.append(f'<rect x="{x:.0f}" y="{y - 9:.0f}" width="10" height="10" fill="{COLOUR[kind]}"/>')
            lines.append(f'<text x="{x + 14:.0f}" y="{y:.0f}">{kind}</text>')
            x += 26 + 6.2 * len(kind)
    return lines

"""Pictures for the terminal: a loss curve in braille dots, a table of what a plan takes."""

from __future__ import annotations

from collections.abc import Sequence

from kilograd.plan.plan import Plan
from kilograd.report.figures import arena, figures, state, steps

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # [row][column] of a braille cell


def loss_curve(losses: Sequence[float], width: int = 64, height: int = 10) -> str:
    """The curve as text: `height` lines of `width` characters, the axis at the left."""
    if not losses:
        return "(no losses)"
    low, high = min(0.0, *losses), max(*losses, 1e-9)
    rows, columns = 4 * height, 2 * width
    cells = [[0] * width for _ in range(height)]
    previous: int | None = None
    for column in range(columns):
        value = losses[min(column * len(losses) // columns, len(losses) - 1)]
        row = round((high - value) / (high - low) * (rows - 1))
        for r in range(min(row, previous if previous is not None else row), max(row, previous if previous is not None else row) + 1):
            cells[r // 4][column // 2] |= _DOTS[r % 4][column % 2]
        previous = row
    lines = []
    for i, cell_row in enumerate(cells):
        label = f"{high:8.3f}" if i == 0 else f"{low:8.3f}" if i == height - 1 else " " * 8
        lines.append(f"{label} ┤" + "".join(chr(0x2800 + c) for c in cell_row))
    return "\n".join([*lines, f"{'loss':>8} └{'─' * width}"])


def _line(name: str, value: int, unit: str = "B") -> str:
    kilo = f"  {value / 1024:10.1f} KB" if unit == "B" else f"  {value / 1e6:10.2f} M"
    return f"{name:<34}{value:>14,} {unit:<5}{kilo}"


def memory_summary(plan: Plan) -> str:
    """What a plan takes, as lines of text: SRAM and its parts, flash, MACs, the peak and its largest tensors."""
    total, program = figures(plan), steps(plan)
    lines = [
        f"plan of {plan.name}: {len(plan.calls)} kernel calls",
        _line("SRAM", total["sram_bytes"]),
        _line("  arena", total["arena_bytes"]),
        _line("    liveness bound", total["liveness_bound_bytes"]),
        _line("    saved for the backward pass", total["saved_bytes"]),
        _line("  state", total["state_bytes"]),
        _line("    learned weights and biases", total["weights_mutable_bytes"]),
        _line("flash", total["flash_bytes"]),
        _line("forward", total["macs_forward"], "MACs"),
    ]
    if "train_step" in plan.entries:
        lines.append(_line("training step", total["macs_step"], "MACs"))
    if program:
        at = max(range(len(program)), key=lambda i: program[i].live_bytes)
        lines.append(f"peak at {program[at].name} ({program[at].op}); there are")
        alive = sorted((b for b in arena(plan) if b.first <= at <= b.last), key=lambda b: -b.nbytes)
        lines += [_line(f"  {b.name[-31:]}", b.nbytes) for b in alive[:5]]
    return "\n".join(lines)


def state_by_kind(plan: Plan) -> dict[str, int]:
    """Bytes of the state segment by kind of content."""
    found: dict[str, int] = {}
    for b in state(plan):
        found[b.kind] = found.get(b.kind, 0) + b.nbytes
    return found

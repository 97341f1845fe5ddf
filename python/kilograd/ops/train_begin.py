"""Begin of a training step: counts it and looks up the learning rate in a table of break points, in integers.

Operands: train state. No results; mutates the train state. Attributes: points, a list of (step, learning rate) with ascending steps (the
first sample is step 1), linear in between and constant outside; accumulate, the samples after which updates are applied.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Node
from kilograd.ops import fields
from kilograd.ops.base import Blob, KernelCall, Operand, Operator, Reference, RunState, TensorType, register
from kilograd.ops.fixed_point import train_view

#: break points that a schedule may have
MAX_POINTS = 1024
VALUE_BITS = 30
#: of a schedule's values; rates below 2^-100 are as good as 0
MIN_EXPONENT = -100


def schedule_table(points: Sequence[tuple[int, float]]) -> tuple[Array, int]:
    """Points as (int32 [points, 2] of step and value, exponent): learning rate = value * 2^exponent, largest value in (2^29, 2^30]."""
    peak = max(rate for _, rate in points)
    exponent = max((int(np.ceil(np.log2(peak))) if peak > 0 else 0) - VALUE_BITS, MIN_EXPONENT)
    values = [min(round(float(np.ldexp(rate, -exponent))), 1 << VALUE_BITS) for _, rate in points]
    return np.array([[step, v] for (step, _), v in zip(points, values, strict=True)], np.int32), exponent


def schedule_value(table: Array, step: int) -> int:
    """The table's value at `step`: linear between two points, rounded towards the first as C's division does."""
    rows = [(int(s), int(v)) for s, v in table]
    if step <= rows[0][0]:
        return rows[0][1]
    for (s0, v0), (s1, v1) in zip(rows, rows[1:], strict=False):
        if step <= s1:
            product = (v1 - v0) * (step - s0)
            return v0 + (product // (s1 - s0) if product >= 0 else -(-product // (s1 - s0)))
    return rows[-1][1]


def normalize_rate(value: int, exponent: int) -> tuple[int, int]:
    """(mantissa in [2^14, 2^15) or 0, exponent) of value * 2^exponent, rounded down."""
    while value >= 1 << 15:
        value, exponent = value >> 1, exponent + 1
    while 0 < value < 1 << 14:
        value, exponent = value * 2, exponent - 1
    return value, exponent


@register
class TrainBegin(Operator):
    """step += 1; learning rate of the step; skip = 0; apply = step divides by accumulate."""

    name = "train_begin"
    internal = True
    no_gradient = "it is the begin of a training step"
    kernels = ("train_begin_ref_s32",)

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        points = node.attrs["points"]
        steps = [s for s, _ in points]
        if not 1 <= len(points) <= MAX_POINTS or any(b <= a for a, b in zip(steps, steps[1:], strict=False)) or steps[0] < 0:
            raise GraphError(f"node '{node.name}': a schedule has 1 to {MAX_POINTS} points with ascending steps")
        if any(not np.isfinite(r) or r < 0 or r >= 2**30 for _, r in points):
            raise GraphError(f"node '{node.name}': learning rates must be finite, not negative and below 2^30")
        return []

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        assert inputs[0] is not None
        train = train_view(inputs[0])
        step = (int(train["step"][0]) + 1) & 0xFFFFFFFF
        table, exponent = schedule_table(node.attrs["points"])
        train["step"] = step
        train["lr_mantissa"], train["lr_exponent"] = normalize_rate(schedule_value(table, step), exponent)
        train["skip"] = 0
        train["apply"] = int(step % node.attrs["accumulate"] == 0)
        return []

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        table, exponent = schedule_table(node.attrs["points"])
        return KernelCall(
            "train_begin_ref_s32",
            {
                "train": Operand(fields.TRAIN),
                "table": Blob(table),
                "points": len(table),
                "lr_exponent": exponent,
                "accumulate": int(node.attrs["accumulate"]),
            },
        )

"""What STRIDED_SLICE takes, with all its masks: used for tensors of a run and for integers that are known at import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends.tflite_file import RawOperator
from kilograd.ir.graph import Shape


@dataclass(frozen=True)
class Taken:
    """First element, step and number of elements along each axis of the operand, and the shape of the result."""

    begin: list[int]
    step: list[int]
    size: list[int]
    shape: Shape


def _clamped(value: int, size: int, step: int) -> int:
    value += size if value < 0 else 0
    return min(max(value, 0), size) if step > 0 else min(max(value, -1), size - 1)


def _axis(op: RawOperator, size: int, begin: int | None, end: int | None, step: int) -> tuple[int, int]:
    """(first, number) of one axis; None is the end of the axis where the step begins or stops."""
    if step == 0:
        raise ModelError(f"{op.where} has a step of 0. The file is damaged: export it again.")
    first = (0 if step > 0 else size - 1) if begin is None else _clamped(begin, size, step)
    last = (size if step > 0 else -1) if end is None else _clamped(end, size, step)
    count = (last - first + step - (1 if step > 0 else -1)) // step
    if count < 1:
        raise UnsupportedOperator(f"{op.where} takes no element of an axis of {size}; tensors of no elements are not supported.")
    return first, count


def strided(op: RawOperator, shape: Shape, begin: Sequence[int], end: Sequence[int], step: Sequence[int]) -> Taken:
    """What the operator takes of a tensor of `shape`."""
    o = op.options
    masks = [int(m) for m in (o.BeginMask(), o.EndMask(), o.EllipsisMask(), o.NewAxisMask(), o.ShrinkAxisMask())]
    if not len(begin) == len(end) == len(step):
        raise ModelError(
            f"{op.where} has {len(begin)} begins, {len(end)} ends and {len(step)} steps. The file is damaged: export it again."
        )
    if masks[2] & (masks[2] - 1):
        raise ModelError(f"{op.where} has more than one ellipsis. The file is damaged: export it again.")
    entries = range(len(begin))
    is_new = [bool(masks[3] >> i & 1) and not masks[2] >> i & 1 for i in entries]
    used = sum(not n for n in is_new) - (1 if masks[2] else 0)
    if used > len(shape) or masks[2] >> len(begin):
        raise ModelError(f"{op.where} takes {used} axes of a tensor of rank {len(shape)}. The file is damaged: export it again.")
    taken = Taken([], [], [], ())
    result: list[int] = []

    def whole(axes: int) -> None:
        for _ in range(axes):
            size = shape[len(taken.size)]
            for values, value in ((taken.begin, 0), (taken.step, 1), (taken.size, size), (result, size)):
                values.append(value)

    for i in entries:
        if masks[2] >> i & 1:
            whole(len(shape) - used)
        elif is_new[i]:
            result.append(1)
        else:
            _entry(op, shape[len(taken.size)], i, (begin[i], end[i], step[i]), masks, bool(o.Offset()), taken, result)
    whole(len(shape) - len(taken.size))
    return Taken(taken.begin, taken.step, taken.size, tuple(result))


def _entry(
    op: RawOperator, size: int, i: int, numbers: tuple[int, int, int], masks: list[int], offset: bool, taken: Taken, result: list[int]
) -> None:  # fmt: skip
    """One axis that is sliced or, by the shrink mask, indexed."""
    begin, end, step = numbers
    if masks[4] >> i & 1:
        first = begin + size if begin < 0 else begin
        if not 0 <= first < size or step <= 0:
            raise ModelError(f"{op.where} takes element {begin} of an axis of {size} (step {step}). The file is damaged: export it again.")
        count, step = 1, 1
    else:
        no_begin, no_end = masks[0] >> i & 1, masks[1] >> i & 1
        stop = begin + end if offset else end
        first, count = _axis(op, size, None if no_begin else begin, None if no_end else stop, step)
        result.append(count)
    for values, value in ((taken.begin, first), (taken.step, step), (taken.size, count)):
        values.append(value)

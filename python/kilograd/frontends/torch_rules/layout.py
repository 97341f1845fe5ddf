"""Operators that move elements or only count them anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilograd.frontends.torch_rules.rule import Call, Handler, pair

if TYPE_CHECKING:
    from kilograd.frontends.torch_import import Translator

MAX_PARTS = 1024  # results of a split


def reshape(t: Translator, call: Call) -> str:
    """view, flatten, squeeze, unsqueeze and their kin: the shape of the result says all."""
    return t.record(call, "Reshape", [call.args[0], t.integers(call.shape)])


def _transposed(t: Translator, call: Call, order: list[int]) -> str:
    return t.record(call, "Transpose", [call.args[0]], {"perm": order})


def permute(t: Translator, call: Call) -> str:
    """All axes."""
    rank = len(call.shape)
    return _transposed(t, call, [int(a) % rank for a in call.args[1]])


def transpose(t: Translator, call: Call) -> str:
    """Two axes."""
    order = list(range(len(call.shape)))
    a, b = (int(v) for v in call.args[1:3]) if len(call.args) > 2 else (0, -1)
    if order:
        order[a], order[b] = order[b], order[a]
    return _transposed(t, call, order)


def _slice(t: Translator, call: Call, axis: int, first: int, last: int, step: int = 1) -> str:
    operands = [call.args[0], *(t.integers([v]) for v in (first, last, axis, step))]
    return t.record(call, "Slice", operands)


def _axis(t: Translator, call: Call, axis: Any) -> tuple[int, int]:
    """An axis from the front, and its size."""
    shape = t.shape(call.args[0])
    return int(axis) % len(shape), shape[int(axis)]


def slice_(t: Translator, call: Call) -> str:
    """x[first:last:step] along one axis."""
    axis, size = _axis(t, call, call.arg(1, "dim", 0))
    first, last, _ = slice(call.arg(2, "start"), call.arg(3, "end"), None).indices(size)
    return _slice(t, call, axis, first, last, int(call.arg(4, "step", 1)))


def select(t: Translator, call: Call) -> str:
    """x[index] along one axis, which goes away."""
    axis, size = _axis(t, call, call.args[1])
    first = int(call.args[2]) % size
    return t.record(call, "Reshape", [_slice(t, call, axis, first, first + 1), t.integers(call.shape)])


def flip(t: Translator, call: Call) -> str:
    """Some axes backwards."""
    shape = t.shape(call.args[0])
    axes = [int(a) % len(shape) for a in call.args[1]]
    bounds = ([shape[a] - 1 for a in axes], [-shape[a] - 1 for a in axes], axes, [-1] * len(axes))
    return t.record(call, "Slice", [call.args[0], *(t.integers(v) for v in bounds)])


def _parts(t: Translator, call: Call, axis: int, sizes: list[int], drop: bool = False) -> list[str]:
    if len(sizes) > MAX_PARTS:
        raise call.refuse(f"makes {len(sizes)} parts; at most {MAX_PARTS} are accepted.")
    found, first = [], 0
    for i, n in enumerate(sizes):
        part = _slice(t, call, axis, first, first + n)
        found.append(t.record(call, "Reshape", [part, t.integers(call.shapes[i])]) if drop else part)
        first += n
    return found


def split(t: Translator, call: Call) -> list[str]:
    """Equal parts, the last may be smaller; or parts of given sizes; or a number of parts."""
    axis, size = _axis(t, call, call.arg(2, "dim", 0))
    wanted = call.args[1]
    if isinstance(wanted, (list, tuple)):
        return _parts(t, call, axis, [int(n) for n in wanted])
    each = -(-size // int(wanted)) if "chunk" in call.op else int(wanted)
    return _parts(t, call, axis, [min(each, size - at) for at in range(0, size, each)])


def unbind(t: Translator, call: Call) -> list[str]:
    """Slices without their axis."""
    axis, size = _axis(t, call, call.arg(1, "dim", 0))
    return _parts(t, call, axis, [1] * size, drop=True)


def cat(t: Translator, call: Call) -> str:
    """One after another."""
    return t.record(call, "Concat", list(call.args[0]), {"axis": int(call.arg(1, "dim", 0)) % len(call.shape)})


def stack(t: Translator, call: Call) -> str:
    """One after another along a new axis."""
    axis = int(call.arg(1, "dim", 0)) % len(call.shape)
    single = [d if i != axis else 1 for i, d in enumerate(call.shape)]
    parts = [t.record(call, "Reshape", [v, t.integers(single)]) if t.is_value(v) else v.reshape(single) for v in call.args[0]]
    return t.record(call, "Concat", parts, {"axis": axis})


def expand(t: Translator, call: Call) -> str:
    """Axes of 1 repeated."""
    before = t.shape(call.args[0])
    wide = [1] * (len(call.shape) - len(before)) + list(before)
    x = t.record(call, "Reshape", [call.args[0], t.integers(wide)]) if len(wide) != len(before) else call.args[0]
    many = [n // d for n, d in zip(call.shape, wide, strict=True)]
    return str(x) if all(n == 1 for n in many) else t.record(call, "Tile", [x, t.integers(many)])


def _padded(t: Translator, call: Call, flat: list[int], mode: str, value: float) -> str:
    """PyTorch lists (before, after) from the last axis on."""
    rank = len(call.shape)
    before, after = [0] * rank, [0] * rank
    for i in range(len(flat) // 2):
        before[rank - 1 - i], after[rank - 1 - i] = flat[2 * i], flat[2 * i + 1]
    if min(before + after) < 0:
        x, shape = call.args[0], t.shape(call.args[0])
        if max(before + after) > 0 or mode != "constant":
            raise call.refuse(f"pads and cuts at once ({flat}); do one after the other.")
        starts, ends = [-b for b in before], [d + a for d, a in zip(shape, after, strict=True)]
        return t.record(call, "Slice", [x, t.integers(starts), t.integers(ends), t.integers(range(rank)), t.integers([1] * rank)])
    operands = [call.args[0], t.integers(before + after), *([t.number(value)] if mode == "constant" else [])]
    return t.record(call, "Pad", operands, {"mode": mode})


def constant_pad(t: Translator, call: Call) -> str:
    """Padding with a number."""
    return _padded(t, call, [int(v) for v in call.args[1]], "constant", float(call.arg(2, "value", 0.0)))


def pad(t: Translator, call: Call) -> str:
    """Padding of any mode."""
    mode = str(call.arg(2, "mode", "constant"))
    if mode not in ("constant", "reflect"):
        raise call.refuse(f"pads with mode {mode}; kilograd runs constant and reflect.")
    return _padded(t, call, [int(v) for v in call.args[1]], mode, float(call.arg(3, "value", 0.0)))


def reflection_pad(t: Translator, call: Call) -> str:
    """Mirrored borders."""
    return _padded(t, call, [int(v) for v in call.args[1]], "reflect", 0.0)


def resize(mode: str) -> Handler:
    """Upsampling to the size of the result."""

    def handler(t: Translator, call: Call) -> str:
        corners = mode == "linear" and bool(call.arg(2, "align_corners", False))
        how = "align_corners" if corners else "asymmetric" if mode == "nearest" else "half_pixel"
        attrs = {"mode": mode, "coordinate_transformation_mode": how}
        attrs |= {"nearest_mode": "floor"} if mode == "nearest" else {}
        pair(call, list(call.shape[2:]), 2, "size")
        return t.record(call, "Resize", [call.args[0], "", "", t.integers(call.shape)], attrs)

    return handler


RULES: dict[str, Handler] = {
    f"aten.{name}": handler
    for names, handler in (
        (
            (
                "view.default", "_unsafe_view.default", "reshape.default", "flatten.using_ints", "unflatten.int", "squeeze.default",
                "squeeze.dim", "squeeze.dims", "unsqueeze.default", "view_as.default",
            ),
            reshape,
        ),
        (("permute.default",), permute),
        (("transpose.int", "t.default"), transpose),
        (("slice.Tensor",), slice_),
        (("flip.default",), flip),
        (("select.int",), select),
        (("split.Tensor", "split_with_sizes.default", "split.sizes", "chunk.default"), split),
        (("unbind.int",), unbind),
        (("cat.default",), cat),
        (("stack.default",), stack),
        (("expand.default",), expand),
        (("constant_pad_nd.default",), constant_pad),
        (("pad.default",), pad),
        (("reflection_pad1d.default", "reflection_pad2d.default"), reflection_pad),
        (("upsample_nearest2d.vec", "upsample_nearest2d.default"), resize("nearest")),
        (("upsample_bilinear2d.vec", "upsample_bilinear2d.default"), resize("linear")),
    )
    for name in names
}  # fmt: skip

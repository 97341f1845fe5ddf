"""What tests of reductions share."""

from __future__ import annotations

from hypothesis import strategies as st

from kilograd.ir.graph import Shape


@st.composite
def reductions(draw: st.DrawFn) -> tuple[Shape, tuple[int, ...]]:
    """A shape of up to four axes, and some of them."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    axes = draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    return shape, tuple(sorted(axes))

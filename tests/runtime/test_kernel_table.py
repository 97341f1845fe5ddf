"""The table of kernels: ids stand in plan files, so they are unique and match the operators."""

from __future__ import annotations

import re

from kilograd import _core
from kilograd._sources import csrc_dir
from kilograd.ops import operators


def test_ids_are_unique_and_sizes_whole_words() -> None:
    kernels = _core.kernels()
    assert len({number for number, _ in kernels.values()}) == len(kernels)
    assert all(number > 0 and size % 4 == 0 for number, size in kernels.values())


def test_the_build_has_every_line_of_kernels_def() -> None:
    lines = re.findall(r"^KG_KERNEL\((\d+), (\w+),", (csrc_dir() / "kernels.def").read_text(), re.MULTILINE)
    assert {name: int(number) for number, name in lines} == {name: number for name, (number, _) in _core.kernels().items()}


def test_every_operator_has_its_kernels() -> None:
    missing = {k for op in operators().values() for k in op.kernels} - set(_core.kernels())
    assert not missing

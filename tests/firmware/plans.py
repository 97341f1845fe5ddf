"""Small plans for small boards, and what a test needs to have installed."""

from __future__ import annotations

import shutil
from functools import cache

import pytest

import kilograd as kg
from kilograd.device.boards import Board, boards, find_board
from kilograd.plan.plan import Plan
from tests.train.nets import small_net

EMULATED = [b.name for b in boards() if b.emulated]


@cache
def small(train: str | None = "full") -> Plan:
    """A network with convolutions, depthwise convolutions, addition, pooling and a linear layer; all of it learns in a few KB."""
    return kg.compile(small_net(), train=train, config=kg.TrainConfig(learning_rate=0.02))


def need(name: str, emulator: bool = True) -> Board:
    """The board; skips the test, saying why, when its compiler or its emulator is not installed."""
    board = find_board(name)
    tools = [f"{board.prefix}gcc", *([board.run.qemu] if emulator and board.run else [])]
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    return board

"""Every kernel with broken argument structs and with memory full of anything: its check refuses, or the call stays inside its memory.

Plainly built, this shows that a refusal writes nothing, that constants stay and that nothing crashes; built with sanitizers
(KG_SANITIZE=address,undefined), that no call reads or writes outside its segments and that all arithmetic is defined.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

from kilograd import _core
from kilograd.ir.graph import Array
from tests.ops.kernel_nodes import NODES, kernel_call

FAR = (0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x40000000, 0xC0000000, 0xFFFFFFF0)
FREE = 1100  # bytes: more than the largest operand of any node
each_kernel = pytest.mark.parametrize("kernel", NODES)


def test_every_kernel_is_here() -> None:
    assert set(NODES) == set(_core.kernels())


def broken(word: int) -> list[int]:
    """Values to put in place of a word: sizes a little and far off, references elsewhere."""
    return [v & 0xFFFFFFFF for v in (*FAR, word + 1, word - 1, word + 16, word * 2, word ^ 0xC0000000, word ^ 0x40000000)]


def accepted(kernel: str, words: Array, memory: list[Array]) -> bool:
    """Whether the check lets this call run; on copies of the memory, aligned as the originals."""
    copies = [m.copy() for m in memory]
    try:
        _core.call(kernel, words.tobytes(), *copies)
    except RuntimeError:
        assert all((a == b).all() for a, b in zip(copies, memory, strict=True)), "a refused call wrote memory"
        return False
    assert (copies[0] == memory[0]).all(), "a call wrote constants"
    return True


def generator(kernel: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(kernel.encode()))


@each_kernel
def test_one_broken_word(kernel: str) -> None:
    words, memory = kernel_call(kernel)
    assert accepted(kernel, words, memory)
    refused = tried = 0
    for i, word in enumerate(words):
        for value in broken(int(word)):
            changed = words.copy()
            changed[i] = value
            tried += 1
            refused += not accepted(kernel, changed, memory)
    assert refused > tried // 7, f"only {refused} of {tried} broken structs were refused"


@each_kernel
def test_several_broken_words(kernel: str) -> None:
    """Small changes in two or three places keep many structs plausible: sizes that no longer fit each other."""
    words, memory = kernel_call(kernel)
    rng = generator(kernel)
    for _ in range(400):
        changed = words.copy()
        for i in rng.integers(0, len(words), rng.integers(2, 4)):
            word = int(words[i])
            near = [word ^ (1 << int(rng.integers(0, 32))), word + int(rng.integers(-20, 21)), int(rng.choice(broken(word)))]
            changed[i] = near[int(rng.integers(0, 3))] & 0xFFFFFFFF
        accepted(kernel, changed, memory)


@each_kernel
def test_operands_at_the_end_of_a_segment(kernel: str) -> None:
    """Every operand moved byte by byte towards the end: from some place on it is refused, and the last accepted writes nothing behind."""
    words, memory = kernel_call(kernel)
    roomy = [np.concatenate([m, np.zeros(FREE, np.uint8)]) for m in memory]  # so that it overlaps no other operand there
    refused = 0
    for i, word in enumerate(int(w) for w in words):
        segment, offset = word >> 30, word & 0x3FFFFFFF
        if segment == 0 or offset >= memory[segment - 1].size:
            continue
        end = roomy[segment - 1].size
        changed, accepting = words.copy(), None
        for place in range(end, end - FREE, -1):
            changed[i] = segment << 30 | place
            if accepted(kernel, changed, roomy):
                accepting = accepting or place
            else:
                refused += 1
                assert accepting is None or place % 4, f"word {i}: refused at {place}, accepted at {accepting}"
        if accepting is not None:
            changed[i] = segment << 30 | accepting
            guarded = [np.concatenate([m, np.full(64, 0xA5, np.uint8)]) for m in roomy]
            _core.call(kernel, changed.tobytes(), *(g[:-64] for g in guarded))
            assert all((g[-64:] == 0xA5).all() for g in guarded), f"word {i}: wrote behind the segment"
    assert refused


@each_kernel
def test_any_struct(kernel: str) -> None:
    words, memory = kernel_call(kernel)
    rng = generator(kernel)
    for _ in range(100):
        assert not accepted(kernel, rng.integers(0, 1 << 32, len(words), dtype=np.uint32), memory)


@each_kernel
@pytest.mark.parametrize("fill", [0x00, 0x7F, 0x80, 0xFF, "bytes", "words"])
def test_any_content_of_memory(kernel: str, fill: Any) -> None:
    """What a state or an arena holds never makes a legal call misbehave; constants are the plan's and may refuse it."""
    words, memory = kernel_call(kernel)
    rng = generator(kernel)
    for only_state in (True, False):
        filled = [m.copy() for m in memory]
        for m in filled[1:] if only_state else filled:
            if fill == "bytes":
                m[:] = rng.integers(0, 256, m.size)
            elif fill == "words":
                view = m[: m.size // 4 * 4].view(np.uint32)
                view[:] = rng.choice(np.array(FAR, np.uint32), view.size)
            else:
                m[:] = fill
        assert accepted(kernel, words, filled) or not only_state

"""Argument structs with one broken word: the kernel's check refuses them, or the call stays inside its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kilograd import _core
from kilograd.ir.graph import DType, Graph, Kind, Node
from tests.ops import runner
from tests.ops.nodes import Bench, activation_quant

GEOMETRY = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1)}


def bench() -> Bench:
    b = Bench(1)
    b.train()
    b.int8("x", (1, 4, 5, 6), quant=activation_quant())
    b.int8("x2", (1, 1, 1, 6), quant=activation_quant())
    b.error("gy", (1, 4, 5, 8))
    b.error("gy6", (1, 4, 5, 6))
    b.error("gx", (1, 4, 5, 6), given=False)
    return b


def forward(op: str) -> tuple[Graph, Node, dict[str, Any]]:
    """A forward node with a mask and, where there are weights, a live part."""
    b = bench()
    if op in ("add", "mul"):
        outputs = [b.output("y", (1, 4, 5, 6)), b.mask("m", (1, 4, 5, 6))]
        return b.graph, b.node(op, ["x", "x2"], outputs, {"activation": "relu"}), b.values
    frozen, live, out = {
        "conv2d": ((8, 3, 3, 4), (8, 3, 3, 2), (1, 4, 5, 8)),
        "depthwise_conv2d": ((1, 3, 3, 4), (1, 3, 3, 2), (1, 4, 5, 6)),
        "fully_connected": ((8, 4), (8, 2), (20, 8)),
    }[op]
    axis = 3 if op == "depthwise_conv2d" else 0
    inputs = ["x", b.weights("w", frozen, axis, False), b.bias("b", out[-1]), b.weights("live", live, axis, False, kind=Kind.STATE)]
    node = b.node(op, inputs, [b.output("y", out), b.mask("m", out)], {**GEOMETRY, "activation": "relu"})
    return b.graph, node, b.values


def backward(op: str) -> tuple[Graph, Node, dict[str, Any]]:
    """A backward node."""
    b = bench()
    depthwise = op.startswith("depthwise")
    gy = "gy6" if depthwise or op == "mul_grad" else "gy"
    if op == "mul_grad":
        node = b.node(op, [gy, "x2"], ["gx"], {"other_zero": 3, "other_scale": 0.1})
    elif op.endswith("grad_input"):
        w = b.weights("w", (1, 3, 3, 6) if depthwise else (8, 3, 3, 6), 3 if depthwise else 0)
        node = b.node(op, [gy, w, ""], ["gx"], GEOMETRY)
    elif op.endswith("grad_weights"):
        w = b.weights("w", (1, 3, 3, 6) if depthwise else (8, 3, 3, 6), 3 if depthwise else 0, kind=Kind.STATE)
        attrs = {**GEOMETRY, "factor": np.full(6 if depthwise else 8, 3.0), "rounding": 0, "x_zero": -5}
        node = b.node(op, [gy, "x", w, "", "", "train"], [], attrs, (w,))
    elif op == "bias_delta":
        delta = b.tensor("delta", np.arange(6, dtype=np.int16), DType.INT16, Kind.STATE)
        b0 = b.bias("b0", 6)
        b.tensor("b", np.zeros(6, np.int32), DType.INT32)
        node = b.node(op, [b0, delta], ["b"], {"u": 3})
    else:
        dtype = DType.INT16 if op == "bias_grad_s16" else DType.INT32
        bias = b.tensor("b", np.arange(8).astype(dtype.numpy), dtype, Kind.STATE)
        attrs = {"factor": np.full(8, 3.0), "rounding": 1, "limit": 20000}
        node = b.node("bias_grad", [gy, bias, "", "train"], [], attrs, (bias,))
    return b.graph, node, b.values


CASES = {op: forward for op in ("conv2d", "depthwise_conv2d", "fully_connected", "add", "mul")} | {
    op: backward
    for op in (
        "conv2d_grad_input", "conv2d_grad_weights", "depthwise_conv2d_grad_input", "depthwise_conv2d_grad_weights", "mul_grad",
        "bias_delta",
        "bias_grad_s32", "bias_grad_s16",
    )
}  # fmt: skip


def broken(word: int) -> list[int]:
    """Values to put in place of a word: sizes a little and far off, references elsewhere."""
    far = [0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x40000000, 0xC0000000, 0xFFFFFFF0]
    return [v & 0xFFFFFFFF for v in (*far, word + 1, word - 1, word + 16, word * 2, word ^ 0xC0000000, word ^ 0x40000000)]


@pytest.mark.parametrize("op", CASES)
def test_one_broken_word(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    graph, node, values = CASES[op](op)

    class Spy:
        @staticmethod
        def call(kernel: str, words: bytes, *memory: Any) -> None:
            calls.append((kernel, words, *(np.array(m, copy=True) for m in memory)))
            _core.call(kernel, words, *memory)

    monkeypatch.setattr(runner, "_core", Spy)
    runner.run_in_c(graph, node, values)
    kernel, raw, *memory = calls[0]
    words = np.frombuffer(raw, np.uint32)
    refused = 0
    for i, word in enumerate(words):
        for value in broken(int(word)):
            changed = words.copy()
            changed[i] = value
            copies = [m.copy() for m in memory]
            try:
                _core.call(kernel, changed.tobytes(), *copies)
            except RuntimeError:
                refused += 1
                assert all((a == b).all() for a, b in zip(copies, memory, strict=True)), f"a refused call wrote memory (word {i})"
            assert (copies[0] == memory[0]).all(), f"a call wrote constants (word {i} = {value:#x})"
    assert refused > 2 * len(words), f"only {refused} of {14 * len(words)} broken structs were refused"

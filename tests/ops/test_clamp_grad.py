"""clamp_grad: C equals NumPy, in place too; only the elements whose bit is 1 pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import GraphError
from kilograd.ir.graph import DType, Graph, Node, Tensor
from kilograd.ops import operator
from kilograd.ops.base import infer_outputs
from tests.ops import cases


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 100), st.integers(0, 999))
def test_gradient(count: int, seed: int) -> None:
    bits = np.random.default_rng(seed).integers(0, 2, count).astype(np.uint8)
    mask = (Tensor("mask", (count,), DType.BITS), np.packbits(bits, bitorder="little"))
    got = cases.backward("clamp_grad", (count,), (count,), {}, seed, [mask], copies=True)
    gy = cases.random_error(seed, (count,), extremes=seed % 3 == 0)
    np.testing.assert_array_equal(got["gx"], gy * bits)


def test_may_run_in_place() -> None:
    assert operator("clamp_grad").inplace(Graph("test"), Node("clamp_grad", ["gy", "mask"], ["gx"])) == [(0, 0)]


def test_wrong_mask() -> None:
    graph = Graph("test")
    cases.error(graph, "gy", (4,))
    graph.add(Tensor("mask", (5,), DType.BITS))
    graph.add(Tensor("gx", (4,), DType.INT8, exponent="gy.exponent"))
    with pytest.raises(GraphError, match="one bit for each element"):
        infer_outputs(graph, Node("clamp_grad", ["gy", "mask"], ["gx"], name="layer"))

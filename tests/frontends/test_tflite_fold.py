"""Numbers that a model computes from shapes and constants are constants after import; the work is bounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kilograd.errors import ModelError, UnsupportedOperator
from kilograd.frontends import import_tflite, tflite_fold
from kilograd.frontends.tflite_file import read_tflite
from kilograd.ir.graph import Array
from tests.reference import Reference, require_interpreter
from tests.tflite_builder import INT8, ModelBuilder


class Chain(ModelBuilder):
    """A model whose first operators compute with integers, and whose last uses the result."""

    def known(self, name: str, operands: list[Any], shape: tuple[int, ...], options: str = "", dtype: str = "INT32", **values: Any) -> int:
        """A result of an operator on constants (arrays) and results (indices)."""
        inputs = [o if isinstance(o, int) else self.constant(f"c{len(self.tensors)}.{i}", np.array(o)) for i, o in enumerate(operands)]
        y = self.tensor(f"k{len(self.tensors)}", shape, dtype)
        self.op(name, inputs, y, options, **values)
        return y

    def i(self, *numbers: int) -> Array:
        """int32 operand."""
        return np.array(numbers, np.int32)


def shape_chain(batch: int) -> tuple[Chain, int]:
    """RESHAPE to (batch of x, 3, 4), the batch taken from SHAPE."""
    m = Chain()
    x = m.tensor("x", (batch, 12), INT8, 0.1)
    shape = m.known("SHAPE", [x], (2,), "ShapeOptions", OutType=2)
    first = m.known("STRIDED_SLICE", [shape, m.i(0), m.i(1), m.i(1)], (), "StridedSliceOptions", ShrinkAxisMask=1)
    wanted = m.known("PACK", [first, np.int32(3), np.int32(4)], (3,), "PackOptions", ValuesCount=3)
    y = m.tensor("y", (batch, 3, 4), INT8, 0.1)
    m.op("RESHAPE", [x, wanted], y, "ReshapeOptions")
    return m, y


@pytest.mark.parametrize("batch", [1, -1])
def test_shape_chain(batch: int) -> None:
    m, y = shape_chain(batch)
    graph = import_tflite(m.build([0], [y]))
    assert [n.op for n in graph.nodes] == ["reshape"] and graph["y"].shape == (1, 3, 4)


def arithmetic(m: Chain) -> list[int]:
    """One result of each operator that is computed at import."""
    a, b = m.i(7, -3, 5), m.i(2, 4, -3)
    found = [m.known(n, [a, b], (3,), f"{n.title()}Options" if n in ("ADD", "SUB", "MUL") else "") for n in ("ADD", "SUB", "MUL")]
    found += [m.known(n, [a, b], (3,), o) for n, o in (
        ("FLOOR_DIV", "FloorDivOptions"), ("FLOOR_MOD", "FloorModOptions"), ("MAXIMUM", "MaximumMinimumOptions"),
        ("MINIMUM", "MaximumMinimumOptions"),
    )]  # fmt: skip
    found += [m.known(n, [a, m.i(0)], (), "ReducerOptions") for n in ("REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN", "SUM")]
    found.append(m.known("CAST", [a], (3,), "CastOptions", dtype="INT64"))
    found.append(m.known("NEG", [a], (3,), "NegOptions"))
    found.append(m.known("GATHER", [a, m.i(2, 0)], (2,), "GatherOptions"))
    found.append(m.known("CONCATENATION", [a, b], (6,), "ConcatenationOptions"))
    found.append(m.known("RANGE", [np.int32(3), np.int32(-4), np.int32(-2)], (4,), "RangeOptions"))
    found.append(m.known("FILL", [m.i(2, 2), np.int32(9)], (2, 2), "FillOptions"))
    found.append(m.known("TILE", [a, m.i(2)], (6,), "TileOptions"))
    found.append(m.known("SLICE", [a, m.i(1), m.i(-1)], (2,), "SliceOptions"))
    found.append(m.known("EXPAND_DIMS", [a, m.i(0)], (1, 3), "ExpandDimsOptions"))
    found.append(m.known("RESHAPE", [a, m.i(3, 1)], (3, 1), "ReshapeOptions"))
    return found


def test_arithmetic_equals_litert() -> None:
    """Every folded value is what LiteRT computes (on a model that returns them)."""
    require_interpreter()
    m = Chain()
    x, y = m.tensor("x", (1, 3), INT8, 0.1), m.tensor("y", (1, 3), INT8, 0.1)
    found = arithmetic(m)
    m.op("RELU", [x], y)
    reference = Reference(m.build([x], [y, *found]))
    reference.interpreter.invoke()
    raw = read_tflite(m.build([x], [y]))
    folder = tflite_fold.Folder(raw, 10000, set())
    for op in raw.operators[:-1]:
        assert folder.fold(op), op.name
    for i in found:
        want, t = reference.interpreter.get_tensor(i), raw.tensors[i]
        assert t.data is not None
        np.testing.assert_array_equal(t.data.view(want.dtype).reshape(t.shape), want, err_msg=t.name)


def test_what_a_run_knows_is_refused() -> None:
    m = Chain()
    x, y = m.tensor("x", (1, 4), "INT32"), m.tensor("y", (1, 4), "INT32")
    m.op("FLOOR_DIV", [x, x], y, "FloorDivOptions")
    with pytest.raises(UnsupportedOperator, match="only a run knows"):
        import_tflite(m.build([x], [y]))


@pytest.mark.parametrize(("name", "operands", "options"), [
    ("FILL", [[100000, 100000], 1], "FillOptions"), ("RANGE", [0, 2**31 - 1, 1], "RangeOptions"),
    ("TILE", [[1], [2**31 - 1]], "TileOptions"),
    ("RANGE", [0, 5, 0], "RangeOptions"), ("GATHER", [[1, 2], [7]], "GatherOptions"), ("FILL", [[-3], 1], "FillOptions"),
])  # fmt: skip
def test_hostile_numbers(name: str, operands: list[Any], options: str) -> None:
    """Huge or senseless results are refused before they are computed."""
    m = Chain()
    x, y = m.tensor("x", (1, 4), INT8, 0.1), m.tensor("y", (1, 4), INT8, 0.1)
    m.known(name, [np.array(o, np.int32) for o in operands], (2,), options)
    m.op("RELU", [x], y)
    with pytest.raises(ModelError):
        import_tflite(m.build([x], [y]))


def test_a_result_is_written_once() -> None:
    m, y = shape_chain(1)
    m.operators.insert(1, m.operators[0])
    with pytest.raises(ModelError, match="already has a value"):
        import_tflite(m.build([0], [y]))


def test_the_budget_is_of_the_whole_file() -> None:
    m = Chain()
    x, y = m.tensor("x", (1, 4), INT8, 0.1), m.tensor("y", (1, 4), INT8, 0.1)
    for _ in range(600):
        m.known("FILL", [m.i(4000), np.int32(1)], (4000,), "FillOptions")
    m.op("RELU", [x], y)
    with pytest.raises(ModelError, match="computes more from constants"):
        import_tflite(m.build([x], [y]))

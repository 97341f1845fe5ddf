"""read_variable and assign_variable: program order, views, first content, reset, training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kilograd as kg
from kilograd.errors import GraphError, ModelError, UnsupportedOperator
from kilograd.frontends import import_tflite
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Phase, Tensor
from kilograd.ops.base import RunState, evaluate, infer_outputs, operator
from kilograd.plan.kgp import parse
from kilograd.train.autodiff import training_graph
from kilograd.train.scheme import parse_scheme
from tests.emit.emitted import need
from tests.ops import cases
from tests.reference import require_interpreter
from tests.streaming import check_emitted, check_stream
from tests.tflite_builder import INT8, ModelBuilder

QUANT = {"scale": 0.05, "zero": 3}
SHAPE = (1, 6)
FIRST = np.array([[1, -2, 3, -4, 5, 100]], np.int8)


def first_content(content: Array | None = FIRST, name: str = "memory") -> ModelBuilder:
    """The sub-graph that initializes the variable."""
    sub = ModelBuilder()
    handle = sub.tensor("handle", (), "RESOURCE")
    sub.op("VAR_HANDLE", [], handle, "VarHandleOptions", SharedName=name)
    value = sub.tensor("value", SHAPE, INT8, 0.05, 3, content)
    sub.op("ASSIGN_VARIABLE", [handle, value], [], "AssignVariableOptions")
    return sub


def accumulator(order: str = "read add assign", sub: ModelBuilder | None = None) -> bytes:
    """y = x + memory; memory = y; with the layers fully connected behind: in the order that `order` says."""
    m, rng = ModelBuilder(), np.random.default_rng(0)
    x, old, y = (m.tensor(n, SHAPE, INT8, **QUANT) for n in ("x", "old", "y"))
    again, out = m.tensor("again", SHAPE, INT8, **QUANT), m.tensor("out", (1, 4), INT8, 0.1, -5)
    handle = m.tensor("handle", (), "RESOURCE")
    m.op("CALL_ONCE", [], [], "CallOnceOptions", InitSubgraphIndex=1)
    m.op("VAR_HANDLE", [], handle, "VarHandleOptions", SharedName="memory")
    last = y
    for what in order.split():
        if what == "read":
            m.op("READ_VARIABLE", [handle], old, "ReadVariableOptions")
        elif what == "again":
            m.op("READ_VARIABLE", [handle], again, "ReadVariableOptions")
            last = again
        elif what == "assign_x":
            m.op("ASSIGN_VARIABLE", [handle, x], [], "AssignVariableOptions")
        elif what == "assign":
            m.op("ASSIGN_VARIABLE", [handle, y], [], "AssignVariableOptions")
        else:
            m.op("ADD", [x, old], y, "AddOptions")
    w = m.constant("w", rng.integers(-127, 128, (4, 6), dtype=np.int8), 0.01)
    b = m.constant("b", rng.integers(-99, 99, 4).astype(np.int32), 0.0005)
    m.op("FULLY_CONNECTED", [last, w, b], out, "FullyConnectedOptions")
    return m.build([x], [out], more=[first_content() if sub is None else sub])


def samples(count: int, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.integers(-20, 26, SHAPE).astype(np.int8) for _ in range(count)]


@pytest.mark.parametrize("order", ["read add assign", "assign_x read add", "read assign_x add again", "read add assign again"])
def test_program_order(order: str, tmp_path: Path) -> None:
    require_interpreter()
    need("gcc")
    data = accumulator(order)
    graph, inputs = import_tflite(data), samples(9)
    assert check_stream(data, graph, inputs) >= 9 * 3
    check_emitted(graph, inputs, tmp_path)


@pytest.mark.parametrize(("order", "copies"), [("read add assign", 0), ("read assign_x add", 1), ("read add assign again", 0)])
def test_read_is_a_view_where_nothing_changes_first(order: str, copies: int) -> None:
    graph = import_tflite(accumulator(order))
    plan = kg.compile(graph, optimize=False)
    assert sum(call.op == "read_variable" for call in plan.calls) == copies
    assert plan.variables == ["memory"] and parse(plan.to_bytes()).variables == ["memory"]
    assert plan.tensors["old"].kind is (Kind.ARENA if copies else Kind.STATE)


def test_a_view_of_an_output_is_a_copy() -> None:
    graph = import_tflite(accumulator())
    graph.outputs.append("old")
    assert not operator("read_variable").view(graph, next(n for n in graph.nodes if n.op == "read_variable"))


def test_reset_begins_anew_and_keeps_what_was_learned() -> None:
    simulator = kg.Simulator(kg.compile(import_tflite(accumulator()), train="head"))
    x = samples(5)
    simulator.train(np.concatenate(x), np.array([0, 1, 2, 3, 0]))
    weights = simulator.read("w")
    assert not np.array_equal(simulator.read("memory"), FIRST)
    simulator.reset_variables()
    np.testing.assert_array_equal(simulator.read("memory"), FIRST)
    np.testing.assert_array_equal(simulator.read("w"), weights)
    simulator.infer(x[0])
    simulator.reset()
    np.testing.assert_array_equal(simulator.read("memory"), FIRST)


@pytest.mark.parametrize("order", ["read add assign", "assign_x read add", "read assign_x add"])
def test_a_training_step_moves_variables_as_infer_does(order: str) -> None:
    """The training program equals its NumPy evaluation, and variables do not depend on whether samples are inferred or learned from."""
    graph = import_tflite(accumulator(order))
    plan = kg.compile(graph, train="full")
    trained = training_graph(graph, parse_scheme("full", graph))
    learner, looker, state = kg.Simulator(plan), kg.Simulator(kg.compile(graph)), RunState({})
    for i, x in enumerate(samples(6)):
        learner.train_step(x, i % 4)
        looker.infer(x)
        evaluate(trained, {"x": x, "label": np.array([i % 4], np.int32)}, state)
        np.testing.assert_array_equal(learner.read("memory"), looker.read("memory"))
        for name in ("memory", "w", "b"):
            np.testing.assert_array_equal(learner.read(name), state.tensors[name], err_msg=name)


def test_the_gradient_stops_at_a_read() -> None:
    """A layer in front of an assignment learns through this call only; what later calls read is constant to them."""
    m, rng = ModelBuilder(), np.random.default_rng(0)
    x, h = m.tensor("x", SHAPE, INT8, **QUANT), m.tensor("h", SHAPE, INT8, **QUANT)
    old, y, out = m.tensor("old", SHAPE, INT8, **QUANT), m.tensor("y", SHAPE, INT8, **QUANT), m.tensor("out", (1, 4), INT8, 0.1, -5)
    handle = m.tensor("handle", (), "RESOURCE")
    m.op("CALL_ONCE", [], [], "CallOnceOptions", InitSubgraphIndex=1)
    m.op("VAR_HANDLE", [], handle, "VarHandleOptions", SharedName="memory")
    layers: list[tuple[Any, ...]] = [("w0", x, h, 6), ("w1", y, out, 4)]
    for name, source, target, n in layers:
        if name == "w1":
            m.op("ASSIGN_VARIABLE", [handle, h], [], "AssignVariableOptions")
            m.op("READ_VARIABLE", [handle], old, "ReadVariableOptions")
            m.op("ADD", [h, old], y, "AddOptions")
        w = m.constant(name, rng.integers(-127, 128, (n, 6), dtype=np.int8), 0.01)
        m.op("FULLY_CONNECTED", [source, w, -1], target, "FullyConnectedOptions")
    graph = import_tflite(m.build([x], [out], more=[first_content()]))
    trained = training_graph(graph, parse_scheme("full", graph))
    phases = {n.op: n.phase for n in trained.nodes if n.op in ("read_variable", "assign_variable")}
    assert set(phases.values()) == {Phase.FORWARD}  # they stay behind the layer that learns
    assert "d/old" not in trained.tensors and any(n.startswith("d/h") for n in trained.tensors)
    simulator, state = kg.Simulator(kg.compile(graph, train="full")), RunState({})
    for i, sample in enumerate(samples(4)):
        simulator.train_step(sample, i)
        evaluate(trained, {"x": sample, "label": np.array([i], np.int32)}, state)
        np.testing.assert_array_equal(simulator.read("w0"), state.tensors["w0"])


def variable_graph(**changes: Any) -> tuple[Graph, Node, Node]:
    graph = Graph("test")
    for name, kind in (("v", Kind.STATE), ("x", Kind.ARENA), ("y", Kind.ARENA)):
        data = np.arange(6, dtype=np.int8).reshape(SHAPE) if kind is Kind.STATE else None
        graph.add(Tensor(name, SHAPE, DType.INT8, kind, cases.QUANT, data))
    for name, change in changes.items():
        graph.set(name, **change)
    read, assign = Node("read_variable", ["v"], ["y"], name="read"), Node("assign_variable", ["x"], [], name="assign", mutates=("v",))
    return graph, read, assign


def test_assign_in_c() -> None:
    graph, read, assign = variable_graph()
    value = cases.random_int8(3, SHAPE)
    np.testing.assert_array_equal(cases.same(graph, assign, {"x": value})["v"], value)
    graph.nodes = [read, assign]
    graph.outputs = ["y"]
    np.testing.assert_array_equal(cases.same(graph, read, {})["y"], np.arange(6).reshape(SHAPE))
    assert operator("read_variable").real(graph, read, [value])[0] is not value


@pytest.mark.parametrize(
    "changes",
    [{"x": {"shape": (6,)}}, {"x": {"dtype": DType.INT16}}, {"x": {"quant": None}}, {"v": {"kind": Kind.CONST}}, {"y": {"quant": None}}],
)
def test_misfits(changes: dict[str, Any]) -> None:
    graph, read, assign = variable_graph(**changes)
    with pytest.raises(GraphError, match="differ|must"):
        for node in (read, assign):
            infer_outputs(graph, node)


def test_broken_files() -> None:
    with pytest.raises(UnsupportedOperator, match="assign constants"):
        import_tflite(accumulator(sub=first_content(None)))
    with pytest.raises(ModelError, match="nothing has been assigned"):
        import_tflite(accumulator(sub=first_content(name="other")))
    m = ModelBuilder()
    x, y = m.tensor("x", SHAPE, INT8, **QUANT), m.tensor("y", SHAPE, INT8, **QUANT)
    m.op("READ_VARIABLE", [x], y, "ReadVariableOptions")
    with pytest.raises(ModelError, match="no handle"):
        import_tflite(m.build([x], [y]))
    m = ModelBuilder()
    x, y = m.tensor("x", SHAPE, INT8, **QUANT), m.tensor("y", SHAPE, INT8, **QUANT)
    m.op("CALL_ONCE", [], [], "CallOnceOptions", InitSubgraphIndex=7)
    m.op("RELU", [x], y)
    with pytest.raises(ModelError, match="sub-graph 7"):
        import_tflite(m.build([x], [y]))

"""svdf: bits of LiteRT over many calls, the older int8 state, gradients within the window, learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kilograd as kg
from kilograd.errors import GraphError, ModelError, NoBackwardRule, SchemeError, UnsupportedOperator
from kilograd.frontends import import_tflite
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams
from kilograd.ops import operator
from kilograd.ops.base import RunState, evaluate
from kilograd.train.autodiff import training_graph
from kilograd.train.config import TrainConfig
from kilograd.train.scheme import Scheme
from tests.emit.emitted import need
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.nodes import Bench, activation_quant
from tests.reference import require_interpreter
from tests.streaming import check_emitted, check_stream, numpy_stream, reference_stream, simulated_stream
from tests.tflite_builder import FLOAT32, INT8, RELU, ModelBuilder


def model(
    sizes: tuple[int, int, int, int, int] = (1, 6, 3, 2, 4), seed: int = 0, kind: str = "INT16", bias: bool = True, y_zero: int = -128,
    y_scale: float = 0.05, memory_scale: float = 0.001, activation: int = RELU, extreme: bool = False,
) -> bytes:  # fmt: skip
    """One SVDF: (batch, features, units, rank, memory)."""
    batch, features, units, rank, memory = sizes
    m, rng, filters = ModelBuilder(), np.random.default_rng(seed), units * rank
    top = {"INT16": 32767, "INT8": 127}[kind]

    def draw(low: int, high: int, shape: Any, dtype: Any) -> Array:
        return (rng.choice([low, high], shape) if extreme else rng.integers(low, high + 1, shape)).astype(dtype)

    x = m.tensor("x", (batch, features), INT8, 0.04, -7)
    feature = m.constant("feature", draw(-127, 127, (filters, features), np.int8), 0.01)
    time = m.constant("time", draw(-top, top, (filters, memory), {"INT16": np.int16, "INT8": np.int8}[kind]), 2.0 / top)
    b = m.constant("bias", draw(-4000, 4000, units, np.int32), memory_scale * 2.0 / top) if bias else -1
    state = m.tensor("memory", (batch, filters * memory), kind, memory_scale, 0 if kind == "INT16" else -9, variable=True)
    y = m.tensor("y", (batch, units), INT8, y_scale, y_zero)
    m.op("SVDF", [x, feature, time, b, state], y, "SVDFOptions", Rank=rank, FusedActivationFunction=activation)
    return m.build([x], [y])


def samples(graph: Graph, count: int, seed: int = 0) -> list[Array]:
    t, rng = graph[graph.inputs[0]], np.random.default_rng(seed)
    if t.dtype is DType.FLOAT32:
        return [rng.normal(0, 1, t.shape).astype(np.float32) for _ in range(count)]
    return [rng.integers(-128, 128, t.shape).astype(np.int8) for _ in range(count)]


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.integers(1, 6)), st.integers(0, 999),
    st.booleans(), st.floats(1e-4, 0.05), st.floats(0.01, 0.5), st.booleans(),
)  # fmt: skip
def test_bits_of_litert(sizes: Any, seed: int, bias: bool, memory_scale: float, y_scale: float, extreme: bool) -> None:
    require_interpreter()
    data = model(sizes, seed, bias=bias, memory_scale=memory_scale, y_scale=y_scale, extreme=extreme)
    graph = import_tflite(data)
    assert check_stream(data, graph, samples(graph, 8, seed)) == 8


def test_emitted(tmp_path: Path) -> None:
    need("gcc")
    graph = import_tflite(model())
    check_emitted(graph, samples(graph, 12), tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_older_form_with_an_int8_state(seed: int) -> None:
    """LiteRT has no such kernel: C equals NumPy, and both stay within rounding of the real layer."""
    graph = import_tflite(model((2, 6, 3, 2, 4), seed, "INT8", y_zero=3, y_scale=1.5, memory_scale=0.4, activation=0))
    assert graph["memory"].data is not None and (graph["memory"].data == -9).all()  # real zero
    inputs = samples(graph, 10, seed)
    node, q = graph.nodes[0], graph["memory"].q
    feature, time = (np.asarray(graph[t].data, np.float64) * graph[t].q.s for t in (node.inputs[1], node.inputs[4]))
    bias = np.asarray(graph[node.inputs[2]].data) * q.s * graph["time"].q.s
    memory = np.zeros((2, 24))
    for x, a, b in zip(inputs, numpy_stream(graph, inputs), simulated_stream(graph, inputs), strict=True):
        np.testing.assert_array_equal(a["y"], b["y"])
        real = (x.astype(np.float64) - graph["x"].q.z) * graph["x"].q.s
        y, window = operator("svdf")._real_step(node, [real, feature, bias, None, time, memory])  # type: ignore[attr-defined]
        memory = window.reshape(2, 24)
        assert np.abs((a["y"] - 3.0) * 1.5 - np.clip(y, -131 * 1.5, 124 * 1.5)).max() < 0.5 * 1.5 + 0.5 * q.s * 2 * 8
    with pytest.raises(NoBackwardRule, match="int8 state"):
        training_graph(graph, Scheme(weights={0: 1.0}), TrainConfig(loss="mean_squared_error"))


def test_masks_and_every_operand_in_c() -> None:
    b = Bench(1)
    b.int8("x", (2, 5), quant=activation_quant())
    b.weights("feature", (6, 5), 0, False)
    b.tensor("time", b.rng.integers(-32767, 32768, (6, 4)).astype(np.int16), DType.INT16, Kind.CONST, QuantParams.per_tensor(1e-4))
    b.tensor("memory", b.rng.integers(-32768, 32768, (2, 24)).astype(np.int16), DType.INT16, Kind.STATE, QuantParams.per_tensor(1e-3))
    outputs = [b.output("y", (2, 3), 1.0), b.mask("m", (2, 3))]
    attrs = {"rank": 2, "activation": "relu"}
    node = b.node("svdf", ["x", "feature", b.bias("b", 3), "", "time", "memory"], outputs, attrs, ("memory",))
    results = cases.same(b.graph, node, b.values)
    mask = np.unpackbits(results["m"], count=6, bitorder="little").astype(bool)
    assert mask.any() and not mask.all()


def float_model(seed: int) -> bytes:
    m, rng = ModelBuilder(), np.random.default_rng(seed)
    x = m.tensor("x", (2, 5), FLOAT32)
    feature, time, bias = (m.constant(n, rng.normal(0, 1, s).astype(np.float32)) for n, s in (("f", (6, 5)), ("t", (6, 4)), ("b", (3,))))
    state, y = m.tensor("memory", (2, 24), FLOAT32, variable=True), m.tensor("y", (2, 3), FLOAT32)
    m.op("SVDF", [x, feature, time, bias, state], y, "SVDFOptions", Rank=2, FusedActivationFunction=RELU)
    return m.build([x], [y])


def test_float_form() -> None:
    require_interpreter()
    data = float_model(3)
    graph = import_tflite(data)
    inputs = samples(graph, 9)
    for want, got in zip(reference_stream(data, graph, inputs), numpy_stream(graph, inputs), strict=True):
        np.testing.assert_allclose(got["y"], want["y"], atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_gradients(seed: int) -> None:
    """All steps and the error of x against finite differences; the memory that the call found is a constant."""
    b = Bench(seed)
    quant = QuantParams.per_tensor(0.002)
    b.int8("x", (2, 5), quant=activation_quant())
    b.weights("feature", (6, 5), 0, False, kind=Kind.STATE)
    b.tensor("time", b.rng.integers(-9000, 9001, (6, 4)).astype(np.int16), DType.INT16, Kind.STATE, QuantParams.per_tensor(1e-4))
    before = b.rng.integers(-300, 301, (2, 24)).astype(np.int16)
    b.tensor("memory", before, DType.INT16, Kind.STATE, quant)
    b.bias("bias", 3, 500, kind=Kind.STATE)
    b.output("y", (2, 3), 0.5)
    inputs = ["x", "feature", "bias", "", "time", "memory"]
    node = b.node("svdf", inputs, ["y"], {"rank": 2, "activation": "none"}, ("memory",))
    b.graph.set("bias", quant=None)
    op, unit, old = operator("svdf"), quant.s * 1e-4, before * quant.s
    state = RunState(dict(b.values))
    op.reference(b.graph, node, [b.values[t] if t else None for t in inputs], state)
    b.values["memory"] = state.tensors["memory"]  # the backward pass runs after the call

    def forward(r: dict[str, Array]) -> Array:
        return op.real(b.graph, node, [r["x"], r["feature"], r["bias"], None, r["time"], old])[0]

    check_gradients(b.graph, node, b.values, forward, ["x"], real={"bias": b.values["bias"] * unit}, seed=seed)


@pytest.mark.parametrize("config", [TrainConfig(learning_rate=0.2), TrainConfig(learning_rate=0.2, accumulate=2, bias="int16")])
@pytest.mark.parametrize("order", ["exact", "early"])
def test_learning_in_c_and_numpy(config: TrainConfig, order: str) -> None:
    """Two layers in a row learn in the C runtime as in NumPy, every state tensor bit for bit."""
    m, rng = ModelBuilder(), np.random.default_rng(1)
    x = m.tensor("x", (1, 6), INT8, 0.04, -7)
    h = m.tensor("h", (1, 5), INT8, 0.05, -128)
    out = m.tensor("out", (1, 4), INT8, 0.1, 0)
    for i, (source, target, n, features) in enumerate(((x, h, 5, 6), (h, out, 4, 5))):
        feature = m.constant(f"feature{i}", rng.integers(-127, 128, (n * 2, features), dtype=np.int8), 0.01)
        time = m.constant(f"time{i}", rng.integers(-9000, 9001, (n * 2, 3)).astype(np.int16), 1e-4)
        bias = m.constant(f"bias{i}", rng.integers(-99, 99, n).astype(np.int32), 2e-7)
        state = m.tensor(f"memory{i}", (1, n * 6), "INT16", 0.002, 0, variable=True)
        m.op("SVDF", [source, feature, time, bias, state], target, "SVDFOptions", Rank=2, FusedActivationFunction=RELU * (i == 0))
    graph = import_tflite(m.build([x], [out]))
    config = TrainConfig(**{**config.__dict__, "exponent_start": -14, "update_order": order})
    trained, state_ = training_graph(graph, Scheme(everything=True), config), RunState({})
    simulator = kg.Simulator(kg.compile(graph, train=Scheme(everything=True), config=config))
    assert simulator.plan.variables == ["memory0", "memory1"]
    first = {t.name: np.array(t.data) for t in trained.state()}
    for i, sample in enumerate(samples(graph, 8)):
        simulator.train_step(sample, i % 4)
        evaluate(trained, {"x": sample, "label": np.array([i % 4], np.int32)}, state_)
        for t in trained.state():
            np.testing.assert_array_equal(simulator.read(t.name), state_.tensors[t.name], err_msg=f"{t.name} after step {i}")
    moved = [n for n in ("feature0", "time0", "feature1", "time1") if not np.array_equal(first[n], state_.tensors[n])]
    assert moved == ["feature0", "time0", "feature1", "time1"]


def test_it_learns_to_look_back() -> None:
    """The class is the sign that the stream had two calls ago: the time weights must find it in the memory. One stream, no reset."""
    m, rng = ModelBuilder(), np.random.default_rng(0)
    x, h, out = m.tensor("x", (1, 2), INT8, 0.02, 0), m.tensor("h", (1, 8), INT8, 0.05, 0), m.tensor("out", (1, 2), INT8, 0.05, 0)
    feature = m.constant("feature", rng.integers(-127, 128, (8, 2), dtype=np.int8), 0.01)
    time = m.constant("time", rng.integers(-900, 901, (8, 4)).astype(np.int16), 1e-4)
    bias, state = m.constant("bias0", np.zeros(8, np.int32), 1e-7), m.tensor("memory", (1, 32), "INT16", 0.001, variable=True)
    m.op("SVDF", [x, feature, time, bias, state], h, "SVDFOptions", Rank=1, FusedActivationFunction=0)
    w = m.constant("w", rng.integers(-20, 21, (2, 8), dtype=np.int8), 0.01)
    m.op("FULLY_CONNECTED", [h, w, m.constant("bias1", np.zeros(2, np.int32), 5e-4)], out, "FullyConnectedOptions")
    graph = import_tflite(m.build([x], [out]))
    config = TrainConfig(learning_rate=0.05, exponent_start=-14)
    simulator = kg.Simulator(kg.compile(graph, train=Scheme(everything=True), config=config))
    stream = rng.integers(-100, 101, (4000, 2)).astype(np.int8)
    label = np.concatenate([[0, 0], (stream[:-2, 0] > 0).astype(np.int64)])
    before = simulator.evaluate(stream[-500:], label[-500:])
    simulator.reset_variables()
    simulator.train(stream[:3500], label[:3500])
    assert before < 0.7 and simulator.evaluate(stream[3500:], label[3500:]) > 0.9


def test_a_part_of_the_weights_cannot_learn() -> None:
    with pytest.raises(SchemeError, match="as a whole"):
        training_graph(import_tflite(model()), Scheme(head=False, weights={0: 0.5}), TrainConfig(loss="mean_squared_error"))


def test_refusals() -> None:
    with pytest.raises(UnsupportedOperator, match="does not apply it"):
        import_tflite(model(y_zero=5))
    with pytest.raises(ModelError, match="rank 0"):
        import_tflite(_rank_zero())
    graph = import_tflite(model())
    node = graph.nodes[0]
    for change in ({"feature": {"dtype": DType.INT16}}, {"time": {"dtype": DType.INT32}}, {"memory": {"kind": Kind.CONST}}):
        broken = graph.copy()
        for name, fields in change.items():
            broken.set(name, **fields)
        with pytest.raises(GraphError):
            operator("svdf").infer(broken, node)
    other = Node("svdf", node.inputs, node.outputs, {**node.attrs, "rank": 4}, "n", mutates=node.mutates)
    with pytest.raises(GraphError, match="do not fit"):
        operator("svdf").infer(graph, other)


def _rank_zero() -> bytes:
    m = ModelBuilder()
    x, w = m.tensor("x", (1, 2), INT8, 0.1), m.constant("w", np.ones((2, 2), np.int8), 0.1)
    t, state = m.constant("t", np.ones((2, 2), np.int16), 0.1), m.tensor("s", (1, 4), "INT16", 0.1, variable=True)
    y = m.tensor("y", (1, 2), INT8, 0.1, -128)
    m.op("SVDF", [x, w, t, -1, state], y, "SVDFOptions", Rank=0, FusedActivationFunction=RELU)
    return m.build([x], [y])

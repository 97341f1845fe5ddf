"""lstm: bits of LiteRT from call to call, float form, back-propagation through time, learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kilograd as kg
from kilograd.errors import GraphError, ModelError, SchemeError, UnsupportedOperator
from kilograd.frontends import import_tflite
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Tensor
from kilograd.ops import operator
from kilograd.ops.base import RunState, evaluate
from kilograd.ops.sigmoid16 import sigmoid16, tanh16
from kilograd.train.autodiff import training_graph
from kilograd.train.config import TrainConfig
from kilograd.train.scheme import Scheme
from tests.emit.emitted import need
from tests.ops import cases
from tests.ops.finite_difference import check_gradients
from tests.ops.nodes import Bench, activation_quant
from tests.reference import require_interpreter
from tests.shared_data import require
from tests.streaming import check_emitted, check_stream, numpy_stream, reference_stream
from tests.tflite_builder import FLOAT32, INT8, ModelBuilder

TANH = 4
Sizes = tuple[int, int, int, int]  # batch, steps, features, units


def model(
    sizes: Sizes = (1, 5, 4, 3), seed: int = 0, time_major: bool = False, cell: int = -12, hidden: tuple[float, int] = (1 / 127, 0),
    weight_scale: float = 0.01, clip: float = 10.0, real: bool = False, spread: int = 127, given: dict[int, int] | None = None,
    dense: int = 0, **options: Any,
) -> bytes:  # fmt: skip
    """One LSTM, with a dense layer behind it when `dense` is not 0. `given` puts constants where optional operands are."""
    (batch, steps, features, units), m, rng = sizes, ModelBuilder(), np.random.default_rng(seed)
    first = (steps, batch) if time_major else (batch, steps)
    x = m.tensor("x", (*first, features), FLOAT32 if real else INT8, None if real else 0.02, 5)
    scales = weight_scale * rng.uniform(0.5, 2, 8)

    def matrix(name: str, columns: int, k: int) -> int:
        if real:
            return m.constant(name, rng.normal(0, 0.5, (units, columns)).astype(np.float32))
        return m.constant(name, rng.integers(-spread, spread + 1, (units, columns), dtype=np.int8), scales[k])

    inputs = [x, *(matrix(f"w{k}", features, k) for k in range(4)), *(matrix(f"r{k}", units, 4 + k) for k in range(4)), -1, -1, -1]
    for k in range(4):
        b = rng.normal(0, 0.5, units).astype(np.float32) if real else rng.integers(-9000, 9001, units).astype(np.int32)
        inputs.append(m.constant(f"b{k}", b, None if real else 0.02 * scales[k]))
    inputs += [-1, -1]
    inputs.append(m.tensor("hidden", (batch, units), FLOAT32 if real else INT8, None if real else hidden[0], hidden[1], variable=True))
    inputs.append(m.tensor("cell", (batch, units), FLOAT32 if real else "INT16", None if real else 2.0**cell, 0, variable=True))
    inputs += [-1] * 4
    for i, t in (given or {}).items():
        inputs[i] = t if t < 0 else m.constant(f"extra{i}", np.ones(units, np.int16), 0.1)
    y = m.tensor("y", (*first, units), FLOAT32 if real else INT8, None if real else hidden[0], hidden[1])
    inside = [] if real else [m.tensor(f"i{k}", (0,), FLOAT32) for k in range(4)] + [m.tensor("i4", (0,), INT8, *hidden)]
    values = {"FusedActivationFunction": TANH, "CellClip": clip, "TimeMajor": time_major, "intermediates": inside, **options}
    m.op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, y, "UnidirectionalSequenceLSTMOptions", **values)
    if not dense:
        return m.build([x], [y])
    flat, out = m.tensor("flat", (batch, steps * units), INT8, *hidden), m.tensor("out", (batch, dense), INT8, 0.05, 0)
    m.op("RESHAPE", [y, m.constant("to", np.array([batch, steps * units], np.int32))], flat, "ReshapeOptions")
    w = m.constant("head", rng.integers(-127, 128, (dense, steps * units), dtype=np.int8), 0.01)
    m.op("FULLY_CONNECTED", [flat, w, m.constant("bias", np.zeros(dense, np.int32), 0.01 * hidden[0])], out, "FullyConnectedOptions")
    return m.build([x], [out])


def samples(graph: Graph, count: int, seed: int = 0) -> list[Array]:
    t, rng = graph[graph.inputs[0]], np.random.default_rng(seed)
    if t.dtype is DType.FLOAT32:
        return [rng.normal(0, 1, t.shape).astype(np.float32) for _ in range(count)]
    return [rng.integers(-128, 128, t.shape).astype(np.int8) for _ in range(count)]


SIZES = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6), st.integers(1, 5))


@settings(max_examples=40, deadline=None)
@given(SIZES, st.integers(0, 999), st.booleans(), st.integers(-15, -9), st.floats(0.001, 0.2), st.sampled_from([0.0, 0.3, 10.0]))
def test_bits_of_litert(sizes: Sizes, seed: int, time_major: bool, cell: int, scale: float, clip: float) -> None:
    require_interpreter()
    data = model(sizes, seed, time_major, cell, weight_scale=scale, clip=clip)
    graph = import_tflite(data)
    assert check_stream(data, graph, samples(graph, 5, seed)) == 5


@pytest.mark.parametrize("zero", [-128, -20, 31, 127])
def test_hidden_state_with_a_zero_point(zero: int) -> None:
    require_interpreter()
    data = model((2, 4, 3, 5), hidden=(1 / 150, zero))
    graph = import_tflite(data)
    check_stream(data, graph, samples(graph, 6))


def test_sigmoid_and_tanh_of_all_numbers() -> None:
    """Every int16 through one unit whose gates see it alone: NumPy here, C by the streams above."""
    a = np.arange(-32768, 32768)
    assert np.abs(sigmoid16(a) / 32768 - 1 / (1 + np.exp(-a / 4096))).max() < 4e-4
    for k in range(7):
        assert np.abs(tanh16(a, k) / 32768 - np.tanh(a * 2.0 ** (k - 15))).max() < 4e-4


def test_emitted(tmp_path: Path) -> None:
    need("gcc")
    graph = import_tflite(model())
    check_emitted(graph, samples(graph, 7), tmp_path)


@pytest.mark.parametrize("time_major", [False, True])
def test_float_form(time_major: bool) -> None:
    require_interpreter()
    data = model((2, 4, 3, 5), time_major=time_major, real=True, clip=0.7)
    graph = import_tflite(data)
    inputs = samples(graph, 5)
    for want, got in zip(reference_stream(data, graph, inputs), numpy_stream(graph, inputs), strict=True):
        np.testing.assert_allclose(got["y"], want["y"], atol=1e-5)


def test_trained_models(tmp_path: Path) -> None:
    """The int8 model bit for bit in NumPy, C and emitted C; the float one within 1e-5; both agree on most classes."""
    require_interpreter()
    data = require("models/tflite_micro/trained_lstm_int8.tflite").read_bytes()
    graph = import_tflite(data)
    inputs = samples(graph, 6)
    assert check_stream(data, graph, inputs) == 6 * 4
    need("gcc")
    check_emitted(graph, inputs, tmp_path)
    data = require("models/tflite_micro/trained_lstm.tflite").read_bytes()
    graph = import_tflite(data)
    real = [((x.astype(np.float32) + 128) / 255).astype(np.float32) for x in inputs]
    for want, got in zip(reference_stream(data, graph, real), numpy_stream(graph, real), strict=True):
        for name in (n.outputs[0] for n in graph.nodes):
            np.testing.assert_allclose(got[name], want[name], atol=1e-5, rtol=1e-6, err_msg=name)


def bench(sizes: Sizes, time_major: bool, seed: int, learns: bool, spread: int = 127) -> tuple[Bench, Node]:
    """An LSTM node with what it saves for the backward pass."""
    batch, steps, features, units = sizes
    b = Bench(seed)
    first = (steps, batch) if time_major else (batch, steps)
    b.int8("x", (*first, features), quant=activation_quant(0.01))
    kind = Kind.STATE if learns else Kind.CONST
    for name, columns in (("w", features), ("r", units)):
        scale = np.repeat(b.rng.uniform(0.004, 0.01, 4), units).astype(np.float32)
        data = b.rng.integers(-spread, spread + 1, (4 * units, columns)).astype(np.int8)
        b.tensor(name, data, DType.INT8, kind, QuantParams(scale, np.zeros(4 * units, np.int32), 0))
    b.bias("b", 4 * units, 5000, kind=kind)
    hidden = QuantParams.per_tensor(1 / 127)
    b.tensor("h", b.rng.integers(-90, 91, (batch, units)).astype(np.int8), DType.INT8, Kind.STATE, hidden)
    b.tensor("c", b.rng.integers(-6000, 6001, (batch, units)).astype(np.int16), DType.INT16, Kind.STATE, QuantParams.per_tensor(2.0**-12))
    b.graph.add(Tensor("y", (*first, units), DType.INT8, quant=hidden))
    b.graph.add(Tensor("gates", (*first, 6 * units), DType.INT16))
    b.graph.add(Tensor("before", (*first, units), DType.INT8, quant=hidden))
    attrs = {"time_major": time_major, "cell_clip": 10.0}
    return b, b.node("lstm", ["x", "w", "b", "", "r", "h", "c"], ["y", "gates", "before"], attrs, ("h", "c"))


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_back_propagation_through_time(seed: int, time_major: bool) -> None:
    """Error of x and the steps of all weights and biases over a sequence, against finite differences of the whole sequence."""
    b, node = bench((2, 5, 4, 3), time_major, seed, learns=True)
    graph, op, state = b.graph, operator("lstm"), RunState(dict(b.values))
    results = op.reference(graph, node, [b.values[t] if t else None for t in node.inputs], state)
    values = {**b.values, **dict(zip(node.outputs, results, strict=True))}
    found = {"h": b.values["h"] / 127, "c": b.values["c"] * 2.0**-12}
    rows = graph["w"].q.scale.astype(np.float64) * graph["x"].q.s

    def forward(r: dict[str, Array]) -> Array:
        return op.real(graph, node, [r["x"], r["w"], r["b"], None, r["r"], found["h"], found["c"]])[0]

    check_gradients(graph, node, values, forward, ["x"], real={"b": b.values["b"] * rows}, tolerance=0.08, seed=seed)


def test_saturating_gradients_in_c() -> None:
    """Long sequences, weights that make gradients grow, errors at their extremes: C equals NumPy."""
    for seed, time_major in ((0, False), (1, True)):
        b, node = bench((2, 30, 3, 6), time_major, seed, learns=False)
        b.graph.set("r", quant=QuantParams(np.full(24, 0.2, np.float32), np.zeros(24, np.int32), 0))
        results = cases.same(b.graph, node, b.values)
        b.train()
        b.error("gy", b.graph["y"].shape, -10)
        b.error("gz", (*b.graph["x"].shape[:2], 24), -12, given=False)
        b.values |= {k: results[k] for k in ("gates", "before")}
        b.values["gy"] = cases.random_error(seed, b.graph["y"].shape, extremes=True)
        grad = b.node("lstm_grad", ["gy", "gates", "r"], ["gz"], {"time_major": time_major, "cell_bits": 3})
        cases.same(b.graph, grad, b.values)


@pytest.mark.parametrize(
    "config", [TrainConfig(learning_rate=0.1, bias="int32"), TrainConfig(learning_rate=0.1, bias="int16", accumulate=2),
               TrainConfig(learning_rate=0.1, storage="w8f8", update_order="early")],
)  # fmt: skip
def test_learning_in_c_and_numpy(config: TrainConfig) -> None:
    """All weights of an LSTM and a dense layer learn in the C runtime as in NumPy, every state tensor bit for bit."""
    graph = import_tflite(model((1, 5, 4, 3), dense=4))
    config = TrainConfig(**{**config.__dict__, "exponent_start": -12})
    scheme = Scheme(everything=True)
    trained, state = training_graph(graph, scheme, config), RunState({})
    simulator = kg.Simulator(kg.compile(graph, train=scheme, config=config))
    assert simulator.plan.variables == ["hidden", "cell"]
    first = {t.name: np.array(t.data) for t in trained.state()}
    for i, sample in enumerate(samples(graph, 8)):
        simulator.train_step(sample, i % 4)
        evaluate(trained, {"x": sample, "label": np.array([i % 4], np.int32)}, state)
        for t in trained.state():
            np.testing.assert_array_equal(simulator.read(t.name), state.tensors[t.name], err_msg=f"{t.name} after step {i}")
    assert all(not np.array_equal(first[n], state.tensors[n]) for n in ("w0/stacked", "r0/stacked", "head"))


def test_it_learns_to_remember() -> None:
    """The class is the first element of the sequence, noise follows: only what the states carry through the steps can tell it."""
    rng = np.random.default_rng(0)
    graph = import_tflite(model((1, 8, 3, 8), seed=3, weight_scale=0.006, dense=2))
    y = rng.integers(0, 2, 300)
    x = rng.integers(-30, 41, (300, 8, 3)).astype(np.int8)
    x[:, 0, 0] = np.where(y == 1, 100, -100)
    head = np.zeros((2, 64), np.int8)
    head[:, -8:] = np.asarray(graph["head"].data)[:, -8:]  # the dense layer sees the last step alone
    graph.set("head", data=head)
    scheme = Scheme(head=False, weights={0: 1.0}, biases=(0,))
    simulator = kg.Simulator(kg.compile(graph, train=scheme, config=TrainConfig(learning_rate=0.2, exponent_start=-14)))

    def accuracy() -> float:
        right = 0
        for sample, label in zip(x[:100], y[:100], strict=True):
            simulator.reset_variables()
            right += int(simulator.infer(sample[None]).reshape(-1).argmax() == label)
        return right / 100

    before = accuracy()
    for _ in range(4):
        for sample, label in zip(x, y, strict=True):
            simulator.reset_variables()
            simulator.train_step(sample[None], int(label))
    assert before < 0.8 and accuracy() > 0.95


def test_refusals() -> None:
    for change, words in (
        ({"given": {9: 0}}, "peephole"), ({"given": {16: 0}}, "projection"), ({"given": {20: 0}}, "layer normalization"),
        ({"given": {1: -1}}, "couples"), ({"FusedActivationFunction": 1}, "activation 1"), ({"DiagonalRecurrentTensors": True}, "diagonal"),
    ):  # fmt: skip
        with pytest.raises(UnsupportedOperator, match=words):
            import_tflite(model(**change))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="cell clip"):
        import_tflite(model(clip=-1.0))
    with pytest.raises(ModelError, match="power of two"):
        import_tflite(model(cell=-3))
    with pytest.raises(ModelError, match="intermediate"):
        import_tflite(model(intermediates=[]))
    with pytest.raises(SchemeError, match="as a whole"):
        training_graph(import_tflite(model(dense=3)), Scheme(weights={0: 0.5}), TrainConfig())
    b, node = bench((1, 2, 3, 4), False, 0, learns=False)
    for name, change in (("w", {"shape": (16, 4)}), ("c", {"kind": Kind.CONST}), ("b", {"dtype": DType.INT16}), ("h", {"quant": None})):
        broken = b.graph.copy()
        broken.set(name, **change)
        with pytest.raises(GraphError):
            operator("lstm").infer(broken, node)

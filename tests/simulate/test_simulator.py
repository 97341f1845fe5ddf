"""The C runtime gives the bits of the NumPy evaluation: every tensor of a training step, wherever it is placed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import kilograd as kg
from kilograd.errors import DataError, PlanError
from kilograd.ir.graph import Array, Graph, Kind, Phase
from kilograd.ops import operator
from kilograd.ops.base import RunState, evaluate
from kilograd.plan.compile import plan_graph
from kilograd.plan.plan import Plan
from kilograd.train.autodiff import training_graph
from kilograd.train.scheme import parse_scheme
from tests.shared_data import require
from tests.train.nets import small_net

CONFIGS: list[dict[str, Any]] = [
    {},
    {"storage": "w8f8", "bias": "int16", "schedule": "cosine", "total_steps": 20, "warmup_steps": 3},
    {"accumulate": 2, "rounding": "nearest"},
    {"scaling": "pow2", "skip_threshold": 0.9, "update_order": "early"},
]


def net(train: str = "full", **config: Any) -> Graph:
    """The small network with its training step."""
    graph = small_net()
    return training_graph(graph, parse_scheme(train, graph), kg.TrainConfig(learning_rate=0.05, **config))


def samples(n: int, seed: int = 1) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.integers(-128, 128, (n, 6, 6, 3)).astype(np.int8), rng.integers(0, 4, n).astype(np.int32)


def guarded(graph: Graph, feeds: dict[str, Array], state: RunState) -> None:
    """One training step in NumPy with the guards of the regions."""
    state.tensors.update(feeds)
    for node in graph.nodes:
        train = state.tensors["train"]
        if (node.phase is Phase.BACKWARD and train[6] != 0) or (node.phase is Phase.APPLY and train[8] != 1):
            continue
        values = [state.tensors[t] if t else None for t in node.inputs]
        for name, value in zip(node.outputs, operator(node.op).reference(graph, node, values, state), strict=True):
            if name:
                state.tensors[name] = value


def initial_state(graph: Graph) -> RunState:
    return RunState({t.name: np.array(t.data) for t in graph.tensors.values() if t.data is not None})


def compare(graph: Graph, simulator: kg.Simulator, state: RunState, kinds: tuple[Kind, ...], step: int) -> None:
    for name, tensor in simulator.plan.tensors.items():
        if tensor.kind in kinds and name in state.tensors:
            got, want = simulator.read(name), state.tensors[name]
            assert got.tobytes() == np.ascontiguousarray(want).tobytes(), f"'{name}' differs at step {step}"


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("placement", ["disjoint", "auto"])
def test_training_steps_equal_numpy(config: dict[str, Any], placement: Any) -> None:
    graph = net(**config)
    simulator, state = kg.Simulator(plan_graph(graph, placement)), initial_state(graph)
    kinds = (Kind.STATE, Kind.ARENA) if placement == "disjoint" else (Kind.STATE,)
    x, y = samples(6)
    skipped = 0
    for i in range(6):
        guarded(graph, {"x": x[i : i + 1], "label": y[i : i + 1]}, state)
        result = simulator.train_step(x[i], int(y[i]))
        skipped += result.skipped
        train = state.tensors["train"]
        assert (result.loss, result.predicted) == (train[4] / 65536, train[5])
        # what a skipped backward pass or an apply step that does not run would have written is not there
        compare(graph, simulator, state, kinds if not skipped else (Kind.STATE,), i)
    if "skip_threshold" in config:
        assert skipped > 0


@pytest.mark.parametrize("placement", ["disjoint", "auto", "greedy", "exact"])
def test_inference_equals_numpy(placement: Any) -> None:
    graph = small_net()
    plan = kg.compile(graph, placement=placement, optimize=False)
    x, _ = samples(5)
    want = np.stack([evaluate(graph, {"x": x[i : i + 1]}).tensors["head"][0] for i in range(5)])
    assert np.array_equal(kg.Simulator(plan).infer(x), want)
    assert "train_step" not in plan.entries


def test_placements_give_the_same_state() -> None:
    graph = net()
    x, y = samples(8)
    found = []
    for placement in ("disjoint", "greedy", "exact"):
        simulator = kg.Simulator(plan_graph(graph, placement))
        losses = simulator.train(x, y, order=np.arange(40) % 8)
        found.append((losses.tobytes(), simulator.state()))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("train", ["head", "last:1", "bias:2", "full"])
def test_the_cache_of_the_frozen_part_changes_no_bit(train: str) -> None:
    plan = plan_graph(net(train))
    x, y = samples(10)
    order = np.random.default_rng(3).integers(0, 10, 60)
    plain, cached = kg.Simulator(plan), kg.Simulator(plan)
    a, b = plain.train(x, y, order, cache_frozen=False), cached.train(x, y, order, cache_frozen=True)
    assert np.array_equal(a, b) and plain.state() == cached.state()
    assert plain.evaluate(x, y, cache_frozen=False) == cached.evaluate(x, y, cache_frozen=True)
    assert cached.cached_samples == (len(set(order.tolist())) if plan.boundary else 0) and plain.cached_samples == 0
    assert np.array_equal(cached.infer(x, cache_frozen=True), plain.infer(x))
    assert bool(plan.boundary) == (train != "full")


def test_a_changed_sample_is_not_taken_from_the_cache() -> None:
    simulator, other = (kg.Simulator(plan_graph(net("head"))) for _ in range(2))
    x, y = samples(4)
    simulator.train(x, y)
    x[0] = -x[0] // 2
    other.train(samples(4)[0], y, cache_frozen=False)
    assert np.array_equal(simulator.train(x, y), other.train(x, y, cache_frozen=False))


def test_memory_snapshots_and_reset() -> None:
    simulator = kg.Simulator(plan_graph(net()))
    x, y = samples(6)
    first = simulator.train(x, y)
    saved = simulator.snapshot()
    second = simulator.train(x, y)
    simulator.restore(saved)
    assert np.array_equal(simulator.train(x, y), second)
    simulator.reset()
    assert simulator.state() == simulator.plan.state and np.array_equal(simulator.train(x, y), first)
    with pytest.raises(PlanError, match="another plan"):
        kg.Simulator(kg.compile(small_net(), optimize=False)).restore(saved)


def test_read_and_write_by_name() -> None:
    simulator = kg.Simulator(plan_graph(net()))
    name = next(t.name for t in simulator.plan.tensors.values() if t.kind is Kind.STATE and t.name == "head.w")
    w = simulator.read(name)
    simulator.write(name, np.zeros_like(w))
    assert not simulator.read(name).any()
    constant = next((t.name for t in simulator.plan.tensors.values() if t.kind is Kind.CONST), "")
    with pytest.raises(PlanError, match="no tensor 'nothing'"):
        simulator.read("nothing")
    with pytest.raises(DataError, match="has the shape"):
        simulator.write(name, np.zeros(3, np.int8))
    with pytest.raises(DataError, match="does not fit"):
        simulator.write(name, np.full(w.shape, 300))
    with pytest.raises(DataError, match="NaN"):
        simulator.write(name, np.full(w.shape, np.nan))
    if constant:
        with pytest.raises(PlanError, match="constant"):
            simulator.write(constant, np.zeros(simulator.plan.tensors[constant].shape))


def test_entry_points_by_hand() -> None:
    simulator = kg.Simulator(plan_graph(net("head"), "disjoint"))
    x, _ = samples(1)
    simulator.write("x", x)
    simulator.run("infer")
    assert np.array_equal(simulator.read("head"), kg.Simulator(simulator.plan).infer(x))
    with pytest.raises(PlanError, match="no entry point 'push'"):
        simulator.run("push")


def test_progress_and_interruption() -> None:
    simulator = kg.Simulator(plan_graph(net("head")))
    x, y = samples(10)
    seen: list[tuple[int, int]] = []
    simulator.train(x, y, order=np.arange(150) % 10, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(64, 150), (128, 150), (150, 150)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulator.train(x, y, order=np.arange(150) % 10, progress=stop)


def test_one_simulator_serves_one_thread_at_a_time() -> None:
    simulator = kg.Simulator(plan_graph(net("full")))
    x, y = samples(10)
    found: list[str] = []

    def watch() -> None:
        for _ in range(2000):
            try:
                simulator.read("x")
            except PlanError as e:
                found.append(str(e))
                return

    thread = threading.Thread(target=watch)
    thread.start()
    while thread.is_alive():
        simulator.train(x, y, order=np.arange(640) % 10)
    assert not found or "one simulator a thread" in found[0]


def test_simulators_run_side_by_side() -> None:
    plan = plan_graph(net("full"))
    x, y = samples(10)
    order = np.arange(400) % 10
    alone = kg.Simulator(plan).train(x, y, order)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: kg.Simulator(plan).train(x, y, order), range(2)))
    assert np.array_equal(both[0], alone) and np.array_equal(both[1], alone)


def bad(x: Any = None, y: Any = None) -> tuple[Any, Any]:
    good_x, good_y = samples(4)
    return (good_x if x is None else x), (good_y if y is None else y)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (*bad(x=np.zeros((4, 5, 6, 3), np.int8)), r"samples of shape \(6, 6, 3\)"),
        (*bad(x=np.full((4, 6, 6, 3), np.nan)), "sample 0 has NaN"),
        (*bad(x=np.zeros((0, 6, 6, 3), np.int8)), "no samples are given"),
        (*bad(x=np.zeros((4, 6, 6, 3), np.uint8)), "subtract 128"),
        (*bad(x=np.full((4, 6, 6, 3), 200)), "int8"),
        (*bad(x=np.zeros((4, 6, 6, 3), complex)), "must be numbers"),
        (*bad(y=np.array([0, 1, 2, 4])), "label 4 of sample 3 is out of range"),
        (*bad(y=np.array([0, -1, 2, 3])), "label -1 of sample 1"),
        (*bad(y=np.array([0, 1, 2])), "4 samples and 3 labels"),
        (*bad(y=np.array([0, 1, np.nan, 2])), "whole numbers"),
    ],
)
def test_bad_data_is_named(x: Any, y: Any, message: str) -> None:
    simulator = kg.Simulator(plan_graph(net("head")))
    with pytest.raises(DataError, match=message):
        simulator.train(x, y)


def test_bad_orders_and_counts() -> None:
    simulator = kg.Simulator(plan_graph(net("head")))
    x, y = samples(4)
    with pytest.raises(DataError, match="there are 4 samples"):
        simulator.train(x, y, order=[0, 4])
    with pytest.raises(DataError, match="list of sample indices"):
        simulator.train(x, y, order=[0.5])
    with pytest.raises(DataError, match="takes one sample"):
        simulator.train_step(x, y)
    with pytest.raises(DataError, match="whole-number label"):
        simulator.evaluate(x, y[:3])


def test_an_inference_plan_does_not_train() -> None:
    simulator = kg.Simulator(kg.compile(small_net(), optimize=False))
    with pytest.raises(PlanError, match="compiled for inference"):
        simulator.train(*samples(2))
    with pytest.raises(PlanError, match="compiled for inference"):
        simulator.train_step(samples(1)[0], 0)


def test_float_and_unsigned_samples() -> None:
    plan = kg.compile(small_net(), optimize=False)
    x, _ = samples(3)
    want = kg.Simulator(plan).infer(x)
    quant = plan.tensors["x"].quant
    assert quant is not None
    assert np.array_equal(kg.Simulator(plan).infer((x.astype(np.float32) - quant.z) * np.float32(quant.s)), want)
    plan.meta["uint8"] = ["x"]
    assert np.array_equal(kg.Simulator(plan).infer((x.astype(int) + 128).astype(np.uint8)), want)


def test_from_a_file(tmp_path: Any) -> None:
    plan = plan_graph(net())
    plan.save(tmp_path / "net.kgp")
    a, b = kg.Simulator(tmp_path / "net.kgp"), kg.Simulator(plan)
    x, y = samples(5)
    assert np.array_equal(a.train(x, y), b.train(x, y)) and a.state() == b.state()
    assert isinstance(a.plan, Plan)


REAL = [("kws_ref_model", "full", "cross_entropy"), ("ad01_int8", "last:3", "mean_squared_error")]


@pytest.mark.parametrize(("model", "train", "loss"), REAL)
def test_a_real_model_learns_as_in_numpy(model: str, train: str, loss: Any) -> None:
    pytest.importorskip("tflite", reason="reading .tflite needs the extra 'tflite'")
    from kilograd.frontends.simplify import simplify

    graph = simplify(kg.load(require(f"models/mlperf_tiny/{model}.tflite")))
    graph = training_graph(graph, parse_scheme(train, graph), kg.TrainConfig(loss=loss, exponent_start=-14))
    simulator, packed, state = kg.Simulator(plan_graph(graph, "disjoint")), kg.Simulator(plan_graph(graph)), initial_state(graph)
    rng = np.random.default_rng(0)
    label = simulator.plan.tensors[simulator.plan.label]
    for i in range(2):
        x = rng.integers(-128, 128, simulator.input.shape).astype(np.int8)
        y = np.array([i], np.int32) if label.shape == (1,) else rng.integers(-128, 128, label.shape).astype(np.int8)
        guarded(graph, {simulator.plan.inputs[0]: x, label.name: y}, state)
        simulator.train_step(x, y)
        packed.train_step(x, y)
        compare(graph, simulator, state, (Kind.STATE, Kind.ARENA), i)
    assert packed.state() == simulator.state() != simulator.plan.state

"""What a plan learned, written as a standard model: LiteRT gives the bits of the simulator, whatever learned and wherever it was kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kilograd as kg
from kilograd.cli.app import run
from kilograd.errors import KilogradError, ModelError, PlanError
from kilograd.exports import export
from kilograd.exports.learned import with_learned
from kilograd.exports.tflite import write_tflite
from kilograd.frontends import import_tflite
from kilograd.plan.learned import parameters, values_of
from kilograd.plan.plan import Plan
from tests.reference import Reference, require_interpreter
from tests.tflite_builder import small_cnn

SCHEMES: dict[str, tuple[Any, dict[str, Any], int | None]] = {
    "head": ("head", {}, None),
    "fresh head": ("head", {}, 3),
    "last": ("last:2", {"storage": "w8f8"}, None),
    "all, int16 deltas": ("full", {"bias": "int16"}, None),
    "parts of weights": (kg.Scheme(weights={"pointwise": 5, "depthwise": 3}, biases=2), {}, None),
    "accumulated": ("full", {"accumulate": 4}, 5),
}


def learn(name: str, steps: int = 24, unsigned: bool = False) -> tuple[Any, Plan, kg.Simulator, Any]:
    """Model, plan, a simulator that has learned, samples."""
    scheme, options, classes = SCHEMES[name]
    graph = import_tflite(small_cnn(3, unsigned))
    config = kg.TrainConfig(learning_rate=0.05, total_steps=steps, warmup_steps=0, **options)
    plan = kg.compile(graph, train=scheme, classes=classes, config=config)
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (steps, 8, 8, 3), dtype=np.int8)
    simulator = kg.Simulator(plan)
    simulator.train(x, rng.integers(0, classes or 4, steps))
    assert simulator.state() != plan.state
    return graph, plan, simulator, x


def logits(data: bytes, plan: Plan, x: Any) -> Any:
    """LiteRT's value of the tensor that the plan gives, for each sample."""
    reference, graph = Reference(data), import_tflite(data)
    return np.array([reference.run(graph, {graph.inputs[0]: s[None]})[plan.outputs[0]][0] for s in x])


@pytest.mark.parametrize("name", SCHEMES)
def test_litert_gives_the_bits_of_the_simulator(name: str) -> None:
    require_interpreter()
    graph, plan, simulator, x = learn(name)
    before = kg.Simulator(plan).infer(x)
    want = simulator.infer(x)
    assert (before != want).any()
    exported = with_learned(graph, plan, simulator)
    np.testing.assert_array_equal(logits(write_tflite(exported), plan, x), want)


def test_models_that_were_uint8_stay_so() -> None:
    require_interpreter()
    graph, plan, simulator, x = learn("all, int16 deltas", unsigned=True)
    np.testing.assert_array_equal(logits(write_tflite(with_learned(graph, plan, simulator)), plan, x), simulator.infer(x))


def test_as_onnx_too(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed (pip install 'kilograd[onnx]')")
    graph, plan, simulator, x = learn("fresh head")
    export(with_learned(graph, plan, simulator), tmp_path / "m.onnx")
    again = kg.Simulator(kg.compile(kg.load(tmp_path / "m.onnx")))
    of, to = plan.tensors[plan.inputs[0]].quant, plan.tensors[plan.outputs[0]].quant
    assert of is not None and to is not None
    real = again.infer(((x.astype(np.float32) - of.z) * np.float32(of.s)).astype(np.float32))  # a file of ONNX reads and gives real numbers
    np.testing.assert_array_equal(np.rint(real.reshape(len(x), -1) / to.s) + to.z, simulator.infer(x).reshape(len(x), -1))


def test_all_sources_hold_the_same(tmp_path: Path) -> None:
    graph, plan, simulator, _ = learn("parts of weights")
    want = values_of(plan, simulator)
    assert set(want) == set(parameters(plan)) and any(n.endswith("#live") for n in want)
    (tmp_path / "state.bin").write_bytes(simulator.state())
    np.savez(tmp_path / "learned.npz", **want)
    tuned = Plan(**{**vars(plan), "state": simulator.state()})
    tuned.save(tmp_path / "tuned.kgp")
    for source in (simulator.state(), want, tuned, *(tmp_path / f for f in ("state.bin", "learned.npz", "tuned.kgp"))):
        found = values_of(plan, source)
        assert set(found) == set(want)
        for name in want:
            np.testing.assert_array_equal(found[name], want[name])
    untouched = with_learned(graph, plan)
    assert write_tflite(untouched) == write_tflite(kg_simplified(graph))


def kg_simplified(graph: Any) -> Any:
    from kilograd.frontends.simplify import simplify

    return simplify(graph)


def test_the_command_line_writes_a_model_and_tensors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require_interpreter()
    graph, plan, simulator, x = learn("last")
    model, tuned, tensors, out = (str(tmp_path / f) for f in ("m.tflite", "tuned.kgp", "learned.npz", "learned.tflite"))
    Path(model).write_bytes(small_cnn(3))
    Plan(**{**vars(plan), "state": simulator.state()}).save(tuned)
    plan.save(tmp_path / "plan.kgp")
    assert run(["export", model, "--learned", tuned, "-o", tensors]) == 0
    assert run(["export", model, "--plan", str(tmp_path / "plan.kgp"), "--learned", tensors, "-o", out]) == 0
    np.testing.assert_array_equal(logits(Path(out).read_bytes(), plan, x), simulator.infer(x))
    capsys.readouterr()
    assert run(["export", model, "--learned", tensors, "-o", out]) != 0
    assert "--plan" in capsys.readouterr().err
    assert run(["export", model, "--learned", tuned, "-o", str(tmp_path / "m.h5")]) != 0
    assert run(["export", model, "--learned", str(tmp_path / "none.kgp"), "-o", out]) != 0


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    graph, plan, simulator, _ = learn("head")
    _, deep, learned, _ = learn("last")
    with pytest.raises(ModelError, match="of another"):
        with_learned(import_tflite(small_cnn(4)), deep, learned)
    with pytest.raises(PlanError, match="says of no layer"):
        with_learned(graph, kg.compile(graph), None)
    with pytest.raises(PlanError, match="bytes"):
        values_of(plan, b"123")
    with pytest.raises(PlanError, match="lacks"):
        values_of(plan, {})
    name = parameters(plan)[0]
    with pytest.raises(PlanError, match="another plan"):
        values_of(plan, {**values_of(plan, simulator), name: np.zeros(3, np.int8)})
    with pytest.raises(PlanError, match="other tensors"):
        values_of(plan, learn("last")[1])
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    with pytest.raises(KilogradError, match="cannot be read"):
        values_of(plan, tmp_path / "broken.npz")

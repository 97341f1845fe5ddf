"""What a plan learned goes back into the module: layouts, scales, and batch normalization that was folded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'kilograd[torch]')")
from torch import nn  # noqa: E402

import kilograd as kg  # noqa: E402
from kilograd.errors import KilogradError  # noqa: E402
from kilograd.exports.learned import with_learned  # noqa: E402
from kilograd.exports.tflite import write_tflite  # noqa: E402
from kilograd.frontends import import_tflite  # noqa: E402
from kilograd.ir.graph import Graph  # noqa: E402
from kilograd.plan.learned import parameters  # noqa: E402
from kilograd.plan.plan import Plan  # noqa: E402
from kilograd.quantize import quantize_model  # noqa: E402
from tests.frontends.torch_models import model, synthetic  # noqa: E402
from tests.reference import Reference, require_interpreter  # noqa: E402


def nhwc(x: Any) -> Any:
    return np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1))


def quantized(module: nn.Module, shape: Any, classes: int) -> Graph:
    return quantize_model(kg.from_torch(module, synthetic(shape, classes, 1)[0]), nhwc(synthetic(shape, classes, 48, 3)[0])).graph


def trained(graph: Graph, shape: Any, classes: int, scheme: Any, steps: int = 48, **options: Any) -> tuple[Plan, kg.Simulator]:
    config = kg.TrainConfig(total_steps=steps, warmup_steps=0, **options)
    plan = kg.compile(graph, train=scheme, config=config)
    simulator = kg.Simulator(plan)
    x, y = synthetic(shape, classes, steps, 4)
    losses = simulator.train(nhwc(x), y.numpy())
    assert np.isfinite(losses).all() and simulator.state() != plan.state
    return plan, simulator


def same_function(module: nn.Module, plan: Plan, simulator: kg.Simulator, shape: Any, classes: int) -> float:
    """Signal-to-noise ratio in dB of what the simulator gives against the module."""
    x = synthetic(shape, classes, 32, 5)[0]
    q = plan.tensors[plan.outputs[0]].quant
    assert q is not None
    got = (simulator.infer(nhwc(x)).reshape(32, -1).astype(np.float64) - q.z) * q.s
    with torch.no_grad():
        want = module(x).numpy().astype(np.float64)
    return float(10 * np.log10((want**2).mean() / ((got - want) ** 2).mean()))


SCHEMES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "all of a resnet": ("resnet", "full", {"learning_rate": 0.0005}),
    "head of a resnet": ("resnet", "head", {"bias": "int16", "learning_rate": 0.005}),
    "all of a ds-cnn": ("ds_cnn", "full", {"storage": "w8f8", "learning_rate": 0.0015}),
    "parts of weights": ("ds_cnn", kg.Scheme(weights={"blocks.3.1.0": 0.5, "blocks.2.0.0": 0.25}, biases=3), {"learning_rate": 0.004}),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_the_module_computes_what_the_plan_learned(name: str) -> None:
    which, scheme, options = SCHEMES[name]
    original, shape, classes = model(which)
    module = type(original)()
    module.load_state_dict(original.state_dict())
    module.eval()
    graph = quantized(module, shape, classes)
    plan, simulator = trained(graph, shape, classes, scheme, **options)
    before = same_function(module, plan, simulator, shape, classes)
    state = plan.to_torch_state(module, simulator)
    module.load_state_dict(state)
    after = same_function(module, plan, simulator, shape, classes)
    print(f"{name}: the module agrees to {before:.1f} dB before, {after:.1f} dB with what was learned")
    assert after > 18 and after > before + 3
    old = original.state_dict()
    changed = {k for k in old if not torch.equal(old[k], state[k])}
    assert changed and not [k for k in changed if "running" in k]
    if which == "ds_cnn" and scheme != "full":
        assert changed <= {k for k in old if k.split(".")[0] in ("blocks", "fc")}


def test_nothing_learned_gives_the_quantized_weights(tmp_path: Path) -> None:
    """Every weight of a ResNet, folded and unfolded, lies within a few steps of where it was: rounding, and scaled channels."""
    module, shape, classes = model("resnet")
    plan = kg.compile(quantized(module, shape, classes), train="full")
    state, old = plan.to_torch_state(module), module.state_dict()
    assert len(parameters(plan)) == 20
    plan.save(tmp_path / "p.kgp")
    again = Plan.load(tmp_path / "p.kgp").to_torch_state(module)
    assert state.keys() == again.keys() and all(torch.equal(state[k], again[k]) for k in state)
    for name in (n for n in old if n.endswith("weight") and old[n].ndim > 1):
        w = old[name].double()
        steps = w.abs().amax(dim=tuple(range(1, w.ndim)), keepdim=True) / 127
        steps = steps.max() if w.ndim == 2 else steps
        assert ((state[name].double() - w).abs() <= 3 * steps).all(), name
    for name in (n for n in old if n.endswith("bias")):
        assert (state[name] - old[name]).abs().max() < 0.3  # the quantizer corrects biases


def test_the_exported_model_and_litert_agree_with_the_simulator() -> None:
    require_interpreter()
    module, shape, classes = model("ds_cnn")
    graph = quantized(module, shape, classes)
    plan, simulator = trained(graph, shape, classes, "last:3", learning_rate=0.002)
    data = write_tflite(with_learned(graph, plan, simulator))
    reference, written = Reference(data), import_tflite(data)
    x = nhwc(synthetic(shape, classes, 8, 6)[0])
    quant = plan.tensors[plan.inputs[0]].quant
    assert quant is not None
    integers = np.clip(np.rint(x / quant.s) + quant.z, -128, 127).astype(np.int8)
    got = [reference.run(written, {written.inputs[0]: s[None]})[plan.outputs[0]][0] for s in integers]
    np.testing.assert_array_equal(np.array(got), simulator.infer(integers))


def test_what_does_not_fit_is_refused() -> None:
    module, shape, classes = model("ds_cnn")
    graph = quantized(module, shape, classes)
    plan = kg.compile(graph, train="head")
    with pytest.raises(KilogradError, match="has no 'fc.weight'"):
        plan.to_torch_state(nn.Linear(3, 3))
    with pytest.raises(KilogradError, match="has shape"):
        plan.to_torch_state(type(module)(classes=5))
    with pytest.raises(KilogradError, match="from_torch"):
        del plan.meta["torch"]
        plan.to_torch_state(module)

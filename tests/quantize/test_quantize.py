"""Float graphs to int8: what the integers compute is what the float network computes, within the noise that the report states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import kilograd as kg
from kilograd.errors import DataError, ModelError, UnsupportedOperator
from kilograd.ir.graph import Array, DType, Graph, Node, Tensor
from kilograd.ir.verify import verify
from kilograd.ops.base import evaluate, infer_outputs
from kilograd.quantize import QuantizeConfig, quantize_model
from kilograd.quantize.groups import constraint_groups
from kilograd.quantize.prepare import fold_batch_norm, prepare
from kilograd.quantize.runner import BINARY, UNARY, Runner
from kilograd.quantize.scheme import LayerIntegers, fake_quantize, quantize_weights, range_params
from tests.quantize.models import Floats, network, samples


def run_integers(graph: Graph, x: Array) -> Array:
    """Real results of an int8 graph on real samples, by the C kernels."""
    simulator, qx, qy = kg.Simulator(kg.compile(graph)), graph[graph.inputs[0]].q, graph[graph.outputs[0]].q
    fed = np.clip(np.rint(x / qx.s) + qx.z, -128, 127).astype(np.int8)
    return np.stack([(np.array(simulator.infer(v)).astype(np.float32) - qy.z) * np.float32(qy.s) for v in fed])


def run_float(graph: Graph, x: Array) -> Array:
    return np.stack([evaluate(graph, {graph.inputs[0]: v}).tensors[graph.outputs[0]] for v in x])


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse", "entropy"])
@pytest.mark.parametrize("seed", [0, 1])
def test_integers_compute_what_the_float_network_computes(method: Any, seed: int) -> None:
    graph = network(seed)
    x = samples(graph)
    result = quantize_model(graph, x, QuantizeConfig(method=method, percentile=99.9))
    want, got = run_float(graph, x[:16]), run_integers(result.graph, x[:16])
    assert np.abs(want - got).max() < 0.06
    (output,) = result.report["outputs"].values()
    measured = 10 * np.log10((want**2).sum() / ((want - got) ** 2).sum())
    assert abs(measured - output["sqnr_db"]) < 3  # the twin that the report is made with is the network of integers but for rounding
    assert len(result.report["worst"]) == 5


def test_batches_equal_single_evaluations() -> None:
    graph = network()
    x = samples(graph, 5)
    got = Runner(graph).run({"x": x})["y"]
    np.testing.assert_allclose(got, run_float(graph, x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("op", [*BINARY, *UNARY])
def test_elementwise_operators_run_in_batches(op: str) -> None:
    shape = (1, 3, 4, 5)
    m = Floats(shape)
    operands = ["x", m.constant("k", m.rng.uniform(0.5, 2, (4, 5)))] if op in BINARY else ["x"]
    attrs: dict[str, Any] = {"activation": "none", "beta": 2.0, "alpha": 0.1, "approximate": False}
    m.graph.add(Tensor("y", shape, DType.FLOAT32))
    m.graph.nodes.append(Node(op, operands, ["y"], attrs, name="y"))
    m.graph.outputs = ["y"]
    x = np.abs(samples(m.graph, 4)) + 0.1
    np.testing.assert_allclose(Runner(m.graph).run({"x": x})["y"], run_float(m.graph, x), rtol=1e-5)


def test_preparing_leaves_what_is_computed() -> None:
    graph = network()
    x, prepared = samples(graph, 4), prepare(graph)
    verify(prepared, infer_outputs)
    assert {"relu", "relu6", "pad"} & {n.op for n in prepared.nodes} == set()
    np.testing.assert_allclose(run_float(prepared, x), run_float(graph, x), rtol=1e-4, atol=1e-6)


def test_values_that_are_only_moved_share_a_quantization() -> None:
    result = quantize_model(network(), samples(network()))
    q = {t: result.graph[t].q for t in ("sum", "avg", "c2.relu", "max", "both")}
    for a, b in (("sum", "avg"), ("avg", "both"), ("max", "both")):
        assert q[a].same_as(q[b])
    assert not q["sum"].same_as(q["c2.relu"])
    assert (result.graph["gate"].q.s, result.graph["gate"].q.z) == (1 / 256, -128)


def test_a_fixed_value_is_requantized_where_it_is_joined_with_others() -> None:
    m = Floats((1, 4, 4, 2))
    gate = m.node("logistic", ["x"], "gate")
    graph = m.done(m.node("concatenation", [gate, m.conv("x", "c", 2)], "y", axis=3))
    assert constraint_groups(graph).requantize == {(2, 0)}
    x = samples(graph)
    result = quantize_model(graph, x)
    operands = result.graph.producer("y")
    assert operands is not None and all(result.graph[t].q.same_as(result.graph["y"].quant) for t in operands.inputs)
    assert np.abs(run_float(graph, x[:8]) - run_integers(result.graph, x[:8])).max() < 3 * result.graph["y"].q.s


def test_two_fixed_values_of_one_kind_stay_as_they_are() -> None:
    m = Floats((1, 4, 4, 2))
    graph = m.done(m.node("concatenation", [m.node("logistic", ["x"], "a"), m.node("logistic", [m.conv("x", "c", 2)], "b")], "y", axis=3))
    groups = constraint_groups(graph)
    assert not groups.requantize and groups.fixed[groups.find("y")] == (1 / 256, -128)


@pytest.mark.parametrize("between", [True, False])
def test_batch_norm_is_folded_into_the_layer_before(between: bool) -> None:
    """With a reader between layer and normalisation, it becomes a product and a sum."""
    m, rng = Floats((1, 6, 6, 3)), np.random.default_rng(3)
    conv = m.conv("x", "c", 5)
    gamma, beta, mean, variance = rng.normal(1, 0.5, 5), rng.normal(0, 1, 5), rng.normal(0, 1, 5), rng.uniform(0.5, 2, 5)
    operands = [conv, *(m.constant(n, v) for n, v in zip("gbmv", (gamma, beta, mean, variance), strict=True))]
    m.graph.add(Tensor("n", m.graph[conv].shape, DType.FLOAT32))
    m.graph.nodes.append(Node("batch_norm", operands, ["n"], {"epsilon": 1e-3}, name="n"))
    if between:
        m.node("add", ["n", conv], "y", activation="none")
    m.graph.outputs = ["y" if between else "n"]
    folded = fold_batch_norm(m.graph)
    verify(folded, infer_outputs)
    assert [n.op for n in folded.nodes] == (["conv2d", "mul", "add", "add"] if between else ["conv2d"])
    x = samples(m.graph, 2)
    value = evaluate(replace(m.graph, nodes=m.graph.nodes[:1], outputs=["c"]), {"x": x[0]}).tensors["c"]
    want = (value - mean) / np.sqrt(variance + 1e-3) * gamma + beta + (value if between else 0)
    np.testing.assert_allclose(evaluate(folded, {"x": x[0]}).tensors[folded.outputs[0]], want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(folded.meta["batch_norm"]["n"][0], beta, rtol=1e-6)


def test_bias_correction_removes_the_mean_error_of_channels() -> None:
    """Weights of one scale for all outputs are coarse for small ones: their mean is off, and correction brings it back."""
    m = Floats((1, 4, 4, 8))
    w = np.random.default_rng(0).normal(0, 0.01, (6, 128))
    w[0, 0] = 1.0
    m.node("reshape", ["x"], "flat", (1, 128))
    m.node("fully_connected", ["flat", m.constant("w", w), m.constant("b", np.zeros(6))], "y", activation="none")
    graph = m.done("y")
    x = samples(graph) + 1.0

    def off(correct: bool) -> float:
        result = quantize_model(graph, x, QuantizeConfig(bias_correction=correct))
        y = Runner(result.prepared).run({"x": x})["y"] if not correct else None
        want = Runner(graph).run({"x": x})["y"]
        got = run_integers(result.graph, x)
        assert y is None or np.allclose(y, want, atol=1e-3)
        return float(np.abs((got - want).mean(axis=0))[0, 1:].max())

    assert off(True) < 0.5 * off(False)


def test_weights_are_symmetric_and_channels_without_weights_take_the_scale_of_the_whole() -> None:
    w = np.array([[0.5, -1.0], [0.0, 0.0], [0.02, 0.01]])
    q, scale = quantize_weights(w, 0)
    assert q.min() >= -127 and np.allclose(scale, [1 / 127, 1 / 127, 0.02 / 127])
    assert np.abs(q * scale[:, None] - w).max() <= scale.max() / 2
    q, scale = quantize_weights(w, None)
    assert scale.shape == (1,) and q[0, 1] == -127


def test_a_bias_far_larger_than_its_weights_fits() -> None:
    m = Floats((1, 2, 2, 1))
    m.graph.add(Tensor("y", (1, 2, 2, 1), DType.FLOAT32))
    w, b = m.constant("w", np.full((1, 1, 1, 1), 1e-12)), m.constant("b", np.array([3.0]))
    node = Node("conv2d", ["x", w, b], ["y"], {"activation": "none"}, name="y")
    layer = LayerIntegers(m.graph, node, range_params(-1, 1), QuantizeConfig())
    bias = layer.real_bias()
    assert layer.bias is not None and bias is not None and abs(int(layer.bias[0])) <= 2**30 and abs(float(bias[0]) - 3) < 1e-3


def test_zero_is_exact_in_every_range() -> None:
    for low, high in ((-1.3, 2.7), (0, 5), (-4, 0), (0.5, 2), (0, 0), (-1e-20, 0)):
        q = range_params(low, high)
        assert -128 <= q.z <= 127 and fake_quantize(np.zeros(1, np.float32), q)[0] == 0
        x = np.linspace(min(low, 0), max(high, 0), 50).astype(np.float32)
        assert np.abs(fake_quantize(x, q) - x).max() <= q.s * 0.51 + 1e-12


def test_float_input_and_output_are_converted_inside() -> None:
    graph = network()
    x = samples(graph)
    result = quantize_model(graph, x, QuantizeConfig(io="float"))
    assert result.graph[result.graph.inputs[0]].dtype is DType.FLOAT32 and result.graph.outputs == graph.outputs
    simulator = kg.Simulator(kg.compile(result.graph))
    got = np.stack([np.array(simulator.infer(v)) for v in x[:8]])
    assert np.abs(run_float(graph, x[:8]) - got).max() < 0.06


def test_refusals_say_what_to_do() -> None:
    graph = network()
    x = samples(graph)
    result = quantize_model(graph, x)
    with pytest.raises(ModelError, match="quantized already"):
        quantize_model(result.graph, x)
    with pytest.raises(DataError, match=r"samples of shape \[1, 8, 8, 2\]; the model reads \[1?,? ?8, 8, 3\]"):
        quantize_model(graph, x[..., :2])
    with pytest.raises(DataError, match="NaN"):
        quantize_model(graph, np.where(x > 2, np.nan, x))
    with pytest.raises(DataError, match="choose one of minmax"):
        QuantizeConfig(method="best")  # type: ignore[arg-type]
    m = Floats((1, 2, 2, 1))
    m.constant("k", np.ones((1, 2, 2, 1)))
    m.node("transpose", ["k"], "y", (1, 2, 2, 1), permutation=(0, 1, 2, 3))
    with pytest.raises((UnsupportedOperator, ModelError, DataError)):
        quantize_model(replace(m.graph, outputs=["y"]), np.zeros((0, 2, 2, 1)))

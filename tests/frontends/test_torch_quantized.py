"""Modules that PyTorch quantized (pt2e): integer graphs with exactly the weights and scales of the module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'kilograd[torch]')")
from torch import nn  # noqa: E402

import kilograd as kg  # noqa: E402
from kilograd.errors import ModelError  # noqa: E402
from kilograd.ir.graph import DType, Graph, Kind  # noqa: E402
from tests.frontends.torch_models import model, synthetic  # noqa: E402

pytest.importorskip("torch.ao.quantization.fx._decomposed", reason="this PyTorch has no operators of pt2e")
Q = torch.ops.quantized_decomposed


def fake(x: Any, scale: float, zero: int) -> Any:
    """To int8 and back, as pt2e writes it."""
    q = Q.quantize_per_tensor(x, scale, zero, -128, 127, torch.int8)
    return Q.dequantize_per_tensor(q, scale, zero, -128, 127, torch.int8)


class Written(nn.Module):
    """What convert_pt2e makes of convolution, ReLU, depthwise convolution, a skip, mean and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        for name, shape in (("first", (8, 3, 3, 3)), ("deep", (8, 1, 3, 3)), ("head", (5, 8))):
            self.register_buffer(name, torch.randint(-127, 128, shape, dtype=torch.int8, generator=generator))
            self.register_buffer(f"{name}_scale", 0.002 + 0.01 * torch.rand(shape[0], generator=generator))
            self.register_buffer(f"{name}_bias", torch.randn(shape[0], generator=generator))

    def weights(self, name: str) -> Any:
        scale = getattr(self, f"{name}_scale")
        return Q.dequantize_per_channel(getattr(self, name), scale, torch.zeros_like(scale, dtype=torch.int64), 0, -127, 127, torch.int8)

    def forward(self, x: Any) -> Any:
        x = fake(x, 0.03, -4)
        x = fake(torch.relu(nn.functional.conv2d(x, self.weights("first"), self.first_bias, 2, 1)), 0.02, -128)
        y = fake(nn.functional.conv2d(x, self.weights("deep"), self.deep_bias, 1, 1, 1, 8), 0.03, 7)
        z = fake(x + y, 0.04, -60)
        z = fake(z.mean((2, 3)), 0.02, -9)
        return fake(nn.functional.linear(z, self.weights("head"), self.head_bias), 0.05, 3)


def simulated(graph: Graph, x: Any) -> Any:
    """Results of the integers as real numbers."""
    simulator, got = kg.Simulator(kg.compile(graph)), []
    t = graph[graph.outputs[0]]
    for sample in x:
        simulator.write(graph.inputs[0], np.ascontiguousarray(sample.numpy().transpose(1, 2, 0))[None])
        simulator.run()
        y = simulator.read(graph.outputs[0]).astype(np.float64)
        got.append((y - t.q.z) * t.q.s if t.quant is not None else y)
    return np.concatenate(got)


def test_weights_and_scales_are_exactly_those_of_the_module() -> None:
    module = Written().eval()
    graph = kg.from_torch(module, torch.randn(1, 3, 10, 10))
    ops = [n.op for n in graph.nodes if n.op not in ("quantize", "dequantize", "reshape")]
    assert ops == ["conv2d", "depthwise_conv2d", "add", "mean", "fully_connected"]
    layers = {n.op: n for n in graph.nodes}
    assert layers["conv2d"].attrs["activation"] == "relu"
    orders = {"conv2d": ("first", (0, 2, 3, 1)), "depthwise_conv2d": ("deep", (1, 2, 3, 0)), "fully_connected": ("head", (0, 1))}
    for op, (name, order) in orders.items():
        x, w, b = (graph[t] for t in layers[op].inputs[:3])
        np.testing.assert_array_equal(w.data, getattr(module, name).numpy().transpose(order))
        np.testing.assert_array_equal(w.q.scale, getattr(module, f"{name}_scale").numpy())
        unit = x.q.s * w.q.scale.astype(np.float64)
        assert b.dtype is DType.INT32 and b.data is not None
        np.testing.assert_allclose(b.data, getattr(module, f"{name}_bias").numpy() / unit, atol=0.51)
    quants = {n.op: graph[n.outputs[0]].q for n in graph.nodes if n.op in (*orders, "add", "mean")}
    assert {k: (round(q.s, 6), q.z) for k, q in quants.items()} == {
        "conv2d": (0.02, -128), "depthwise_conv2d": (0.03, 7), "add": (0.04, -60), "mean": (0.02, -9), "fully_connected": (0.05, 3)
    }  # fmt: skip
    assert all(t.dtype is not DType.FLOAT32 for t in graph.tensors.values() if t.kind is Kind.CONST)


def test_the_integers_give_what_the_module_gives() -> None:
    """PyTorch computes in float between its roundings, so that a result may fall a step or two beside."""
    module, x = Written().eval(), torch.randn(40, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    got = simulated(kg.from_torch(module, x[:1]), x)
    with torch.no_grad():
        want = torch.cat([module(s[None]) for s in x]).numpy()
    steps = np.abs(got - want) / 0.05
    assert steps.max() <= 2.01 and (steps < 0.01).mean() > 0.8


def test_what_kilograd_cannot_quantize_so_is_refused() -> None:
    class Narrow(nn.Module):
        def forward(self, x: Any) -> Any:
            return Q.dequantize_per_tensor(Q.quantize_per_tensor(x, 0.1, 0, -7, 7, torch.int8), 0.1, 0, -7, 7, torch.int8)

    with pytest.raises(ModelError, match="clamps to -7..7"):
        kg.from_torch(Narrow().eval(), torch.randn(1, 4))


@pytest.mark.parametrize("name", ["ds_cnn", "resnet"])
def test_models_that_torchao_quantized(name: str) -> None:
    pt2e = pytest.importorskip("torchao.quantization.pt2e.quantize_pt2e", reason="torchao is not installed (pip install --no-deps torchao)")
    quantizers = pytest.importorskip("torchao.testing.pt2e._xnnpack_quantizer", reason="this torchao has no quantizer for XNNPACK")
    module, shape, classes = model(name)
    x = synthetic(shape, classes, 32, 5)[0]
    quantizer = quantizers.XNNPACKQuantizer().set_global(quantizers.get_symmetric_quantization_config(is_per_channel=True))
    prepared = pt2e.prepare_pt2e(torch.export.export(module, (x[:1],)).module(), quantizer)
    for sample in x:
        prepared(sample[None])
    converted = pt2e.convert_pt2e(prepared)
    graph = kg.from_torch(converted, x[:1])
    assert all(n.op in ("quantize", "dequantize") or graph[n.outputs[0]].dtype is DType.INT8 for n in graph.nodes)
    got = simulated(graph, x)
    with torch.no_grad():
        want = torch.cat([converted(s[None]) for s in x]).numpy()
    assert (got.argmax(1) == want.argmax(1)).mean() >= 0.9
    assert np.abs(got - want).max() <= 0.1 * np.abs(want).max()

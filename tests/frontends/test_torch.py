"""Modules of PyTorch as graphs: the same numbers, quantized the same classes, and what was learned back in the module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'kilograd[torch]')")
from torch import nn  # noqa: E402

import kilograd as kg  # noqa: E402
from kilograd.errors import KilogradError, ModelError, UnsupportedOperator  # noqa: E402
from kilograd.frontends.onnx import from_graph, to_graph  # noqa: E402
from kilograd.frontends.torch_state import places, walk_of  # noqa: E402
from kilograd.ir.graph import Graph, Kind  # noqa: E402
from kilograd.ops.base import evaluate  # noqa: E402
from kilograd.quantize import quantize_model  # noqa: E402
from tests.frontends.torch_models import MODELS, model, synthetic  # noqa: E402


def run(graph: Graph, *arrays: Any) -> list[Any]:
    """Results of a float graph as the module would give them."""
    feeds = {n: to_graph(graph, n, a.detach().numpy()) for n, a in zip(graph.inputs, arrays, strict=True)}
    values = evaluate(graph, feeds).tensors
    return [from_graph(graph, n, values[n]) for n in graph.outputs]


def batch(graph: Graph, x: Any) -> Any:
    """Samples as the graph takes them."""
    order = graph.meta["layout"].get(graph.inputs[0])
    return np.ascontiguousarray(x.numpy() if order is None else x.numpy().transpose(order))


def close(module: nn.Module, *example: Any, tolerance: float = 1e-4) -> Graph:
    """Import, compare with the module, and give the graph."""
    graph = kg.from_torch(module.eval(), example)
    with torch.no_grad():
        want = module(*example)
    for w, got in zip(want if isinstance(want, tuple) else (want,), run(graph, *example), strict=True):
        assert got.shape == tuple(w.shape)
        assert np.abs(got - w.numpy()).max() <= tolerance * max(float(w.abs().max()), 1e-3)
    return graph


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_the_numbers_of_the_module(name: str) -> None:
    module, shape, classes = model(name)
    graph = close(module, synthetic(shape, classes, 1)[0])
    assert not [n for n in graph.nodes if n.op == "transpose"]
    assert [t for t in graph.tensors.values() if t.kind is Kind.CONST]


@pytest.mark.parametrize(("name", "least"), [("mobilenet_v2", 0.6), ("ds_cnn", 0.9), ("resnet", 0.95), ("lstm", 0.95)])
def test_a_quantized_model_chooses_the_classes_of_the_module(name: str, least: float) -> None:
    module, shape, classes = model(name)
    graph = kg.from_torch(module, synthetic(shape, classes, 1)[0])
    calibration, samples = (batch(graph, synthetic(shape, classes, 64, seed)[0]) for seed in (1, 2))
    quantized = quantize_model(graph, calibration).graph
    simulator = kg.Simulator(kg.compile(quantized))
    simulator.fresh = True  # the states of an LSTM begin anew with each sample
    got = simulator.infer(samples).reshape(64, -1).argmax(1)
    with torch.no_grad():
        want = module(synthetic(shape, classes, 64, 2)[0]).argmax(1).numpy()
    print(f"{name}: the same class for {100 * (got == want).mean():.1f} % of 64 samples")
    assert (got == want).mean() >= least


class Zoo(nn.Module):
    """One operator each."""

    def __init__(self, function: Any, *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.function = nn.ModuleList(layers), function

    def forward(self, *x: Any) -> Any:
        return self.function(*self.layers, *x)


F = nn.functional
IMAGE, ROWS, SOUND = (1, 8, 9, 7), (1, 10), (1, 6, 20)
OPERATORS: dict[str, tuple[Any, tuple[Any, ...], list[tuple[int, ...]]]] = {
    "conv2d": (lambda m, x: m(x), (nn.Conv2d(8, 5, 3, (2, 1), (1, 0), (1, 2)),), [IMAGE]),
    "grouped": (lambda m, x: m(x), (nn.Conv2d(8, 6, 3, groups=2),), [IMAGE]),
    "depthwise with multiplier": (lambda m, x: m(x), (nn.Conv2d(8, 16, 3, padding=1, groups=8, bias=False),), [IMAGE]),
    "same padding": (lambda m, x: m(x), (nn.Conv2d(8, 4, (4, 3), padding="same"),), [IMAGE]),
    "one sample without a batch": (lambda m, x: m(x), (nn.Conv2d(8, 4, 3),), [IMAGE[1:]]),
    "conv1d": (lambda m, x: m(x), (nn.Conv1d(6, 4, 5, 2, 2),), [SOUND]),
    "transposed": (lambda m, x: m(x), (nn.ConvTranspose2d(8, 6, 3, 2, 1, 1),), [IMAGE]),
    "transposed, groups": (lambda m, x: m(x), (nn.ConvTranspose2d(8, 6, 3, 2, groups=2),), [IMAGE]),
    "transposed 1d": (lambda m, x: m(x), (nn.ConvTranspose1d(6, 3, 4, 2, 1),), [SOUND]),
    "linear": (lambda m, x: m(x), (nn.Linear(10, 3),), [ROWS]),
    "linear of rank 3": (lambda m, x: m(x), (nn.Linear(20, 3),), [SOUND]),
    "norm, alone": (lambda m, x: m(x) + m(x), (nn.BatchNorm2d(8),), [IMAGE]),
    "norm of rows": (lambda a, b, x: b(a(x)), (nn.Linear(10, 6), nn.BatchNorm1d(6, affine=False)), [ROWS]),
    "max pool": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), (), [IMAGE]),
    "average pool": (lambda x: F.avg_pool2d(x, 3, 2, 1), (), [IMAGE]),
    "average pool without border": (lambda x: F.avg_pool2d(x, (3, 2), 2, (1, 1), count_include_pad=False), (), [IMAGE]),
    "max pool 1d": (lambda x: F.max_pool1d(x, 4, 2), (), [SOUND]),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (3, 1)), (), [IMAGE]),
    "adaptive max": (lambda x: F.adaptive_max_pool2d(x, 1), (), [IMAGE]),
    "mean": (lambda x: (x.mean(), x.mean(1), x.mean((2, 3), keepdim=True)), (), [IMAGE]),
    "arithmetic": (lambda x, y: (x * y - 2 * x + 0.5, 1 - y, x / 3, torch.sub(x, y, alpha=2), -x), (), [IMAGE, (8, 1, 1)]),
    "quotient": (lambda x, y: x / (y * y + 1), (), [IMAGE, (1, 1, 9, 7)]),
    "rectifiers": (lambda x: (F.relu(x), F.relu6(4 * x), F.hardtanh(x), F.leaky_relu(x, 0.2), x.clamp(-0.4, 0.7), F.elu(x)), (), [IMAGE]),
    "smooth": (lambda x: (F.gelu(x), F.gelu(x, approximate="tanh"), F.silu(x), x.sigmoid(), x.tanh(), x.exp()), (), [IMAGE]),
    "hard": (lambda x: (F.hardswish(3 * x), F.hardsigmoid(3 * x)), (), [IMAGE]),
    "powers": (lambda x: (x**2, (x * x + 1).sqrt(), (x * x + 1).rsqrt(), (x * x + 1).log(), x.abs()), (), [ROWS]),
    "prelu": (lambda m, x: m(x), (nn.PReLU(8),), [IMAGE]),
    "softmax": (lambda x: (x.softmax(1), x.log_softmax(-1)), (), [ROWS]),
    "softmax of channels": (lambda m, x: m(x).softmax(1), (nn.Conv2d(8, 5, 1),), [IMAGE]),
    "cat": (lambda m, x: torch.cat([m(x), x], 1), (nn.Conv2d(8, 4, 3, padding=1),), [IMAGE]),
    "stack": (lambda x, y: torch.stack([x, y], 1), (), [ROWS, ROWS]),
    "flatten": (lambda m, f, x: f(m(x).flatten(1)), (nn.Conv2d(8, 4, 3), nn.Linear(140, 3)), [IMAGE]),
    "shuffled channels": (
        lambda m, n, x: n(m(x).view(1, 2, 4, 9, 7).transpose(1, 2).reshape(1, 8, 9, 7)), (nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 3)), [IMAGE],
    ),
    "pixels to blocks": (lambda m, x: F.pixel_shuffle(m(x), 2), (nn.Conv2d(8, 8, 1),), [IMAGE]),
    "slices": (lambda x: (x[:, 2:7:2], x[..., -1], x[:, :, 1:-1, 2:]), (), [IMAGE]),
    "parts": (lambda m, x: (lambda a, b, c: a * c + b)(*m(x).chunk(3, 1)), (nn.Conv2d(8, 6, 1),), [IMAGE]),
    "unequal parts": (lambda x: torch.split(x, [3, 5], 1), (), [IMAGE]),
    "moved axes": (lambda x: (x.permute(0, 2, 3, 1), x.unsqueeze(2).squeeze(0), x.transpose(1, 3)), (), [IMAGE]),
    "expanded": (lambda x: x.unsqueeze(1).expand(-1, 3, -1), (), [ROWS]),
    "padded": (lambda x: (F.pad(x, (1, 2, 0, 1), value=0.5), F.pad(x, (1, 2), mode="reflect"), F.pad(x, (-1, 0))), (), [SOUND]),
    "resized": (lambda x: (F.interpolate(x, scale_factor=2), F.interpolate(x, size=(5, 11), mode="bilinear")), (), [IMAGE]),
    "corners": (lambda x: F.interpolate(x, size=(5, 11), mode="bilinear", align_corners=True), (), [IMAGE]),
    "matrices": (lambda x, y: x @ y.transpose(1, 2), (), [(1, 5, 6), (1, 4, 6)]),
    "constants": (lambda x: x * torch.linspace(-1, 1, 10).sin(), (), [ROWS]),
    "lstm, two layers": (lambda m, x: m(x)[0], (nn.LSTM(6, 5, 2, batch_first=True, bidirectional=True),), [(1, 7, 6)]),
    "lstm, last state": (lambda m, x: m(x)[1][0], (nn.LSTM(6, 5, 2, bias=False),), [(7, 1, 6)]),
    "gru": (lambda m, x: m(x)[0], (nn.GRU(6, 5),), [(4, 1, 6)]),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_gives_the_numbers_of_pytorch(name: str) -> None:
    function, layers, shapes = OPERATORS[name]
    generator = torch.Generator().manual_seed(7)
    for layer in layers:
        for m in layer.modules():
            if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
                m.running_mean.copy_(torch.randn(m.running_mean.shape, generator=generator))
                m.running_var.copy_(0.5 + torch.rand(m.running_var.shape, generator=generator))
    close(Zoo(function, *layers), *(torch.randn(s, generator=generator) for s in shapes), tolerance=2e-5)


REFUSED: dict[str, tuple[Any, tuple[Any, ...], tuple[int, ...], str]] = {
    "unknown": (lambda x: torch.linalg.inv(x[0, 0, :4, :4]), (), IMAGE, "does not run"),
    "batch": (lambda m, x: m(x), (nn.Conv2d(8, 4, 3),), (4, 8, 9, 7), "one sample"),
    "uneven pool": (lambda x: F.adaptive_avg_pool2d(x, (4, 3)), (), IMAGE, "windows of several sizes"),
    "statistics": (lambda m, x: m(x), (nn.BatchNorm2d(8, track_running_stats=False),), IMAGE, "."),
    "float64": (lambda m, x: m(x), (nn.Linear(10, 3).double(),), ROWS, "."),
    "random": (lambda x: x + torch.rand(10), (), ROWS, "random"),
    "constant result": (lambda x: torch.ones(3), (), ROWS, "constant"),
    "last cell": (lambda m, x: m(x)[1][1], (nn.LSTM(10, 5),), (4, 1, 10), "does not compute"),
    "projection": (lambda m, x: m(x)[0], (nn.LSTM(10, 5, proj_size=3),), (4, 1, 10), "."),
    "control flow": (lambda x: x if x.sum() > 0 else -x, (), ROWS, "cannot trace"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    function, layers, shape, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        kg.from_torch(Zoo(function, *layers).eval(), torch.randn(shape))


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(KilogradError, match="training mode"):
        kg.from_torch(nn.Dropout(), torch.randn(1, 3))
    with pytest.raises(KilogradError, match="takes a torch.nn.Module"):
        kg.from_torch(np.zeros(3), torch.randn(1, 3))
    with pytest.raises(KilogradError, match="example"):
        kg.from_torch(nn.ReLU().eval(), [[1.0]])
    with pytest.raises(UnsupportedOperator, match="int64"):
        kg.from_torch(nn.ReLU().eval(), torch.zeros(1, 4, dtype=torch.int64))


def test_without_pytorch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(KilogradError, match=r"pip install 'kilograd\[torch\]'"):
        kg.from_torch(None, None)


def test_walks_through_a_parameter() -> None:
    ids = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    for tensor in (
        ids.transpose(0, 2, 3, 1),
        ids.transpose(2, 3, 1, 0),
        ids.transpose(0, 2, 3, 1).reshape(2, -1),
        ids.reshape(-1),
        ids[None],
    ):
        walk = walk_of(tensor.astype(np.float64))
        assert walk is not None
        np.testing.assert_array_equal(places(walk), tensor)
    assert walk_of(np.array([0.0, 1.0, 3.0, 2.0])) is None
    assert walk_of(ids[:, ::-1].astype(np.float64)) is None

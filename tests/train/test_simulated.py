"""Whole training steps: the compiled plan, run in C, leaves the same state as the NumPy evaluation of the training graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import kilograd as kg
from kilograd.errors import SchemeError
from kilograd.frontends.simplify import simplify
from kilograd.ir.graph import Array, Graph
from kilograd.ir.verify import verify
from kilograd.ops.base import RunState, evaluate, infer_outputs
from kilograd.train.autodiff import training_graph
from kilograd.train.config import TrainConfig
from kilograd.train.head import replace_head
from kilograd.train.scheme import Scheme, parse_scheme
from tests.shared_data import require
from tests.train.nets import class_samples, small_net
from tests.train.test_autodiff import CONFIGS, SCHEMES
from tests.train.test_head import with_softmax


def assert_same_training(graph: Graph, scheme: Scheme, config: TrainConfig, samples: list[tuple[Array, Array]]) -> None:
    """All state of the plan equals all state of the graph after each sample."""
    t = training_graph(graph, scheme, config)
    simulator = kg.Simulator(kg.compile(graph, train=scheme, config=config, placement="greedy", optimize=False))
    state = RunState({})
    for x, label in samples:
        simulator.train_step(x, label if label.size > 1 else int(label.reshape(-1)[0]))
        evaluate(t, dict(zip(t.inputs, (x, label), strict=True)), state)
        for tensor in t.state():
            assert simulator.read(tensor.name).tobytes() == state.tensors[tensor.name].tobytes(), tensor.name


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_small_net(scheme: Scheme, config: TrainConfig) -> None:
    graph = small_net()
    samples = [(x, np.array([label], np.int32)) for x, label in class_samples(graph, 7, 4)]
    assert_same_training(graph, scheme, replace(config, learning_rate=0.1, exponent_start=-15), samples)


def test_small_net_with_mean_squared_error() -> None:
    graph = small_net()
    samples = [(x, np.full((1, 4), 9 * label, np.int8)) for x, label in class_samples(graph, 7, 4)]
    assert_same_training(graph, Scheme(everything=True), TrainConfig(loss="mean_squared_error"), samples)


def test_a_sparse_scheme_of_a_real_network() -> None:
    graph = replace_head(simplify(kg.load(require("models/backbones/mcunet-5fps_int8.tflite"))), 10)
    scheme = parse_scheme(f"{require('models/backbones/schemes.json')}:mcunet-5fps/49kb", graph)
    rng = np.random.default_rng(0)
    samples = [(rng.integers(-128, 128, (1, 128, 128, 3)).astype(np.int8), np.array([c], np.int32)) for c in range(4)]
    assert_same_training(graph, scheme, TrainConfig(exponent_start=-18), samples)
    t = training_graph(graph, scheme)
    learned = {name: t[name] for name in t.meta["train"]["learned"]}
    live = {name.split("_")[0]: x.shape for name, x in learned.items() if name.endswith("#live")}
    assert live == {"conv24": (144, 1, 1, 12), "conv27": (192, 1, 1, 24), "conv30": (240, 1, 1, 24)}
    assert sum(x.nbytes for name, x in learned.items() if ".bias" in name) == 18368 + 40, "as tiny-training counts them, and the head's"


@pytest.mark.parametrize(
    "name",
    [
        "mlperf_tiny/ad01_int8",
        "mlperf_tiny/kws_ref_model",
        "mlperf_tiny/pretrainedResnet_quant",
        "mlperf_tiny/vww_96_int8",
        "tinyengine/vww",
        "coral/mobilenet_v1_0.25_128_quant",
        "tflite_micro/micro_speech_quantized",
        "backbones/mbv2-w0.35_int8",
        "backbones/mcunet-5fps_int8",
    ],
)
def test_everything_can_learn(name: str) -> None:
    graph = simplify(kg.load(require(f"models/{name}.tflite")))
    loss = "mean_squared_error" if "ad01" in name else "cross_entropy"
    for changed in (graph, replace_head(graph, 3)):
        for word in ("head", "bias:1", "full"):
            config = TrainConfig(loss=loss if changed is graph else "cross_entropy")  # type: ignore[arg-type]
            verify(training_graph(changed, parse_scheme(word, changed), config), infer_outputs)


def test_softmax_with_a_temperature_is_refused() -> None:
    graph = with_softmax(small_net())
    graph.nodes[-2].attrs["beta"] = 2.0
    with pytest.raises(SchemeError, match="beta 2.0"):
        training_graph(graph, Scheme())
    training_graph(replace_head(graph, 3), Scheme())

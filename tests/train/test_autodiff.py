"""The training graph: what it computes, and what it leaves out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kilograd.errors import GraphError, NoBackwardRule, SchemeError
from kilograd.ir.graph import Graph, Kind, Node, Phase, QuantParams, Tensor
from kilograd.ir.verify import verify
from kilograd.ops.base import RunState, evaluate, infer_outputs
from kilograd.ops.fixed_point import exponent_view, train_view
from kilograd.train.autodiff import training_graph
from kilograd.train.config import TrainConfig
from kilograd.train.scheme import Scheme, layers, parse_scheme
from tests.train.nets import class_samples, random_samples, small_net, train

CONFIGS = [
    TrainConfig(),
    TrainConfig(storage="w8f8", rounding="nearest"),
    TrainConfig(bias="int16", scaling="pow2", update_order="early"),
    TrainConfig(accumulate=3, storage="w8f8", bias="int16"),
    TrainConfig(schedule="cosine", total_steps=40, warmup_steps=4, skip_threshold=0.1),
]
SCHEMES = [
    Scheme(),
    Scheme(biases=3),
    Scheme(last=2),
    Scheme(everything=True),
    Scheme(True, (0, "deep"), {"narrow": 0.3, "down": 4, 0: 2}),
    Scheme(False, (), {"wide": 3}),
]


def ops(graph: Graph, phase: Phase) -> list[str]:
    return [n.name for n in graph.nodes if n.phase is phase]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_verifies_and_runs(scheme: Scheme, config: TrainConfig) -> None:
    graph = small_net()
    t = training_graph(graph, scheme, config)
    verify(t, infer_outputs)
    assert (t.inputs, t.outputs) == (["x", "label"], ["head"])
    state, losses = train(t, random_samples(t, 3, 4))
    assert np.isfinite(losses).all()
    before = evaluate(graph, {"x": random_samples(t, 1, 4)[0][0]}).tensors["head"]
    first = evaluate(t, {"x": random_samples(t, 1, 4)[0][0], "label": np.zeros(1, np.int32)}).tensors["head"]
    assert (before == first).all(), "splitting weights and adding deltas changes no bit of the forward pass"


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_pruned_and_full_backward_pass_give_the_same_bits(scheme: Scheme, config: TrainConfig) -> None:
    graph = small_net()
    config = replace(config, learning_rate=0.5, exponent_start=-14)
    states = []
    for prune in (True, False):
        t = training_graph(graph, scheme, config, prune=prune)
        verify(t, infer_outputs)
        states.append((t, train(t, class_samples(t, 8, 4))[0]))
    (pruned, got), (full, want) = states
    assert len(pruned.nodes) < len(full.nodes) or scheme.everything
    for tensor in pruned.tensors.values():
        assert got.tensors[tensor.name].tobytes() == want.tensors[tensor.name].tobytes(), tensor.name
    learned = pruned.meta["train"]["learned"]
    assert any(got.tensors[p].tobytes() != np.asarray(pruned[p].data).tobytes() for p in learned), "something was learned"


def test_one_step_of_a_part_is_that_step_of_the_whole() -> None:
    graph, config = small_net(), TrainConfig(learning_rate=0.2, exponent_start=-13)
    x = class_samples(graph, 1, 4)
    part, whole = training_graph(graph, parse_scheme("last:2"), config), training_graph(graph, parse_scheme("full"), config)
    a, b = train(part, x)[0], train(whole, x)[0]
    for name in part.meta["train"]["learned"]:
        assert a.tensors[name].tobytes() == b.tensors[name].tobytes(), name


def test_nothing_is_kept_or_computed_that_no_update_needs() -> None:
    t = training_graph(small_net(), parse_scheme("head"))
    assert ops(t, Phase.BACKWARD) == ["head/conv2d_grad_weights", "head/bias_grad"]
    assert ops(t, Phase.FORWARD) == ["head"]
    assert not [n for n in t.tensors if n.endswith(".mask")]

    t = training_graph(small_net(), Scheme(False, ("narrow",)))
    backward = ops(t, Phase.BACKWARD)
    assert backward[-2:] == ["narrow/clamp_grad", "narrow/bias_grad"], "no input gradient of the first layer that learns"
    assert not any("grad_weights" in n for n in backward)
    forward = {y for n in t.nodes if n.phase in (Phase.FROZEN, Phase.FORWARD) for y in n.outputs if not y.endswith(".mask")}
    assert not [n.name for n in t.nodes if n.phase is Phase.BACKWARD and forward.intersection(n.inputs)], "a bias needs no activation"
    assert not {"stem.mask", "wide.mask", "deep.mask", "head.mask"} & set(t.tensors)


def test_only_live_channels_are_saved() -> None:
    t = training_graph(small_net(), Scheme(True, 0, {"narrow": 3}))
    (grad,) = [n for n in t.nodes if n.name == "narrow/conv2d_grad_weights"]
    saved = t[grad.inputs[1]]
    assert saved.shape == (1, 6, 6, 3)
    copy = t.producer(saved.name)
    assert copy is not None and copy.op == "channel_slice" and t.nodes[t.index(copy) + 1].name == "narrow"
    live, frozen = t["narrow.w#live"], t["narrow.w"]
    assert (live.kind, live.shape, frozen.kind, frozen.shape) == (Kind.STATE, (6, 1, 1, 3), Kind.CONST, (6, 1, 1, 7))


def test_frozen_part_depends_on_nothing_that_learns() -> None:
    t = training_graph(small_net(), parse_scheme("bias:2"))
    assert ops(t, Phase.FROZEN) == ["stem", "wide", "deep"]
    moving = set(t.meta["train"]["learned"])
    assert not [n.name for n in t.nodes if n.phase is Phase.FROZEN and moving.intersection(n.inputs)]


def test_early_order_updates_weights_before_the_input_gradient() -> None:
    for order, first in (("exact", "conv2d_grad_input"), ("early", "conv2d_grad_weights")):
        t = training_graph(small_net(), parse_scheme("full"), TrainConfig(update_order=order))  # type: ignore[arg-type]
        names = [n.op for n in t.nodes if n.name.startswith("narrow/") and n.op != "clamp_grad"]
        assert names[0] == first
        train(t, random_samples(t, 2, 4))


def test_logits_learn_even_when_saturated() -> None:
    graph = small_net()
    t = training_graph(graph, parse_scheme("head"), TrainConfig(learning_rate=0.5))
    x, _ = random_samples(t, 1, 4)[0]
    state = RunState({})
    evaluate(t, {"x": x, "label": np.array([0], np.int32)}, state)
    bias = "head.b"
    state.tensors[bias][:] = [-(10**6), 10**6, 0, 0]  # logit 0 at -128, logit 1 at 127, class 0 is right
    evaluate(t, {"x": x, "label": np.array([0], np.int32)}, state)
    assert state.tensors["head"][0, :2].tolist() == [-128, 127]
    assert state.tensors[bias][0] > -(10**6) and state.tensors[bias][1] < 10**6


@pytest.mark.parametrize("config", CONFIGS[:4])
def test_loss_falls(config: TrainConfig) -> None:
    # early: the input gradient sees weights that the step has already moved, which feeds back at high rates
    rate = 0.03 if config.update_order == "early" else 0.1
    for word in ("head", "last:2", "full", "bias:5"):
        t = training_graph(small_net(), parse_scheme(word), replace(config, learning_rate=rate))
        _, losses = train(t, class_samples(t, 160, 4))
        assert np.mean(losses[-40:]) < 0.92 * np.mean(losses[:40]), (word, np.mean(losses[:40]), np.mean(losses[-40:]))


def test_exponents_settle() -> None:
    t = training_graph(small_net(), parse_scheme("full"), TrainConfig(learning_rate=0.001))
    samples = class_samples(t, 60, 4)
    state, _ = train(t, samples)
    for x in samples[:6]:
        state, _ = train(t, [x], state)
        for tensor in t.tensors.values():
            if tensor.exponent == f"{tensor.name}.exponent" and tensor.name != "d/head":
                e = int(exponent_view(state.tensors[tensor.exponent])["e"][0])
                assert -25 < e < 0, (tensor.name, e)
                assert np.mean(np.abs(state.tensors[tensor.name]) == 127) < 0.2, tensor.name


def test_known_samples_are_skipped() -> None:
    t = training_graph(small_net(), parse_scheme("full"), TrainConfig(learning_rate=0.05, skip_threshold=0.999))
    state, _ = train(t, class_samples(t, 3, 4))
    assert int(train_view(state.tensors["train"])["skipped"][0]) == 3
    assert all((state.tensors[p] == t[p].data).all() for p in t.meta["train"]["learned"])


def test_labels_out_of_range_change_nothing() -> None:
    t = training_graph(small_net(), parse_scheme("full"), TrainConfig(learning_rate=0.5))
    x = random_samples(t, 1, 4)[0][0]
    state, losses = train(t, [(x, 4), (x, -1)])
    assert losses == [-1 / 65536] * 2
    assert all((state.tensors[p] == t[p].data).all() for p in t.meta["train"]["learned"])


@pytest.mark.parametrize("storage", ["w8", "w8f8"])
def test_accumulation_applies_the_sum_of_steps(storage: str) -> None:
    """Three samples on unchanged weights, each with a third of the learning rate, then one update."""
    config = TrainConfig(learning_rate=0.3, rounding="nearest", storage=storage, exponent_start=-12)  # type: ignore[arg-type]
    t = training_graph(small_net(), parse_scheme("full"), replace(config, accumulate=3))
    samples = class_samples(t, 3, 4)
    pending: dict[str, np.ndarray] = {}
    state = RunState({})
    for i, sample in enumerate(samples):
        before = {n: np.array(v) for n, v in state.tensors.items() if n.endswith("#pending")}
        state, _ = train(t, [sample], state)
        if i < 2:
            for p in t.meta["train"]["learned"]:
                assert (state.tensors[p] == t[p].data).all(), "nothing is applied before the third sample"
            pending = {n: np.array(state.tensors[n]) for n in state.tensors if n.endswith("#pending")}
            assert i == 0 or any((pending[n] != before[n]).any() for n in pending)
    # the third sample's steps, from a graph that does not apply in step 3, with the same train state
    other = training_graph(small_net(), parse_scheme("full"), replace(config, accumulate=3))
    for node in other.nodes:
        if node.op == "train_begin":
            node.attrs["accumulate"] = 1000
    total, _ = train(other, samples)
    for p in t.meta["train"]["learned"]:
        step, data = total.tensors[f"{p}#pending"].astype(np.int64), np.asarray(t[p].data, np.int64)
        if p.endswith(".w") and storage == "w8":
            want = np.clip((data * 65536 - step + 32768) >> 16, -127, 127)
        elif p.endswith(".w"):
            want = np.clip((((data * 65536 - step + 128) >> 8) + 128) >> 8, -127, 127)
        else:
            want = (data * 256 - step + 128) >> 8
        assert (state.tensors[p] == want).all(), p
        assert not state.tensors[f"{p}#pending"].any()


def test_collapsed_channels_are_frozen() -> None:
    graph = small_net()
    w = graph["narrow.w"]
    scale = np.array(w.q.scale)
    scale[2] *= 1e-5
    graph.set("narrow.w", quant=QuantParams(scale, w.q.zero_point, 0))
    bias = np.array(graph["down.b"].data)
    bias[1] = 2**31 - 5
    graph.set("down.b", data=bias)
    t = training_graph(graph, parse_scheme("full"), TrainConfig(learning_rate=0.3, exponent_start=-13))
    factors = {n.name: np.asarray(n.attrs["factor"]) for n in t.nodes if "factor" in n.attrs}
    for name in ("narrow/conv2d_grad_weights", "narrow/bias_grad"):
        assert (factors[name] == 0).tolist() == [False, False, True, False, False, False]
    assert (factors["down/bias_grad"] == 0).tolist() == [False, True, False, False, False, False]
    state, _ = train(t, class_samples(t, 6, 4))
    assert (state.tensors["narrow.w"][2] == np.asarray(w.data)[2]).all() and state.tensors["down.b"][1] == 2**31 - 5
    assert (state.tensors["narrow.w"] != np.asarray(w.data)).any()


def test_power_of_two_factors() -> None:
    t = training_graph(small_net(), parse_scheme("full"), TrainConfig(scaling="pow2"))
    exact = training_graph(small_net(), parse_scheme("full"))
    for a, b in zip(t.nodes, exact.nodes, strict=True):
        if "factor" in a.attrs:
            assert (np.log2(a.attrs["factor"]) % 1 == 0).all()
            ratio = a.attrs["factor"] / b.attrs["factor"]
            assert (ratio <= 2**0.5 + 1e-9).all() and (ratio >= 2**-0.5 - 1e-9).all()


def test_mean_squared_error() -> None:
    graph = small_net()
    t = training_graph(graph, parse_scheme("full"), TrainConfig(loss="mean_squared_error", learning_rate=0.05))
    verify(t, infer_outputs)
    assert t.inputs == ["x", "target"]
    x = random_samples(t, 1, 4)[0][0]
    target = np.array([[50, -50, 20, 0]], np.int8)
    state, losses = RunState({}), []
    for _ in range(120):
        evaluate(t, {"x": x, "target": target}, state)
        losses.append(int(train_view(state.tensors["train"])["loss"][0]))
    assert np.mean(losses[-10:]) < 0.1 * losses[0]


def no_rule_net() -> Graph:
    """A softmax-like table operator without a backward rule in the middle: 'dequantize' then 'quantize'."""
    graph = small_net()
    nodes = graph.nodes
    narrow = next(n for n in nodes if n.name == "narrow")
    graph.add(Tensor("narrow.f", graph["narrow"].shape, graph["narrow"].dtype.FLOAT32))
    graph.add(Tensor("narrow.q", graph["narrow"].shape, graph["narrow"].dtype, quant=graph["narrow"].quant))
    at = graph.index(narrow) + 1
    nodes[at:at] = [
        Node("dequantize", ["narrow"], ["narrow.f"], {}, "to_float"),
        Node("quantize", ["narrow.f"], ["narrow.q"], {}, "to_int"),
    ]
    joined = next(n for n in nodes if n.name == "joined")
    joined.inputs = ["stem", "narrow.q"]
    return graph


def test_missing_rule_names_the_layer_and_the_way_out() -> None:
    graph = no_rule_net()
    t = training_graph(graph, parse_scheme("last:1", graph))
    verify(t, infer_outputs)
    train(t, random_samples(t, 1, 4))
    with pytest.raises(NoBackwardRule, match=r"'to_int'.*deepest layer from which learning is possible is 'down' \(layer 4 of 6"):
        training_graph(graph, parse_scheme("last:2", graph))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TrainConfig(accumulate=0), "accumulate is 0"),
        (TrainConfig(accumulate=2.5), "accumulate is 2.5; it must be a whole number"),  # type: ignore[arg-type]
        (TrainConfig(storage="w3"), "storage is 'w3'; it can be 'w8' or 'w8f8'"),  # type: ignore[arg-type]
        (TrainConfig(bias="int8"), "bias is 'int8'"),  # type: ignore[arg-type]
        (TrainConfig(loss="hinge"), "loss is 'hinge'"),  # type: ignore[arg-type]
        (TrainConfig(guard=float("nan")), "guard is nan"),
        (TrainConfig(skip_threshold=1.5), "skip_threshold is 1.5"),
        (TrainConfig(exponent_start=-99), "exponent_start is -99"),
        (TrainConfig(learning_rate=-1.0), "learning rate is -1.0"),
        (TrainConfig(schedule="linear"), "needs total_steps"),
    ],
)
def test_bad_configurations(config: TrainConfig, message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        training_graph(small_net(), Scheme(), config)


def test_shared_weights_and_taken_names_are_refused() -> None:
    graph = small_net()
    layers(graph)[3].inputs[2] = "stem.b"
    with pytest.raises(SchemeError, match="'stem.b' is shared by layers 'stem', 'narrow' and cannot learn"):
        training_graph(graph, parse_scheme("full"))
    graph = small_net()
    graph.add(Tensor("train", (1,), graph["x"].dtype, quant=graph["x"].quant))
    graph.nodes.append(Node("reshape", ["head"], ["label"], {"shape": (1, 4)}, "label"))
    graph.add(Tensor("label", (1, 4), graph["x"].dtype, quant=graph["head"].quant))
    graph.outputs = ["label"]
    with pytest.raises(GraphError, match="a name that training needs"):
        training_graph(graph, Scheme())


def test_the_given_graph_is_left_alone() -> None:
    graph = small_net()
    text = repr([(n.op, n.inputs, n.outputs, n.phase) for n in graph.nodes]) + repr(list(graph.tensors))
    training_graph(graph, parse_scheme("full"), TrainConfig(accumulate=2, bias="int16"))
    assert text == repr([(n.op, n.inputs, n.outputs, n.phase) for n in graph.nodes]) + repr(list(graph.tensors))

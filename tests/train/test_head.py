from __future__ import annotations

import numpy as np
import pytest

from kilograd.errors import SchemeError
from kilograd.ir.graph import DType, Graph, Node, QuantParams, Tensor
from kilograd.ir.verify import verify
from kilograd.ops.base import evaluate, infer_outputs
from kilograd.train.autodiff import training_graph
from kilograd.train.config import TrainConfig
from kilograd.train.head import cut_tail, replace_head
from kilograd.train.scheme import parse_scheme
from tests.train.nets import NetBuilder, class_samples, random_samples, small_net, train


def with_softmax(graph: Graph) -> Graph:
    """Softmax and dequantize behind the logits."""
    y = graph[graph.outputs[0]]
    graph.add(Tensor("p", y.shape, DType.INT8, quant=QuantParams.per_tensor(1 / 256, -128)))
    graph.nodes.append(Node("softmax", [y.name], ["p"], {"beta": 1.0}, "p"))
    graph.add(Tensor("pf", y.shape, DType.FLOAT32))
    graph.nodes.append(Node("dequantize", ["p"], ["pf"], {}, "pf"))
    graph.outputs = ["pf"]
    return graph


def conv_head() -> Graph:
    n = NetBuilder((1, 4, 4, 3))
    n.flat("flat", n.conv("head", n.pool("pool", n.conv("stem", "x", 5)), 7, activation="none"))
    return n.graph


@pytest.mark.parametrize("graph", [small_net(), with_softmax(small_net()), conv_head()])
def test_new_head(graph: Graph) -> None:
    got = replace_head(graph, 3)
    verify(got, infer_outputs)
    logits = got[got.outputs[0]]
    assert (logits.shape, logits.q.s, logits.q.z) == ((1, 3), 1 / 8, 0)
    head = got.producer(got.outputs[0] if got.outputs[0] == "head" else "head")
    assert head is not None
    w, b = got[head.inputs[1]], got[head.inputs[2]]
    assert np.log2(w.q.s) % 1 == 0 and b.q.s == pytest.approx(got[head.inputs[0]].q.s * w.q.s)
    assert w.data is not None and b.data is not None and not w.data.any() and not b.data.any()
    x = random_samples(got, 1, 3)[0][0]
    assert not evaluate(got, {"x": x}).tensors[got.outputs[0]].any()
    assert {n.op for n in got.nodes}.isdisjoint({"softmax", "dequantize"})
    assert graph.nodes[-1].op in ("softmax", "dequantize", "reshape", "fully_connected"), "the graph that was given stays as it was"


def test_new_head_learns() -> None:
    g = replace_head(with_softmax(small_net()), 3)
    t = training_graph(g, parse_scheme("head", g), TrainConfig(learning_rate=0.2))
    _, losses = train(t, class_samples(g, 90, 3))
    assert losses[0] == pytest.approx(np.log(3), abs=0.01)
    assert np.mean(losses[-30:]) < 0.7 * np.log(3)


def test_old_head_keeps_its_quantization_and_loses_its_softmax() -> None:
    g = with_softmax(small_net())
    t = training_graph(g, parse_scheme("head", g))
    verify(t, infer_outputs)
    assert t.outputs == ["head"] and t["head"].q.same_as(g["head"].q)
    assert cut_tail(g, "mean_squared_error").outputs == ["p"], "mean squared error sees the int8 output as it is"


def test_no_head_to_replace() -> None:
    n = NetBuilder((1, 4, 4, 3))
    n.depthwise("last", "x")
    with pytest.raises(SchemeError, match="'last', is a depthwise_conv2d"):
        replace_head(n.graph, 3)
    n = NetBuilder((1, 4, 4, 3))
    n.conv("last", "x", 4, k=3)
    with pytest.raises(SchemeError, match="1x1"):
        replace_head(n.graph, 3)
    n = NetBuilder((1, 4, 4, 3))
    n.pool("pool", n.conv("last", "x", 4))
    with pytest.raises(SchemeError, match=r"behind its last layer with weights, 'last', comes 'pool' \(average_pool2d\)"):
        replace_head(n.graph, 3)
    n = NetBuilder((1, 4, 4, 3))
    n.conv("last", "x", 4)
    with pytest.raises(SchemeError, match="class map"):
        replace_head(n.graph, 3)
    n = NetBuilder((1, 4, 4, 3))
    n.pool("pool", "x")
    with pytest.raises(SchemeError, match="no layer with weights"):
        replace_head(n.graph, 3)
    with pytest.raises(SchemeError, match="0 classes"):
        replace_head(small_net(), 0)

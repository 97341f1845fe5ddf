"""The model with what a plan learned from it: a forward graph that any writer takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from kilograd.errors import ModelError
from kilograd.frontends.simplify import simplify
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Tensor
from kilograd.plan.learned import about, values_of, whole
from kilograd.plan.plan import Plan


def with_learned(graph: Graph, plan: Plan, source: Any = None) -> Graph:
    """The graph with learned weights and biases (see values_of for `source`), and the fresh head where the plan has one.

    `graph` is the model from which `plan` was compiled.
    """
    from kilograd.train.head import replace_head

    values, out = values_of(plan, source), simplify(graph)
    classes = plan.meta.get("train", {}).get("classes")
    if classes is not None:
        out = replace_head(out, int(classes))
    nodes = {n.name: n for n in out.nodes}
    for layer, entry in about(plan).items():
        node = nodes.get(layer)
        if node is None or node.op != entry["op"]:
            raise ModelError(
                f"model '{graph.name}' has no layer '{layer}' ({entry['op']}), which learned: plan '{plan.name}' is of another"
            )
        weights, quant, bias = whole(plan, values, layer)
        _replace(out, node.inputs[1], weights, quant, plan)
        for name in entry["others"]:
            _replace(out, name, values[name], plan.tensors[name].quant, plan)
        if bias is not None:
            _bias(out, node, bias, plan)
    return out


def _replace(graph: Graph, name: str, data: Array, quant: QuantParams | None, plan: Plan) -> None:
    t = graph.tensors.get(name)
    same = t is not None and t.shape == data.shape and t.dtype.numpy == data.dtype and t.data is not None
    if t is None or not same or not (t.quant is None or t.quant.same_as(quant)):
        raise ModelError(
            f"'{name}' of model '{graph.name}' differs in shape or quantization from what was learned: plan '{plan.name}' is of another"
        )
    graph.set(name, data=np.ascontiguousarray(data))


def _bias(graph: Graph, node: Node, bias: Array, plan: Plan) -> None:
    """A layer without a bias got one to learn."""
    if len(node.inputs) > 2 and node.inputs[2]:
        t = graph[node.inputs[2]]
        _replace(graph, t.name, bias, t.quant, plan)
        return
    x, w = graph[node.inputs[0]], graph[node.inputs[1]].q
    quant = QuantParams((np.float32(x.q.s) * w.scale).astype(np.float32), np.zeros(w.scale.size, np.int32), 0 if w.scale.size > 1 else None)
    name = graph.fresh(f"{node.name}.bias")
    graph.add(Tensor(name, bias.shape, DType.INT32, Kind.CONST, quant, bias))
    node.inputs += [""] * (3 - len(node.inputs))
    node.inputs[2] = name

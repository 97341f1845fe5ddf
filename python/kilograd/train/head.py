"""The end of a network: replacing its last layer, and cutting off what training does not need."""

from __future__ import annotations

import numpy as np

from kilograd.errors import SchemeError
from kilograd.ir.graph import DType, Graph, Kind, Node, QuantParams, Shape, Tensor
from kilograd.ir.passes import remove_dead_nodes
from kilograd.train.scheme import layers

#: operators that may stand behind the head
TAIL = ("reshape", "softmax", "dequantize", "logistic")
#: those of them that cross-entropy takes over: the loss reads the logits
CROSS_ENTROPY_CUTS = ("softmax", "dequantize", "logistic")
MEAN_SQUARED_ERROR_CUTS = ("dequantize",)

LOGIT_SCALE = 1 / 8


def weight_scale(input_scale: float) -> float:
    """Weight scale of a fresh head: the power of two with which one step of a weight at one step of the input moves the logit by
    2^-9 to 2^-8 of its own step.

    Coarser weights lose accuracy to the noise of stochastic rounding, finer ones saturate (docs/numerics.md, "The head").
    """
    return float(2.0 ** np.floor(np.log2(LOGIT_SCALE * 2.0**-8 / input_scale)))


def cut_tail(graph: Graph, loss: str) -> Graph:
    """A copy that ends in the int8 tensor that the loss reads."""
    if len(graph.outputs) != 1:
        raise SchemeError(f"'{graph.name}' has {len(graph.outputs)} outputs; learning needs a model with one")
    out = graph.copy()
    cuts = CROSS_ENTROPY_CUTS if loss == "cross_entropy" else MEAN_SQUARED_ERROR_CUTS
    node = out.producer(out.outputs[0])
    while node is not None and node.op in cuts:
        out.outputs = [node.inputs[0]]
        node = out.producer(out.outputs[0])
    return remove_dead_nodes(out)


def find_head(graph: Graph) -> Node:
    """The last layer with weights, when only views and output functions follow it; SchemeError otherwise."""
    found = layers(graph)
    if not found:
        raise SchemeError(f"'{graph.name}' has no layer with weights, so it has no head that could be replaced")
    head, last = found[-1], graph.nodes[-1]
    tensor = head.outputs[0]
    while tensor not in graph.outputs:
        readers = graph.consumers(tensor)
        if len(readers) != 1 or readers[0].op not in TAIL:
            last = readers[0] if readers else last
            raise SchemeError(
                f"the head of '{graph.name}' cannot be replaced: behind its last layer with weights, '{head.name}', comes '{last.name}' "
                f"({last.op}); only {', '.join(TAIL)} may. Train it without --classes."
            )
        tensor = readers[0].outputs[0]
    w = graph[head.inputs[1]]
    if head.op not in ("conv2d", "fully_connected") or (head.op == "conv2d" and w.shape[1:3] != (1, 1)):
        raise SchemeError(
            f"the head of '{graph.name}' cannot be replaced: its last layer with weights, '{head.name}', is a {head.op} with weights "
            f"{list(w.shape)}; it must be fully connected or a 1x1 convolution. Train it without --classes."
        )
    return head


def replace_head(graph: Graph, classes: int) -> Graph:
    """A copy whose last layer has `classes` outputs: weights and biases zero, logit scale 1/8. What follows but
    reshapes is dropped, so the output is the int8 logits."""
    if not 1 <= classes <= 65536:
        raise SchemeError(f"a head of {classes} classes is not possible; give 1 to 65536")
    find_head(graph)
    out = cut_tail(graph, "cross_entropy")
    head = find_head(out)
    x, w = out[head.inputs[0]], out[head.inputs[1]]
    if x.dtype is not DType.INT8 or out[head.outputs[0]].size != w.shape[0]:
        raise SchemeError(f"the head '{head.name}' gives a class map of {list(out[head.outputs[0]].shape)}, not one vector of logits")
    shape = (classes, *w.shape[1:])
    weight, bias = out.fresh(f"{head.name}.head.weight"), out.fresh(f"{head.name}.head.bias")
    scale = weight_scale(x.q.s)
    out.add(Tensor(weight, shape, DType.INT8, Kind.CONST, QuantParams.per_tensor(scale), np.zeros(shape, np.int8)))
    bias_quant = QuantParams.per_tensor(x.q.s * scale)
    out.add(Tensor(bias, (classes,), DType.INT32, Kind.CONST, bias_quant, np.zeros(classes, np.int32)))
    head.inputs = [x.name, weight, bias]
    head.attrs["activation"] = "none"
    _resize_results(out, head, classes)
    out.drop_unused()
    return out


def _resize_results(graph: Graph, head: Node, classes: int) -> None:
    """New shape and quantization of the logits, through the reshapes behind the head."""
    quant = QuantParams.per_tensor(LOGIT_SCALE)
    shape: Shape = (*graph[head.outputs[0]].shape[:-1], classes)
    graph.set(head.outputs[0], shape=shape, quant=quant)
    tensor = head.outputs[0]
    while tensor not in graph.outputs:
        node = graph.consumers(tensor)[0]
        tensor = node.outputs[0]
        rank = len(graph[tensor].shape)
        shape = (1,) * (rank - 1) + (classes,)
        node.attrs["shape"] = shape
        graph.set(tensor, shape=shape, quant=quant)

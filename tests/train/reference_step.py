"""The network of `ref_step.npz`: a MobileNetV2-like int8 net, one input, and one batch-1 step computed with float errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from kilograd.ir.graph import Array, DType, Graph, Kind, Node, QuantParams, Tensor

LAYERS = 25
STEM, DEPTHWISE = 0, 2
LOGIT_SCALE = 1 / 256  # fine enough that rounding the logits does not hide differences of the errors


class Reader:
    """Builds the graph, layer by layer, from the arrays of the file."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self.a = arrays
        self.graph = Graph("reference")
        s, z = arrays["L0_meta"][:2]
        self.graph.add(Tensor("x", (1, 32, 32, 3), DType.INT8, quant=QuantParams.per_tensor(float(s), int(z))))
        self.graph.inputs = ["x"]
        self.results: list[str] = []  # of the layers, after the residual add

    def _node(self, op: str, inputs: list[str], name: str, shape: tuple[int, ...], scale: float, zero: int, attrs: dict[str, Any]) -> str:
        self.graph.add(Tensor(name, shape, DType.INT8, quant=QuantParams.per_tensor(scale, zero)))
        self.graph.nodes.append(Node(op, inputs, [name], attrs, name))
        self.graph.outputs = [name]
        return name

    def layer(self, i: int, x: str) -> str:
        """Convolution i and its residual add."""
        meta, w, sw = self.a[f"L{i}_meta"], self.a[f"L{i}_w"], self.a[f"L{i}_sw"]
        out_c, stride, size, relu, kind = (int(v) for v in meta[10:15])
        k = 1 if kind == 1 else 3
        if kind == STEM:
            w = w.reshape(out_c, 3, 3, 3).transpose(0, 2, 3, 1)
        elif kind == DEPTHWISE:
            w = w.T.reshape(1, 3, 3, out_c)
        else:
            w = w.reshape(out_c, 1, 1, -1)
        axis = 3 if kind == DEPTHWISE else 0
        quant = QuantParams(sw.astype(np.float32), np.zeros(out_c, np.int32), axis)
        self.graph.add(Tensor(f"L{i}.w", w.shape, DType.INT8, Kind.CONST, quant, np.ascontiguousarray(w)))
        self.graph.add(Tensor(f"L{i}.b", (out_c,), DType.INT32, Kind.CONST, data=self.a[f"L{i}_b"]))
        p, side = k // 2, size // stride
        attrs = {"stride": (stride, stride), "dilation": (1, 1), "padding": (p, p, p, p), "activation": "relu" if relu else "none"}
        op = "depthwise_conv2d" if kind == DEPTHWISE else "conv2d"
        y = self._node(op, [x, f"L{i}.w", f"L{i}.b"], f"L{i}", (1, side, side, out_c), float(meta[2]), int(meta[3]), attrs)
        if (start := int(meta[8])) >= 0:  # the other operand is what layer `start` reads
            y = self._node(
                "add", [y, self.results[start - 1]], f"add{i}", (1, side, side, out_c), float(meta[4]), int(meta[5]), {"activation": "none"}
            )
        self.results.append(y)
        return y

    def head(self, x: str) -> None:
        """Average pooling and the classifier, whose float weights become int8."""
        s, z = self.graph[x].q.s, self.graph[x].q.z
        attrs = {"filter": (4, 4), "stride": (4, 4), "padding": (0, 0, 0, 0), "activation": "none", "rounding": "half_away"}
        pooled = self._node("average_pool2d", [x], "pool", (1, 1, 1, 96), s, z, attrs)
        w, b = self.a["head_w0"], self.a["head_b0"]
        scale = float(np.abs(w).max()) / 127
        quant = QuantParams.per_tensor(scale)
        data = np.rint(w / scale).astype(np.int8)
        self.graph.add(Tensor("head.w", data.shape, DType.INT8, Kind.CONST, quant, data))
        self.graph.add(Tensor("head.b", b.shape, DType.INT32, Kind.CONST, data=np.rint(b / (s * scale)).astype(np.int32)))
        self._node(
            "fully_connected", [pooled, "head.w", "head.b"], "head", (1, 5), LOGIT_SCALE, 0, {"activation": "none", "keep_dims": False}
        )


def reference_graph(arrays: dict[str, Array]) -> Graph:
    """The whole network."""
    reader = Reader(arrays)
    y = "x"
    for i in range(LAYERS):
        y = reader.layer(i, y)
    reader.head(y)
    return reader.graph


def file_layout(arrays: dict[str, Array], i: int, value: Array) -> Array:
    """Weights of layer i, as the graph has them, in the layout of the file [out, in * taps]."""
    kind = int(arrays[f"L{i}_meta"][14])
    if kind == DEPTHWISE:
        return value.reshape(9, -1).T
    return (value.transpose(0, 3, 1, 2) if kind == STEM else value).reshape(value.shape[0], -1)

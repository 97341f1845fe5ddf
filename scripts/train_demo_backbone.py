"""Trains the small network that `kilograd demo` starts from and writes it to python/kilograd/assets/digits.npz.

    pip install torch scikit-learn && pip install . && python scripts/train_demo_backbone.py

Data: scikit-learn's digits (8x8, upright), the first of the three parts that kilograd.cli.digits makes; the demo uses the other
two. Training is float32 in PyTorch; batch normalisation is folded, weights become int8 per channel, activations int8 with the range of the
training images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from kilograd.cli.digits import SIZE, digits
from kilograd.ir import DType, Graph, Kind, Node, QuantParams, Tensor, verify
from kilograd.ir.serialize import save_graph
from kilograd.ops.base import infer_outputs

ASSET = Path(__file__).resolve().parents[1] / "python/kilograd/assets/digits.npz"
EPOCHS, BATCH, RATE = 60, 32, 3e-3
#: (operator, output channels, stride)
LAYERS = (("conv2d", 8, 1), ("depthwise_conv2d", 8, 2), ("conv2d", 16, 1), ("depthwise_conv2d", 16, 1), ("conv2d", 24, 1),
          ("depthwise_conv2d", 24, 2), ("conv2d", 32, 1))  # fmt: skip
NAMES = ("stem", "block1/depthwise", "block1/pointwise", "block2/depthwise", "block2/pointwise", "block3/depthwise", "block3/pointwise")


class Block(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, op: str, cin: int, cout: int, stride: int, first: bool) -> None:
        super().__init__()
        k = 3 if first or op == "depthwise_conv2d" else 1
        groups = cin if op == "depthwise_conv2d" else 1
        self.conv = nn.Conv2d(cin, cout, k, stride, k // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn(self.conv(x)))

    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights [out, in, k, k] and bias with the normalisation folded in."""
        assert self.bn.running_mean is not None and self.bn.running_var is not None
        scale = self.bn.weight / torch.sqrt(self.bn.running_var + self.bn.eps)
        return (self.conv.weight * scale[:, None, None, None]).detach(), (self.bn.bias - self.bn.running_mean * scale).detach()


class Net(nn.Module):
    """Seven convolutions, global average, linear layer."""

    def __init__(self) -> None:
        super().__init__()
        channels = [1, *(c for _, c, _ in LAYERS)]
        self.blocks = nn.ModuleList(Block(op, channels[i], c, s, i == 0) for i, (op, c, s) in enumerate(LAYERS))
        self.head = nn.Linear(channels[-1], 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


def train(x: np.ndarray, y: np.ndarray) -> Net:
    """Float training with random shifts by one pixel."""
    torch.manual_seed(0)
    net = Net()
    images, labels = torch.from_numpy(x).float().permute(0, 3, 1, 2) / 255, torch.from_numpy(y).long()
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for part in torch.randperm(len(images)).split(BATCH):
            if len(part) < 2:
                continue
            shift = torch.randint(-1, 2, (2,)).tolist()
            batch = torch.roll(images[part], shift, (2, 3))
            loss = nn.functional.cross_entropy(net(batch), labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return net.eval()


def activation(low: float, high: float) -> QuantParams:
    """int8 quantization of a range that includes zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    return QuantParams.per_tensor(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


class Builder:
    """Writes quantized layers into a Graph."""

    def __init__(self) -> None:
        self.graph = Graph("digits", inputs=["image"])
        self.graph.add(Tensor("image", (1, SIZE, SIZE, 1), DType.INT8, quant=QuantParams.per_tensor(1 / 255, -128)))
        self.last = "image"

    def layer(self, name: str, op: str, w: np.ndarray, b: np.ndarray, axis: int, shape: tuple[int, ...], quant: QuantParams,
              attrs: dict[str, object]) -> None:  # fmt: skip
        """A layer with weights in kilograd's layout; `axis` counts output channels."""
        others = tuple(i for i in range(w.ndim) if i != axis)
        scale = (np.maximum(np.abs(w).max(axis=others), 1e-6) / 127).astype(np.float32)
        view = [1] * w.ndim
        view[axis] = -1
        q = np.clip(np.rint(w / scale.reshape(view)), -127, 127).astype(np.int8)
        bias_scale = (np.float32(self.graph[self.last].q.s) * scale).astype(np.float32)
        bias = np.rint(b / bias_scale).astype(np.int32)
        zero = np.zeros(len(scale), np.int32)
        self.graph.add(Tensor(f"{name}/weights", q.shape, DType.INT8, Kind.CONST, QuantParams(scale, zero, axis), q))
        self.graph.add(Tensor(f"{name}/bias", bias.shape, DType.INT32, Kind.CONST, QuantParams(bias_scale, zero, 0), bias))
        self.graph.add(Tensor(name, shape, DType.INT8, quant=quant))
        self.graph.nodes.append(Node(op, [self.last, f"{name}/weights", f"{name}/bias"], [name], attrs, name))
        self.last = name


def quantized(net: Net, x: np.ndarray) -> Graph:
    """The network in integers."""
    build, t = Builder(), torch.from_numpy(x).float().permute(0, 3, 1, 2) / 255
    for block, name, (op, _, stride) in zip(net.blocks, NAMES, LAYERS, strict=True):
        assert isinstance(block, Block)
        w, b = (v.numpy() for v in block.folded())
        with torch.no_grad():
            t = block(t)
        k = w.shape[2]
        ours = w[:, 0].transpose(1, 2, 0)[None] if op == "depthwise_conv2d" else w.transpose(0, 2, 3, 1)
        attrs: dict[str, object] = {"stride": (stride, stride), "dilation": (1, 1), "padding": (k // 2,) * 4, "activation": "relu"}
        shape = (1, t.shape[2], t.shape[3], t.shape[1])
        build.layer(name, op, ours, b, 3 if op == "depthwise_conv2d" else 0, shape, activation(0.0, float(t.max())), attrs)
    pooled = t.mean((2, 3))
    build.graph.add(Tensor("pool", (1, pooled.shape[1]), DType.INT8, quant=activation(0.0, float(pooled.max()))))
    build.graph.nodes.append(Node("mean", [build.last], ["pool"], {"axes": (1, 2), "keep_dims": False}, "pool"))
    build.last = "pool"
    with torch.no_grad():
        logits = net.head(pooled)
    w, b = net.head.weight.detach().numpy(), net.head.bias.detach().numpy()
    quant = activation(float(logits.min()), float(logits.max()))
    build.layer("head", "fully_connected", w, b, 0, (1, 10), quant, {"activation": "none", "keep_num_dims": False})
    build.graph.outputs = ["head"]
    verify(build.graph, infer_outputs)
    return build.graph


def main() -> None:
    """Train, quantize, write."""
    data = digits()
    net = train(data.x_upright, data.y_upright)
    graph = quantized(net, data.x_upright)
    ASSET.parent.mkdir(exist_ok=True)
    save_graph(graph, ASSET)
    for name, x, y in (("upright, seen", data.x_upright, data.y_upright), ("turned, never seen", data.x_test, data.y_test)):
        with torch.no_grad():
            hits = net(torch.from_numpy(x).float().permute(0, 3, 1, 2) / 255).argmax(1).numpy() == y
        print(f"float accuracy, {name}: {hits.mean():.3f}")
    print(f"{ASSET.name}: {ASSET.stat().st_size} bytes")


if __name__ == "__main__":
    main()

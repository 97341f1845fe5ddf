"""Float models and data that benchmarks/quantizer.py measures on: each a graph, samples as the model reads them, and how it is judged."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import kilograd as kg
from kilograd.data import resize
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Tensor
from kilograd.ir.verify import verify
from kilograd.ops.base import infer_outputs

SIZE = 176  # of the images that MobileNet sees: as the sample is stored (the network was trained on 224)
CALIBRATION = 200


@dataclass(frozen=True)
class Case:
    """A float model with samples for calibration and for judging, labels where there are any, and the vendor's int8 file.

    `low` and `high` are the range of the input, all that calibration without data is told. `images`: the input is a picture.
    """

    name: str
    graph: Graph
    calibration: Array
    test: Array
    labels: Array | None
    vendor: Path | None
    low: float
    high: float
    images: bool


def mobilenet(path: Path, size: int = SIZE) -> Graph:
    """MobileNetV1-0.25 from its folded arrays: 13 pairs of depthwise and pointwise layers with relu6, average, 1x1 classifier."""
    arrays = np.load(path)
    strides = dict(zip(arrays["names"].tolist(), arrays["strides"].tolist(), strict=True))
    graph, x = Graph("mobilenet_v1_0.25"), "x"
    graph.add(Tensor(x, (1, size, size, 3), DType.FLOAT32))
    graph.inputs = [x]

    def constant(name: str, value: Array) -> str:
        data = np.ascontiguousarray(value, np.float32)
        return graph.add(Tensor(name, data.shape, DType.FLOAT32, Kind.CONST, None, data)).name

    def layer(x: str, name: str, stride: int, activation: str) -> str:
        kernel = arrays[f"{name}.kernel"]
        depthwise = "_dw_" in name
        total = max(kernel.shape[0] - (stride if graph[x].shape[1] % stride == 0 else graph[x].shape[1] % stride), 0)
        pads = (total // 2, total - total // 2) * 2
        side = -(-graph[x].shape[1] // stride)
        graph.add(Tensor(name, (1, side, side, kernel.shape[2] if depthwise else kernel.shape[3]), DType.FLOAT32))
        operands = [x, constant(f"{name}.w", kernel.transpose(3, 0, 1, 2)), constant(f"{name}.b", arrays[f"{name}.bias"])]
        attrs = {"stride": (stride, stride), "dilation": (1, 1), "padding": pads, "activation": activation}
        graph.nodes.append(Node("depthwise_conv2d" if depthwise else "conv2d", operands, [name], attrs, name=name))
        return name

    for name in [*arrays["names"].tolist(), "conv_preds"]:
        if name == "conv_preds":
            side = graph[x].shape[1]
            graph.add(Tensor("pool", (1, 1, 1, graph[x].shape[3]), DType.FLOAT32))
            attrs = {"filter": (side, side), "stride": (1, 1), "padding": (0,) * 4, "activation": "none"}
            graph.nodes.append(Node("average_pool2d", [x], ["pool"], attrs, name="pool"))
            x = "pool"
        x = layer(x, name, int(strides.get(name, 1)), "none" if name == "conv_preds" else "relu6")
    graph.add(Tensor("logits", (1, 1000), DType.FLOAT32))
    graph.nodes.append(Node("reshape", [x], ["logits"], {"shape": (1, 1000)}, name="logits"))
    graph.outputs = ["logits"]
    verify(graph, infer_outputs)
    return graph


def imagenet(path: Path, size: int = SIZE) -> tuple[Array, Array]:
    """The sample's images at a size, uint8, and labels."""
    from PIL import Image

    arrays = np.load(path)
    data, ends = arrays["jpeg"], arrays["offsets"]
    images = [np.asarray(Image.open(io.BytesIO(data[a:b].tobytes())).convert("RGB")) for a, b in zip(ends[:-1], ends[1:], strict=True)]
    stack = np.stack(images)
    return (stack if stack.shape[1] == size else resize(stack, size, size)), arrays["labels"].astype(np.int64)


def log_mel_windows(path: Path, count: int) -> Array:
    """Windows of 5 x 128 from spoken digits (49 x 40 log-mel bytes), for want of the machine sounds that the detector was made for."""
    x = np.load(path)["x"][:: max(1, 3000 // count)][:count].astype(np.float32)
    bands = np.interp(np.linspace(0, 39, 128), np.arange(40), np.arange(40))
    low, part = np.floor(bands).astype(int), (bands % 1).astype(np.float32)
    wide = x[:, :, low] * (1 - part) + x[:, :, np.minimum(low + 1, 39)] * part
    return (wide[:, 20:25].reshape(len(x), 640) / 255 * 80 - 70).astype(np.float32)


def load_cases(root: Path, names: list[str] | None = None) -> list[Case]:
    """The models of these names, or all, in the order of the table."""
    tiny, data = root / "models" / "mlperf_tiny", root / "datasets"
    makers: dict[str, Callable[[Path, Path, Path], Case]] = {
        "kws": _kws,
        "resnet": _resnet,
        "vww": _vww,
        "ad": _ad,
        "mobilenet": _mobilenet,
    }
    return [make(root, tiny, data) for name, make in makers.items() if not names or name in names]


def _kws(root: Path, tiny: Path, data: Path) -> Case:
    arrays = np.load(data / "mlperf_kws01_mfcc_49x10_int8.npz")
    x = ((arrays["x"].astype(np.float32) - 83) * np.float32(0.5847029))[..., None]
    held = np.flatnonzero(~arrays["is_test"])[:CALIBRATION]
    rest = np.setdiff1d(np.arange(len(x)), held)
    graph, vendor = kg.load(tiny / "kws_ref_model_float32.tflite"), tiny / "kws_ref_model.tflite"
    return Case("kws", graph, x[held], x[rest], arrays["y"][rest].astype(np.int64), vendor, -123.0, 26.0, False)


def _resnet(root: Path, tiny: Path, data: Path) -> Case:
    arrays = np.load(data / "cifar10_32.npz")
    graph, vendor = kg.load(tiny / "pretrainedResnet.tflite"), tiny / "pretrainedResnet_quant.tflite"
    train, test = (arrays[k].astype(np.float32) for k in ("x_train", "x_test"))
    return Case("resnet", graph, train[:CALIBRATION], test, arrays["y_test"].astype(np.int64), vendor, 0.0, 255.0, True)


def _vww(root: Path, tiny: Path, data: Path) -> Case:
    """Faces against backgrounds, and other photographs for agreement alone: no labels of the model's own task are here."""
    faces, pets, things = (np.load(data / f"{n}_96.npz") for n in ("face_vs_background", "catsdogs", "caltech20"))
    held = np.concatenate([faces["x_train"][:100], pets["x_train"][:100]]).astype(np.float32) / 255
    test = np.concatenate([faces["x_test"], pets["x_test"], things["x_test"]]).astype(np.float32) / 255
    graph, vendor = kg.load(tiny / "vww_96_float.tflite"), tiny / "vww_96_int8.tflite"
    return Case("vww", graph, held, test, None, vendor, 0.0, 1.0, True)


def _ad(root: Path, tiny: Path, data: Path) -> Case:
    x = log_mel_windows(data / "fsdd_logmel_49x40.npz", 600)
    graph, vendor = kg.load(tiny / "ad01_fp32.tflite"), tiny / "ad01_int8.tflite"
    return Case("ad", graph, x[::3], np.concatenate([x[1::3], x[2::3]]), None, vendor, -70.0, 10.0, False)


def _mobilenet(root: Path, tiny: Path, data: Path) -> Case:
    x, y = imagenet(data / "imagenet_sample1000_176_jpeg.npz")
    real = x.astype(np.float32) / np.float32(127.5) - 1
    held = np.arange(0, len(x), len(x) // CALIBRATION)
    rest = np.setdiff1d(np.arange(len(x)), held)
    graph = mobilenet(root / "models" / "float_backbones" / "mobilenet_v1_0.25_imagenet_bnfolded_f32.npz")
    return Case("mobilenet", graph, real[held], real[rest], y[rest], None, -1.0, 1.0, True)

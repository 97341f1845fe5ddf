"""Comparing a whole model bit for bit: every tensor of LiteRT's reference kernels against NumPy and against the C kernels.

`python -m benchmarks.models` does it for all models; the tests of the frontends for small ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kilograd.ir.graph import Array, DType, Graph
from kilograd.ops.base import RunState, evaluate
from tests.reference import Reference, differences
from tests.streaming import early_reads

Images = Callable[[Array, tuple[int, ...]], Array]


def centered(x: Array, shape: tuple[int, ...]) -> Array:
    """Pixels as int8: pixel - 128 (the same bits as a uint8 model shifted to int8)."""
    return (resize(x, shape) ^ np.uint8(0x80)).view(np.int8)


def unit(x: Array, shape: tuple[int, ...]) -> Array:
    """Pixels as float32 in [-1, 1]."""
    return (resize(x, shape).astype(np.float32) / np.float32(127.5)) - np.float32(1)


def plain(x: Array, shape: tuple[int, ...]) -> Array:
    """Values as they are stored, under the model's shape."""
    return x.reshape(shape)


def resize(x: Array, shape: tuple[int, ...]) -> Array:
    """Nearest pixel of uint8 [h, w, c] for the size that the model wants, or a reshape where sizes agree."""
    if x.size == int(np.prod(shape)):
        return x.reshape(shape)
    rows = np.arange(shape[1]) * x.shape[0] // shape[1]
    cols = np.arange(shape[2]) * x.shape[1] // shape[2]
    return np.ascontiguousarray(x[rows][:, cols].reshape(shape))


@dataclass(frozen=True)
class Case:
    """A model and, where there is one, a dataset whose samples it takes (file, array, preparation)."""

    model: str
    real: tuple[str, str, Images] | None = None


CASES = [
    Case("mlperf_tiny/ad01_int8"),
    Case("mlperf_tiny/kws_ref_model", ("mlperf_kws01_mfcc_49x10_int8", "x", plain)),
    Case("mlperf_tiny/pretrainedResnet_quant", ("cifar10_32", "x_test", centered)),
    Case("mlperf_tiny/vww_96_int8", ("face_vs_background_96", "x_test", centered)),
    Case("tinyengine/vww", ("face_vs_background_96", "x_test", unit)),
    Case("coral/mobilenet_v1_0.25_128_quant", ("caltech20_96", "x_test", centered)),
    Case("tflite_micro/micro_speech_quantized", ("fsdd_logmel_49x40", "x", centered)),
    Case("backbones/mcunet-5fps_int8", ("caltech20_96", "x_test", centered)),
    Case("backbones/mbv2-w0.35_int8", ("caltech20_96", "x_test", centered)),
]


def model_path(root: Path, case: Case) -> Path:
    """File of the model."""
    return root / "models" / f"{case.model}.tflite"


def random_feeds(graph: Graph, count: int, seed: int = 1) -> list[dict[str, Array]]:
    """Random values for all inputs: integers over their range (the last two of many: all lowest, all highest), float32 in [-1.5, 1.5].

    int32 and int64 (indices and the like) stay small.
    """
    rng = np.random.default_rng(seed)

    def one(name: str, i: int) -> Array:
        t = graph[name]
        if t.dtype is DType.FLOAT32:
            return rng.uniform(-1.5, 1.5, t.shape).astype(np.float32)
        low, high = (0, 100) if t.dtype in (DType.INT32, DType.INT64) else (np.iinfo(t.dtype.numpy).min, np.iinfo(t.dtype.numpy).max)
        if count > 2 and i >= count - 2:
            return np.full(t.shape, (low, high)[i - count + 2], t.dtype.numpy)
        return rng.integers(low, high + 1, t.shape).astype(t.dtype.numpy)

    return [{name: one(name, i) for name in graph.inputs} for i in range(count)]


def random_inputs(graph: Graph, count: int, seed: int = 1) -> list[Array]:
    """Random inputs: int8 over the whole range (the last two of many: all lowest, all highest), float32 in [-1.5, 1.5]."""
    t, rng = graph[graph.inputs[0]], np.random.default_rng(seed)
    if t.dtype is DType.FLOAT32:
        return [rng.uniform(-1.5, 1.5, t.shape).astype(np.float32) for _ in range(count)]
    extremes = [np.full(t.shape, v, np.int8) for v in (-128, 127)]
    return ([rng.integers(-128, 128, t.shape, dtype=np.int8) for _ in range(max(count - 2, 1))] + extremes)[:count]


def real_inputs(root: Path, graph: Graph, case: Case, count: int) -> list[Array]:
    """`count` samples of the case's dataset, spread over it; empty when there is none."""
    if case.real is None:
        return []
    file, array, prepare = case.real
    path = root / "datasets" / f"{file}.npz"
    if not path.exists():
        return []
    with np.load(path) as content:
        samples = content[array]
    picked = np.linspace(0, len(samples) - 1, count).astype(int)
    return [prepare(samples[i], graph[graph.inputs[0]].shape) for i in picked]


Runner = Callable[[dict[str, Array]], dict[str, Array]]


def numpy_runner(graph: Graph) -> Runner:
    """Every tensor by the operators' NumPy references."""
    state = RunState({})  # variables of streaming models go on from input to input, as in the interpreter
    return lambda feeds: evaluate(graph, feeds, state).tensors


def c_runner(graph: Graph) -> Runner:
    """Every tensor by the C kernels: a plan in which no two tensors share memory."""
    import kilograd as kg

    simulator = kg.Simulator(kg.compile(graph, placement="disjoint", optimize=False))
    names = [name for node in graph.nodes for name in node.writes()]
    early = early_reads(graph, simulator.plan)

    def run(feeds: dict[str, Array]) -> dict[str, Array]:
        before = {name: simulator.read(name) for name in early}
        for name, value in feeds.items():
            simulator.write(name, value)
        simulator.run("infer")
        return {name: np.array(simulator.read(name)) for name in names} | before

    return run


def compare(
    data: bytes, graph: Graph, inputs: Sequence[Array | dict[str, Array]], runner: Runner, leave: Sequence[str] = ()
) -> dict[str, Any]:
    """Tensors and elements compared, all but those named in `leave`; mismatches (at most 20 lines), seconds.

    An input is a value of the first input, or of all by name.
    """
    reference, start = Reference(data), time.perf_counter()
    tensors = elements = equal = 0
    mismatches: list[str] = []
    for i, x in enumerate(inputs):
        feeds = x if isinstance(x, dict) else {graph.inputs[0]: x}
        want = {k: v for k, v in reference.run(graph, feeds).items() if k not in leave}
        computed = [name for node in graph.nodes for name in node.writes() if name in want]
        wrong = differences(graph, want, runner(feeds))
        tensors += len(computed)
        equal += len(computed) - len(wrong)
        elements += sum(want[name].size for name in computed)
        mismatches += [f"input {i}: {line}" for line in wrong]
    return {
        "inputs": len(inputs), "tensors": tensors, "equal": equal, "elements": elements,
        "mismatches": mismatches[:20], "seconds": round(time.perf_counter() - start, 3),
    }  # fmt: skip

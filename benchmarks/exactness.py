"""Bit-exactness of whole models: every tensor of LiteRT's reference kernels against NumPy and against the C kernels.

    python -m benchmarks.exactness [--json] [--samples N] [--numpy-samples N] [--model NAME ...]

Reads models and real inputs from the shared data ($KILOGRAD_DATA); exits with 1 when a tensor differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kilograd.frontends import import_tflite
from kilograd.ir.graph import Array, DType, Graph, Kind
from kilograd.ops.base import RunState, evaluate
from tests.reference import Reference, differences
from tests.shared_data import shared_data
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
        simulator.infer(feeds[graph.inputs[0]])
        return {name: np.array(simulator.read(name)) for name in names} | before

    return run


def compare(data: bytes, graph: Graph, inputs: list[Array], runner: Runner) -> dict[str, Any]:
    """Tensors and elements compared, mismatches (at most 20 lines), seconds."""
    reference, start = Reference(data), time.perf_counter()
    tensors = elements = equal = 0
    mismatches: list[str] = []
    for i, x in enumerate(inputs):
        feeds = {graph.inputs[0]: x}
        want = reference.run(graph, feeds)
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


def check(root: Path, case: Case, samples: int, numpy_samples: int) -> dict[str, Any]:
    """Both comparisons of one model, on random and on real inputs."""
    data = model_path(root, case).read_bytes()
    graph = import_tflite(data, Path(case.model).name)
    kinds = [n for n in graph.nodes if all(graph[t].kind is Kind.ARENA for t in n.writes())]
    result: dict[str, Any] = {"model": case.model, "operators": len(kinds), "real_data": case.real[0] if case.real else None}
    for kind, count in (("numpy", numpy_samples), ("c", samples)):
        if count == 0:
            continue
        inputs = random_inputs(graph, count) + real_inputs(root, graph, case, count)
        result[kind] = compare(data, graph, inputs, numpy_runner(graph) if kind == "numpy" else c_runner(graph))
    return result


def main() -> int:
    """Check the nine models and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--samples", type=int, default=10, help="random and real inputs each, C kernels")
    parser.add_argument("--numpy-samples", type=int, default=2, help="random and real inputs each, NumPy")
    parser.add_argument("--model", action="append", help="part of a model's name; may be repeated")
    args = parser.parse_args()
    root = shared_data()
    if root is None:
        print("the shared data is not here: set KILOGRAD_DATA", file=sys.stderr)
        return 2
    results, ok = [], True
    for case in CASES:
        if args.model and not any(m in case.model for m in args.model):
            continue
        result = check(root, case, args.samples, args.numpy_samples)
        results.append(result)
        for kind in ("numpy", "c"):
            if kind not in result:
                continue
            r = result[kind]
            ok = ok and r["tensors"] == r["equal"]
            if not args.json:
                print(f"{case.model:40s} {kind:6s} {r['equal']:6d} of {r['tensors']:6d} tensors equal, {r['elements']:10d} values, "
                      f"{r['inputs']:3d} inputs, {r['seconds']:7.2f} s", flush=True)  # fmt: skip
                for line in r["mismatches"][:5]:
                    print(f"    {line}")
    if args.json:
        print(json.dumps({"bit_exact": ok, "models": results}, indent=2))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())

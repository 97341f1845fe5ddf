"""Every model file at hand: what it holds, whether it runs with LiteRT's bits, how much memory it needs, what its import costs.

    python -m benchmarks.models [--model PART ...] [--samples N] [--numpy-samples N] [--calls N] [--json] [--write]

Reads the shared data ($KILOGRAD_DATA). Each file is imported, compiled and compared in processes of its own: LiteRT crashes on some.
Compared is every tensor that an operator computes, on random inputs (and real ones, where the data has a set that fits), call after call
for models that keep state. The judge is LiteRT with its reference kernels; where it cannot run a file, C is compared with NumPy. What an
integer model computes in float32 at its end (log_softmax, boxes of detections) is compared with a tolerance, and so are the outputs of
float models. Import is timed three times, the best counts; its memory is the growth of the process. --write puts the table into
benchmarks/results/models.csv and docs/models.md. Exits with 1 when a tensor differs, something crashes in kilograd, or a limit is exceeded.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import kilograd as kg
from benchmarks.exactness import CASES, Case, c_runner, compare, numpy_runner, random_feeds, real_inputs
from kilograd.errors import KilogradError, ModelError
from kilograd.frontends.load import load, scan
from kilograd.frontends.tflite import WEIGHTED, import_tflite
from kilograd.frontends.tflite_file import RawModel, read_tflite
from kilograd.ir.graph import Array, DType, Graph, Kind
from kilograd.ops.base import RunState, evaluate, is_float, operator
from tests.reference import Reference
from tests.shared_data import shared_data

IMPORT_SECONDS = 2.0
FACTOR, MEGABYTES = 10, 100  # memory of import: times the file, and in addition
LARGE_MACS = 100_000_000  # from here on two inputs are compared, one in NumPy
STAGE_TOLERANCE, FLOAT_TOLERANCE = 2e-6, 1e-5  # of the largest value: of one operator in float32, of a whole float model
ALIGNMENT = 16  # of an arena's size
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "models.csv"
PAGE = ROOT / "docs" / "models.md"


@dataclass
class Row:
    """One file. `numpy` and `c` are 'equal/all' tensors; '' where there is nothing to compare."""

    model: str
    bytes: int
    operators: int = 0
    macs: int = 0
    kind: str = ""  # integers, float or refused
    judge: str = ""  # LiteRT, or what is compared where it cannot run
    inputs: int = 0
    numpy: str = ""
    c: str = ""
    arena: int = 0
    bound: int = 0
    import_seconds: float = 0.0
    import_megabytes: float = 0.0
    note: str = ""

    @property
    def memory_limit(self) -> float:
        """Megabytes that import may take."""
        return FACTOR * self.bytes / 1e6 + MEGABYTES

    @property
    def at_bound(self) -> bool:
        """No arena of the alignment could be smaller."""
        return self.arena <= -(-self.bound // ALIGNMENT) * ALIGNMENT

    def faults(self) -> list[str]:
        """What contradicts the promises."""
        found = [f"{what}: {v} tensors equal" for what, v in (("numpy", self.numpy), ("c", self.c)) if v and len(set(v.split("/"))) > 1]
        if not self.at_bound:
            found.append(f"arena {self.arena}, bound {self.bound}")
        if self.import_seconds > IMPORT_SECONDS or self.import_megabytes > self.memory_limit:
            found.append(f"import took {self.import_seconds:.2f} s and {self.import_megabytes:.0f} MB")
        if self.kind in ("", "crash") or "differ" in self.note:
            found.append(self.note)
        return found


def in_process(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of `work`, done in a forked process; {'died': signal} when it does not survive."""
    read, write = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # LiteRT speaks
        status = 1
        try:
            with os.fdopen(write, "w") as out:
                json.dump(work(), out)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    return dict(json.loads(text)) if status == 0 else {"died": os.WTERMSIG(status) if os.WIFSIGNALED(status) else -1}


def memory(field: str) -> float:
    """VmRSS or VmHWM of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(field + ":"))


def measure_import(path: Path) -> dict[str, Any]:
    """Memory that one import adds to the process at its peak (resident and traced, the larger counts), and the best of three times."""
    try:
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins here
        load(path)
        grown = memory("VmHWM") - before
        times = []
        for _ in range(3):
            start = time.perf_counter()
            load(path)
            times.append(time.perf_counter() - start)
        tracemalloc.start()
        load(path)
        traced = tracemalloc.get_traced_memory()[1] / 1e6
        return {"seconds": min(times), "megabytes": max(grown, traced)}
    except ModelError as error:
        return {"refused": " ".join(str(error).split())}


def describe(path: Path) -> dict[str, Any]:
    """Operators, MACs, arena and liveness bound."""
    found = scan(path)
    graph = load(path)
    result: dict[str, Any] = {"operators": sum(found["ops"].values()), "macs": found["macs"], "float": is_float_model(graph)}
    if not result["float"]:
        report = kg.compile(graph).meta["report"]
        result |= {"arena": report["arena_bytes"], "bound": report["liveness_bound_bytes"]}
    return result


def is_float_model(graph: Graph) -> bool:
    """True when a layer of it computes in float32."""
    return any(is_float(graph, n) and not operator(n.op).float_kernel and not operator(n.op).view(graph, n) for n in graph.nodes)


def is_hybrid(path: Path, data: bytes) -> bool:
    """True for a .tflite file with integer weights under float activations."""
    raw = read_tflite(data) if path.suffix == ".tflite" else RawModel(0)
    layers = [[raw.tensors[i].type for i in op.inputs[:2]] for op in raw.operators if op.name in WEIGHTED]
    return ["FLOAT32", "INT8"] in layers


def feeds_for(root: Path, model: str, graph: Graph, count: int) -> list[dict[str, Array]]:
    """Random inputs, and as many real ones where a set fits."""
    case = next((c for c in CASES if model == f"{c.model}.tflite"), Case(model))
    return random_feeds(graph, count) + [{graph.inputs[0]: x} for x in real_inputs(root, graph, case, count)]


def float_stages(graph: Graph) -> list[str]:
    """Results that are computed in float32, from integers or from float32 (what only moves or converts values is exact)."""
    exact = ("dequantize", "reshape", "strided_copy")
    return [t for n in graph.nodes if n.op not in exact for t in n.writes() if graph[t].dtype is DType.FLOAT32]


def against_litert(data: bytes, feeds: list[dict[str, Array]], numpy_feeds: list[dict[str, Array]]) -> dict[str, Any]:
    """Every tensor against LiteRT."""
    graph = import_tflite(data)
    reference, tails = Reference(data), float_stages(graph)
    try:
        want = reference.run(graph, feeds[0])
    except (RuntimeError, ValueError, KeyError) as error:
        return {"cannot": " ".join(str(error).split())}
    apart = 0.0
    if tails:
        got = c_runner(graph)(feeds[0])
        apart = max(distance(got[t].reshape(want[t].shape), want[t]) for t in tails)
    found = {
        "numpy": compare(data, graph, numpy_feeds, numpy_runner(graph), tails),
        "c": compare(data, graph, feeds, c_runner(graph), tails),
    }
    stages = sorted({n.op for n in graph.nodes if set(n.writes()) & set(tails)})
    return {k: [v["equal"], v["tensors"], v["mismatches"][:3]] for k, v in found.items()} | {"apart": apart, "stages": stages}


def distance(got: Array, want: Array) -> float:
    """Largest difference as share of the largest value."""
    return float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-9))


def against_numpy(graph: Graph, feeds: list[dict[str, Array]]) -> dict[str, Any]:
    """Every tensor of C against NumPy."""
    reference, kernels, equal, total = numpy_runner(graph), c_runner(graph), 0, 0
    for x in feeds:
        want, got = reference(x), kernels(x)
        for name, value in got.items():
            total += 1
            equal += value.tobytes() == np.asarray(want[name]).tobytes()
    return {"c": [equal, total, []]}


def float_difference(path: Path, graph: Graph, feeds: list[dict[str, Array]]) -> dict[str, Any]:
    """Largest difference of the outputs from LiteRT's or ONNX Runtime's, as share of the largest output."""
    state = RunState({})
    worst, others = 0.0, onnx_outputs(path) if path.suffix == ".onnx" else litert_outputs(path, graph)
    for x, want in zip(feeds, others(feeds), strict=True):
        tensors = evaluate(graph, x, state).tensors
        for name, value in zip(graph.outputs, want, strict=True):
            worst = max(worst, distance(tensors[name].reshape(value.shape), value))
    return {"difference": worst}


Outputs = Callable[[list[dict[str, Array]]], Iterator[list[Array]]]


def litert_outputs(path: Path, graph: Graph) -> Outputs:
    reference = Reference(path.read_bytes())
    return lambda feeds: ([found[n] for n in graph.outputs] for found in (reference.run(graph, x) for x in feeds))


def onnx_outputs(path: Path) -> Outputs:
    """ONNX Runtime's outputs; kilograd's inputs are channels last."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = {i.name: tuple(d if isinstance(d, int) else 1 for d in i.shape) for i in session.get_inputs()}

    def turned(name: str, value: Array) -> Array:
        return value if value.shape == wanted[name] else np.ascontiguousarray(np.moveaxis(value, -1, 1)).reshape(wanted[name])

    return lambda feeds: (session.run(None, {n: turned(n, v) for n, v in x.items()}) for x in feeds)


def compare_model(root: Path, path: Path, row: Row, args: argparse.Namespace) -> None:
    """Fill in what the comparison says."""
    graph, data = load(path), path.read_bytes()
    keeps_state = any(t.kind is Kind.STATE for t in graph.tensors.values())
    count = args.calls if keeps_state else args.samples if row.macs < LARGE_MACS else min(2, args.samples)
    feeds = feeds_for(root, row.model, graph, count)
    in_numpy = feeds if keeps_state else feeds_for(root, row.model, graph, args.numpy_samples if row.macs < LARGE_MACS else 1)
    row.inputs = len(feeds)
    if row.kind == "float":
        row.judge = "ONNX Runtime" if path.suffix == ".onnx" else "LiteRT"
        found = in_process(lambda: float_difference(path, graph, feeds))
        apart = found.get("difference", float("nan"))
        fine = apart <= FLOAT_TOLERANCE
        row.note = f"outputs within {apart:.0e} of the largest" if fine else f"outputs differ by {apart:.1e} of the largest"
        if is_hybrid(path, data):
            row.note = f"int8 weights, float activations, which LiteRT rounds to 8 bits while it runs: outputs {apart:.0e} apart"
        return
    found = in_process(lambda: against_litert(data, feeds, in_numpy)) if path.suffix == ".tflite" else {"cannot": ""}
    row.judge = "LiteRT"
    if "died" in found or "cannot" in found:
        row.note = (
            f"LiteRT crashes (signal {found['died']})" if "died" in found else found["cannot"] and f"LiteRT refuses: {found['cannot'][:90]}"
        )
        row.judge = "NumPy"
        found = in_process(lambda: against_numpy(graph, in_numpy))
        row.inputs = len(in_numpy)
    if "died" in found:
        row.kind, row.note = "crash", f"the comparison crashed: signal {found['died']}"
        return
    if found.get("stages"):
        verdict = "within" if found["apart"] <= STAGE_TOLERANCE else "differ by"
        row.note = f"{', '.join(found['stages'])} in float32: {verdict} {found['apart']:.0e}"
    for what in ("numpy", "c"):
        if what in found:
            equal, total, lines = found[what]
            setattr(row, what, f"{equal}/{total}")
            row.note += f" {what}: {lines[0]}" if lines else ""


def study(root: Path, path: Path, args: argparse.Namespace) -> Row:
    """All about one file."""
    row = Row(path.relative_to(root / "models").as_posix(), path.stat().st_size)
    cost = in_process(lambda: measure_import(path))
    if "died" in cost:
        row.kind, row.note = "crash", f"import crashed: signal {cost['died']}"
        return row
    if "refused" in cost:
        found = scan(path)
        row.kind, row.operators, row.macs = "refused", sum(found["ops"].values()), found["macs"]
        row.note = reason(cost["refused"], path)
        return row
    row.import_seconds, row.import_megabytes = round(cost["seconds"], 3), round(cost["megabytes"], 1)
    about = in_process(lambda: describe(path))
    if "died" in about:
        row.kind, row.note = "crash", "scanning or compiling failed"
        return row
    row.kind = "float" if about["float"] else "integers"
    row.operators, row.macs, row.arena, row.bound = (about.get(k, 0) for k in ("operators", "macs", "arena", "bound"))
    compare_model(root, path, row, args)
    return row


def reason(message: str, path: Path) -> str:
    """The first sentence of an error."""
    return message.removeprefix(f"{path.name}: ").split(". ")[0].rstrip(".") + "."


def table(rows: list[Row]) -> Table:
    found = Table("model", "ops", "MACs", "", "judge", "inputs", "NumPy", "C", "arena", "/ bound", "import", box=None, padding=(0, 1, 0, 0))
    for r in rows:
        ratio = f"{r.arena / r.bound:.2f}" if r.bound else ""
        cost = f"{r.import_seconds:.2f} s {r.import_megabytes:.0f} MB" if r.kind != "refused" else ""
        found.add_row(
            r.model, str(r.operators), f"{r.macs:,}", r.kind, r.judge, str(r.inputs or ""), r.numpy, r.c, f"{r.arena:,}", ratio, cost,
            style="red" if r.faults() else None,
        )  # fmt: skip
        if r.note:
            found.add_row(f"  {r.note}", style="dim")
    return found


def summary(rows: list[Row]) -> list[str]:
    """What the table says in total."""
    judged = [r for r in rows if r.judge == "LiteRT" and r.kind == "integers"]
    tensors = [sum(int(v.split("/")[i]) for r in judged for v in (r.numpy, r.c)) for i in (0, 1)]
    bounded, kinds = [r for r in rows if r.bound], Counter(r.kind for r in rows)
    return [
        f"{len(rows)} files: {kinds['integers']} run in integers, {kinds['float']} are float models to be quantized, "
        f"{kinds['refused']} are refused, {kinds['crash']} crash.",
        f"LiteRT runs {len(judged)} of those in integers: {tensors[0]:,} of {tensors[1]:,} tensors are equal bit for bit.",
        f"The arena equals the liveness bound (rounded up to {ALIGNMENT} bytes) in {sum(r.at_bound for r in bounded)} of {len(bounded)} "
        "plans.",
        f"Import takes at most {max(r.import_seconds for r in rows):.2f} s and {max(r.import_megabytes for r in rows):.0f} MB of memory.",
    ]


def markdown(rows: list[Row], args: argparse.Namespace) -> str:
    """docs/models.md."""
    counts = f"{args.numpy_samples} and {args.samples}"
    text = f"""# Models of others

Written by `python -m benchmarks.models --write`; the files are not in this repository (`KILOGRAD_DATA` names their folder). *NumPy* and
*C* count the tensors that equal the judge's bit for bit, of all that operators compute, over {counts} random inputs and as many real ones
where the data has a set that fits ({args.calls} calls of models that keep state, fewer inputs of the largest). The judge is LiteRT with its
reference kernels, every tensor kept; where it cannot run a file, C is compared with NumPy. *Bound* is the arena over the most bytes that
are live at once: no plan of the same order needs less than 1.00. Seconds and megabytes are those of importing the file on a busy
machine.

"""
    text += "\n".join(f"- {line}" for line in summary(rows)) + "\n\n"
    text += "| model | operators | MACs | runs in | judge | NumPy | C | arena | bound | import | remarks |\n"
    text += "|---|---:|---:|---|---|---:|---:|---:|---:|---:|---|\n"
    for r in rows:
        ratio, arena = (f"{r.arena / r.bound:.2f}", f"{r.arena:,}") if r.bound else ("", "")
        cost = f"{r.import_seconds:.2f} s, {r.import_megabytes:.1f} MB" if r.kind != "refused" else ""
        cells = [r.model, str(r.operators), f"{r.macs:,}", r.kind, r.judge, r.numpy, r.c, arena, ratio, cost, r.note.replace("|", "\\|")]
        text += "| " + " | ".join(cells) + " |\n"
    return text


def model_files(root: Path) -> list[Path]:
    """All model files of the shared data."""
    return sorted(p for p in (root / "models").rglob("*") if p.suffix in (".tflite", ".onnx"))


def main() -> int:
    """Study the files, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="part of a file's name; may be repeated")
    parser.add_argument("--samples", type=int, default=10, help="random and real inputs each, C kernels")
    parser.add_argument("--numpy-samples", type=int, default=2, help="random and real inputs each, NumPy")
    parser.add_argument("--calls", type=int, default=50, help="calls of models that keep state")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="write the CSV file and the page")
    args = parser.parse_args()
    root = shared_data()
    if root is None:
        print("the shared data is not here: set KILOGRAD_DATA", file=sys.stderr)
        return 2
    rows = []
    for path in model_files(root):
        if args.model and not any(m in path.as_posix() for m in args.model):
            continue
        try:
            rows.append(study(root, path, args))
        except KilogradError as error:
            rows.append(Row(path.relative_to(root / "models").as_posix(), path.stat().st_size, kind="crash", note=str(error)))
        print(f"{rows[-1].model}: {rows[-1].kind} {rows[-1].numpy} {rows[-1].c} {rows[-1].note[:80]}", file=sys.stderr, flush=True)
    faults = {r.model: r.faults() for r in rows if r.faults()}
    if args.write:
        with RESULTS.open("w", newline="") as stream:
            out = csv.DictWriter(stream, list(asdict(rows[0])), lineterminator="\n")
            out.writeheader()
            out.writerows(asdict(r) for r in rows)
        PAGE.write_text(markdown(rows, args))
    if args.json:
        print(json.dumps({"models": [asdict(r) for r in rows], "summary": summary(rows), "faults": faults}, indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
        console.print(table(rows))
        for line in [*summary(rows), *(f"{m}: {'; '.join(f)}" for m, f in faults.items())]:
            console.print(line, markup=False)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

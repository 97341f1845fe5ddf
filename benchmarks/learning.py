"""The numerics gate: do our integers learn as well as fp32 PyTorch updating the same tensors?

    python -m benchmarks.learning                 # everything: 2 backbones x 3 tasks x 4 methods x 3 seeds, resumable
    python -m benchmarks.learning --report        # table and verdict from the CSV alone
    python -m benchmarks.learning --plot f.svg    # and a picture of it

Two int8 ImageNet backbones (shared data) are fine-tuned at batch 1 with the ancestor's 49 KB update schemes, one recipe for all methods:
`head` (our integers, last layer only), `fp32` (PyTorch, dequantized network, same tensors), `w8` and `w8f8` (our integers). Accuracy is
that of the last step on the test set. The gate: the mean of w8 over the six (backbone, task) pairs is within 1 point of fp32 and no pair
more than 2 below.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "learning.csv"
COLUMNS = ("task", "backbone", "method", "budget_bytes", "sram_bytes", "seed", "accuracy")
BACKBONES = ("mbv2-w0.35", "mcunet-5fps")
TASKS = ("caltech20_96", "catsdogs_96", "signdigits_64")
METHODS = ("head", "fp32", "w8", "w8f8")
SCHEME = "49kb"


@dataclass(frozen=True)
class Recipe:
    """What all methods share: a number of samples, and SGD without momentum, warm-up then cosine to zero."""

    steps: int = 3600
    learning_rate: float = 0.006
    warmup: int = 100


@dataclass(frozen=True)
class Run:
    """One cell of the table."""

    task: str
    backbone: str
    method: str
    seed: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        """As it stands in the CSV."""
        return self.task, self.backbone, self.method, str(self.seed)


def data_root() -> Path:
    """Where models and datasets are; exits with a sentence when they are not here."""
    root = Path(os.environ.get("KILOGRAD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not root.is_dir():
        sys.exit("benchmarks.learning needs the shared models and datasets; set KILOGRAD_DATA to their folder")
    return root


def sample_order(n: int, steps: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Indices of `steps` samples: a fresh permutation each epoch."""
    epochs = -(-steps // n)
    return np.concatenate([np.random.default_rng([seed, e]).permutation(n) for e in range(epochs)])[:steps]


def budget_bytes(schemes: Path, backbone: str) -> int:
    """What the scheme costs in the ancestor's own accounting (activations, masks, weights, biases)."""
    return int(json.loads(schemes.read_text())["models"][backbone]["schemes"][SCHEME]["extra_bytes"]["total"])


def execute(run: Run, recipe: Recipe) -> dict[str, Any]:
    """Fine-tune once; a row of the CSV."""
    import kilograd as kg
    from kilograd.data import input_spec, load_dataset

    root = data_root()
    model = root / "models" / "backbones" / f"{run.backbone}_int8.tflite"
    schemes = root / "models" / "backbones" / "schemes.json"
    graph = kg.load(model)
    data = load_dataset(root / "datasets" / f"{run.task}.npz", input_spec(graph))
    classes = int(data.y_train.max()) + 1
    order = sample_order(len(data.x_train), recipe.steps, run.seed)
    scheme = "head" if run.method == "head" else f"{schemes}:{run.backbone}/{SCHEME}"
    config = kg.TrainConfig(
        learning_rate=recipe.learning_rate,
        schedule="cosine",
        warmup_steps=recipe.warmup,
        total_steps=recipe.steps,
        seed=run.seed,
        storage="w8f8" if run.method == "w8f8" else "w8",
    )
    sram = 0
    if run.method == "fp32":
        from benchmarks.torch_baseline import fine_tune

        accuracy = fine_tune(graph, scheme, classes, data, order, config)
    else:
        plan = kg.compile(graph, train=scheme, classes=classes, config=config)
        simulator = kg.Simulator(plan)
        simulator.train(data.x_train, data.y_train, order=order)
        accuracy = simulator.evaluate(data.x_test, data.y_test)
        sram = int(plan.report["sram_bytes"])
    return {
        "task": run.task,
        "backbone": run.backbone,
        "method": run.method,
        "budget_bytes": budget_bytes(schemes, run.backbone),
        "sram_bytes": sram,
        "seed": run.seed,
        "accuracy": f"{100 * accuracy:.2f}",
    }


def read_rows() -> list[dict[str, str]]:
    """Rows measured so far."""
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as f:
        return list(csv.DictReader(f))


def write_rows(rows: Iterable[dict[str, Any]]) -> None:
    """Write the table, sorted, so that a run in any order gives the same file."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(rows, key=lambda r: (r["backbone"], r["task"], METHODS.index(r["method"]), int(r["seed"])))
    with RESULTS.open("w", newline="") as f:
        writer = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(ordered)


def report(rows: list[dict[str, str]]) -> bool:
    """Print means over seeds and the verdict; True when the gate is passed."""
    cells: dict[tuple[str, str, str], list[float]] = {}
    for r in rows:
        cells.setdefault((r["backbone"], r["task"], r["method"]), []).append(float(r["accuracy"]))
    print(f"{'backbone':12} {'task':14} " + " ".join(f"{m:>12}" for m in METHODS) + "   w8-fp32")
    gaps = []
    for backbone in BACKBONES:
        for task in TASKS:
            values = {m: cells.get((backbone, task, m), []) for m in METHODS}
            texts = [f"{mean(v):7.2f} (n={len(v)})" if v else f"{'-':>12}" for v in values.values()]
            gap = mean(values["w8"]) - mean(values["fp32"]) if values["w8"] and values["fp32"] else None
            gaps += [gap] if gap is not None else []
            print(f"{backbone:12} {task:14} " + " ".join(texts) + (f"   {gap:+.2f}" if gap is not None else ""))
    for m in METHODS:
        complete = [mean(cells[b, t, m]) for b in BACKBONES for t in TASKS if (b, t, m) in cells]
        if len(complete) == len(BACKBONES) * len(TASKS):
            print(f"mean {m}: {mean(complete):.2f}")
    if len(gaps) < len(BACKBONES) * len(TASKS):
        print("gate: not all cells are measured yet")
        return False
    passed = mean(gaps) >= -1.0 and min(gaps) >= -2.0
    print(f"gate: mean gap {mean(gaps):+.2f} (>= -1), worst {min(gaps):+.2f} (>= -2): {'passed' if passed else 'FAILED'}")
    return passed


def plot(rows: list[dict[str, str]], path: Path) -> None:
    """Bars of the means over seeds, a dot for each seed."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "kilograd"  # the same file from the same rows
    from matplotlib import pyplot as plt

    colours = {"head": "#9ca3af", "fp32": "#2b5c99", "w8": "#3f9f6b", "w8f8": "#7cc29a"}
    figure, axes = plt.subplots(1, len(BACKBONES), figsize=(10, 3.6), sharey=True, layout="constrained")
    for ax, backbone in zip(axes, BACKBONES, strict=True):
        for i, method in enumerate(METHODS):
            for j, task in enumerate(TASKS):
                values = [float(r["accuracy"]) for r in rows if (r["backbone"], r["task"], r["method"]) == (backbone, task, method)]
                if values:
                    x = j + 0.2 * (i - 1.5)
                    ax.bar(x, mean(values), 0.18, color=colours[method], label=method if j == 0 else None)
                    ax.plot([x] * len(values), values, ".", color="#111827", markersize=4)
        ax.set_xticks(range(len(TASKS)), [t.rsplit("_", 1)[0] for t in TASKS])
        ax.set_title(f"{backbone}, {SCHEME} scheme, batch 1")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(70, 100)
    axes[0].set_ylabel("test accuracy, % (from 70)")
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, ncols=len(METHODS), loc="outside lower center")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", action="store_true", help="only print the table of the CSV")
    parser.add_argument("--plot", type=Path, help="write a picture of the CSV there (SVG)")
    parser.add_argument("--fresh", action="store_true", help="measure again what the CSV already has")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--only", default="", help="substring that 'backbone/task/method' must contain")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--lr", type=float, default=Recipe.learning_rate)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = list(read_rows())
    if not args.report and not args.plot:
        recipe = replace(Recipe(), steps=args.steps, learning_rate=args.lr)
        wanted = [Run(t, b, m, s) for s in range(args.seeds) for b in BACKBONES for t in TASKS for m in METHODS]
        wanted = [r for r in wanted if args.only in f"{r.backbone}/{r.task}/{r.method}"]
        done = set() if args.fresh else {(r["task"], r["backbone"], r["method"], str(r["seed"])) for r in rows}
        todo = [r for r in wanted if r.key not in done]
        with ProcessPoolExecutor(args.jobs, max_tasks_per_child=1) as pool:
            started = time.time()
            futures = [pool.submit(execute, r, recipe) for r in todo]
            for i, future in enumerate(as_completed(futures), 1):
                row = future.result()
                rows = [r for r in rows if any(str(r[c]) != str(row[c]) for c in ("task", "backbone", "method", "seed"))]
                rows.append(row)
                write_rows(rows)
                left = (time.time() - started) / i * (len(todo) - i) / 60
                print(f"[{i}/{len(todo)}, {left:.0f} min left] {row}", flush=True)
    if args.plot:
        plot(rows, args.plot)
    sys.exit(0 if report(rows) else 1)


if __name__ == "__main__":
    main()

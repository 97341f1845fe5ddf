"""Float models quantized by us: accuracy and agreement with the float network, against the vendors' int8 files.

    python -m benchmarks.quantizer [--case kws ...] [--arm NAME ...] [--out benchmarks/results/quantizer.csv]

Every figure is of the integers: the C kernels in the simulator, sample by sample. Reads the shared data ($KILOGRAD_DATA). Judged on samples
that calibration did not see. `anomaly_error` is how far the mean square reconstruction error of a sample (what an autoencoder is used for)
is from the float network's, relative, mean over samples.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import kilograd as kg
from benchmarks.quantizer_models import Case, load_cases
from kilograd.ir.graph import Array, Graph
from kilograd.quantize import QuantizeConfig, quantize_model
from kilograd.quantize.prepare import prepare
from kilograd.quantize.runner import Runner, batches
from tests.shared_data import shared_data

#: arm: options of the quantizer, and whether it sees data
PLAIN: dict[str, Any] = {"equalize": "off", "bias_correction": False, "rounding": "nearest"}
ARMS: dict[str, tuple[dict[str, Any], bool]] = {
    "default": ({}, True),
    "minmax": ({**PLAIN, "method": "minmax"}, True),
    "percentile": ({**PLAIN, "method": "percentile"}, True),
    "mse": ({**PLAIN, "method": "mse"}, True),
    "entropy": ({**PLAIN, "method": "entropy"}, True),
    "mse+bias": ({**PLAIN, "method": "mse", "bias_correction": True}, True),
    "mse+bias+rounding": ({"method": "mse", "equalize": "off"}, True),
    "default, weights": ({"equalize": "weights"}, True),
    "default, nearest": ({"rounding": "nearest"}, True),
    "default+output": ({"output_aware": True}, True),
    "default+dense": ({"dense_per_channel": True}, True),
    "data-free": ({}, False),
    "data-free margin 1": ({"margin": 1.0}, False),
}
FIELDS = ("case", "arm", "samples", "top1", "top1_float", "points", "agreement", "sqnr_db", "anomaly_error", "seconds")


def float_outputs(case: Case) -> Array:
    """[n, values] of the float network."""
    graph = prepare(case.graph)
    runner, shape = Runner(graph), graph[graph.inputs[0]].shape
    feeds = {graph.inputs[0]: case.test.reshape(-1, *shape)}
    return np.concatenate([runner.run(b)[graph.outputs[0]].reshape(len(next(iter(b.values()))), -1) for b in batches(feeds, 16)])


def integer_outputs(graph: Graph, x: Array) -> Array:
    """[n, values] of an int8 network on real samples, as real numbers."""
    simulator, qx, qy = kg.Simulator(kg.compile(graph)), graph[graph.inputs[0]].q, graph[graph.outputs[0]].q
    shape, rows = graph[graph.inputs[0]].shape, []
    for sample in x:
        q = np.clip(np.rint(sample / np.float32(qx.s)) + qx.z, -128, 127).astype(np.int8)
        rows.append((np.array(simulator.infer(q.reshape(shape))).astype(np.float32).reshape(-1) - qy.z) * np.float32(qy.s))
    return np.stack(rows)


def judge(case: Case, want: Array, got: Array) -> dict[str, Any]:
    """The figures of one arm."""
    row: dict[str, Any] = {"case": case.name, "samples": len(want)}
    row["sqnr_db"] = round(float(10 * np.log10(np.sum(want**2) / max(float(np.sum((want - got) ** 2)), 1e-30))), 2)
    if case.name == "ad":
        x = case.test.reshape(len(case.test), -1)
        errors = [np.mean((x - y) ** 2, axis=1) for y in (want, got)]
        row["anomaly_error"] = round(float(np.mean(np.abs(errors[1] - errors[0]) / errors[0])), 5)
        return row
    row["agreement"] = round(float(np.mean(want.argmax(axis=1) == got.argmax(axis=1))), 4)
    if case.labels is not None:
        row["top1_float"], row["top1"] = (round(float(np.mean(v.argmax(axis=1) == case.labels)), 4) for v in (want, got))
        row["points"] = round(100 * (row["top1"] - row["top1_float"]), 2)
    return row


def rows_of(case: Case, arms: list[str]) -> Iterator[dict[str, Any]]:
    """The vendor's file, where there is one, and every arm."""
    want = float_outputs(case)
    if case.vendor is not None and "vendor" in arms:
        yield {"arm": "vendor", **judge(case, want, integer_outputs(kg.load(case.vendor), case.test))}
    for arm in arms:
        if arm not in ARMS:
            continue
        options, sees = ARMS[arm]
        start = time.perf_counter()
        data = case.calibration if sees else None
        result = quantize_model(case.graph, data, QuantizeConfig(**options), input_range=(case.low, case.high))
        seconds = round(time.perf_counter() - start, 1)
        yield {"arm": arm, "seconds": seconds, **judge(case, want, integer_outputs(result.graph, case.test))}


def main() -> int:
    """Measure, print, write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", help="name of a model; may be repeated")
    parser.add_argument("--arm", action="append", help="name of an arm, or vendor; may be repeated")
    parser.add_argument("--out", type=Path, help="CSV file to write")
    args = parser.parse_args()
    root = shared_data()
    if root is None:
        print("the shared data is not here: set KILOGRAD_DATA", file=sys.stderr)
        return 2
    rows = []
    for case in load_cases(root, args.case):
        for row in rows_of(case, args.arm or ["vendor", *ARMS]):
            rows.append(row)
            print("  ".join(f"{k} {row[k]}" for k in FIELDS if k in row), flush=True)
    if args.out is not None:
        with args.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Time of a training step in the simulator: MCUNet-5FPS, the ancestor's 49 KB scheme, batch 1, one core.

    python -m benchmarks.step_time [--json] [--steps N]

Every step runs the whole program, the frozen part included (no cache), on real images. The median of the steps is printed with the ratio to
the median of an inference. Exits with 1 when a step takes more than LIMIT_MS. Needs the shared data ($KILOGRAD_DATA).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

import kilograd as kg
from benchmarks.learning import SCHEME, data_root
from kilograd.data import input_spec, load_dataset
from kilograd.ir.graph import Array

BACKBONE = "mcunet-5fps"
TASK = "signdigits_64"
CLASSES = 10
LIMIT_MS = 60.0


@dataclass(frozen=True)
class Timing:
    """Medians in milliseconds, and multiply-accumulates."""

    step_ms: float
    forward_ms: float
    ratio: float
    steps: int
    macs_step: int
    macs_forward: int
    limit_ms: float = LIMIT_MS


def prepare() -> tuple[kg.Simulator, Array, Array]:
    """The simulator, and real samples with their labels."""
    root = data_root()
    backbones = root / "models" / "backbones"
    graph = kg.load(backbones / f"{BACKBONE}_int8.tflite")
    data = load_dataset(root / "datasets" / f"{TASK}.npz", input_spec(graph), CLASSES)
    plan = kg.compile(graph, train=f"{backbones / 'schemes.json'}:{BACKBONE}/{SCHEME}", classes=CLASSES)
    return kg.Simulator(plan), data.x_train, data.y_train


def median_ms(call: Callable[[int], object], count: int) -> float:
    """Median time of call(0), call(1), .. after one call that warms up."""
    call(0)
    times = []
    for i in range(count):
        begin = time.perf_counter()
        call(i)
        times.append(time.perf_counter() - begin)
    return 1000 * median(times)


def measure(steps: int) -> Timing:
    """Training steps and inferences on the same samples, one after another in one thread."""
    simulator, x, y = prepare()
    report = simulator.plan.report
    forward = median_ms(lambda i: simulator.infer(x[i % len(x)]), steps)
    step = median_ms(lambda i: simulator.train_step(x[i % len(x)], int(y[i % len(y)])), steps)
    return Timing(step, forward, step / forward, steps, int(report["macs_step"]), int(report["macs_forward"]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--steps", type=int, default=50, help="steps of which the median is taken")
    args = parser.parse_args()
    found = measure(max(1, args.steps))
    if args.json:
        print(json.dumps(asdict(found)))
    else:
        print(f"{BACKBONE}, {SCHEME}, batch 1, median of {found.steps} steps on one core, without the cache of the frozen part")
        print(f"training step {found.step_ms:.1f} ms (limit {found.limit_ms:.0f} ms), {found.macs_step:,} MACs")
        print(f"forward pass  {found.forward_ms:.1f} ms, {found.macs_forward:,} MACs; a step takes {found.ratio:.2f} times as long")
    sys.exit(0 if found.step_ms <= found.limit_ms else 1)


if __name__ == "__main__":
    main()

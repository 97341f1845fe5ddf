"""Models with state, call after call: LiteRT's reference kernels, NumPy, the C runtime and emitted C side by side."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import kilograd as kg
from kilograd.emit import emit
from kilograd.ir.graph import Array, Graph, Kind
from kilograd.ops.base import RunState, evaluate
from kilograd.plan.plan import Plan
from tests.reference import Reference, differences

MAIN = """
#include "model.h"
#include <stdio.h>
static _Alignas(16) uint8_t state[MODEL_STATE_BYTES], arena[MODEL_ARENA_BYTES];
int main(int argc, char **argv) { /* FILE_IN FILE_OUT: the samples as one stream, then once more after a reset */
  model m;
  if (argc != 3 || model_init(&m, state, arena) != 0) return 2;
  FILE *out = fopen(argv[2], "wb");
  for (int turn = 0; turn < 2; ++turn) {
    FILE *in = fopen(argv[1], "rb");
    if (!in || !out) return 3;
    while (fread(model_input(&m), MODEL_INPUT_BYTES, 1, in) == 1) {
      model_infer(&m);
      if (fwrite(model_output(&m), MODEL_OUTPUT_BYTES, 1, out) != 1) return 4;
    }
    fclose(in);
    model_reset(&m);
  }
  return fclose(out);
}
"""


def reference_stream(data: bytes, graph: Graph, inputs: Sequence[Array]) -> list[dict[str, Array]]:
    """All computed tensors of each call under LiteRT."""
    reference = Reference(data)
    return [{k: np.array(v) for k, v in reference.run(graph, {graph.inputs[0]: x}).items()} for x in inputs]


def numpy_stream(graph: Graph, inputs: Sequence[Array]) -> list[dict[str, Array]]:
    """The same by the NumPy references."""
    state, found = RunState({}), []
    for x in inputs:
        evaluate(graph, {graph.inputs[0]: x}, state)
        found.append({n: np.array(state.tensors[n]) for node in graph.nodes for n in node.writes()})
    return found


def _changes_later(graph: Graph, name: str) -> bool:
    """The variable of which `name` is a view (or the view of a view) changes after it is read."""
    node = graph.producer(name)
    while node is not None and node.op != "read_variable":
        node = graph.producer(node.inputs[0])
    return node is not None and any(node.inputs[0] in later.mutates for later in graph.nodes[graph.index(node) :])


def early_reads(graph: Graph, plan: Plan) -> list[str]:
    """Results that are views of a variable which changes later in the call: they must be read before it."""
    names = [n for node in graph.nodes for n in node.writes()]
    return [n for n in names if plan.tensors[n].kind is Kind.STATE and _changes_later(graph, n)]


def simulated_stream(graph: Graph, inputs: Sequence[Array]) -> list[dict[str, Array]]:
    """The same by the C runtime. A result that is a view of a variable which changes later is read before the call."""
    plan = kg.compile(graph, placement="disjoint", optimize=False)
    simulator = kg.Simulator(plan)
    names = [n for node in graph.nodes for n in node.writes()]
    early = early_reads(graph, plan)
    found = []
    for x in inputs:
        call = {n: simulator.read(n) for n in early}
        simulator.infer(x)
        found.append({n: simulator.read(n) for n in names} | call)
    return found


def check_stream(data: bytes, graph: Graph, inputs: Sequence[Array]) -> int:
    """Every computed tensor of every call equals LiteRT's, in NumPy and in C; gives the number of tensors compared in C."""
    count, wants = 0, reference_stream(data, graph, inputs)
    for run in (numpy_stream, simulated_stream):
        for i, (want, got) in enumerate(zip(wants, run(graph, inputs), strict=True)):
            assert differences(graph, want, got) == [], f"call {i} of {run.__name__}"
            count += sum(n in want for node in graph.nodes for n in node.writes()) if run is simulated_stream else 0
    return count


def emitted_stream(plan: Plan, inputs: Sequence[Array], directory: Path) -> tuple[bytes, bytes]:
    """Outputs of all calls of the emitted program, and those of the same calls after a reset."""
    emit(plan, directory)
    (directory / "main.c").write_text(MAIN)
    sources = [str(p) for p in directory.glob("*.c")]
    subprocess.run(["gcc", "-O2", *sources, "-o", str(directory / "run")], check=True)
    (directory / "in").write_bytes(b"".join(np.ascontiguousarray(x).tobytes() for x in inputs))
    subprocess.run([str(directory / "run"), str(directory / "in"), str(directory / "out")], check=True)
    raw = (directory / "out").read_bytes()
    return raw[: len(raw) // 2], raw[len(raw) // 2 :]


def check_emitted(graph: Graph, inputs: Sequence[Array], directory: Path) -> None:
    """Emitted C gives the simulator's outputs, and again after a reset, as the simulator does."""
    plan = kg.compile(graph)
    simulator = kg.Simulator(plan)
    want = simulator.infer(np.concatenate(inputs))
    first, second = emitted_stream(plan, inputs, directory)
    assert first == want.tobytes()
    assert second == first
    simulator.reset_variables()
    np.testing.assert_array_equal(simulator.infer(np.concatenate(inputs)), want)

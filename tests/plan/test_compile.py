"""compile: reports, budgets, regions, and the arena of real models."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import kilograd as kg
from kilograd.errors import BudgetError, GraphError
from kilograd.ir.graph import DType, Graph, Kind, Node, Phase, QuantParams, Tensor
from kilograd.plan.compile import plan_graph
from kilograd.plan.plan import SEG_ARENA, SEG_STATE
from kilograd.plan.report import parse_size
from tests.shared_data import require
from tests.train.nets import small_net

TOTALS = (
    "arena_bytes", "weights_mutable_bytes", "saved_bytes", "sram_bytes", "flash_bytes", "macs_forward", "macs_step", "liveness_bound_bytes",
)  # fmt: skip


def compiled(train: str | None = "last:2", **options: Any) -> kg.Plan:
    return kg.compile(small_net(), train=train, optimize=False, **options)


def test_totals_add_up() -> None:
    plan = compiled()
    report = plan.report
    assert all(isinstance(report[k], int) for k in TOTALS)
    assert report["sram_bytes"] == plan.arena_bytes + len(plan.state)
    assert report["flash_bytes"] == len(plan.constant) + len(plan.state) + sum(4 * len(c.words) for c in plan.calls)
    assert report["macs_step"] == sum(r["macs"] for r in report["operators"]) > report["macs_forward"] > 0
    assert plan.arena_bytes >= report["liveness_bound_bytes"] == max(r["live_bytes"] for r in report["operators"])
    assert sum(plan.meta["macs"]) == report["macs_step"] and len(plan.meta["macs"]) == len(plan.calls)
    state = [t.nbytes for t in plan.tensors.values() if t.kind is Kind.STATE]
    assert 0 < report["weights_mutable_bytes"] < sum(state) <= len(plan.state)
    assert sum(t["bytes"] for t in report["peak"]["tensors"]) <= report["liveness_bound_bytes"]


def test_regions_entries_and_guards() -> None:
    plan = compiled(config=kg.TrainConfig(accumulate=2))
    names = [r.name for r in plan.regions]
    assert names == ["begin", "frozen", "forward", "loss", "backward", "apply"]
    assert sum(r.count for r in plan.regions) == len(plan.calls)
    assert all(a.first + a.count == b.first for a, b in itertools.pairwise(plan.regions))
    train = plan.tensors["train"].ref
    guards = {r.name: (r.guard_ref, r.guard_value) for r in plan.regions if r.guard_ref}
    assert guards == {"backward": (train + 24, 0), "apply": (train + 32, 1)}
    assert [names[i] for i in plan.entries["infer"].regions] == ["frozen", "forward"]
    assert plan.entries["train_step"].regions == tuple(range(6))
    assert plan.label == "label" and plan.inputs == ["x"] and plan.boundary


def test_state_tensors_do_not_overlap() -> None:
    plan = compiled("full", config=kg.TrainConfig(storage="w8f8"))
    spans = sorted((t.offset, t.offset + t.nbytes) for t in plan.tensors.values() if t.ref >> 30 == SEG_STATE)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans)) and spans[-1][1] <= len(plan.state)


def test_arena_tensors_that_live_together_do_not_overlap() -> None:
    plan = compiled("full")
    buffers = plan.report["buffers"]
    for a, b in itertools.combinations(buffers, 2):
        if a["first"] <= b["last"] and b["first"] <= a["last"]:
            assert a["offset"] + a["bytes"] <= b["offset"] or b["offset"] + b["bytes"] <= a["offset"], (a, b)
    offsets = {b["name"]: b["offset"] for b in buffers}
    for t in plan.tensors.values():
        if t.ref >> 30 == SEG_ARENA and t.name in offsets:
            assert t.offset == offsets[t.name]


def test_budget_overrun_lists_tensors_and_ways_out() -> None:
    need = compiled().report["sram_bytes"]
    compiled(sram=need)
    with pytest.raises(BudgetError) as error:
        compiled(sram=need - 1, config=kg.TrainConfig(storage="w8"))
    text = str(error.value)
    assert "SRAM" in text and f"{need:,} bytes" in text and "five largest tensors" in text
    assert "smaller scheme" in text and "int16 biases" in text
    with pytest.raises(BudgetError, match="w8' instead of 'w8f8'"):
        compiled(sram="1K", config=kg.TrainConfig(storage="w8f8"))
    with pytest.raises(BudgetError, match="of flash; the budget is 1,024 bytes"):
        compiled(None, flash="1K")
    with pytest.raises(BudgetError, match="no memory size"):
        compiled(sram="lots")


@pytest.mark.parametrize(("text", "size"), [("256K", 262144), ("1M", 1 << 20), ("1.5k", 1536), ("77", 77), (" 2 KiB", 2048), (9, 9)])
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


def test_graphs_that_cannot_be_planned() -> None:
    with pytest.raises(GraphError, match="no operators"):
        plan_graph(Graph("empty"))
    with pytest.raises(GraphError, match="placement 'best' is not known"):
        plan_graph(small_net(), "best")  # type: ignore[arg-type]
    graph = small_net()
    graph.nodes = graph.nodes[1:]
    with pytest.raises(GraphError, match="which nothing has written"):
        plan_graph(graph)
    graph = small_net()
    graph.nodes[0].phase = Phase.BACKWARD
    with pytest.raises(GraphError, match="later phase"):
        plan_graph(graph)
    graph = small_net()
    graph.add(Tensor("nothing", (1, 0), DType.INT8))
    with pytest.raises(GraphError, match="zero-size"):
        plan_graph(graph)


def test_equal_constants_are_stored_once() -> None:
    graph = Graph("twice")
    q = QuantParams.per_tensor(0.05)
    w = np.arange(16, dtype=np.int8).reshape(4, 1, 1, 4)
    graph.add(Tensor("x", (1, 2, 2, 4), DType.INT8, quant=q))
    graph.inputs = ["x"]
    source = "x"
    for i in range(2):
        scales = QuantParams(np.full(4, 0.1, np.float32), np.zeros(4, np.int32), 0)
        graph.add(Tensor(f"w{i}", w.shape, DType.INT8, Kind.CONST, scales, w))
        graph.add(Tensor(f"y{i}", (1, 2, 2, 4), DType.INT8, quant=q))
        attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}
        graph.nodes.append(Node("conv2d", [source, f"w{i}", ""], [f"y{i}"], attrs, f"c{i}"))
        source = f"y{i}"
    graph.outputs = [source]
    plan = plan_graph(graph)
    assert plan.tensors["w0"].ref == plan.tensors["w1"].ref


MODELS = ["ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8"]


@pytest.mark.parametrize("model", MODELS)
def test_mlperf_tiny_arenas_are_at_the_bound(model: str) -> None:
    pytest.importorskip("tflite", reason="reading .tflite needs the extra 'tflite'")
    report = kg.compile(kg.load(require(f"models/mlperf_tiny/{model}.tflite"))).report
    assert report["arena_bytes"] <= 1.02 * report["liveness_bound_bytes"]
    assert model != "vww_96_int8" or report["liveness_bound_bytes"] == 55296


def test_mcunet_learns_in_200_000_bytes() -> None:
    pytest.importorskip("tflite", reason="reading .tflite needs the extra 'tflite'")
    graph = kg.load(require("models/backbones/mcunet-5fps_int8.tflite"))
    scheme = f"{require('models/backbones/schemes.json')}:mcunet-5fps/49kb"
    assert kg.compile(graph, train=scheme, classes=10, sram=200_000).report["sram_bytes"] <= 200_000

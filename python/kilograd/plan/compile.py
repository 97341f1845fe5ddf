"""compile: a graph, and how it shall learn, to a Plan."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kilograd.errors import GraphError, SchemeError
from kilograd.ir.graph import Graph
from kilograd.ops.base import infer_outputs, is_float, operator
from kilograd.plan.choose import SCRATCH_LIMIT, choose
from kilograd.plan.learned import learned_layers
from kilograd.plan.lifetime import lifetimes
from kilograd.plan.lower import lower
from kilograd.plan.place import EXACT_SECONDS, Method, place
from kilograd.plan.plan import Plan
from kilograd.plan.program import build_program
from kilograd.plan.report import build_report, check_budget, parse_size
from kilograd.plan.schedule import schedule
from kilograd.plan.target import REFERENCE, find_target
from kilograd.train.config import TrainConfig

if TYPE_CHECKING:
    from kilograd.train.scheme import Scheme

PLACEMENTS = ("auto", "greedy", "exact", "disjoint")


def plan_graph(graph: Graph, placement: Method = "auto", seconds: float = EXACT_SECONDS) -> Plan:
    """Schedule, place and lower a graph as it stands; the report is in `meta["report"]`."""
    if placement not in PLACEMENTS:
        raise GraphError(f"placement '{placement}' is not known; there are {', '.join(PLACEMENTS)}")
    if not graph.nodes:
        raise GraphError(f"graph '{graph.name}' has no operators: there is nothing to plan")
    for tensor in graph.tensors.values():
        if tensor.size == 0:
            raise GraphError(f"tensor '{tensor.name}' has the shape {list(tensor.shape)}: zero-size tensors cannot be planned")
    for node in graph.nodes:
        infer_outputs(graph, node)
        op = operator(node.op)
        if is_float(graph, node) and not op.float_kernel and not op.view(graph, node):
            raise GraphError(
                f"layer '{node.name}' ({node.op}) computes in float32: this is a float model, and kilograd runs integers. "
                "Quantize it first: kilograd quantize MODEL --calibrate DATA.npz -o QUANTIZED.tflite"
            )
    program, nodes = build_program(graph)
    order = schedule(program)
    lives = lifetimes(program, order.order, merge=placement != "disjoint")
    placed = place(lives.buffers, placement, seconds)
    plan = lower(graph, nodes, program, order.order, lives, placed)
    args_bytes = sum(4 * len(c.words) for c in plan.calls)
    plan.meta["report"] = build_report(graph, nodes, program, order.order, lives, placed, plan, args_bytes, order.exact)
    plan.meta["macs"] = _call_macs(plan)
    unsigned = [t for t in graph.meta.get("uint8", ()) if t in graph.inputs or t in graph.outputs]
    plan.meta["uint8"] = unsigned
    plan.meta["source"] = graph.meta.get("source", "")
    if learned := learned_layers(graph):
        plan.meta["learned"] = learned
        scaled = graph.meta.get("equalized", {})
        places = {k: {**v, "equalized": scaled.get(k, {})} for k, v in graph.meta.get("torch", {}).items() if k in learned}
        plan.meta |= {"torch": places} if places else {}
    return plan


def _call_macs(plan: Plan) -> list[int]:
    """MACs of each call; those of a node stand at its first call."""
    left = {row["name"]: row["macs"] for row in plan.meta["report"]["operators"]}
    return [left.pop(call.node, 0) for call in plan.calls]


def _training(graph: Graph, train: str | Scheme, classes: int | None, config: TrainConfig) -> tuple[Graph, dict[str, Any]]:
    scheme_module = import_module("kilograd.train.scheme")
    if classes is not None:
        graph = import_module("kilograd.train.head").replace_head(graph, classes)
    scheme = scheme_module.parse_scheme(train, graph) if isinstance(train, str) else train
    if not isinstance(scheme, scheme_module.Scheme):
        raise SchemeError(f"train is {train!r}; give 'head', 'last:K', 'bias:K', 'full', a scheme file, or a Scheme")
    trained = import_module("kilograd.train.autodiff").training_graph(graph, scheme, config)
    about = {"scheme": train if isinstance(train, str) else train.to_json(), "classes": classes, "config": asdict(config)}
    return trained, about


def compile(  # noqa: A001 - the word that users know
    graph: Graph,
    *,
    train: None | str | Scheme = None,
    classes: int | None = None,
    config: TrainConfig | None = None,
    sram: str | int | None = None,
    flash: str | int | None = None,
    placement: Method = "auto",
    optimize: bool = True,
    target: str = REFERENCE,
    scratch: str | int = SCRATCH_LIMIT,
) -> Plan:
    """Compile a graph to a plan.

    `train` is None for inference alone, a scheme, or its text ('head', 'last:K', 'bias:K', 'full', a file). `classes` replaces the head.
    `sram` and `flash` are budgets in bytes or as '256K'; a plan that does not fit is a BudgetError. `optimize` simplifies the graph first.
    `target` is the core whose kernels are chosen (plan.target.TARGETS), each with at most `scratch` bytes; all give the same bits.
    """
    for budget in (sram, flash):
        if budget is not None:
            parse_size(budget)
    config = config or TrainConfig()
    if optimize:
        graph = import_module("kilograd.frontends.simplify").simplify(graph)
    about: dict[str, Any] = {}
    if train is not None:
        graph, about = _training(graph, train, classes, config)
    elif classes is not None:
        graph = import_module("kilograd.train.head").replace_head(graph, classes)
    core = find_target(target)
    plan = plan_graph(choose(graph, core, parse_size(scratch)), placement)
    plan.meta["target"] = core.name
    if about:
        plan.meta["train"] = about
    check_budget(plan, sram, flash)
    return plan

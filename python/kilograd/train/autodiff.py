"""Autodiff over the int graph, at compile time: forward, loss, pruned backward pass and updates become one program.

`training_graph` is the way in. `GradientBuilder` is what `Operator.backward` talks to: it walks the forward nodes backwards and each
operator appends the nodes of its own gradient. A node is visited only if a learned tensor lies at or before it, and an operator asks
(`wants`, `saved`, `error_of`) before it computes, keeps or masks anything; so what no update needs never exists.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kilograd.errors import GraphError, NoBackwardRule, SchemeError
from kilograd.ir.graph import Array, DType, Graph, Kind, Node, Phase, Shape, Tensor
from kilograd.ops import fields, operator
from kilograd.ops.base import Operator, infer_outputs
from kilograd.ops.fixed_point import ROUND_NEAREST, ROUND_STOCHASTIC, TRAIN_STATE, exponent_initial
from kilograd.train.config import TrainConfig, check_config
from kilograd.train.head import cut_tail
from kilograd.train.learned import Learned, add_update_state, apply_nodes, make_learnable, scale_guard
from kilograd.train.schedule import learning_rate_points
from kilograd.train.scheme import Scheme, layers, resolve

#: graph input with the class (int32 [1]) or with the wanted output (int8, like the output)
LABEL = "label"
TARGET = "target"


@dataclass(frozen=True)
class Update:
    """How a gradient kernel takes the step of one parameter."""

    fraction: str  # '' or the 8 further bits of w8f8 weights
    pending: str  # '' or the sum of steps that gradient accumulation fills
    rounding: int
    mutates: tuple[str, ...]  # state that the kernel changes


class GradientBuilder:
    """Builds the backward pass of `graph`, whose nodes are the forward program with phases set."""

    def __init__(self, graph: Graph, learned: Learned, config: TrainConfig, prune: bool = True) -> None:
        self.graph = graph
        self.learned = learned
        self.config = config
        self.nodes: list[Node] = []  # of the backward pass
        self.inserts: list[tuple[Node, Node]] = []  # (forward node, node to run right before it)
        self._prune = prune
        self._forward = list(graph.nodes)
        self._producer = {y: n for n in graph.nodes for y in n.writes()}
        self._readers: dict[str, int] = {}
        for node in graph.nodes:
            for t in node.reads():
                self._readers[t] = self._readers.get(t, 0) + 1
        self._contributions: dict[str, list[str]] = {}
        self._names: set[str] = set()
        self._saved: dict[tuple[str, int], str] = {}
        self._unmasked = _feeds_loss(graph)
        self._depends = _depends(graph, learned)

    # ---- what operators ask -------------------------------------------------------------------------------------------

    def wants(self, tensor: str) -> bool:
        """True when some update needs the gradient of `tensor`."""
        if not self._prune and self.graph[tensor].kind is Kind.ARENA:
            node = self._producer.get(tensor)
            return self.graph[tensor].dtype is DType.INT8 and not (node is not None and operator(node.op).stops_gradient)
        return tensor in self._depends

    def error_of(self, node: Node) -> str:
        """Error of the node's result, masked where the forward pass clamped; the forward node gets a mask for it."""
        y = node.outputs[0]
        error = self._sum(y, node)
        # The layer that feeds the loss passes its error straight through the clamp. A logit that sits at -128 or 127 for the wrong
        # class would have a mask of 0, get no gradient and never come back.
        if not operator(node.op).can_clamp(self.graph, node) or node.name in self._unmasked:
            return error
        if len(node.outputs) < 2 or not node.outputs[1]:
            mask = self.graph.add(Tensor(self.graph.fresh(f"{y}.mask"), self.graph[y].shape, DType.BITS))
            node.outputs = [y, mask.name]
        masked = self._declare(f"d/{y}.masked", y, self.graph[error].exponent)
        self.emit("clamp_grad", [error, node.outputs[1]], [masked], {}, node)
        return masked

    def new_error(self, tensor: str, node: Node) -> str:
        """Declare the error of `tensor` that `node` contributes, with an exponent of its own; gives its name."""
        name = self._declare(self._contribution(tensor, node), tensor, None)
        self._contributions.setdefault(tensor, []).append(name)
        return name

    def inner_error(self, stem: str, shape: Shape) -> str:
        """Declare an error tensor within the backward pass of one node: of no tensor of the forward pass, with an exponent of its own."""
        name = self.graph.fresh(f"d/{stem}")
        add_exponent(self.graph, f"{name}.exponent", self.config.exponent_start)
        self.graph.add(Tensor(name, shape, DType.INT8, exponent=f"{name}.exponent"))
        return name

    def share_error(self, tensor: str, error: str, node: Node) -> None:
        """What `node` contributes to the error of `tensor` is `error` itself, perhaps under another shape."""
        if not self.wants(tensor):
            return
        if self.graph[error].shape != self.graph[tensor].shape:
            view = self._declare(self._contribution(tensor, node), tensor, self.graph[error].exponent)
            self.emit("reshape", [error], [view], {"shape": self.graph[tensor].shape}, node)
            error = view
        self._contributions.setdefault(tensor, []).append(error)

    def saved(self, tensor: str, node: Node, channels: int | None = None) -> str:
        """The activation that a gradient of `node` reads: `tensor`, or a copy of its first `channels` made right before `node` runs."""
        t = self.graph[tensor]
        if channels is None or channels == t.shape[-1]:
            return tensor
        if (tensor, channels) not in self._saved:
            name = self.graph.fresh(f"{tensor}.first{channels}")
            self.graph.add(Tensor(name, (*t.shape[:-1], channels), t.dtype, quant=t.quant))
            copy = Node("channel_slice", [tensor], [name], {"channels": channels}, f"{node.name}/channel_slice", node.phase)
            self.inserts.append((node, copy))
            self._saved[tensor, channels] = name
        return self._saved[tensor, channels]

    def update(self, parameter: str) -> Update:
        """Where the steps of `parameter` go."""
        pending = f"{parameter}#pending"
        if pending in self.graph.tensors:
            return Update("", pending, self.rounding, (pending,))
        fraction = f"{parameter}#fraction"
        fraction = fraction if fraction in self.graph.tensors else ""
        return Update(fraction, "", self.rounding, (parameter, fraction) if fraction else (parameter,))

    @property
    def rounding(self) -> int:
        """ROUND_* of weights."""
        return ROUND_NEAREST if self.config.rounding == "nearest" else ROUND_STOCHASTIC

    def factor(self, real: Array, weight_scales: Array, channels: int) -> Array:
        """Real factors per channel between a gradient and a step in integers, float64 [channels]: 0 for channels with a collapsed
        weight scale, 1/N of them under accumulation, powers of two if so configured."""
        frozen = np.broadcast_to(scale_guard(weight_scales, self.config.guard), (channels,))
        value = np.where(frozen, 0.0, np.broadcast_to(np.asarray(real, np.float64), (channels,))) / self.config.accumulate
        if self.config.scaling == "pow2":
            value = np.where(value > 0, np.exp2(np.rint(np.log2(np.where(value > 0, value, 1.0)))), 0.0)
        return value

    def bias_gradient(self, gy: str, bias: str, bias_scales: Array, weight_scales: Array, node: Node) -> None:
        """Gradient and step of the bias of `node`, if it learns; `bias_scales` are s_x s_w."""
        b = self.learned.biases.get(bias)
        if b is None:
            return
        channels = self.graph[bias].shape[0]
        factor = self.factor(1.0 / (np.asarray(bias_scales, np.float64) * b.unit), weight_scales, channels)
        u = self.update(b.parameter)
        attrs = {"factor": np.where(b.frozen, 0.0, factor), "rounding": ROUND_NEAREST, "limit": b.limit}
        self.emit("bias_grad", [gy, b.parameter, u.pending, fields.TRAIN], [], attrs, node, u.mutates)

    def emit(
        self, op: str, inputs: list[str], outputs: list[str], attrs: dict[str, Any], forward_node: Node, mutates: tuple[str, ...] = ()
    ) -> Node:
        """Append a node of the backward pass; writing an error tensor with an exponent of its own changes that exponent."""
        mutates += tuple(e for y in outputs if y and (e := self.graph[y].exponent) == f"{y}.exponent")
        node = Node(op, inputs, outputs, attrs, self._unique(f"{forward_node.name}/{op}"), Phase.BACKWARD, mutates)
        self.nodes.append(node)
        return node

    # ---- how the backward pass comes about ----------------------------------------------------------------------------

    def run(self, loss_tensor: str, error: str) -> None:
        """Walk the program backwards from the loss, whose error tensor is `error`."""
        self._contributions[loss_tensor] = [error]
        for node in reversed(self._forward):
            if not node.outputs or not self._contributions.get(node.outputs[0]):
                continue
            first = len(self.nodes)
            try:
                operator(node.op).backward(self, node)
            except NoBackwardRule as error_:
                if node.outputs[0] not in self._depends:
                    continue
                raise NoBackwardRule(f"{error_} {self._way_out(node)}") from None
            if self.config.update_order == "early":
                self.nodes[first:] = sorted(self.nodes[first:], key=_early)

    def _way_out(self, blocked: Node) -> str:
        """From which layer on learning is possible, with all nodes known that have no rule."""
        after = self._forward.index(blocked)
        for i in range(len(self._forward) - 1, after, -1):
            if _no_rule(operator(self._forward[i].op)):
                after = i
                break
        found = layers(self.graph)
        for i, layer in enumerate(found):
            if self._forward.index(layer) > after:
                return f"The deepest layer from which learning is possible is '{layer.name}' (layer {i} of {len(found)}, counted from 0)."
        return "No layer comes after it, so this model cannot learn."

    def _sum(self, tensor: str, node: Node) -> str:
        """The one error of `tensor`: contributions are added in pairs, in the order in which they came."""
        parts = self._contributions[tensor]
        while len(parts) > 1:
            name = f"d/{tensor}" if len(parts) == 2 else f"d/{tensor}@sum{len(parts)}"
            total = self._declare(self.graph.fresh(name), tensor, None)  # one reader may contribute several times, under this name
            self.emit("grad_sum", parts[:2], [total], {}, node)
            parts[:2] = [total]
        return parts[0]

    def _contribution(self, tensor: str, node: Node) -> str:
        name = f"d/{tensor}" if self._readers.get(tensor, 0) < 2 else f"d/{tensor}@{node.name}"
        return self.graph.fresh(name)

    def _declare(self, name: str, like: str, exponent: str | None) -> str:
        """An int8 error tensor of the shape of `like`; without an exponent to share it gets one."""
        if exponent is None:
            exponent = f"{name}.exponent"
            add_exponent(self.graph, exponent, self.config.exponent_start)
        self.graph.add(Tensor(name, self.graph[like].shape, DType.INT8, exponent=exponent))
        return name

    def _unique(self, name: str) -> str:
        stem, i = name, 1
        while name in self._names:
            i += 1
            name = f"{stem}.{i}"
        self._names.add(name)
        return name


def _early(node: Node) -> int:
    """Order 'early' within one layer: the error and its mask, then what changes parameters, then the error of the input."""
    if node.op in ("clamp_grad", "grad_sum", "svdf_grad_newest", "lstm_grad"):
        return 0
    return 1 if not node.outputs else 2


def _no_rule(op: Operator) -> bool:
    return type(op).backward is Operator.backward


def _feeds_loss(graph: Graph) -> set[str]:
    """Nodes whose result the loss reads, directly or through reshapes, and that have no activation function of their own."""
    names: set[str] = set()
    tensor = graph.outputs[0]
    while (node := graph.producer(tensor)) is not None:
        if node.attrs.get("activation", "none") == "none":
            names.add(node.name)
        if node.op != "reshape":
            break
        tensor = node.inputs[0]
    return names


def add_exponent(graph: Graph, name: str, start: int) -> None:
    """State of one error tensor's exponent."""
    graph.add(Tensor(name, (2,), DType.INT32, Kind.STATE, data=exponent_initial(start)))


def _depends(graph: Graph, learned: Learned) -> set[str]:
    """Results that depend, within one call, on something that learns: those whose gradient can be wanted."""
    known, found = set(learned.layer), set()
    for node in graph.nodes:
        if any(t in known for t in node.reads()) and not operator(node.op).stops_gradient:
            known.update(node.writes())
            found.update(node.writes())
    return found


def _set_phases(graph: Graph, learned: Learned) -> None:
    """FROZEN for nodes that depend on nothing that learns, FORWARD for the others; program order within a phase stays.

    Nodes that touch a variable stay behind those of the forward part that touch it before them.
    """
    moving = set(learned.layer)
    for node in graph.nodes:
        touched = {*node.reads(), *node.mutates}
        node.phase = Phase.FORWARD if touched & moving else Phase.FROZEN
        if node.phase is Phase.FORWARD:
            moving.update(node.writes(), (t for t in touched if graph[t].kind is Kind.STATE))
    graph.nodes.sort(key=lambda n: n.phase is Phase.FORWARD)


def _check_cut(graph: Graph, out: Graph) -> None:
    """The loss takes over a softmax as it usually is, without a temperature."""
    kept = {n.name for n in out.nodes}
    for node in graph.nodes:
        if node.op == "softmax" and node.name not in kept and node.attrs.get("beta", 1.0) != 1.0:
            raise SchemeError(
                f"softmax '{node.name}' has beta {node.attrs['beta']}; cross-entropy needs 1. Replace the head (--classes N)."
            )


def _add_inputs(graph: Graph, loss_tensor: str, config: TrainConfig) -> str:
    """Train state and label; gives the name of the label."""
    state = np.zeros(1, TRAIN_STATE)
    state["seed"] = config.seed & 0xFFFFFFFF
    state["predicted"] = -1
    for name in (fields.TRAIN, LABEL, TARGET):
        if name in graph.tensors:
            raise GraphError(f"the model has a tensor called '{name}', a name that training needs; rename it")
    graph.add(Tensor(fields.TRAIN, (12,), DType.INT32, Kind.STATE, data=state.view(np.int32)))
    if config.loss == "cross_entropy":
        graph.add(Tensor(LABEL, (1,), DType.INT32))
        graph.inputs.append(LABEL)
        return LABEL
    y = graph[loss_tensor]
    graph.add(Tensor(TARGET, y.shape, y.dtype, quant=y.quant))
    graph.inputs.append(TARGET)
    return TARGET


def _assemble(graph: Graph, forward: list[Node], builder: GradientBuilder, around: tuple[Node, Node], apply: list[Node]) -> None:
    """The program of a step: begin, forward with its copies, loss, backward, apply."""
    program: list[Node] = [around[0]]
    for node in forward:
        program += [copy for at, copy in builder.inserts if at is node]
        program.append(node)
    graph.nodes = [*program, around[1], *builder.nodes, *apply]


def training_graph(graph: Graph, scheme: Scheme, config: TrainConfig | None = None, *, prune: bool = True) -> Graph:
    """The program of one training step on one sample: learning-rate, forward, loss, pruned backward pass, updates.

    Inputs are those of the model and 'label' (or 'target'); the output is the tensor that the loss reads. With prune=False all gradients
    are computed, also those that no update needs: learned tensors get the same bits, which tests use.
    """
    config = config or TrainConfig()
    check_config(config)
    selection = resolve(scheme, graph)
    out = cut_tail(graph, config.loss)
    _check_cut(graph, out)
    loss_tensor = out.outputs[0]
    learned = make_learnable(out, selection, config)
    _set_phases(out, learned)
    add_update_state(out, learned, config)
    label = _add_inputs(out, loss_tensor, config)
    error = f"d/{loss_tensor}"
    add_exponent(out, f"{error}.exponent", config.exponent_start)
    out.add(Tensor(error, out[loss_tensor].shape, DType.INT8, exponent=f"{error}.exponent"))
    begin_attrs = {"points": learning_rate_points(config), "accumulate": config.accumulate}
    begin = Node("train_begin", [fields.TRAIN], [], begin_attrs, "begin", Phase.BEGIN, (fields.TRAIN,))
    loss_op = "softmax_cross_entropy" if config.loss == "cross_entropy" else "mean_squared_error"
    loss = Node(
        loss_op, [loss_tensor, label, fields.TRAIN], [error], {"threshold": config.skip_threshold}, "loss", Phase.LOSS,
        (fields.TRAIN, f"{error}.exponent"),
    )  # fmt: skip
    builder = GradientBuilder(out, learned, config, prune)
    builder.run(loss_tensor, error)
    _assemble(out, list(out.nodes), builder, (begin, loss), apply_nodes(out, learned, builder.rounding))
    out.meta["train"] = {"config": asdict(config), "learned": dict(learned.layer), "label": label, "loss": loss_op}
    out.drop_unused()
    for node in out.nodes:
        infer_outputs(out, node)
    return out

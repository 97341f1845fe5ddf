"""What an operator is: one object that knows its shapes, its arithmetic, its gradient, its cost and its kernel.

Each file of this package defines one operator (and the nodes of its backward pass) and registers it. DESIGN section 4 lists the contract;
tests/ops/test_completeness.py enforces it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kilograd.errors import GraphError, NoBackwardRule, UnsupportedOperator
from kilograd.ir.graph import Array, DType, Graph, Node, Phase, QuantParams, Shape
from kilograd.ops.fixed_point import train_view

if TYPE_CHECKING:
    from kilograd.train.autodiff import GradientBuilder


@dataclass(frozen=True)
class TensorType:
    """Shape, element type and quantization of a result."""

    shape: Shape
    dtype: DType
    quant: QuantParams | None = None


@dataclass(frozen=True)
class Cost:
    """Work of one call: multiply-accumulates and bytes moved (operands and results, each once)."""

    macs: int
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True)
class Operand:
    """A field of an argument struct that refers to a tensor of the graph (resolved by the planner)."""

    tensor: str
    offset: int = 0  # bytes


@dataclass(frozen=True)
class ExponentOf:
    """A field that refers to the kg_exponent of an error tensor."""

    tensor: str


@dataclass(frozen=True, eq=False)
class Blob:
    """A field that refers to constant bytes that are no tensor of the graph (multipliers, tables). Equal blobs are stored once."""

    data: Array


@dataclass(frozen=True)
class Scratch:
    """A field that refers to the call's scratch memory, `offset` bytes in (see Operator.scratch_bytes)."""

    offset: int = 0


FieldValue = int | Operand | ExponentOf | Blob | Scratch | None


@dataclass
class KernelCall:
    """A kernel by name and its argument struct, field by field in C order (nested structs: "update.train").

    None is KG_REF_NONE. The struct's layout is the order of this dict: every field is 32 bits wide.
    """

    kernel: str
    fields: dict[str, FieldValue] = field(default_factory=dict)


Reference = list[Array]


class Operator(ABC):
    """Base class. Subclasses are stateless; one instance is registered under `name`.

    `tflite` lists the TFLite builtin names that the frontend maps to it. `internal` marks nodes that only passes create
    (gradients, losses, updates).
    """

    name: ClassVar[str]
    tflite: ClassVar[tuple[str, ...]] = ()
    internal: ClassVar[bool] = False
    #: names of the ONNX operators that the frontend maps to it
    onnx: ClassVar[tuple[str, ...]] = ()
    #: element types of its activations for which it has integer kernels
    types: ClassVar[tuple[str, ...]] = ("int8",)
    #: it has a kernel for float32 activations too (boundaries of a model); otherwise float nodes must be quantized before planning
    float_kernel: ClassVar[bool] = False
    #: (scale, zero point) of an int8 result where quantize() says 'fixed'
    fixed_result: ClassVar[tuple[float, int] | None] = None
    #: its result is a constant of this call as far as gradients go; they end there without error
    stops_gradient: ClassVar[bool] = False
    #: why it exists in float models only, where it does: quantization removes it, so that it needs neither kernel nor integer reference
    float_only: ClassVar[str] = ""
    #: why there is no backward rule, where there is none
    no_gradient: ClassVar[str] = ""
    #: kernels of this operator, reference variant first
    kernels: ClassVar[tuple[str, ...]] = ()
    #: some forms of the operator saturate (fused activation, requantization) and can write a clamp mask as second result
    clamps: ClassVar[bool] = False
    #: why every output row needs the whole input, where `rows` gives None
    whole_input: ClassVar[str] = ""

    @abstractmethod
    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        """Types of the results (as many as node.outputs), from the operands; raises GraphError when they do not fit."""

    @abstractmethod
    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        """Exact NumPy evaluation, the specification: results in the order of node.outputs (None operand: absent).

        Tensors that the node mutates get their new content in `state.tensors`.
        """

    @abstractmethod
    def lower(self, graph: Graph, node: Node) -> KernelCall | list[KernelCall]:
        """The kernel call(s) for the reference target; [] for a node that is only a view (results share the operand's memory)."""

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """Evaluation over real numbers (float32 or float64 operands, results of that type): what the integers approximate.

        Float models are calibrated with it and backward rules are checked against its finite differences. Fused activations are included;
        a clamp mask is not among the results.
        """
        raise UnsupportedOperator(f"operator '{self.name}' (layer '{node.name}') has no float evaluation; only quantized models have it.")

    def real_step(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> list[Array]:
        """`real` of a node that changes state: STATE tensors get their new content in `state.tensors`."""
        return self.real(graph, node, inputs)

    @property
    def takes_floats(self) -> bool:
        """True when it may stand in a float model (and, for quantize, at the border of one)."""
        return type(self).real is not Operator.real or self.float_kernel

    def quantize(self, graph: Graph, node: Node) -> str:
        """Quantization rule of the result: 'free' (own range), 'same' (as input 0) or 'fixed' (by the operator)."""
        return "free"

    def backward(self, builder: GradientBuilder, node: Node) -> None:
        """Append the nodes of the backward pass for `node` to the builder."""
        raise NoBackwardRule(
            f"no gradient can pass through operator '{self.name}' (layer '{node.name}'): "
            f"{self.no_gradient or 'it has no backward rule'}. Let only layers after it learn, or freeze it."
        )

    def can_clamp(self, graph: Graph, node: Node) -> bool:
        """True when a value of this very node can be clamped, so that its backward pass needs the mask."""
        return self.clamps

    def cost(self, graph: Graph, node: Node) -> Cost:
        """MACs and bytes of one call."""
        return Cost(self.macs(graph, node), sum(graph[t].nbytes for t in node.reads()), sum(graph[t].nbytes for t in node.writes()))

    def macs(self, graph: Graph, node: Node) -> int:
        """Multiply-accumulates of one call; 0 where the work is not a product sum."""
        return 0

    def scratch_bytes(self, graph: Graph, node: Node) -> int:
        """Bytes of arena that exist only while the kernel runs."""
        return 0

    def inplace(self, graph: Graph, node: Node) -> list[tuple[int, int]]:
        """Pairs (output index, input index) that may share the same memory exactly, if the input dies here."""
        return []

    def view(self, graph: Graph, node: Node) -> bool:
        """True when the result is the operand under another shape: no kernel, same bytes."""
        return False

    def rows(self, graph: Graph, node: Node, first: int, last: int) -> tuple[int, int] | None:
        """Patch rule: input rows [a, b] needed for output rows [first, last] (b < a: none); None: needs the whole input."""
        return None


@dataclass
class RunState:
    """What a NumPy evaluation of a graph carries along: values of all tensors (STATE tensors persist between steps)."""

    tensors: dict[str, Array]


_REGISTRY: dict[str, Operator] = {}


def register(cls: type[Operator]) -> type[Operator]:
    """Class decorator: make an operator known under its name."""
    if cls.name in _REGISTRY:
        raise GraphError(f"operator '{cls.name}' is registered twice")
    _REGISTRY[cls.name] = cls()
    return cls


def operator(name: str) -> Operator:
    """The operator of that name."""
    try:
        return _REGISTRY[name]
    except KeyError:
        raise UnsupportedOperator(f"there is no operator '{name}'; known are: {', '.join(sorted(_REGISTRY))}") from None


def operators() -> dict[str, Operator]:
    """All operators by name, sorted."""
    return dict(sorted(_REGISTRY.items()))


def infer_outputs(graph: Graph, node: Node) -> None:
    """Check that a node's results are declared with the types that its operator infers."""
    types = operator(node.op).infer(graph, node)
    if len(types) != len(node.outputs):
        raise GraphError(f"node '{node.name}' ({node.op}) has {len(node.outputs)} results, its operator gives {len(types)}")
    for name, want in zip(node.outputs, types, strict=True):
        if name and (graph[name].shape, graph[name].dtype) != (want.shape, want.dtype):
            raise GraphError(
                f"node '{node.name}' ({node.op}): result '{name}' is declared {graph[name].dtype.value}{list(graph[name].shape)}, "
                f"its operands give {want.dtype.value}{list(want.shape)}"
            )


def prod(shape: Sequence[int]) -> int:
    """Product of sizes."""
    return math.prod(shape)


ReferenceFunction = Callable[..., Any]


def _runs(node: Node, state: RunState) -> bool:
    """False when the guard of the node's phase leaves it out of this training step."""
    if node.phase is Phase.BACKWARD:
        return int(train_view(state.tensors["train"])["skip"][0]) == 0
    return node.phase is not Phase.APPLY or int(train_view(state.tensors["train"])["apply"][0]) == 1


def is_float(graph: Graph, node: Node) -> bool:
    """True for a node of a float model: its first operand is float32 and it is not what leaves the real numbers."""
    first = next(iter(node.reads()), "")
    return bool(first) and graph[first].dtype is DType.FLOAT32 and node.op != "quantize"


def run_node(graph: Graph, node: Node, values: Sequence[Array | None], state: RunState) -> Reference:
    """Results of one node: by its float evaluation in a float model, by its integer specification otherwise."""
    op = operator(node.op)
    if is_float(graph, node) and not op.float_kernel and not op.view(graph, node):
        return op.real_step(graph, node, values, state)
    return op.reference(graph, node, values, state)


def evaluate(graph: Graph, feeds: dict[str, Array], state: RunState | None = None) -> RunState:
    """Run a graph in NumPy, node by node. `state.tensors` keeps STATE tensors from call to call and afterwards holds every tensor."""
    if state is None:
        state = RunState({})
    for t in graph.tensors.values():
        if t.data is not None and t.name not in state.tensors:
            state.tensors[t.name] = np.array(t.data, copy=True)
    state.tensors.update(feeds)
    for node in graph.nodes:
        if not _runs(node, state):
            continue
        values = [state.tensors[t] if t else None for t in node.inputs]
        for name, value in zip(node.outputs, run_node(graph, node, values, state), strict=True):
            if name:
                state.tensors[name] = value
    return state

"""Variables: state of the model itself that lives from one call to the next (streaming models). They are STATE tensors of the graph.

read_variable: operand the variable, result its content at this point of the program. Where nothing that reads the result runs after the
variable has changed, the result is a view of the variable and costs neither time nor memory; otherwise it is a copy.
assign_variable: operand the new content, no result; `Node.mutates` names the variable.

Every call of the forward pass, of `infer` as of `train_step`, moves variables on. The gradient stops at a read: what earlier calls left
in a variable is a constant of this call.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kilograd.errors import GraphError
from kilograd.ir.graph import Array, Graph, Kind, Node
from kilograd.ops import support
from kilograd.ops.base import KernelCall, Operand, Operator, Reference, RunState, TensorType, operator, register
from kilograd.ops.strided_copy import Move, copy_call

TYPES = ("int8", "int16", "int32", "int64")


def copied(node: Node, x: str, y: str, nbytes: int) -> KernelCall:
    """The kernel call that copies the bytes of a tensor to a tensor of the same size."""
    return copy_call(node, Move((nbytes,), (1,), (1,)), Operand(x), y, 1)


@register
class ReadVariable(Operator):
    """y = the content of the variable."""

    name = "read_variable"
    tflite = ("READ_VARIABLE", "VAR_HANDLE")
    types = TYPES
    float_kernel = True  # it moves bytes
    kernels = ("strided_copy_ref_any",)
    no_gradient = "the gradient stops at a read, whose content earlier calls have left"
    stops_gradient = True
    whole_input = "a variable is there as a whole"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        variable, y = graph[node.inputs[0]], graph[node.outputs[0]]
        support.activation_type(graph, node)
        if variable.kind is not Kind.STATE:
            raise GraphError(f"read_variable '{node.name}': '{variable.name}' is {variable.kind.value}, a variable must be state")
        if not support.same_quant(variable, y):
            raise GraphError(f"read_variable '{node.name}': '{variable.name}' and '{y.name}' differ in quantization")
        return [TensorType(variable.shape, variable.dtype, variable.quant)]

    def real(self, graph: Graph, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.array(inputs[0], copy=True)]

    def quantize(self, graph: Graph, node: Node) -> str:
        return "same"

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        return [np.array(inputs[0], copy=True)]

    def view(self, graph: Graph, node: Node) -> bool:
        variable, names, changed = node.inputs[0], {node.outputs[0]}, False
        for later in graph.nodes[graph.index(node) + 1 :]:
            changed = changed or variable in later.mutates
            if not names.intersection(later.reads()):
                continue
            if changed:
                return False
            if operator(later.op).view(graph, later):
                names.add(later.outputs[0])
        return not (changed and names.intersection(graph.outputs))

    def lower(self, graph: Graph, node: Node) -> list[KernelCall]:
        if self.view(graph, node):
            return []
        return [copied(node, node.inputs[0], node.outputs[0], graph[node.outputs[0]].nbytes)]


@register
class AssignVariable(Operator):
    """variable = x."""

    name = "assign_variable"
    tflite = ("ASSIGN_VARIABLE", "CALL_ONCE")
    types = TYPES
    float_kernel = True
    kernels = ("strided_copy_ref_any",)
    no_gradient = "it has no result in this call"
    whole_input = "a variable changes as a whole"

    def infer(self, graph: Graph, node: Node) -> list[TensorType]:
        support.activation_type(graph, node)
        if len(node.mutates) != 1 or graph[node.mutates[0]].kind is not Kind.STATE:
            raise GraphError(f"assign_variable '{node.name}' must change one state tensor, it changes {list(node.mutates)}")
        x, variable = graph[node.inputs[0]], graph[node.mutates[0]]
        if (x.shape, x.dtype) != (variable.shape, variable.dtype) or not support.same_quant(x, variable):
            raise GraphError(
                f"assign_variable '{node.name}': '{x.name}' ({x.dtype.value}{list(x.shape)}) and the variable '{variable.name}' "
                f"({variable.dtype.value}{list(variable.shape)}) differ in type, shape or quantization"
            )
        return []

    def reference(self, graph: Graph, node: Node, inputs: Sequence[Array | None], state: RunState) -> Reference:
        state.tensors[node.mutates[0]] = np.array(inputs[0], copy=True)
        return []

    def lower(self, graph: Graph, node: Node) -> KernelCall:
        return copied(node, node.inputs[0], node.mutates[0], graph[node.inputs[0]].nbytes)

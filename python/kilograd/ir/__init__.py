"""The intermediate representation: graph, verifier, printer and the passes that need no operators."""

from kilograd.ir.graph import DType, Graph, Kind, Node, Phase, QuantParams, Tensor
from kilograd.ir.passes import remove_dead_nodes
from kilograd.ir.printer import format_graph
from kilograd.ir.verify import verify

__all__ = ["DType", "Graph", "Kind", "Node", "Phase", "QuantParams", "Tensor", "format_graph", "remove_dead_nodes", "verify"]

"""Instructions of each layer of a model on an emulated core, every layer as a plan of its own.

    python -m benchmarks.layers MODEL.tflite [--board mps2-an386] [--op depthwise_conv2d]

A line for each layer: operands, kernel, instructions, instructions per multiplication (or result), and whether the bits are those of the
host simulator. Exits with 1 when some are not.
"""

from __future__ import annotations

import argparse
import sys

import kilograd as kg
from kilograd.device.bench import bench
from kilograd.device.boards import find_board
from kilograd.frontends.simplify import simplify
from kilograd.ir.graph import DType, Graph, Kind, Node
from kilograd.ops import operator


def alone(graph: Graph, node: Node) -> Graph:
    """A graph of one node; what it reads from memory comes from outside."""
    single = Graph(node.name)
    for name in dict.fromkeys([*node.reads(), *node.writes()]):
        single.add(graph[name])
    single.nodes = [node]
    single.inputs = [t for t in dict.fromkeys(node.reads()) if graph[t].kind is Kind.ARENA]
    single.outputs = list(node.writes())
    return single


def measured(graph: Graph, op: str) -> list[Node]:
    """Layers that compute something with integers."""
    nodes = [n for n in graph.nodes if op in ("", n.op) and not operator(n.op).view(graph, n)]
    return [n for n in nodes if all(graph[t].dtype is not DType.FLOAT32 for t in n.reads())]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--board", default="mps2-an386")
    parser.add_argument("--op", default="")
    options = parser.parse_args()
    graph, core = simplify(kg.load(options.model)), find_board(options.board).core
    total, products, exact = 0, 0, True
    for node in measured(graph, options.op):
        plan = kg.compile(alone(graph, node), target=core, optimize=False)
        found = bench(plan, options.board, samples=1)
        count, macs = int(found["instructions_infer"]), operator(node.op).macs(graph, node)
        each = count / (macs or graph[node.outputs[0]].size)
        shapes = " ".join(str(graph[t].shape[1:]) for t in node.reads()[:2])
        bits = "" if found["bit_exact"] else "  OTHER BITS"
        print(
            f"{node.op:20} {shapes:32} {plan.calls[0].kernel:26} {count:9} {each:6.2f} per {'product' if macs else 'result'}{bits}",
            flush=True,
        )
        total, products, exact = total + count, products + macs, exact and bool(found["bit_exact"])
    print(f"total {total} instructions, {products} products")
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())

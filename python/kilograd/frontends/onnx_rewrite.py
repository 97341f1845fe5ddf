"""Functions that exporters of older opsets write out, as the operators that they are: Gelu by Erf, HardSwish by HardSigmoid or Clip.

A rewriting replaces the last node of a pattern; what leads to it dies where nothing else reads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from kilograd.frontends.onnx_file import RawNode
from kilograd.ir.graph import Array

Lookup = Callable[[str], "Array | None"]


class Patterns:
    """The nodes of a model, seen from results and from operands."""

    def __init__(self, nodes: list[RawNode], outputs: set[str], constant: Lookup) -> None:
        self.nodes, self.outputs, self.constant = nodes, outputs, constant
        self.made = {t: n for n in nodes for t in n.outputs if t}
        self.readers: dict[str, list[RawNode]] = {}
        for node in nodes:
            for t in node.inputs:
                self.readers.setdefault(t, []).append(node)

    def number(self, name: str, wanted: float) -> bool:
        """True when `name` is that number."""
        data = self.constant(name)
        return data is not None and data.size == 1 and math.isclose(float(data.reshape(-1)[0]), wanted, rel_tol=1e-3)

    def other(self, node: RawNode | None, op: str, one: str) -> str:
        """The operand of a node of two operands beside `one`, '' where it is no such node."""
        if node is None or node.kind != op or len(node.inputs) != 2 or one not in node.inputs:
            return ""
        return node.inputs[1] if node.inputs[0] == one else node.inputs[0]

    def scaled(self, name: str, factor: float) -> str:
        """X where `name` is x times that number (or divided by its reciprocal), '' otherwise."""
        node = self.made.get(name)
        if node is None or len(node.inputs) != 2 or node.kind not in ("Mul", "Div"):
            return ""
        if node.kind == "Div":
            return node.inputs[0] if self.number(node.inputs[1], 1 / factor) else ""
        found = [node.inputs[1 - i] for i in (0, 1) if self.number(node.inputs[i], factor)]
        return found[0] if found else ""

    def reader(self, name: str) -> RawNode | None:
        """The only node that reads a value."""
        found = self.readers.get(name, [])
        return found[0] if len(found) == 1 and name not in self.outputs else None

    def gelu(self, node: RawNode) -> tuple[RawNode, str] | None:
        """From Erf on: x / sqrt(2) -> Erf -> + 1 -> * x -> * 0.5, the last two in any order; the last node and x."""
        x = self.scaled(node.inputs[0], math.sqrt(0.5)) if node.kind == "Erf" and node.inputs else ""
        plus = self.reader(node.outputs[0]) if x else None
        if plus is None or not self.number(self.other(plus, "Add", node.outputs[0]) or "//", 1.0):
            return None
        product = self.reader(plus.outputs[0])
        factor = self.other(product, "Mul", plus.outputs[0])
        if product is None or not factor:
            return None
        if self.scaled(factor, 0.5) == x:
            return product, x
        half = self.reader(product.outputs[0])
        if half is not None and self.scaled(half.outputs[0], 0.5) == product.outputs[0]:
            if factor == x:
                return half, x
        return None

    def hard_swish(self, node: RawNode) -> tuple[RawNode, str] | None:
        """X * HardSigmoid(x), or x * Clip(x + 3, 0, 6) / 6; the last node and x."""
        if node.kind == "HardSigmoid" and math.isclose(float(node.attrs.get("alpha", 0.2)), 1 / 6, rel_tol=1e-3):
            product = self.reader(node.outputs[0])
            x = self.other(product, "Mul", node.outputs[0])
            fits = product is not None and x == node.inputs[0] and float(node.attrs.get("beta", 0.5)) == 0.5
            return (product, x) if fits and product is not None else None
        if node.kind != "Clip" or len(node.inputs) != 3 or not self.number(node.inputs[2], 6.0):
            return None
        plus, low = self.made.get(node.inputs[0]), self.constant(node.inputs[1])
        if plus is None or low is None or low.size != 1 or float(low.reshape(-1)[0]) != 0.0:
            return None
        xs = [t for t in plus.inputs if self.number(self.other(plus, "Add", t) or "//", 3.0)]
        product = self.reader(node.outputs[0])
        if not xs or product is None or self.other(product, "Mul", node.outputs[0]) != xs[0]:
            return None
        sixth = self.reader(product.outputs[0])
        fits = sixth is not None and self.scaled(sixth.outputs[0], 1 / 6) == product.outputs[0]
        return (sixth, xs[0]) if fits and sixth is not None else None


def rewrite(nodes: list[RawNode], outputs: set[str], constant: Lookup) -> list[RawNode]:
    """The nodes with all patterns replaced."""
    patterns, replaced = Patterns(nodes, outputs, constant), dict[int, RawNode]()
    for node in nodes:
        if not node.outputs or not node.inputs:
            continue
        for op, find in (("Gelu", patterns.gelu), ("HardSwish", patterns.hard_swish)):
            found = find(node)
            if found is not None:
                last, x = found
                replaced[id(last)] = RawNode(last.index, op, "", last.name, [x], last.outputs[:1])
    return [replaced.get(id(n), n) for n in nodes]

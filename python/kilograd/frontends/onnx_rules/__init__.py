"""How operators of ONNX become nodes of the graph, a file for each family."""

from __future__ import annotations

from collections.abc import Iterable

from kilograd.frontends.onnx_file import Port, RawNode
from kilograd.frontends.onnx_rules import boundary, elementwise, layout, linear, normalise, pooling, recurrent, resize
from kilograd.frontends.onnx_rules.rule import Rule

__all__ = ["RULES", "Rule", "layout_of_inputs"]

RULES: dict[str, Rule] = {}
for _family in (boundary, elementwise, layout, linear, normalise, pooling, recurrent, resize):
    RULES |= _family.RULES

#: operators whose first operand is an image [batch, channels, ...]
IMAGE = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "BatchNormalization", "Resize"}
    | {"DepthToSpace", "SpaceToDepth", "InstanceNormalization", "PRelu"}
)
#: operators behind which an image is still one
THROUGH = frozenset(elementwise.RULES) | {"QuantizeLinear", "DequantizeLinear", "Pad", "Concat", "Slice", "Split", "Tile"}


def layout_of_inputs(inputs: Iterable[Port], readers: dict[str, list[RawNode]]) -> set[str]:
    """Names of the inputs that are images: they reach an operator on images before anything that gives their axes another meaning."""
    images: set[str] = set()
    for port in inputs:
        if port.dims is None or len(port.dims) not in (3, 4):
            continue
        waiting, seen = [port.name], {port.name}
        while waiting and port.name not in images:
            name = waiting.pop()
            for node in readers.get(name, []):
                if node.op in IMAGE and node.inputs[0] == name:
                    images.add(port.name)
                elif node.op in THROUGH:
                    new = [t for t in node.outputs if t not in seen]
                    seen.update(new)
                    waiting += new
    return images

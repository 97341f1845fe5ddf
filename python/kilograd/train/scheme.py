"""Update schemes: which tensors of a network learn. The JSON form is in docs/schemes.md.

A layer is a node with weights (convolutions, fully_connected, svdf, lstm); layers are counted in program order from 0. The last layer is
the head; it learns whole when `head` is true, and no count includes it.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kilograd.errors import SchemeError
from kilograd.ir.graph import Graph, Node

#: operators with weights, and the axis of the weights along which learning channels are split off
LAYERS = {"conv2d": 3, "transpose_conv": 3, "depthwise_conv2d": 3, "fully_connected": 1, "svdf": 1, "lstm": 1}

LayerRef = int | str
Amount = int | float  # channels, or a fraction of them

FORMS = "head, last:K, bias:K, full, a scheme file (.json), or schemes.json:model/name"


@dataclass(frozen=True)
class Scheme:
    """What learns.

    `biases`: of the last k layers before the head, or of the layers listed. `weights`: layer to number of input channels (int; the first
    ones) or fraction of them (float, 0..1); of a depthwise layer, channels. A layer whose weights learn need not learn its bias.
    `everything`: all weights and biases, whatever the model.
    """

    head: bool = True
    biases: int | tuple[LayerRef, ...] = 0
    weights: Mapping[LayerRef, Amount] = field(default_factory=dict)
    everything: bool = False
    last: int = 0  # weights and biases of the last k layers before the head, whole

    def to_json(self) -> str:
        """The JSON text that from_json reads."""
        weights = [
            {"layer": k, ("channels" if isinstance(v, int) else "fraction"): v} for k, v in self.weights.items()
        ]  # fmt: skip
        biases = self.biases if isinstance(self.biases, int) else list(self.biases)
        value: dict[str, Any] = {"head": self.head, "biases": biases, "weights": weights}
        if self.last:
            value["last"] = self.last
        if self.everything:
            value["everything"] = True
        return json.dumps(value, indent=2)

    @staticmethod
    def from_json(text: str, where: str = "scheme") -> Scheme:
        """Read and validate the JSON form; layers are checked against a model by `resolve`."""
        try:
            value = json.loads(text)
        except ValueError as e:
            raise SchemeError(f"{where} is not JSON: {e}") from None
        if not isinstance(value, dict):
            raise SchemeError(f"{where}: a scheme is a JSON object with the keys head, biases, weights")
        known = {"head", "biases", "weights", "last", "everything"}
        if unknown := sorted(set(value) - known):
            raise SchemeError(f"{where}: unknown key '{unknown[0]}'; a scheme has {', '.join(sorted(known))}")
        for name in ("head", "everything"):
            if not isinstance(value.get(name, False), bool):
                raise SchemeError(f"{where}: '{name}' is true or false, not {value[name]!r}")
        return Scheme(
            head=value.get("head", True),
            biases=_read_biases(value.get("biases", 0), where),
            weights=_read_weights(value.get("weights", []), where),
            everything=value.get("everything", False),
            last=_count(value.get("last", 0), f"{where}: 'last'"),
        )


@dataclass(frozen=True)
class Selection:
    """A scheme applied to a model: names of nodes."""

    biases: frozenset[str]
    weights: Mapping[str, int]  # input channels that learn, 1..all
    head: str | None  # the head, when it learns


def _count(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SchemeError(f"{what} must be a whole number from 0 on, not {value!r}")
    return value


def _layer_ref(value: Any, where: str) -> LayerRef:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise SchemeError(f"{where}: a layer is given by index, node name or name of its result, not {value!r}")
    return value


def _read_biases(value: Any, where: str) -> int | tuple[LayerRef, ...]:
    if isinstance(value, list):
        return tuple(_layer_ref(v, f"{where}: 'biases'") for v in value)
    return _count(value, f"{where}: 'biases' (a count of last layers, or a list of layers)")


def _read_weights(value: Any, where: str) -> dict[LayerRef, Amount]:
    if not isinstance(value, list):
        raise SchemeError(f'{where}: \'weights\' is a list of objects like {{"layer": 24, "fraction": 0.25}}')
    result: dict[LayerRef, Amount] = {}
    for item in value:
        if not isinstance(item, dict) or "layer" not in item or len(item) != 2 or not item.keys() <= {"layer", "fraction", "channels"}:
            raise SchemeError(f"{where}: an entry of 'weights' has 'layer' and one of 'fraction', 'channels'; this one is {item!r}")
        layer = _layer_ref(item["layer"], f"{where}: 'weights'")
        if layer in result:
            raise SchemeError(f"{where}: 'weights' names layer {layer!r} twice")
        if "channels" in item:
            result[layer] = _count(item["channels"], f"{where}: 'channels' of layer {layer!r}")
        else:
            result[layer] = _fraction(item["fraction"], f"{where}: 'fraction' of layer {layer!r}")
    return result


def _fraction(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1 or math.isnan(value):
        raise SchemeError(f"{what} must lie in 0..1, not {value!r}")
    return float(value)


def layers(graph: Graph) -> list[Node]:
    """The nodes with weights, in program order."""
    return [n for n in graph.nodes if n.op in LAYERS]


def input_channels(graph: Graph, node: Node) -> int:
    """Input channels of a layer (a depthwise layer with a multiplier has several columns of weights for each)."""
    x, w = graph[node.inputs[0]], graph[node.inputs[1]]
    return x.shape[-1] if node.op == "depthwise_conv2d" else w.shape[LAYERS[node.op]]


def find_layer(graph: Graph, ref: LayerRef) -> Node:
    """The layer of that index, node name or result name; SchemeError when there is none."""
    found = layers(graph)
    if isinstance(ref, int):
        if 0 <= ref < len(found):
            return found[ref]
        raise SchemeError(f"the scheme names layer {ref}, but '{graph.name}' has {len(found)} layers with weights (0..{len(found) - 1})")
    for node in found:
        if ref in (node.name, node.outputs[0]):
            return node
    names = [n for node in found for n in (node.name, node.outputs[0])]
    near = difflib.get_close_matches(ref, list(dict.fromkeys(names)), n=3, cutoff=0.3)
    hint = f"near names: {', '.join(near)}" if near else f"its last is '{found[-1].name}'" if found else "it has none"
    raise SchemeError(f"the scheme names layer '{ref}', which '{graph.name}' does not have ({len(found)} layers with weights; {hint})")


def resolve(scheme: Scheme, graph: Graph) -> Selection:
    """Apply a scheme to a model."""
    found = layers(graph)
    if not found:
        raise SchemeError(f"'{graph.name}' has no layer with weights: nothing can learn")
    head, body = found[-1], found[:-1]
    whole = found if scheme.everything else _last(body, scheme.last, graph)
    biases = {n.name for n in whole}
    weights = {n.name: input_channels(graph, n) for n in whole}
    if isinstance(scheme.biases, int):
        biases |= {n.name for n in _last(body, scheme.biases, graph)}
    else:
        biases |= {find_layer(graph, ref).name for ref in scheme.biases}
    seen: dict[str, LayerRef] = {}
    for ref, amount in scheme.weights.items():
        node = find_layer(graph, ref)
        if node.name in seen:
            raise SchemeError(f"the scheme names layer '{node.name}' twice, as {seen[node.name]!r} and {ref!r}")
        seen[node.name] = ref
        if k := _channels(amount, input_channels(graph, node), node.name):
            weights[node.name] = k
    if scheme.head or scheme.everything:
        biases.add(head.name)
        weights[head.name] = input_channels(graph, head)
    if not biases and not weights:
        raise SchemeError("the scheme lets nothing learn: switch the head on, or name biases or weights")
    return Selection(frozenset(biases), weights, head.name if scheme.head or scheme.everything else None)


def _last(body: list[Node], count: int, graph: Graph) -> list[Node]:
    if count > len(body):
        raise SchemeError(f"the scheme wants the last {count} layers before the head, but '{graph.name}' has {len(body)}")
    return body[len(body) - count :]


def _channels(amount: Amount, total: int, name: str) -> int:
    if isinstance(amount, int):
        if amount > total:
            raise SchemeError(f"the scheme wants {amount} input channels of layer '{name}', which has {total}")
        return amount
    if not 0 <= amount <= 1:
        raise SchemeError(f"the scheme wants a fraction of {amount} of layer '{name}'; fractions lie in 0..1")
    return min(total, math.floor(total * amount + 0.5))


def parse_scheme(text: str, graph: Graph | None = None) -> Scheme:
    """A scheme from what the command line takes: head, last:K, bias:K, full, a file, or schemes.json:model/name.

    With a graph the scheme is also checked against it.
    """
    scheme = _parse(text)
    if graph is not None:
        resolve(scheme, graph)
    return scheme


def _parse(text: str) -> Scheme:
    word, _, rest = text.partition(":")
    if text == "head":
        return Scheme()
    if text == "full":
        return Scheme(everything=True)
    if word in ("last", "bias"):
        if not rest.isascii() or not rest.isdigit():
            raise SchemeError(f"scheme '{text}': after '{word}:' comes a number of layers, as in {word}:3")
        return Scheme(last=int(rest)) if word == "last" else Scheme(biases=int(rest))
    path, colon, name = text.rpartition(":")
    if colon and "/" in name and Path(path).suffix == ".json":
        return _ancestor(_read(path), path, name)
    if Path(text).suffix != ".json":
        raise SchemeError(f"'{text}' is not a scheme: give {FORMS}")
    return Scheme.from_json(_read(text), text)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise SchemeError(f"the scheme file '{path}' cannot be read: {e}") from None


def _ancestor(text: str, path: str, name: str) -> Scheme:
    """A scheme out of the collection of tiny-training's sparse-update schemes; convolutions count without the classifier."""
    model, _, scheme = name.partition("/")
    try:
        models = json.loads(text)["models"]
    except (ValueError, KeyError, TypeError) as e:
        raise SchemeError(f"'{path}' is no collection of schemes (JSON with 'models'): {e}") from None
    if model not in models:
        raise SchemeError(f"'{path}' has no model '{model}'; it has {', '.join(models)}")
    schemes = models[model].get("schemes", {})
    if scheme not in schemes:
        raise SchemeError(f"'{path}' has no scheme '{scheme}' for '{model}'; it has {', '.join(schemes)}")
    try:
        entry = schemes[scheme]
        weights = {_count(w["conv_index"], "conv_index"): _fraction(w["ratio"], "ratio") for w in entry["weight_updates"]}
        return Scheme(biases=_count(entry["n_bias_update"], "n_bias_update"), weights={k: v for k, v in weights.items() if v > 0})
    except (KeyError, TypeError) as e:
        raise SchemeError(f"'{path}', scheme '{name}': an entry is missing or of the wrong type: {e}") from None

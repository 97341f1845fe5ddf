from __future__ import annotations

import json
from pathlib import Path

import pytest

from kilograd.errors import SchemeError
from kilograd.ir.graph import Graph
from kilograd.train.scheme import Scheme, layers, parse_scheme, resolve
from tests.train.nets import small_net


@pytest.fixture(scope="module")
def net() -> Graph:
    return small_net()


LAYERS = ["stem", "wide", "deep", "narrow", "down", "head"]


def test_layers_are_nodes_with_weights(net: Graph) -> None:
    assert [n.name for n in layers(net)] == LAYERS


def test_words(net: Graph) -> None:
    head = resolve(parse_scheme("head", net), net)
    assert head.biases == {"head"} and head.weights == {"head": 6}
    last = resolve(parse_scheme("last:2", net), net)
    assert last.biases == {"narrow", "down", "head"} and last.weights == {"narrow": 10, "down": 6, "head": 6}
    bias = resolve(parse_scheme("bias:3", net), net)
    assert bias.biases == {"deep", "narrow", "down", "head"} and bias.weights == {"head": 6}
    full = resolve(parse_scheme("full", net), net)
    assert full.biases == set(LAYERS) and set(full.weights) == set(LAYERS)


def test_json_names_layers_by_index_node_or_result(net: Graph, tmp_path: Path) -> None:
    text = json.dumps(
        {
            "head": False,
            "biases": [0, "wide"],
            "weights": [{"layer": 1, "fraction": 0.5}, {"layer": "narrow", "channels": 3}, {"layer": 4, "fraction": 0}],
        }
    )
    path = tmp_path / "s.json"
    path.write_text(text)
    got = resolve(parse_scheme(str(path), net), net)
    assert got.biases == {"stem", "wide"} and got.weights == {"wide": 3, "narrow": 3} and got.head is None


@pytest.mark.parametrize(
    "scheme",
    [
        Scheme(),
        Scheme(False, 3),
        Scheme(True, ("a", 2), {1: 0.25, "b": 7}),
        Scheme(everything=True),
        Scheme(last=4),
        Scheme(weights={0: 1.0, 1: 1}),
    ],
)
def test_json_there_and_back(scheme: Scheme) -> None:
    assert Scheme.from_json(scheme.to_json()) == scheme


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "is not a scheme: give head, last:K"),
        ("last:", "number of layers"),
        ("last:-1", "number of layers"),
        ("bias:x", "number of layers"),
        ("last:6", "'net' has 5"),
        ("bias:99", "'net' has 5"),
        ("missing.json", "cannot be read"),
        ("missing.json:a/b", "cannot be read"),
    ],
)
def test_bad_words(net: Graph, text: str, message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        parse_scheme(text, net)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "is not JSON"),
        ([], "JSON object"),
        ({"heads": True}, "unknown key 'heads'; a scheme has biases"),
        ({"head": 1}, "true or false"),
        ({"biases": -1}, "whole number"),
        ({"biases": True}, "whole number"),
        ({"biases": [1.5]}, "index, node name"),
        ({"weights": {"3": 1}}, "list of objects"),
        ({"weights": [{"layer": 1}]}, "one of 'fraction', 'channels'"),
        ({"weights": [{"layer": 1, "fraction": 0.5, "channels": 2}]}, "one of 'fraction', 'channels'"),
        ({"weights": [{"layer": 1, "fraction": 1.5}]}, "0..1"),
        ({"weights": [{"layer": 1, "fraction": -0.5}]}, "0..1"),
        ({"weights": [{"layer": 1, "fraction": float("nan")}]}, "0..1"),
        ({"weights": [{"layer": 1, "fraction": "half"}]}, "0..1"),
        ({"weights": [{"layer": 1, "channels": 2.5}]}, "whole number"),
        ({"weights": [{"layer": 1, "fraction": 1}, {"layer": 1, "fraction": 1}]}, "twice"),
        ({"weights": [{"layer": 1, "fraction": 1}, {"layer": "wide", "fraction": 1}]}, "'wide' twice"),
        ({"weights": [{"layer": 9, "fraction": 1}]}, r"names layer 9, but 'net' has 6 layers with weights \(0..5\)"),
        ({"weights": [{"layer": "widee", "fraction": 1}]}, r"layer 'widee'.*6 layers with weights; near names: wide"),
        ({"biases": ["nowhere at all"]}, "does not have"),
        ({"weights": [{"layer": "wide", "channels": 7}]}, "7 input channels of layer 'wide', which has 6"),
        ({"head": False}, "lets nothing learn"),
    ],
)
def test_bad_json(net: Graph, tmp_path: Path, value: object, message: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(SchemeError, match=message):
        parse_scheme(str(path), net)


COLLECTION = {
    "models": {
        "m": {
            "schemes": {"small": {"n_bias_update": 2, "weight_updates": [{"conv_index": 1, "ratio": 0.5}, {"conv_index": 3, "ratio": 0}]}}
        },
        "broken": {"schemes": {"s": {"weight_updates": []}}},
    }
}


def test_collections_of_schemes(net: Graph, tmp_path: Path) -> None:
    path = tmp_path / "schemes.json"
    path.write_text(json.dumps(COLLECTION))
    got = resolve(parse_scheme(f"{path}:m/small", net), net)
    assert got.biases == {"narrow", "down", "head"} and got.weights == {"wide": 3, "head": 6}
    for name, message in (("x/small", "no model 'x'; it has m"), ("m/x", "no scheme 'x' for 'm'; it has small"), ("broken/s", "missing")):
        with pytest.raises(SchemeError, match=message):
            parse_scheme(f"{path}:{name}", net)
    path.write_text("[]")
    with pytest.raises(SchemeError, match="no collection"):
        parse_scheme(f"{path}:m/small", net)


def test_half_channels_round_up(net: Graph) -> None:
    assert resolve(Scheme(weights={"narrow": 0.25}), net).weights["narrow"] == 3  # 2.5
    assert "narrow" not in resolve(Scheme(weights={"narrow": 0.01}), net).weights

"""Graph files: what is written comes back, and damage is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kilograd.cli.demo import ASSET
from kilograd.errors import KilogradError, ModelError
from kilograd.ir.graph import Graph
from kilograd.ir.serialize import load_graph, save_graph
from kilograd.ir.verify import verify
from kilograd.ops.base import infer_outputs


def test_round_trip(tmp_path: Path) -> None:
    first = load_graph(ASSET)
    verify(first, infer_outputs)
    save_graph(first, tmp_path / "g.npz")
    second = load_graph(tmp_path / "g.npz")
    assert first.nodes == second.nodes and (first.inputs, first.outputs) == (second.inputs, second.outputs)
    for name, tensor in first.tensors.items():
        other = second[name]
        assert (tensor.shape, tensor.dtype, tensor.kind) == (other.shape, other.dtype, other.kind)
        assert tensor.quant is None or tensor.quant.same_as(other.quant)
        assert tensor.data is None or np.array_equal(tensor.data, other.data)


def damaged(path: Path, change: Any) -> Graph:
    """The asset with its structure changed."""
    with np.load(ASSET) as content:
        arrays = {name: content[name] for name in content.files}
    structure = json.loads(arrays["graph"].tobytes())
    change(structure)
    arrays["graph"] = np.frombuffer(json.dumps(structure).encode(), np.uint8)
    np.savez(path, **arrays)
    return load_graph(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(format="other"),
        lambda s: s.update(inputs=["nothing"]),
        lambda s: s.update(outputs=3),
        lambda s: s.pop("nodes"),
        lambda s: s["nodes"][0].update(inputs=["nothing"]),
        lambda s: s["nodes"][0].update(phase="later"),
        lambda s: s["tensors"][1].update(shape=[1, 2]),
        lambda s: s["tensors"][1].update(shape=[0, 3, 3, 1]),
        lambda s: s["tensors"][1].update(data=999),
        lambda s: s["tensors"][1].update(dtype="int32"),
        lambda s: s["tensors"][1].update(name=s["tensors"][0]["name"]),
    ],
)
def test_damage(tmp_path: Path, change: Any) -> None:
    with pytest.raises(KilogradError):
        damaged(tmp_path / "g.npz", change)


def test_flipped_and_cut_files(tmp_path: Path) -> None:
    raw = bytearray(ASSET.read_bytes())
    for cut in (0, 10, len(raw) // 2, len(raw) - 1):
        (tmp_path / "cut.npz").write_bytes(raw[:cut])
        with pytest.raises(ModelError):
            load_graph(tmp_path / "cut.npz")
    rng = np.random.default_rng(0)
    for _ in range(60):
        flipped = bytearray(raw)
        flipped[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
        (tmp_path / "flip.npz").write_bytes(flipped)
        try:
            load_graph(tmp_path / "flip.npz")
        except KilogradError:
            pass
    with pytest.raises(ModelError):
        load_graph(tmp_path / "absent.npz")

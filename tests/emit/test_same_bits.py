"""Emitted C does what the simulator does: after 100 training steps every byte of state and arena is the same.

Placement 'disjoint' gives every activation, error and mask a place of its own, so all of them are compared.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

import kilograd as kg
from kilograd.cli.demo import ASSET
from kilograd.cli.digits import digits
from kilograd.data import convert, input_spec, load_dataset
from kilograd.emit import emit
from kilograd.ir.graph import Array, Graph
from kilograd.ir.serialize import load_graph
from kilograd.plan.plan import Plan
from kilograd.train.config import TrainConfig
from tests.emit.emitted import COMPILERS, Memory, assert_equal, need, simulate, train_library, train_program
from tests.shared_data import require

STEPS = 100


def samples(graph: Graph) -> tuple[Array, Array]:
    """What the demo learns from: scans of handwritten digits, turned by a quarter."""
    pytest.importorskip("sklearn")
    data = digits()
    x, _ = convert(data.x_learn[:STEPS], input_spec(graph), "the demo's digits")
    return x, data.y_learn[:STEPS]


@cache
def case(placement: Any, scheme: str = "full", **options: Any) -> tuple[Plan, Array, Array, Memory]:
    """A plan of the demo's network, its data, and the simulator's memory after training."""
    graph = load_graph(ASSET)
    plan = kg.compile(graph, train=scheme, placement=placement, config=TrainConfig(learning_rate=0.02, exponent_start=-14, **options))
    x, y = samples(graph)
    return plan, x, y, simulate(plan, x, y)


def test_something_was_learned() -> None:
    plan, _, _, memory = case("disjoint")
    changed = [t.name for t in plan.tensors.values() if t.kind.value == "state" and _part(memory.state, t) != _part(plan.state, t)]
    assert {"head/weights", "head/bias", "stem/weights", "block2/depthwise/weights", "train"} <= set(changed)


def _part(raw: bytes, tensor: Any) -> bytes:
    return raw[tensor.offset : tensor.offset + tensor.nbytes]


@pytest.mark.parametrize("placement", ["disjoint", "auto"])
@pytest.mark.parametrize("level", ["-O0", "-O2", "-O3"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_64_bit(tmp_path: Path, compiler: str, level: str, placement: str) -> None:
    need(compiler)
    plan, x, y, want = case(placement)
    assert_equal(plan, train_library(plan, x, y, tmp_path, compiler, [level]), want)


@pytest.mark.parametrize("level", ["-O0", "-O2", "-O3"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_32_bit(tmp_path: Path, compiler: str, level: str) -> None:
    need(compiler, "-m32")
    plan, x, y, want = case("disjoint")
    assert_equal(plan, train_program(plan, x, y, tmp_path, compiler, ["-m32", level], 4), want)


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("last:2", {"storage": "w8f8"}),
        ("full", {"accumulate": 4}),
        ("bias:3", {"bias": "int16"}),
        ("last:3", {"skip_threshold": 0.3, "schedule": "cosine", "total_steps": STEPS, "warmup_steps": 5}),
        ("full", {"update_order": "early", "rounding": "nearest", "scaling": "pow2"}),
    ],
    ids=lambda v: v if isinstance(v, str) else "-".join(v),
)
def test_options(tmp_path: Path, scheme: str, options: dict[str, Any]) -> None:
    need("gcc")
    plan, x, y, want = case("disjoint", scheme, **options)
    assert_equal(plan, train_library(plan, x, y, tmp_path, "gcc", ["-O2"]), want)


def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    need("gcc", *flags)
    plan, x, y, want = case("disjoint")
    assert_equal(plan, train_program(plan, x, y, tmp_path, "gcc", flags, 8), want)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warnings(tmp_path: Path, compiler: str) -> None:
    need(compiler)
    plan, x, y, _ = case("auto")
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    train_library(plan, x[:1], y[:1], tmp_path, compiler, flags)


def test_no_writable_data_and_no_heap(tmp_path: Path) -> None:
    """The emitted objects have no .data and no .bss, and call nothing but memory functions of libc."""
    need("gcc")
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed")
    emit(case("auto")[0], tmp_path)
    subprocess.run(["gcc", "-O2", "-fno-pic", "-c", *sorted(p.name for p in tmp_path.glob("*.c"))], cwd=tmp_path, check=True)
    objects = sorted(p.name for p in tmp_path.glob("*.o"))
    symbols = subprocess.run(["nm", *objects], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    kinds = [line.split()[-2:] for line in symbols.splitlines() if len(line.split()) >= 2]
    assert not [name for kind, name in kinds if kind in "dDbBC"]
    outside = {name for kind, name in kinds if kind == "U" and not name.startswith(("kg_", "model_"))}
    assert outside <= {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}


@pytest.mark.parametrize(
    ("compiler", "flags", "placement"),
    [("gcc", ["-O3"], "disjoint"), ("clang", ["-O2"], "auto"), ("gcc", ["-m32", "-O2"], "disjoint")],
    ids=lambda v: "".join(v) if isinstance(v, list) else v,
)
def test_mcunet_on_real_data(tmp_path: Path, compiler: str, flags: list[str], placement: Any) -> None:
    """The 49 KB scheme of MCUNet on real images."""
    need(compiler, *flags)
    model, schemes = require("models/backbones/mcunet-5fps_int8.tflite"), require("models/backbones/schemes.json")
    graph = kg.load(model)
    data = load_dataset(require("datasets/signdigits_64.npz"), input_spec(graph), 10)
    config = TrainConfig(learning_rate=0.005)
    plan = kg.compile(graph, train=f"{schemes}:mcunet-5fps/49kb", classes=10, config=config, placement=placement)
    x, y = data.x_train[:STEPS], data.y_train[:STEPS]
    build = partial(train_program, pointer_bytes=4) if "-m32" in flags else train_library
    assert_equal(plan, build(plan, x, y, tmp_path, compiler, flags), simulate(plan, x, y))

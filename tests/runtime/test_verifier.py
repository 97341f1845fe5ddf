"""The C verifier and runtime under sanitizers: damaged and hostile plan files never reach outside their memory."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

import kilograd as kg
from kilograd._sources import csrc_dir, runtime_dir
from kilograd.errors import PlanError
from kilograd.frontends import import_tflite
from kilograd.plan.compile import plan_graph
from kilograd.train.autodiff import training_graph
from kilograd.train.scheme import parse_scheme
from tests.ops.test_lstm import model as lstm_model
from tests.ops.test_svdf import model as svdf_model
from tests.ops.test_variable import accumulator
from tests.train.nets import small_net

SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/runtime/run_plan.c, built with sanitizers."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler is here")
    out = tmp_path_factory.mktemp("san") / "run_plan"
    sources = [Path(__file__).with_name("run_plan.c"), *csrc_dir().rglob("*.c"), *(runtime_dir() / "session").glob("*.c")]
    include = [f"-I{runtime_dir() / 'include'}", f"-I{csrc_dir()}"]
    base = [compiler, "-std=c11", "-D_POSIX_C_SOURCE=200112L", "-O1", "-ffp-contract=off", *include, *map(str, sources), "-o", str(out)]
    if subprocess.run([*base, *SANITIZE], capture_output=True).returncode != 0:
        subprocess.run(base, check=True)  # a compiler without sanitizers still runs the program
    return out


def plan_file(folder: Path, train: str, **config: object) -> Path:
    """A training plan of the small network, without the part that the runtime does not read."""
    graph = small_net()
    plan = plan_graph(training_graph(graph, parse_scheme(train, graph), kg.TrainConfig(**config)))  # type: ignore[arg-type]
    plan.meta.clear()
    plan.save(folder / "net.kgp")
    return folder / "net.kgp"


def run(program: Path, *args: object) -> str:
    done = subprocess.run([program, *map(str, args)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


def test_every_prefix_is_refused(program: Path, tmp_path: Path) -> None:
    assert "every prefix refused" in run(program, plan_file(tmp_path, "full"), "truncate")


@pytest.mark.parametrize("config", [{}, {"storage": "w8f8", "bias": "int16"}, {"accumulate": 2}])
def test_damaged_words_do_no_harm(program: Path, tmp_path: Path, config: dict[str, object]) -> None:
    """Every fourth word set to extremes, with the checksum set right: refused, or harmless (the sanitizers watch)."""
    assert "accepted" in run(program, plan_file(tmp_path, "full", **config), "word", 4)


def test_flipped_bits_do_no_harm(program: Path, tmp_path: Path) -> None:
    assert "accepted" in run(program, plan_file(tmp_path, "last:2"), "flip", 7)


def test_the_runtime_without_python_gives_the_same_memory(program: Path, tmp_path: Path) -> None:
    """run_plan's five steps, repeated in the simulator, end with the same state and arena."""
    path = plan_file(tmp_path, "full")
    simulator = kg.Simulator(path)
    size = simulator.plan.tensors["x"].nbytes
    for step in range(5):
        v, content = (step * 2654435761 + 1) & 0xFFFFFFFF, bytearray()
        for _ in range(size):
            v = (v * 1664525 + 1013904223) & 0xFFFFFFFF
            content.append(v >> 24)
        for entry in ("infer", "train_step"):
            simulator._session.write("x", bytes(content))
            simulator._session.write("label", (step & 1).to_bytes(4, "little"))
            simulator.run(entry)
    assert run(program, path).strip() == f"{zlib.crc32(simulator.state()) ^ zlib.crc32(simulator.arena()):08x}"


@pytest.mark.parametrize(
    "data", [lstm_model((1, 3, 2, 2), dense=2), svdf_model((1, 2, 2, 2, 3)), accumulator()], ids=["lstm", "svdf", "variable"]
)
def test_damaged_words_of_models_with_state_do_no_harm(program: Path, tmp_path: Path, data: bytes) -> None:
    """The same with layers that keep state, and their variables begun anew before every run."""
    graph = import_tflite(data)
    config = kg.TrainConfig() if len(graph.nodes) > 1 else kg.TrainConfig(loss="mean_squared_error")
    plan = plan_graph(training_graph(graph, parse_scheme("full", graph), config))
    plan.meta.clear()
    plan.save(tmp_path / "state.kgp")
    assert "accepted" in run(program, tmp_path / "state.kgp", "word", 2)


def test_a_variable_must_be_state(program: Path, tmp_path: Path) -> None:
    plan = kg.compile(import_tflite(accumulator()))
    plan.variables = [plan.inputs[0]]
    with pytest.raises(PlanError, match="cannot run"):
        kg.Simulator(plan)

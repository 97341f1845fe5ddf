"""Every command: what it prints, its JSON, and its errors (one paragraph, exit code 1, no traceback)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.dom import minidom

import numpy as np
import pytest

import kilograd as kg
from kilograd.cli.app import run
from kilograd.cli.demo import ASSET
from kilograd.ir.serialize import load_graph
from kilograd.plan.plan import Plan
from tests.shared_data import require

KWS = "models/mlperf_tiny/kws_ref_model.tflite"


def call(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = run([str(a) for a in argv])
    out = capsys.readouterr()
    return code, out.out, out.err


def as_json(capsys: pytest.CaptureFixture[str], *argv: object) -> dict[str, Any]:
    code, out, err = call(capsys, *argv, "--json")
    assert code == 0, err
    assert out.count("\n") == 1
    value = json.loads(out)
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="module")
def digits_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "digits.kgp"
    config = kg.TrainConfig(learning_rate=0.03)
    kg.compile(load_graph(ASSET), train="last:2", config=config).save(path)
    return path


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 16x16 images: bright above, bright below."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 120)
    x = rng.integers(0, 60, (120, 16, 16), dtype=np.uint8)
    for image, label in zip(x, y, strict=True):
        image[:8] += np.uint8(150 * (label == 0))
        image[8:] += np.uint8(150 * (label == 1))
    path = tmp_path_factory.mktemp("data") / "stripes.npz"
    np.savez(path, x=x, y=y, is_test=np.arange(120) >= 80)
    return path


def test_ops(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {r["operator"]: r for r in as_json(capsys, "ops")["operators"]}
    assert rows["conv2d"]["import"] == ["CONV_2D"] and rows["conv2d"]["backward"] and rows["conv2d"]["kernels"][0] == "conv2d_ref_s8"
    assert "the quantizer folds it" in rows["batch_norm"]["float_only"] and not rows["batch_norm"]["kernels"]
    assert rows["conv2d_grad_input"]["internal"] and not rows["conv2d_grad_input"]["forward"]
    code, out, _ = call(capsys, "ops")
    assert code == 0 and "conv2d" in out


def test_operators_page_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "operators.md"
    code, out, _ = call(capsys, "ops", "--markdown")
    assert code == 0 and out == page.read_text(), "write it again: kilograd ops --markdown > docs/operators.md"


def test_emit_and_run_a_plan(capsys: pytest.CaptureFixture[str], digits_plan: Path, tmp_path: Path) -> None:
    found = as_json(capsys, "emit", digits_plan, "-o", tmp_path / "c", "--name", "digits")
    assert "digits.h" in found["files"] and (tmp_path / "c" / "digits.c").is_file()
    np.save(tmp_path / "x.npy", np.zeros((3, 16, 16), np.uint8))
    found = as_json(capsys, "run", digits_plan, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    assert found["samples"] == 3 and found["output_shape"] == [3, 10] and len(found["argmax"]) == 3
    assert np.load(tmp_path / "y.npy").dtype == np.int8
    assert call(capsys, "run", digits_plan, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--real")[0] == 0
    assert np.load(tmp_path / "y.npy").dtype == np.float32


def test_tune_a_plan_and_go_on(capsys: pytest.CaptureFixture[str], digits_plan: Path, stripes: Path, tmp_path: Path) -> None:
    learned = tmp_path / "learned.kgp"
    found = as_json(capsys, "tune", digits_plan, "--data", stripes, "--epochs", 3, "-o", learned)
    assert found.keys() >= {"accuracy_before", "accuracy_after", "sram_bytes", "steps", "seconds", "losses"}
    assert found["accuracy_after"] >= 0.9 and found["accuracy_after"] > found["accuracy_before"]
    assert found["steps"] == 240 and len(found["losses"]) == 100
    again = as_json(capsys, "tune", learned, "--data", stripes, "--epochs", 1)
    assert again["accuracy_before"] == found["accuracy_after"]
    step = Plan.load(learned).tensors["train"]
    assert Plan.load(learned).state[step.offset + 4 : step.offset + 8] == bytes(4)


def test_tune_is_repeatable_and_seeded(capsys: pytest.CaptureFixture[str], digits_plan: Path, stripes: Path) -> None:
    command = ("tune", digits_plan, "--data", stripes, "--epochs", 1, "--seed")
    first, second, other = (as_json(capsys, *command, seed)["losses"] for seed in (1, 1, 2))
    assert first == second != other


def test_demo(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the demo reads the digits of scikit-learn")
    found = as_json(capsys, "demo", "--map", tmp_path / "map.svg")
    assert found["accuracy_upright"] > 0.95 and found["accuracy_before"] < 0.2 and found["accuracy_after"] > 0.85
    assert found["sram_bytes"] < 10_000 < found["float32_bytes"]
    minidom.parse(str(tmp_path / "map.svg"))


def test_inspect(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "inspect", require(KWS))
    assert found.keys() >= {"ops", "params", "macs", "inputs", "outputs", "unsupported"}
    assert found["unsupported"] == [] and found["inputs"][0]["shape"] == [1, 49, 10, 1]
    assert len(found["layers"]) == 10 and found["layers"][0]["op"] == "conv2d"
    code, out, _ = call(capsys, "inspect", require(KWS))
    assert code == 0 and "DEPTHWISE_CONV_2D" in out


def test_compile(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plan, svg, html = tmp_path / "m.kgp", tmp_path / "map.svg", tmp_path / "r.html"
    found = as_json(capsys, "compile", require(KWS), "--train", "last:2", "--classes", 5, "-o", plan, "--map", svg, "--report", html)
    assert found.keys() >= {"arena_bytes", "weights_mutable_bytes", "saved_bytes", "sram_bytes", "flash_bytes"}
    assert found.keys() >= {"macs_forward", "macs_step", "liveness_bound_bytes"}
    assert found["sram_bytes"] >= found["arena_bytes"] + found["weights_mutable_bytes"]
    assert Plan.load(plan).arena_bytes == found["arena_bytes"]
    minidom.parse(str(svg))
    assert "</html>" in html.read_text()
    code, out, _ = call(capsys, "compile", require(KWS))
    assert code == 0 and "liveness bound" in out


def test_tune_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    data = require("datasets/mlperf_kws01_mfcc_49x10_int8.npz")
    found = as_json(capsys, "tune", require(KWS), "--data", data, "--train", "head", "--epochs", 1)
    assert found["accuracy_before"] > 0.8 and found["accuracy_after"] > 0.8


def test_unsigned_models_keep_their_types(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = require("models/coral/mobilenet_v1_0.25_128_quant.tflite")
    np.save(tmp_path / "x.npy", np.full((128, 128, 3), 90, np.uint8))
    assert as_json(capsys, "run", model, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")["samples"] == 1
    y = np.load(tmp_path / "y.npy")
    assert y.dtype == np.uint8 and y.shape == (1, 1001)


def test_autoencoder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = require("models/mlperf_tiny/ad01_int8.tflite")
    x = np.random.default_rng(0).integers(-60, 60, (40, 640)).astype(np.int8)
    np.savez(tmp_path / "d.npz", x_train=x, x_test=x[:8])
    command = ("tune", model, "--data", tmp_path / "d.npz", "--train", "head", "--loss", "mean_squared_error")
    found = as_json(capsys, *command, "--epochs", 5, "--lr", 1.0, "-o", tmp_path / "learned.kgp")
    assert found["mse_after"] < found["mse_before"]
    again = as_json(capsys, "tune", tmp_path / "learned.kgp", "--data", tmp_path / "d.npz", "--epochs", 1)
    assert again["mse_before"] == found["mse_after"], "the plan knows its loss"


def test_budget(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "compile", require(KWS), "--sram", "4K", "--json")
    assert code == 1 and json.loads(out)["error"]["type"] == "BudgetError" and "Traceback" not in err


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["inspect", "absent.tflite"], 1, "absent.tflite"),
        (["compile", "absent.tflite", "--train", "head"], 1, "absent.tflite"),
        (["emit", "absent.kgp", "-o", "x"], 1, "absent.kgp"),
        (["tune", "PLAN", "--data", "absent.npz"], 1, "absent.npz"),
        (["tune", "PLAN", "--data", "x.npz", "--train", "head"], 1, "is a plan"),
        (["tune", "PLAN", "--data", "x.npz", "--lr", "0.1", "--skip-threshold", "0.2"], 1, "leave --lr, --skip-threshold out"),
        (["tune", "PLAN", "--data", "x.npz", "--sram", "1K"], 1, "short by"),
        (["tune", "PLAN", "--data", "x.npz", "--seed", "-1"], 2, "--seed"),
        (["inspect", "PLAN"], 1, "is a plan"),
        (["compile", "PLAN"], 1, "is a plan"),
        (["run", "PLAN", "--input", "absent.npy"], 1, "absent.npy"),
        (["tune", "PLAN"], 2, "--data"),
        (["nonsense"], 2, "nonsense"),
        (["tune", "PLAN", "--data", "x", "--storage", "w3"], 2, "w3"),
    ],
)
def test_errors(capsys: pytest.CaptureFixture[str], digits_plan: Path, argv: list[str], code: int, message: str) -> None:
    found, out, err = call(capsys, *[str(digits_plan) if a == "PLAN" else a for a in argv])
    assert found == code and message in err and "Traceback" not in err and out == "" and err.startswith("kilograd: ")


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One 3x3 convolution on [1, 6, 6, 2] and a classifier of four."""
    from tests.tflite_builder import INT8, ModelBuilder

    rng, m = np.random.default_rng(0), ModelBuilder()
    x, h, y = m.tensor("x", (1, 6, 6, 2), INT8, 0.05, -3), m.tensor("h", (1, 4, 4, 3), INT8, 0.4, 0), m.tensor("y", (1, 4), INT8, 0.5, 0)
    w = m.constant("w", rng.integers(-127, 128, (3, 3, 3, 2)).astype(np.int8), 0.02, 0)
    v = m.constant("v", rng.integers(-127, 128, (4, 48)).astype(np.int8), 0.02, 0)
    b, c = (m.constant(name, np.zeros(n, np.int32), s, 0) for name, n, s in (("b", 3, 0.001), ("c", 4, 0.008)))
    stride = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1, "Padding": 1}
    m.op("CONV_2D", [x, w, b], h, "Conv2DOptions", **stride)
    m.op("FULLY_CONNECTED", [h, v, c], y, "FullyConnectedOptions")
    path = tmp_path_factory.mktemp("model") / "small.tflite"
    path.write_bytes(m.build([x], [y]))
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((2, 6, 6, 2), np.int32), "has type int32"),
        (np.zeros((2, 6, 6, 2), bool), "has type bool"),
        (np.zeros((2, 6, 6, 2), complex), "has type complex128"),
        (np.zeros((2, 5, 6, 2), np.int8), "samples of shape [5, 6, 2], the model reads [6, 6, 2]"),
        (np.zeros((0, 6, 6, 2), np.int8), "no samples"),
        (np.full((1, 6, 6, 2), np.nan), "NaN or infinite"),
        (np.float32(3), "no samples"),
        (b"", "not a readable .npy"),
        (b"\x93NUMPYjunk", "not a readable .npy"),
    ],
    ids=lambda v: str(getattr(v, "dtype", "")) + str(getattr(v, "shape", "")) if not isinstance(v, str) else "",
)
def test_bad_inputs_of_run(capsys: pytest.CaptureFixture[str], small_model: Path, tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    code, out, err = call(capsys, "run", small_model, "--input", path)
    assert code == 1 and message in err and err.startswith("kilograd: ") and err.count("\n") == 1 and not out


ZEROS = np.zeros((4, 6, 6, 2), np.int8)
GOOD = {"x_train": ZEROS, "y_train": np.arange(4), "x_test": ZEROS[:2], "y_test": np.arange(2)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.arange(4) + 3}, "labels 3..6; the model takes 0..3 (give --classes 7"),
        ({"y_test": np.array([-1, 0])}, "labels -1..0; the model takes 0..3 (count classes from 0)"),
        ({"y_test": np.arange(3)}, "one label a sample"),
        ({"x_train": np.full((4, 6, 6, 2), np.nan)}, "NaN or infinite"),
        ({"x_train": np.zeros((4, 5, 6, 2), np.int8)}, "the model reads [6, 6, 2]"),
        ({"x_test": np.zeros((0, 6, 6, 2), np.int8)}, "empty"),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_bad_data_of_tune(capsys: pytest.CaptureFixture[str], small_model: Path, tmp_path: Path, change: Any, message: str) -> None:
    np.savez(tmp_path / "d.npz", **{**GOOD, **change})
    code, out, err = call(capsys, "tune", small_model, "--data", tmp_path / "d.npz", "--train", "head", "--json")
    assert code == 1 and message in err and json.loads(out)["error"]["type"] == "DataError" and err.count("\n") == 1


def test_bad_files(capsys: pytest.CaptureFixture[str], small_model: Path, digits_plan: Path, tmp_path: Path) -> None:
    """Empty, cut and damaged models, plans and schemes: one line on stderr, exit code 1."""
    model, plan = small_model.read_bytes(), digits_plan.read_bytes()
    for name, content in (
        ("empty.tflite", b""), ("cut.tflite", model[: len(model) // 2]), ("empty.kgp", b""), ("cut.kgp", plan[:-9]),
        ("flipped.kgp", plan[:100] + bytes([plan[100] ^ 4]) + plan[101:]), ("text.tflite", b"hello, this is no model at all"),
    ):  # fmt: skip
        path = tmp_path / name
        path.write_bytes(content)
        code, _, err = call(capsys, "emit", path, "-o", tmp_path / "c")
        assert code == 1 and name in err and err.startswith("kilograd: ") and err.count("\n") == 1, (name, err)
        assert not (tmp_path / "c").exists()
    for text, message in (('{"weights": [{"layer": "nope", "fraction": 1}]}', "'nope'"), ("{", "is not JSON"), ("", "is not JSON")):
        (tmp_path / "s.json").write_text(text)
        code, _, err = call(capsys, "compile", small_model, "--train", tmp_path / "s.json")
        assert code == 1 and message in err and err.count("\n") == 1


@pytest.mark.parametrize("scheme", ["head", "last:1", "bias:1", "full"])
def test_schemes_and_options(capsys: pytest.CaptureFixture[str], small_model: Path, tmp_path: Path, scheme: str) -> None:
    """Every word for --train, every storage of learned numbers, accumulation; more of them take more memory."""
    np.savez(tmp_path / "d.npz", **GOOD)  # type: ignore[arg-type]
    command = ("tune", small_model, "--data", tmp_path / "d.npz", "--train", scheme, "--epochs", 1)
    plain, fine, summed, small = (
        as_json(capsys, *command, *more)
        for more in ((), ("--storage", "w8f8"), ("--accumulate", 2), ("--bias", "int16", "--schedule", "constant"))
    )
    assert plain["steps"] == 4 and len(plain["losses"]) == 4
    assert plain["sram_bytes"] < fine["sram_bytes"] < summed["sram_bytes"] and small["sram_bytes"] != plain["sram_bytes"]


def test_the_collection_of_the_ancestor(capsys: pytest.CaptureFixture[str]) -> None:
    """The 49 KB scheme of MCUNet within its limit, all state counted; the arena close to its bound."""
    model, schemes = require("models/backbones/mcunet-5fps_int8.tflite"), require("models/backbones/schemes.json")
    found = as_json(capsys, "compile", model, "--train", f"{schemes}:mcunet-5fps/49kb", "--classes", 10, "--sram", "200000")
    assert found["sram_bytes"] <= 200_000 and found["arena_bytes"] <= 1.02 * found["liveness_bound_bytes"]
    code, _, err = call(capsys, "compile", model, "--train", f"{schemes}:mcunet-5fps/none", "--classes", 10)
    assert code == 1 and "49kb" in err


def test_debug_shows_the_traceback() -> None:
    from kilograd.errors import KilogradError

    with pytest.raises(KilogradError):
        run(["inspect", "absent.tflite", "--debug"])


def test_as_a_program() -> None:
    """Through the entry point: exit code and streams."""
    program = [sys.executable, "-c", "from kilograd.cli import main; main()"]
    environment = {**os.environ, "PYTHONPATH": str(Path(kg.__file__).parents[1])}
    done = subprocess.run([*program, "inspect", "absent.tflite", "--json"], capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and json.loads(done.stdout)["error"]["type"] == "ModelError" and "Traceback" not in done.stderr
    assert subprocess.run([*program, "--help"], capture_output=True, env=environment).returncode == 0


def test_plans_do_not_depend_on_the_hash_seed() -> None:
    """Two processes with other hash seeds make the same plan file."""
    program = (
        "import hashlib, kilograd as kg; from kilograd.cli.demo import ASSET; from kilograd.ir.serialize import load_graph;"
        "print(hashlib.sha256(kg.compile(load_graph(ASSET), train='full').to_bytes()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(kg.__file__).parents[1])}
    found = {
        subprocess.run([sys.executable, "-c", program], env={**environment, "PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1

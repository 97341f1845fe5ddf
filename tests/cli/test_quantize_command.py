"""`kilograd quantize`: model and samples to a file, its report, its errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kilograd as kg
from kilograd.exports.tflite import write_tflite
from tests.cli.test_cli import as_json, call
from tests.quantize.models import network, samples


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A float model and samples for it."""
    folder = tmp_path_factory.mktemp("floats")
    (folder / "m.tflite").write_bytes(write_tflite(network()))
    np.savez(folder / "d.npz", x=samples(network()))
    return folder / "m.tflite", folder / "d.npz"


def test_a_float_model_becomes_a_model_that_can_be_compiled(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "q.tflite"
    found = as_json(capsys, "quantize", files[0], "--calibrate", files[1], "-o", out)
    assert found["bytes"] == out.stat().st_size and len(found["worst"]) == 5 and found["layers"][0]["scale"] > 0
    assert kg.compile(kg.load(out)).inputs
    page = tmp_path / "q.html"
    code, text, _ = call(capsys, "quantize", files[0], "--calibrate", files[1], "-o", out, "--report", "--html", page)
    assert page.read_text().count("<rect") == 2 * len(found["layers"]) and "What to try" in page.read_text() or not found["try"]
    assert code == 0 and "dB alone" in text and "worst layers" in text and f"wrote {out}" in text.replace("\n", "")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--mean", "a"], "--mean is 'a'"),
        (["--method", "best"], "best"),
        (["-o", "q.bin"], "the suffix chooses the format"),
        (["--percentile", "3", "--method", "percentile"], "percentile is 3"),
    ],
)
def test_errors_are_one_paragraph(files: tuple[Path, Path], options: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = call(capsys, "quantize", files[0], "--calibrate", files[1], *options)
    assert code != 0 and text in error and "Traceback" not in error


def test_without_data(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "quantize", files[0], "--data-free", "--input-range=-3,3", "-o", tmp_path / "q.tflite")
    assert found["calibration"] == "made-up samples" and (tmp_path / "q.tflite").stat().st_size == found["bytes"]
    for wrong, text in (
        ([], "one of the two"),
        (["--data-free"], "--input-range"),
        (["--data-free", "--input-range", "3"], "lowest and the"),
    ):
        code, _, error = call(capsys, "quantize", files[0], *wrong)
        assert code == 1 and text in error


def test_an_onnx_file(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    code, _, error = call(capsys, "quantize", files[0], "--calibrate", files[1], "-o", tmp_path / "q.onnx")
    assert code == 0, error
    onnx.checker.check_model(onnx.load(tmp_path / "q.onnx"), full_check=True)


def test_a_float_model_alone_cannot_be_compiled_and_the_error_names_this_command(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = call(capsys, "compile", files[0])
    assert code == 1 and "kilograd quantize" in error

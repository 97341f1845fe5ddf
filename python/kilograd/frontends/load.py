"""Loading a model file of any format that kilograd reads."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from kilograd.errors import ModelError
from kilograd.frontends.onnx import import_onnx
from kilograd.frontends.onnx_scan import scan_onnx
from kilograd.frontends.tflite import import_tflite, scan_tflite
from kilograd.frontends.tflite_file import IDENTIFIER
from kilograd.ir.graph import Graph

MAX_FILE = 1 << 31
PLAN_MAGIC = b"KGP\n"


def read_model(path: str | PathLike[str]) -> tuple[bytes, str]:
    """Bytes of a model file and its format ('tflite' or 'onnx'), found by content first and by suffix second."""
    file = Path(path)
    if not file.is_file():
        raise ModelError(f"there is no model file '{file}'. Check the path.")
    if file.stat().st_size > MAX_FILE:
        raise ModelError(f"'{file}' has more than 2 GB; kilograd reads models that fit a microcontroller.")
    data = file.read_bytes()
    if data[:4] == PLAN_MAGIC:
        raise ModelError(f"'{file}' is a plan (.kgp), which is compiled already; a model file (.tflite or .onnx) is wanted here.")
    suffix = file.suffix.lower()
    if data[4:8] == IDENTIFIER or suffix == ".tflite":
        return data, "tflite"
    if suffix == ".onnx" or _begins_like_onnx(data):
        return data, "onnx"
    raise ModelError(f"'{file}' is no model that kilograd reads: supported are TensorFlow Lite (.tflite) and ONNX (.onnx).")


def _begins_like_onnx(data: bytes) -> bool:
    """True when the first field is an IR version and the second the name of a producer or of an operator set."""
    return len(data) > 3 and data[0] == 0x08 and 3 <= data[1] < 64 and data[2] in (0x12, 0x1A, 0x22, 0x3A, 0x42)


def load(path: str | PathLike[str]) -> Graph:
    """The graph of a model file; its name is that of the file without suffix. External data of ONNX may lie in the folder of the file."""
    data, kind = read_model(path)
    file = Path(path)
    try:
        return import_tflite(data, file.stem) if kind == "tflite" else import_onnx(data, file.stem, file.parent)
    except ModelError as error:
        raise type(error)(f"{file.name}: {error}") from error


def scan(path: str | PathLike[str]) -> dict[str, Any]:
    """What a model file holds, whether or not kilograd can run it."""
    data, kind = read_model(path)
    return scan_tflite(data) if kind == "tflite" else scan_onnx(data, Path(path).parent)

"""Loading a model file of any format that kilograd reads."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from kilograd.errors import ModelError
from kilograd.frontends.tflite import import_tflite
from kilograd.frontends.tflite_file import IDENTIFIER
from kilograd.ir.graph import Graph

MAX_FILE = 1 << 31
PLAN_MAGIC = b"KGP\n"


def read_model(path: str | PathLike[str]) -> bytes:
    """Bytes of a .tflite file, chosen by content first and by suffix second."""
    file = Path(path)
    if not file.is_file():
        raise ModelError(f"there is no model file '{file}'. Check the path.")
    if file.stat().st_size > MAX_FILE:
        raise ModelError(f"'{file}' has more than 2 GB; kilograd reads models that fit a microcontroller.")
    data = file.read_bytes()
    if data[:4] == PLAN_MAGIC:
        raise ModelError(f"'{file}' is a plan (.kgp), which is compiled already; a model file (.tflite) is wanted here.")
    if data[4:8] != IDENTIFIER and file.suffix.lower() != ".tflite":
        raise ModelError(f"'{file}' is no model that kilograd reads: supported is TensorFlow Lite (.tflite, int8 or uint8).")
    return data


def load(path: str | PathLike[str]) -> Graph:
    """The graph of a model file; its name is that of the file without suffix."""
    data = read_model(path)
    try:
        return import_tflite(data, Path(path).stem)
    except ModelError as error:
        raise type(error)(f"{Path(path).name}: {error}") from error

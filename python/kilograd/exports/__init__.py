"""Graphs to model files that other runtimes run: the frontends' twin."""

from __future__ import annotations

from pathlib import Path

from kilograd.errors import ModelError
from kilograd.ir.graph import Graph

SUFFIXES = (".tflite", ".onnx")


def check_suffix(path: Path) -> None:
    """Refuse a name whose format is not known, before any work is done."""
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(f"'{path}': the suffix chooses the format; write {' or '.join(SUFFIXES)}")


def export(graph: Graph, path: Path) -> None:
    """Write a model file; the suffix chooses the format."""
    check_suffix(path)
    if path.suffix.lower() == ".tflite":
        from kilograd.exports.tflite import write_tflite

        path.write_bytes(write_tflite(graph))
    else:
        from kilograd.exports.onnx import write_onnx

        path.write_bytes(write_onnx(graph))

"""Frontends: model files of other frameworks as graphs."""

from kilograd.frontends.load import load, scan
from kilograd.frontends.onnx import import_onnx
from kilograd.frontends.onnx_scan import scan_onnx
from kilograd.frontends.summary import summarize
from kilograd.frontends.tflite import import_tflite, scan_tflite

__all__ = ["import_onnx", "import_tflite", "load", "scan", "scan_onnx", "scan_tflite", "summarize"]

"""Frontends: model files of other frameworks as graphs."""

from kilograd.frontends.load import load
from kilograd.frontends.summary import summarize
from kilograd.frontends.tflite import import_tflite, scan_tflite

__all__ = ["import_tflite", "load", "scan_tflite", "summarize"]

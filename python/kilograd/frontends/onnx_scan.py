"""What an .onnx file holds, whether or not kilograd can run it: the twin of scan_tflite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kilograd.errors import ModelError
from kilograd.frontends.onnx import import_onnx, known
from kilograd.frontends.onnx_file import Port, RawModel, read_onnx, reading, type_name
from kilograd.frontends.onnx_quant import expand
from kilograd.frontends.summary import summarize


def scan_onnx(data: bytes, folder: Path | None = None) -> dict[str, Any]:
    """The keys of scan_tflite: ops (histogram), params, macs (0 where the model cannot be imported), inputs, outputs, unsupported."""
    raw = read_onnx(data, folder)
    histogram: dict[str, int] = {}
    for node in raw.nodes:
        histogram[node.kind] = histogram.get(node.kind, 0) + 1
    params, macs = _parameters(raw), 0
    with reading("the model"):
        missing = {n.index: n for n in expand(raw) if not known(n)}
    bad: list[dict[str, Any]] = [
        {"index": n.index, "name": n.kind, "reason": "no such operator in kilograd"} for n in raw.nodes if n.index in missing
    ]
    if not bad:
        try:
            macs = int(summarize(import_onnx(data, folder=folder))["macs"])
        except ModelError as error:
            bad.append({"index": -1, "name": "", "reason": str(error)})
    return {
        "ops": dict(sorted(histogram.items())),
        "params": params,
        "macs": macs,
        "inputs": [_port(p) for p in raw.inputs],
        "outputs": [_port(p) for p in raw.outputs],
        "unsupported": bad,
    }


def _parameters(raw: RawModel) -> int:
    """Elements of constants that are weights or biases: not shapes, not scales and zero points."""
    scales = {t for n in raw.nodes if n.op in ("QuantizeLinear", "DequantizeLinear") for t in n.inputs[1:]}
    for n in raw.nodes:
        if n.op.startswith("QLinear"):
            scales.update(t for t in n.inputs if t in raw.constants and raw.constants[t].ndim == 0)
    return sum(v.size for k, v in raw.constants.items() if k not in scales and str(v.dtype) != "int64")


def _port(p: Port) -> dict[str, Any]:
    shape = None if p.dims is None else [d or -1 for d in p.dims]
    return {"name": p.name, "shape": shape, "type": type_name(p.type), "quantization": None}

"""Emitted inference of real models gives the simulator's results, float inputs and outputs included, in 32 and 64 bits."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kilograd as kg
from kilograd.emit import emit
from kilograd.ir.graph import Array, DType
from kilograd.plan.plan import Plan
from tests.emit.emitted import need
from tests.shared_data import require

MAIN = """
#include "model.h"
#include <stdio.h>
static _Alignas(16) uint8_t state[MODEL_STATE_BYTES + 1], arena[MODEL_ARENA_BYTES];
int main(int argc, char **argv) {
  if (argc != 3) return 2;
  FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
  model m;
  if (!in || !out || model_init(&m, state, arena) != 0) return 3;
  while (fread(model_input(&m), MODEL_INPUT_BYTES, 1, in) == 1) {
    model_infer(&m);
    if (fwrite(model_output(&m), MODEL_OUTPUT_BYTES, 1, out) != 1) return 4;
  }
  return fclose(out);
}
"""
MODELS = (
    "models/mlperf_tiny/kws_ref_model.tflite",
    "models/mlperf_tiny/ad01_int8.tflite",
    "models/mlperf_tiny/pretrainedResnet_quant.tflite",
    "models/tinyengine/vww.tflite",
    "models/tflite_micro/micro_speech_quantized.tflite",
    "models/tflite_micro/seanet_ops/conv0.tflite",
    "models/tflite_micro/seanet_ops/transpose_conv0.tflite",
)


def inputs(plan: Plan) -> Array:
    """Three random samples."""
    tensor, rng = plan.tensors[plan.inputs[0]], np.random.default_rng(1)
    q = rng.integers(-128, 128, (3, *tensor.shape[1:]))
    if tensor.dtype is DType.FLOAT32:
        return ((q + 0.3) / 100).astype(np.float32)
    if tensor.dtype is DType.INT16:
        return (q * 256).astype(np.int16)
    return q.astype(np.int8)


@pytest.mark.parametrize("bits", [["-m64"], ["-m32"]], ids=lambda b: b[0])
@pytest.mark.parametrize("model", MODELS)
def test_inference(tmp_path: Path, model: str, bits: list[str]) -> None:
    need("gcc", *bits)
    plan = kg.compile(kg.load(require(model)))
    x: Any = inputs(plan)
    want = kg.Simulator(plan).infer(x)
    emit(plan, tmp_path)
    (tmp_path / "main.c").write_text(MAIN)
    sources = [str(p) for p in tmp_path.glob("*.c")]
    subprocess.run(["gcc", "-O2", *bits, *sources, "-o", str(tmp_path / "run")], check=True)
    (tmp_path / "in").write_bytes(x.tobytes())
    subprocess.run([str(tmp_path / "run"), str(tmp_path / "in"), str(tmp_path / "out")], check=True)
    assert (tmp_path / "out").read_bytes() == np.ascontiguousarray(want).tobytes()

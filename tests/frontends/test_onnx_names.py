"""What `kilograd ops` says about ONNX and what the frontend reads are the same."""

from __future__ import annotations

import kilograd.ops  # noqa: F401
from kilograd.frontends.onnx_quant import EXPANSIONS
from kilograd.frontends.onnx_rules import RULES
from kilograd.ops.base import operators

#: read, and made of several operators or of none
WITHOUT_OWN = {
    "Identity",
    "Dropout",
    "Expand",
    "LayerNormalization",
    "InstanceNormalization",
    "HardSigmoid",
    "Pow",
    "Reciprocal",
    "Sum",
    "ReduceSumSquare",
}


def test_every_name_is_read() -> None:
    listed = {name for op in operators().values() for name in op.onnx}
    read = set(RULES) | {k.removeprefix("com.microsoft.") for k in EXPANSIONS}
    assert listed <= read, f"operators claim what the frontend does not read: {sorted(listed - read)}"
    missing = {name for name in RULES if name not in listed} - WITHOUT_OWN
    assert not missing, f"no operator lists {sorted(missing)} among its ONNX names"

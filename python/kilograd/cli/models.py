"""Opening what the user names: a model file or a plan file."""

from __future__ import annotations

from pathlib import Path

import kilograd as kg
from kilograd.data import InputSpec
from kilograd.errors import KilogradError
from kilograd.plan.plan import Plan


def is_plan(path: Path) -> bool:
    """True for a plan file (.kgp)."""
    return path.suffix.lower() == ".kgp"


def open_plan(path: Path) -> Plan:
    """A plan file, or a model file compiled for inference."""
    if is_plan(path):
        return Plan.load(path)
    return kg.compile(kg.load(path))


def plan_spec(plan: Plan) -> InputSpec:
    """What a plan reads."""
    if len(plan.inputs) != 1:
        raise KilogradError(f"plan '{plan.name}' has {len(plan.inputs)} inputs; this command can feed plans with one input")
    tensor = plan.tensors[plan.inputs[0]]
    return InputSpec(tensor.shape, tensor.dtype, tensor.quant, tensor.name in plan.meta.get("uint8", ()))


def plan_classes(plan: Plan) -> int:
    """Number of classes that a plan's output has."""
    return int(plan.tensors[plan.outputs[0]].shape[-1])

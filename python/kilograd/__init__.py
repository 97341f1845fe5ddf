"""kilograd: train and run int8 neural networks in kilobytes.

import kilograd as kg

graph = kg.load("model.tflite")
plan = kg.compile(graph, train="last:3", classes=10, sram="256K")
simulator = kg.Simulator(plan)
simulator.train(x, y)
plan.save("model.kgp")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kilograd.frontends.load import load as load
    from kilograd.frontends.torch_import import from_torch as from_torch
    from kilograd.plan.compile import compile as compile
    from kilograd.plan.plan import Plan as Plan
    from kilograd.simulate.simulator import Simulator as Simulator
    from kilograd.simulate.simulator import StepResult as StepResult
    from kilograd.train.config import TrainConfig as TrainConfig
    from kilograd.train.scheme import Scheme as Scheme

__version__ = "0.1.0"

# Names are looked up when they are used: importing kilograd needs numpy and takes no time.
_HOMES = {
    "load": "kilograd.frontends.load",
    "from_torch": "kilograd.frontends.torch_import",
    "compile": "kilograd.plan.compile",
    "Plan": "kilograd.plan.plan",
    "Simulator": "kilograd.simulate.simulator",
    "StepResult": "kilograd.simulate.simulator",
    "TrainConfig": "kilograd.train.config",
    "Scheme": "kilograd.train.scheme",
}

__all__ = ["Plan", "Scheme", "Simulator", "StepResult", "TrainConfig", "compile", "from_torch", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kilograd' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])

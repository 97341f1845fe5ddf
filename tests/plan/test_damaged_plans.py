"""Bit-flips and truncations of a plan file, its checksum made right again: refused with a PlanError, or it opens and runs."""

from __future__ import annotations

import pytest

import kilograd as kg
from benchmarks.mutations import attempt_plan, damage, victim
from kilograd.frontends import import_tflite
from tests.tflite_builder import small_cnn


@pytest.mark.parametrize("unsigned", [False, True])
def test_damaged_plans(unsigned: bool) -> None:
    v = victim("small.kgp", kg.compile(import_tflite(small_cnn(unsigned=unsigned)), placement="greedy").to_bytes())
    outcomes = {attempt_plan(damage(v, number)[1], limited=False) for number in range(300)}
    assert outcomes == {"refused", "imported", "compiled"} or outcomes == {"refused", "compiled"}

"""Targets: the cores that code is chosen for, by what they can do."""

from __future__ import annotations

from dataclasses import dataclass

from kilograd.errors import PlanError


@dataclass(frozen=True)
class Target:
    """A core. `features` are what variants ask for: dsp (SMLAD and its family), mve (Helium), x86 (AVX2 and up, found at run time)."""

    name: str
    title: str
    features: frozenset[str] = frozenset()


REFERENCE = "reference"
TARGETS = {
    t.name: t
    for t in (
        Target(REFERENCE, "reference kernels, which run everywhere"),
        Target("cortex-m0", "Arm Cortex-M0, M0+", frozenset({"scalar"})),
        Target("cortex-m3", "Arm Cortex-M3", frozenset({"scalar"})),
        Target("cortex-m4", "Arm Cortex-M4, M4F", frozenset({"scalar", "dsp"})),
        Target("cortex-m7", "Arm Cortex-M7", frozenset({"scalar", "dsp"})),
        Target("cortex-m33", "Arm Cortex-M33 with DSP extension", frozenset({"scalar", "dsp"})),
        Target("cortex-m55", "Arm Cortex-M55 with Helium", frozenset({"scalar", "dsp", "mve"})),
        Target("rv32", "RISC-V, 32 bit, with M", frozenset({"scalar"})),
        Target("host", "this computer: what its processor has is found at run time", frozenset({"x86"})),
    )
}


def find_target(name: str) -> Target:
    """The target of that name; board files say cortex-m4f, which is a cortex-m4 with floating point."""
    key = name.lower()
    key = key if key in TARGETS else key.removesuffix("f").replace("m0plus", "m0").replace("m0+", "m0")
    if key.startswith(("rv32", "riscv32")):
        key = "rv32"
    if key not in TARGETS:
        raise PlanError(f"there is no target '{name}'; there are {', '.join(TARGETS)}")
    return TARGETS[key]

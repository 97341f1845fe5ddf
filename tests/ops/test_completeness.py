"""Every operator has what its contract asks for (DESIGN, section 4)."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import kilograd
from kilograd.ops import operators
from kilograd.ops.base import Operator
from kilograd.ops.variant import variants

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
KERNEL = re.compile(r"^KG_KERNEL\((\d+), (\w+), (\w+), (\w+)\)$")
ALL = list(operators().items())
PUBLIC = [(n, o) for n, o in ALL if not o.internal]
each = pytest.mark.parametrize(("name", "op"), ALL, ids=[n for n, _ in ALL])
each_public = pytest.mark.parametrize(("name", "op"), PUBLIC, ids=[n for n, _ in PUBLIC])


def kernel_lines() -> list[re.Match[str]]:
    """The rows of csrc/kernels.def."""
    lines = (CSRC / "kernels.def").read_text().splitlines()
    return [m for line in lines if (m := KERNEL.match(line))]


def own(op: Operator, method: str) -> bool:
    """True when the operator (or a class between it and the base) defines the method itself."""
    return getattr(type(op), method) is not getattr(Operator, method)


def module_of(op: Operator) -> str:
    """Name of the file that defines the operator."""
    return Path(inspect.getfile(type(op))).stem


@each
def test_reference_and_types(name: str, op: Operator) -> None:
    """Shape inference and the exact NumPy evaluation exist; the class says what it computes."""
    assert own(op, "infer") and own(op, "reference") and own(op, "lower")
    assert type(op).__doc__ and type(op).__doc__ != Operator.__doc__, f"'{name}' has no docstring"
    assert inspect.getmodule(type(op)).__doc__, f"the file of '{name}' does not say what its operands are"  # type: ignore[union-attr]


@each
def test_gradient_or_a_reason(name: str, op: Operator) -> None:
    """A backward rule, or a stated reason why there is none."""
    assert own(op, "backward") or op.no_gradient, f"'{name}' has neither a backward rule nor no_gradient"


@each_public
def test_quantization_rule(name: str, op: Operator) -> None:
    """The rule is stated, or 'free' by the base class."""
    source = inspect.getsource(type(op).quantize)
    assert re.search(r'"(free|same|fixed)"', source), f"'{name}' has a quantization rule that is none of free, same, fixed"


@each
def test_cost_scratch_and_places(name: str, op: Operator) -> None:
    """Cost, scratch memory and in-place rule answer with the right types (products of sums say their MACs)."""
    for method in ("cost", "macs", "scratch_bytes", "inplace", "view", "can_clamp"):
        assert callable(getattr(op, method))
    if re.search(r"conv|fully_connected", name) and "delta" not in name:
        assert own(op, "macs"), f"'{name}' multiplies and accumulates but counts no MACs"


@each_public
def test_patch_rule_or_a_reason(name: str, op: Operator) -> None:
    """A patch rule, or a stated reason why the whole input is needed."""
    assert own(op, "rows") or op.whole_input, f"'{name}' has neither a patch rule nor whole_input"


@each
def test_kernels(name: str, op: Operator) -> None:
    """Named kernels stand in csrc/kernels.def, a reference variant first; only views have none."""
    known = {m[2] for m in kernel_lines()}
    assert set(op.kernels) <= known, f"'{name}' names kernels that csrc/kernels.def lacks: {sorted(set(op.kernels) - known)}"
    if op.kernels:
        assert "_ref" in op.kernels[0], f"the first kernel of '{name}' must be the reference variant"
    elif op.float_only:
        assert own(op, "real") and not op.types, f"'{name}' exists in float models only, which it must be able to evaluate"
    else:
        assert own(op, "view"), f"'{name}' has no kernel and is no view"


@each
def test_test_file(name: str, op: Operator) -> None:
    """tests/ops/test_<file>.py exists and names the operator."""
    path = ROOT / "tests" / "ops" / f"test_{module_of(op)}.py"
    assert path.is_file(), f"'{name}' has no tests: {path.relative_to(ROOT)} is missing"
    if own(op, "backward"):
        calls = re.search(r"\bcheck_(gradients|layer|table_gradient)\(", path.read_text())
        assert calls, f"{path.name} does not compare the backward rule of '{name}' with finite differences"


def test_every_kernel_is_used_and_checked() -> None:
    """Ids are unique; every kernel belongs to an operator; kernel, arguments and check are declared in a header."""
    rows = kernel_lines()
    lines = [line for line in (CSRC / "kernels.def").read_text().splitlines() if line.startswith("KG_KERNEL")]
    assert len(rows) == len(lines), "csrc/kernels.def has a line of another form"
    assert len({m[1] for m in rows}) == len(rows) and len({m[2] for m in rows}) == len(rows)
    used = {k for _, op in ALL for k in op.kernels} | {k for n, _ in ALL for v in variants(n).values() for k in v.kernels}
    assert {m[2] for m in rows} == used, f"kernels of no operator: {sorted({m[2] for m in rows} - used)}"
    headers = "\n".join(p.read_text() for p in sorted(CSRC.glob("ops/*/*.h")))
    sources = "\n".join(p.read_text() for p in sorted(CSRC.glob("ops/*/*.c")))
    for m in rows:
        assert re.search(rf"\bvoid kg_{m[2]}\(", headers) and re.search(rf"\bvoid kg_{m[2]}\(", sources), m[2]
        assert re.search(rf"\}} {m[3]};", headers) and re.search(rf"\bint32_t {m[4]}\(", sources), m[2]


def test_every_header_is_included() -> None:
    """csrc/kernels.h includes the header of every operator folder (ops/<op>/<op>.h)."""
    text = (CSRC / "kernels.h").read_text()
    for folder in sorted(p for p in CSRC.glob("ops/*") if p.is_dir()):
        header = folder / f"{folder.name}.h"
        assert header.is_file(), f"{folder.name} has no {header.name}"
        assert f'#include "{header.relative_to(CSRC).as_posix()}"' in text, f"csrc/kernels.h lacks {header.name}"


def test_argument_structs_hold_only_32_bit_fields() -> None:
    """Plan files and emitted C share the bytes of argument structs: int32_t, uint32_t, kg_ref and structs of those."""
    allowed = r"(int32_t|uint32_t|kg_ref|kg_error_out|kg_update|kg_broadcast|kg_binary|kg_\w+_shape)"
    for header in sorted(CSRC.glob("ops/*/*.h")):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
        for struct in re.finditer(r"typedef struct kg_\w+_(?:args|shape) \{(.*?)\}", text, flags=re.S):
            for line in struct[1].split(";"):
                assert not line.strip() or re.match(allowed + r"\s", line.strip()), f"{header.name}: field '{line.strip()}'"


def test_package_lists_all_operator_files() -> None:
    """Every operator lives in kilograd.ops."""
    folder = Path(kilograd.__path__[0]) / "ops"
    assert {module_of(op) for _, op in ALL} <= {p.stem for p in folder.glob("*.py")}

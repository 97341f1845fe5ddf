"""Emitted text: names, numbers, fields, and that a hand-made plan compiles without a warning."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kilograd.emit import emit, emit_files, names
from kilograd.emit.csource import Sources, flatten, sources
from kilograd.errors import PlanError
from kilograd.ir.graph import DType, Kind, QuantParams
from kilograd.plan.plan import SEG_ARENA, SEG_CONST, SEG_STATE, Call, Entry, Plan, PlanTensor, Region, make_ref

WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Wshadow", "-Wmissing-prototypes", "-Werror"]


def conv_plan() -> Plan:
    """A 1x1 convolution of one pixel, 2 -> 2 channels, called once in each of two regions, the second guarded."""
    constant = bytearray(64)
    constant[0:4] = np.array([1, 2, 3, -4], np.int8).tobytes()
    constant[16:24] = np.array([1 << 30, 1 << 30], np.int32).tobytes()
    constant[32:34] = np.array([1, 1], np.int8).tobytes()
    words = dict.fromkeys((f.path for f in sources().fields("kg_conv2d_args")), 0)
    words |= {"x": make_ref(SEG_ARENA, 0), "y": make_ref(SEG_ARENA, 16), "w_frozen": make_ref(SEG_CONST, 0)}
    words |= {"multiplier": make_ref(SEG_CONST, 16), "shift": make_ref(SEG_CONST, 32), "y_min": -128, "y_max": 127}
    for name, value in {"in_h": 1, "in_w": 1, "in_c": 2, "out_h": 1, "out_w": 1, "out_c": 2, "k_h": 1, "k_w": 1}.items():
        words[f"shape.{name}"] = value
    for name in ("stride_h", "stride_w", "dilation_h", "dilation_w", "groups"):
        words[f"shape.{name}"] = 1
    quant = QuantParams.per_tensor(0.5, -3)
    tensors = [
        PlanTensor("x", (1, 1, 1, 2), DType.INT8, Kind.ARENA, make_ref(SEG_ARENA, 0), quant),
        PlanTensor("y", (1, 1, 1, 2), DType.INT8, Kind.ARENA, make_ref(SEG_ARENA, 16), quant, 0, 1),
        PlanTensor("w */ \"ü\\", (2, 1, 1, 2), DType.INT8, Kind.CONST, make_ref(SEG_CONST, 0), None),
        PlanTensor("train", (12,), DType.INT32, Kind.STATE, make_ref(SEG_STATE, 0), None),
    ]
    call = Call("conv2d_ref_s8", words, "block 1/conv */ /* 2", "conv2d")
    regions = [Region("forward", 0, 1), Region("backward", 1, 1, guard_ref=make_ref(SEG_STATE, 24), guard_value=0)]
    entries = {"infer": Entry("infer", (0,)), "train_step": Entry("train_step", (0, 1))}
    return Plan(
        "tiny \"net\" */", {t.name: t for t in tensors}, [call, call], regions, entries, bytes(constant), bytes(48), 32, ["x"], ["y"],
        meta={"report": {"operators": [{"name": call.node, "macs": 4}]}},
    )  # fmt: skip


def test_fields_are_the_struct_in_order() -> None:
    fields = [f.path for f in sources().fields("kg_conv2d_grad_weights_args")]
    assert fields[:5] == ["gy", "gy_exponent", "x", "w_live", "scratch"]
    assert fields[5:7] == ["update.train", "update.mantissa"] and fields[-1] == "w_max"


def test_every_kernel_has_a_source_and_plain_fields() -> None:
    index = sources()
    assert len(index.kernels) >= 3
    for kernel in index.kernels.values():
        assert f"kg_{kernel.name}" in index.definitions, kernel
        assert {f.type for f in index.fields(kernel.args)} <= {"kg_ref", "int32_t", "uint32_t"}, kernel
        flatten(index, index.closure([kernel.name]))


def test_only_used_sources_are_copied() -> None:
    files = emit_files(conv_plan())
    assert "kg_conv2d_ref.c" in files and "kg_memory.h" in files
    assert not any("grad" in f or f.endswith("_check.c") for f in files)
    assert all('"../' not in text for text in files.values())


def test_macs_are_told_once() -> None:
    assert emit_files(conv_plan())["model.c"].count("4 MACs") == 2  # at the arguments and at the call


def test_helpers_are_followed(tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "ops").mkdir()
    (tmp_path / "kernels.def").write_text("KG_KERNEL(1, a_ref, kg_a_args, kg_a_check)\n")
    (tmp_path / "common" / "t.h").write_text(
        "typedef struct kg_a_args {\n  int32_t n[3]; /* x; y */\n} kg_a_args;\nextern const int kg_table[];\nvoid kg_other(int x);\n"
    )
    (tmp_path / "common" / "table.c").write_text('#include "t.h"\nconst int kg_table[2] = {1, 2};\n')
    (tmp_path / "common" / "other.c").write_text('#include "t.h"\nvoid kg_other(int x) { (void)x; }\n')
    (tmp_path / "ops" / "a.c").write_text('#include "../common/t.h"\n/* kg_other */\nvoid kg_a_ref(void) { (void)kg_table; }\n')
    index = Sources(tmp_path)
    assert [p.name for p in index.closure(["a_ref"])] == ["t.h", "table.c", "a.c"]
    assert [f.path for f in index.fields("kg_a_args")] == ["n[0]", "n[1]", "n[2]"]


def test_equal_file_names_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.c").write_text("int x;\n")
    with pytest.raises(PlanError, match="same file name"):
        flatten(Sources(tmp_path), [Path("a/same.c"), Path("b/same.c")])


@pytest.mark.parametrize(
    ("given", "want"),
    [("My Net-2", "my_net_2"), ("2fast", "m2fast"), ("", "m"), ("int", "int_net"), ("a__b", "a_b"), ("ü", "m"), ("x" * 99, "x" * 40)],
)
def test_identifier(given: str, want: str) -> None:
    assert names.identifier(given) == want


def test_words() -> None:
    assert names.word(-128, "int32_t") == "-128" and names.word(0xFFFFFF80, "int32_t") == "-128"
    assert names.word(1 << 31, "int32_t") == "INT32_MIN"
    assert names.word(make_ref(SEG_STATE, 24), "kg_ref") == "KG_REF(KG_SEG_STATE, 24)"
    assert names.word(0, "kg_ref") == "KG_REF_NONE" and names.word(-1, "uint32_t") == "0xFFFFFFFFu"
    for value in (1.0, 1e-30, 3.0e38, 0.1):
        assert np.float32(float(names.fraction(np.float32(value))[:-1])) == np.float32(value)


def test_unknown_kernel_and_other_fields() -> None:
    plan = conv_plan()
    plan.calls[0] = Call("conv9d", {}, "layer", "conv9d")
    with pytest.raises(PlanError, match="conv9d"):
        emit_files(plan)
    plan = conv_plan()
    plan.calls[0] = Call("conv2d_ref_s8", {"x": 0, "z": 0}, "layer", "conv2d")
    with pytest.raises(PlanError, match="'z' where 'y'"):
        emit_files(plan)


def test_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(PlanError, match="is a file"):
        emit(conv_plan(), tmp_path / "f")


def test_plan_without_state_compiles(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    plan = conv_plan()
    plan.calls.pop()
    plan.state, plan.regions, plan.entries = b"", plan.regions[:1], {"infer": plan.entries["infer"]}
    del plan.tensors["train"]
    emit(plan, tmp_path)
    subprocess.run(["gcc", *WARNINGS, "-c", *sorted(p.name for p in tmp_path.glob("*.c"))], cwd=tmp_path, check=True)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_hand_made_plan_compiles_and_runs(tmp_path: Path, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    emit(conv_plan(), tmp_path, "Tiny 1")
    (tmp_path / "main.c").write_text(
        '#include "tiny_1.h"\n'
        "static _Alignas(16) uint8_t state[TINY_1_STATE_BYTES], arena[TINY_1_ARENA_BYTES];\n"
        "int main(void) {\n"
        "  tiny_1 m;\n"
        "  if (tiny_1_init(&m, state + 1, arena) != -1 || tiny_1_init(&m, NULL, arena) != -1) return 9;\n"
        "  if (tiny_1_init(&m, state, arena) != 0) return 8;\n"
        "  tiny_1_input(&m)[0] = 2;\n  tiny_1_input(&m)[1] = 3;\n"
        "  tiny_1_train_step(&m);\n"
        "  return tiny_1_output(&m)[0] == 8 && tiny_1_output(&m)[1] == -6 ? 0 : 1;\n}\n"
    )
    sources_c = sorted(str(p) for p in tmp_path.glob("*.c"))
    subprocess.run([compiler, *WARNINGS, *sources_c, "-o", str(tmp_path / "t")], check=True)
    assert subprocess.run([str(tmp_path / "t")]).returncode == 0

"""model.h: the documented interface of an emitted model."""

from __future__ import annotations

from kilograd.emit.names import comment, fraction
from kilograd.ir.graph import DType, Kind
from kilograd.plan.plan import Plan, PlanTensor

#: C type of an element; masks are packed bytes
CTYPE = {
    DType.INT8: "int8_t",
    DType.UINT8: "uint8_t",
    DType.INT16: "int16_t",
    DType.INT32: "int32_t",
    DType.INT64: "int64_t",
    DType.FLOAT32: "float",
    DType.BITS: "uint8_t",
}
ALIGNMENT = 16
_SEGMENT = {Kind.CONST: "constants", Kind.STATE: "state", Kind.ARENA: "arena"}


def ports(plan: Plan) -> list[tuple[str, PlanTensor]]:
    """What goes in and comes out, as (macro part, tensor): INPUT, INPUT1, OUTPUT, …, LABEL."""
    found = []
    for kind, names in (("input", plan.inputs), ("output", plan.outputs), ("label", [plan.label] if plan.label else [])):
        for i, name in enumerate(names):
            found.append((f"{kind}{i or ''}", plan.tensors[name]))
    return found


def describe(tensor: PlanTensor) -> str:
    """'int8 [1, 96, 96, 3], real = 0.0078125 * (q + 128)'."""
    text = f"{tensor.dtype.value} [{', '.join(str(d) for d in tensor.shape)}]"
    if tensor.quant is not None and tensor.quant.scale.size == 1:
        zero = tensor.quant.z
        q = "q" if zero == 0 else f"(q {'-' if zero > 0 else '+'} {abs(zero)})"
        text += f", real = {tensor.quant.s:.9g} * {q}"
    return text


def _port_macros(prefix: str, port: str, tensor: PlanTensor) -> list[str]:
    name = f"{prefix.upper()}_{port.upper()}"
    lines = [
        f"/* {comment(tensor.name)}: {describe(tensor)}; offset in the {_SEGMENT[tensor.kind]} */",
        f"#define {name}_OFFSET {tensor.offset}u",
        f"#define {name}_BYTES {tensor.nbytes}u",
        f"#define {name}_ELEMENTS {tensor.nbytes // _element_bytes(tensor)}u",
    ]
    if tensor.quant is not None and tensor.quant.scale.size == 1:
        zero = tensor.quant.z
        lines += [f"#define {name}_SCALE {fraction(tensor.quant.s)}", f"#define {name}_ZERO_POINT {f'({zero})' if zero < 0 else zero}"]
    return lines


def _element_bytes(tensor: PlanTensor) -> int:
    return int(tensor.dtype.numpy.itemsize)


def accessor(prefix: str, port: str, tensor: PlanTensor) -> str:
    """Prototype of the function that gives a pointer to a port."""
    const = "const " if port.startswith("output") else ""
    return f"{const}{CTYPE[tensor.dtype]} *{prefix}_{port}(const {prefix} *m)"


_ENTRY_COMMENT = {
    "infer": "Read the input, write the output.",
    "train_step": "One training sample: read the input and the label, write the output, update what learns (in the state).",
}


def header(plan: Plan, prefix: str) -> str:
    """Text of <prefix>.h."""
    upper = prefix.upper()
    state = f"{upper}_STATE_BYTES" if plan.state else "1"
    lines = [
        f"/* {comment(plan.name)}: inference{' and training' if 'train_step' in plan.entries else ''} in integers, as plain C11.",
        " *",
        " * The caller owns all memory: one block of state, which learning changes and which is worth keeping, and one arena, which is",
        " * worth nothing between two calls. No heap, no globals, no input or output; everything here can be called from several threads",
        f" * as long as each uses its own {prefix}.",
        " *",
        f" *   static _Alignas({ALIGNMENT}) uint8_t state[{state}], arena[{upper}_ARENA_BYTES];",
        f" *   {prefix} m;",
        f" *   {prefix}_init(&m, state, arena);",
        *[f" *   {text}" for text in _usage(plan, prefix)],
        " *",
        f" * Compile every .c and .S file of this folder. {prefix}_tensors.c can be left out by who needs no tensor by name. */",
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
        '#include "kg_memory.h"',
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"#define {upper}_ARENA_BYTES {plan.arena_bytes}u",
        f"#define {upper}_STATE_BYTES {len(plan.state)}u",
        f"#define {upper}_CONST_BYTES {len(plan.constant)}u",
        f"#define {upper}_ALIGNMENT {ALIGNMENT}u /* of state and arena, in bytes */",
        "",
    ]
    for port, tensor in ports(plan):
        lines += [*_port_macros(prefix, port, tensor), ""]
    lines += _functions(plan, prefix)
    lines += _table(plan, prefix)
    lines += ["#ifdef __cplusplus", "}", "#endif", "", "#endif", ""]
    return "\n".join(lines)


def _usage(plan: Plan, prefix: str) -> list[str]:
    lines = [f"memcpy({prefix}_input(&m), sample, {prefix.upper()}_INPUT_BYTES);"]
    if plan.label and "train_step" in plan.entries:
        lines += [f"{prefix}_label(&m)[0] = 3;", f"{prefix}_train_step(&m);"]
    else:
        lines.append(f"{prefix}_infer(&m);")
    return lines


def _functions(plan: Plan, prefix: str) -> list[str]:
    lines = [
        f"/* A model in use. Fill it with {prefix}_init or {prefix}_attach. */",
        f"typedef struct {prefix} {{",
        "  kg_memory memory;",
        f"}} {prefix};",
        "",
        "/* Constants and the state that training starts from. */",
        f"extern const uint8_t {prefix}_constants[];",
        f"extern const uint8_t {prefix}_initial_state[];",
        "",
        "/* Start with the initial state, which is copied to `state`. 0, or -1 when a pointer is NULL or not aligned. */",
        f"int {prefix}_init({prefix} *m, void *state, void *arena);",
        "",
        "/* As above, with a state that holds what an earlier run learned: it is left as it is. */",
        f"int {prefix}_attach({prefix} *m, void *state, void *arena);",
        "",
        *_reset(plan, prefix),
        "/* Where the caller puts what goes in and finds what comes out. A call may overwrite inputs and label: write them anew.",
        " * An output holds until the next call. */",
        *[f"{accessor(prefix, port, tensor)};" for port, tensor in ports(plan)],
        "",
    ]
    for entry in plan.entries:
        lines += [f"/* {_ENTRY_COMMENT.get(entry, 'Entry point of the plan.')} */", f"void {prefix}_{entry}(const {prefix} *m);", ""]
    return lines


def _reset(plan: Plan, prefix: str) -> list[str]:
    """The function that begins a new stream, for models with variables."""
    if not plan.variables:
        return []
    return [
        "/* Begin a new stream: the model's variables, which every call moves on, get their first content; what was learned stays.",
        f" * A state that was saved holds the variables of that moment: call this after {prefix}_attach, unless the stream goes on. */",
        f"void {prefix}_reset(const {prefix} *m);",
        "",
    ]


def _table(plan: Plan, prefix: str) -> list[str]:
    return [
        "/* Every tensor by name, for tools and checks. An arena tensor holds its value from call `first` to call `last` only. */",
        f"typedef struct {prefix}_tensor {{",
        "  const char *name;",
        "  kg_ref ref;",
        "  uint32_t bytes;",
        "  int32_t first, last;",
        f"}} {prefix}_tensor;",
        "",
        f"#define {prefix.upper()}_TENSORS {len(plan.tensors)}u",
        f"extern const {prefix}_tensor {prefix}_tensors[];",
        "",
    ]

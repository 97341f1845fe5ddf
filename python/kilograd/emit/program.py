"""model.c: argument structs and call lists; model_tensors.c: the table of tensors by name."""

from __future__ import annotations

from kilograd.emit.csource import Field, Sources
from kilograd.emit.header import ALIGNMENT, accessor, ports
from kilograd.emit.names import comment, identifier, ref, string, word
from kilograd.errors import PlanError
from kilograd.plan.plan import Call, Plan


def arguments_name(index: int, call: Call) -> str:
    """Name of the argument struct of a call."""
    return f"args_{index:03d}_{identifier(call.node, 48)}"


def note(call: Call, macs: int) -> str:
    """'layer (operator), 12,345 MACs'."""
    return comment(f"{call.node} ({call.op})" + (f", {macs:,} MACs" if macs else ""))


def program(plan: Plan, prefix: str, sources: Sources, macs: list[int]) -> str:
    """Text of <prefix>.c."""
    kernels = {call.kernel for call in plan.calls}
    headers = sorted({f"kg_{sources.structs[sources.kernel(k).args][0].name}" for k in kernels})
    lines = [
        f"/* {comment(plan.name)}: the program. Each call has one argument struct; offsets are bytes in constants, state or arena. */",
        f'#include "{prefix}.h"',
        "",
        "#include <string.h>",
        "",
        *[f'#include "{h}"' for h in headers],
        "",
    ]
    for index, call in enumerate(plan.calls):
        lines += _arguments(index, call, sources, macs[index])
    names = region_names(plan)
    for region, name in zip(plan.regions, names, strict=True):
        lines += [f"static void {name}(const kg_memory *mem) {{"]
        if not region.count:
            lines.append("  (void)mem;")
        for index in range(region.first, region.first + region.count):
            call = plan.calls[index]
            lines.append(f"  kg_{call.kernel}(&{arguments_name(index, call)}, mem); /* {note(call, macs[index])} */")
        lines += ["}", ""]
    lines += _memory(plan, prefix)
    for entry in plan.entries.values():
        lines += [f"void {prefix}_{entry.name}(const {prefix} *m) {{", "  const kg_memory *mem = &m->memory;"]
        for i in entry.regions:
            region = plan.regions[i]
            guard = f"if (word_at(mem, {ref(region.guard_ref)}) == {word(region.guard_value, 'int32_t')}) " if region.guard_ref else ""
            lines.append(f"  {guard}{names[i]}(mem);")
        lines += ["}", ""]
    return "\n".join(lines)


def region_names(plan: Plan) -> list[str]:
    """One C function name a region."""
    names: list[str] = []
    for i, region in enumerate(plan.regions):
        if region.kind != "calls":
            raise PlanError(f"region '{region.name}' is of kind '{region.kind}', which plain C cannot be emitted for")
        name = f"run_{identifier(region.name)}"
        names.append(f"{name}_{i}" if name in names else name)
    return names


def _arguments(index: int, call: Call, sources: Sources, macs: int) -> list[str]:
    struct = sources.kernel(call.kernel).args
    fields = sources.fields(struct)
    if [f.path for f in fields] != list(call.words):
        raise PlanError(
            f"call {index} ('{call.node}', kernel {call.kernel}): the plan's fields are not those of {struct} in the C sources "
            f"({_difference(fields, call)}): plan and installation are of different versions, compile the model again"
        )
    lines = [f"/* {note(call, macs)} */", f"static const {struct} {arguments_name(index, call)} = {{"]
    lines += [f"    .{f.path} = {word(call.words[f.path], f.type)}," for f in fields]
    return [*lines, "};", ""]


def _difference(fields: list[Field], call: Call) -> str:
    for field, name in zip([f.path for f in fields], call.words, strict=False):
        if field != name:
            return f"'{name}' where '{field}' should be"
    return f"{len(call.words)} of {len(fields)}"


def _memory(plan: Plan, prefix: str) -> list[str]:
    lines = []
    if any(r.guard_ref for r in plan.regions):
        lines += ["static int32_t word_at(const kg_memory *mem, kg_ref ref) { return *(const int32_t *)kg_in(mem, ref); }", ""]
    lines += [
        f"int {prefix}_attach({prefix} *m, void *state, void *arena) {{",
        "  if (m == NULL || state == NULL || arena == NULL) return -1;",
        f"  if ((uintptr_t)state % {ALIGNMENT}u != 0 || (uintptr_t)arena % {ALIGNMENT}u != 0) return -1;",
        f"  m->memory.constant = {prefix}_constants;",
        "  m->memory.state = (uint8_t *)state;",
        "  m->memory.arena = (uint8_t *)arena;",
        "  return 0;",
        "}",
        "",
        f"int {prefix}_init({prefix} *m, void *state, void *arena) {{",
        f"  if ({prefix}_attach(m, state, arena) != 0) return -1;",
        f"  memcpy(state, {prefix}_initial_state, {prefix.upper()}_STATE_BYTES);",
        "  return 0;",
        "}",
        "",
    ]
    if plan.variables:
        lines += [f"void {prefix}_reset(const {prefix} *m) {{"]
        for tensor in (plan.tensors[name] for name in plan.variables):
            start = f"{tensor.offset}u"
            lines.append(f"  /* {comment(tensor.name)} */")
            lines.append(f"  memcpy(m->memory.state + {start}, {prefix}_initial_state + {start}, {tensor.nbytes}u);")
        lines += ["}", ""]
    for port, tensor in ports(plan):
        prototype = accessor(prefix, port, tensor)
        ctype = prototype[: prototype.index("*") + 1]
        get = "kg_in" if port.startswith("output") else "kg_out"
        lines += [f"{prototype} {{ return ({ctype}){get}(&m->memory, {ref(tensor.ref)}); }}", ""]
    return lines


def tensor_table(plan: Plan, prefix: str) -> str:
    """Text of <prefix>_tensors.c."""
    lines = [f'#include "{prefix}.h"', "", f"const {prefix}_tensor {prefix}_tensors[] = {{"]
    for t in plan.tensors.values():
        lines.append(f"    {{{string(t.name)}, {ref(t.ref)}, {t.nbytes}u, {t.first}, {t.last}}},")
    if not plan.tensors:
        lines.append('    {"", KG_REF_NONE, 0u, 0, 0},')
    return "\n".join([*lines, "};", ""])

"""What the templates are filled with: who made it, what the model needs, and the example's lines of C."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from kilograd.emit.header import CTYPE, ports
from kilograd.errors import PlanError
from kilograd.ir.graph import DType
from kilograd.plan.plan import Plan, PlanTensor

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


@dataclass(frozen=True)
class Details:
    """Metadata that only the user knows. The addresses are of the domain that is reserved for examples: change them before publishing."""

    version: str = "0.1.0"
    author: str = "Your Name"
    email: str = "you@example.com"
    url: str = "https://example.com/"

    def __post_init__(self) -> None:
        if not _VERSION.fullmatch(self.version):
            raise PlanError(f"'{self.version}' is not a version of the form 1.2.3, which every ecosystem takes")
        for name, text in (("author", self.author), ("e-mail address", self.email), ("address", self.url)):
            if not text or not text.isprintable() or set(text) & set('"\\<>@' if name == "author" else '"\\<>'):
                raise PlanError(f"the {name} '{text}' cannot stand in metadata files: give plain text without quotes and brackets")


def fields(plan: Plan, prefix: str, details: Details) -> dict[str, str]:
    """Template key -> text."""
    upper = prefix.upper()
    output = plan.tensors[plan.outputs[0]]
    real = output.dtype is DType.FLOAT32
    trains = plan.label is not None and "train_step" in plan.entries
    element = f"{prefix}_output(m)[i]"
    return {
        "NAME": prefix,
        "UPPER": upper,
        "VERSION": details.version,
        "AUTHOR": details.author,
        "EMAIL": details.email,
        "URL": details.url,
        "SENTENCE": f"A quantized neural network that {'infers and learns' if trains else 'infers'} in integers, as plain C11.",
        "FACTS": _facts(plan, upper),
        "STATE_SIZE": f"{upper}_STATE_BYTES" if plan.state else "1",
        "UNIT": ", in thousandths" if real else "",
        "VALUE": f"(1000.0f * {element})" if real else element,
        "FILL": _fill_functions(plan, prefix, trains),
        "LEARN": _learn(prefix) if trains else "",
    }


def _facts(plan: Plan, upper: str) -> str:
    rows = [
        "| memory | bytes |",
        "|---|---|",
        f"| arena ({upper}_ARENA_BYTES), worth nothing between two calls | {plan.arena_bytes:,} |",
        f"| state ({upper}_STATE_BYTES), what learning changes | {len(plan.state):,} |",
        f"| constants, in flash | {len(plan.constant):,} |",
    ]
    return "\n".join(rows)


def _fill_functions(plan: Plan, prefix: str, trains: bool) -> str:
    inputs = [(port, t) for port, t in ports(plan) if port.startswith("input")]
    text = _function("fill_input", prefix, [_fill(prefix, port, t) for port, t in inputs])
    if trains:
        label = plan.tensors[str(plan.label)]
        line = f"{prefix}_label(m)[0] = 0; /* the class */" if label.dtype is DType.INT32 else _fill(prefix, "label", label)
        text += "\n\n" + _function("fill_label", prefix, [line])
    return text


def _function(name: str, prefix: str, lines: list[str]) -> str:
    return "\n".join([f"static void {name}(const {prefix} *m) {{", *(f"  {line}" for line in lines), "}"])


def _fill(prefix: str, port: str, tensor: PlanTensor) -> str:
    """A loop that writes a pattern: steps of seven over the range of the type, or over [-1, 1) for real numbers."""
    values = {
        DType.FLOAT32: "((float)(i * 7u % 256u) - 128.0f) / 128.0f",
        DType.UINT8: "(uint8_t)(i * 7u % 256u)",
    }
    value = values.get(tensor.dtype, f"({CTYPE[tensor.dtype]})((int32_t)(i * 7u % 256u) - 128)")
    return f"for (uint32_t i = 0; i < {prefix.upper()}_{port.upper()}_ELEMENTS; i++) {prefix}_{port}(m)[i] = {value};"


def _learn(prefix: str) -> str:
    lines = [
        "fill_input(&m); /* a call may overwrite it */",
        "fill_label(&m);",
        f"{prefix}_train_step(&m);",
        "fill_input(&m);",
        f"{prefix}_infer(&m);",
        'show("after one training step:", &m);',
    ]
    return "".join(f"  {line}\n" for line in lines)


def library_json(prefix: str, details: Details, sentence: str) -> str:
    """PlatformIO's library.json."""
    content = {
        "name": prefix.replace("_", "-"),  # the registry takes no underscores
        "version": details.version,
        "description": sentence,
        "keywords": "neural network, machine learning, quantization, on-device training",
        "authors": [{"name": details.author, "email": details.email, "maintainer": True}],
        "homepage": details.url,
        "headers": f"{prefix}.h",
        "frameworks": "*",
        "platforms": ["native", "atmelsam", "espressif32", "nordicnrf52", "raspberrypi", "renesas-ra", "ststm32", "teensy"],
        "build": {"srcDir": "src", "includeDir": "include", "flags": "-ffp-contract=off"},
    }
    return json.dumps(content, indent=2) + "\n"

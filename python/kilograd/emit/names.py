"""Names and numbers as C text."""

from __future__ import annotations

import re

from kilograd.plan.plan import REF_OFFSET_BITS

_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long register restrict return "
    "short signed sizeof static struct switch typedef union unsigned void volatile while main asm".split()
)
_SEGMENT = ("NONE", "CONST", "STATE", "ARENA")


def identifier(name: str, limit: int = 40) -> str:
    """A C identifier that resembles `name`: lower case letters, digits and single underscores, never a keyword."""
    text = re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")[:limit].strip("_")
    if not text or text[0].isdigit():
        text = f"m{text}" if text else "m"
    return f"{text}_net" if text in _KEYWORDS else text


def comment(text: str) -> str:
    """Text that can stand inside a C comment."""
    plain = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)
    return plain.replace("*/", "* /").replace("/*", "/ *")


def string(text: str) -> str:
    """A C string literal."""
    out = []
    for byte in text.encode():
        c = chr(byte)
        out.append(c if " " <= c <= "~" and c not in '"\\?' else f"\\{byte:03o}")
    return '"' + "".join(out) + '"'


def ref(word: int) -> str:
    """A kg_ref as an expression."""
    segment, offset = (word & 0xFFFFFFFF) >> REF_OFFSET_BITS, word & ((1 << REF_OFFSET_BITS) - 1)
    return "KG_REF_NONE" if segment == 0 and offset == 0 else f"KG_REF(KG_SEG_{_SEGMENT[segment]}, {offset})"


def word(value: int, ctype: str) -> str:
    """A 32-bit word as an expression of type kg_ref, uint32_t or int32_t."""
    unsigned = value & 0xFFFFFFFF
    if ctype == "kg_ref":
        return ref(unsigned)
    if ctype == "uint32_t":
        return f"0x{unsigned:08X}u"
    signed = unsigned - (1 << 32) if unsigned >> 31 else unsigned
    return "INT32_MIN" if signed == -(1 << 31) else str(signed)


def fraction(value: float) -> str:
    """A C float constant with exactly the bits of a float32."""
    return f"{value:.9g}f" if re.search(r"[.en]", f"{value:.9g}") else f"{value:.9g}.0f"

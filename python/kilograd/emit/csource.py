"""What emit knows of the C sources, read out of the sources themselves: kernels.def, argument structs, where functions are defined.

Nothing here is a table to keep up to date: a kernel that stands in csrc/kernels.def and has a `void kg_<name>(` in some .c file can be
emitted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path

from kilograd._sources import csrc_dir
from kilograd.errors import PlanError

_KERNEL = re.compile(r"^KG_KERNEL\(\s*(\d+)\s*,\s*(\w+)\s*,\s*(\w+)\s*,\s*(\w+)\s*\)", re.M)
_STRUCT = re.compile(r"typedef\s+struct\s+\w*\s*\{([^{}]*)\}\s*(\w+)\s*;")
_FUNCTION = re.compile(r"^(?!static\b)[A-Za-z_][\w \t\*]*?\b(kg_\w+)\s*\([^;{}]*\)\s*\{", re.M)
_OBJECT = re.compile(r"^(?!static\b|extern\b)[A-Za-z_][\w \t\*]*?\b(kg_\w+)\s*(?:\[[^\]]*\]\s*)+=", re.M)
_PROTOTYPE = re.compile(r"^[A-Za-z_][\w \t\*]*?\bkg_\w+\s*\([^;{}]*\)\s*;", re.M)
_EXTERN = re.compile(r"^extern\b[^;]*;", re.M)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.M)
_CONSTANT = re.compile(r"\b([A-Z][A-Z0-9_]+)\s*=\s*(\d+)\b|^#define\s+([A-Z][A-Z0-9_]+)\s+(\d+)\s*$", re.M)
_GLOBAL = re.compile(r"^\s*\.global\s+(kg_\w+)", re.M)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
_DECLARATOR = re.compile(r"^(\w+)(?:\[(\w+)\])?$")


@dataclass(frozen=True)
class Kernel:
    """One line of kernels.def."""

    id: int
    name: str
    args: str  # name of the argument struct
    check: str


@dataclass(frozen=True)
class Field:
    """A 32-bit field of an argument struct: path ("shape.in_h", "x[2]") and C type (int32_t, uint32_t or kg_ref)."""

    path: str
    type: str


class Sources:
    """Index of a csrc folder. Paths are relative to it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cache  # noqa: B019  (one Sources lives as long as the process)
    def text(self, path: Path) -> str:
        """A file's text."""
        return (self.root / path).read_text()

    @cache  # noqa: B019
    def code(self, path: Path) -> str:
        """A file's text without comments."""
        return _COMMENT.sub(" ", self.text(path))

    @cached_property
    def headers(self) -> list[Path]:
        """All .h files."""
        return sorted(p.relative_to(self.root) for p in self.root.rglob("*.h"))

    @cached_property
    def kernels(self) -> dict[str, Kernel]:
        """Kernels by name."""
        rows = _KERNEL.findall(_COMMENT.sub(" ", (self.root / "kernels.def").read_text()))
        return {name: Kernel(int(number), name, args, check) for number, name, args, check in rows}

    def kernel(self, name: str) -> Kernel:
        """The kernel of that name."""
        try:
            return self.kernels[name]
        except KeyError:
            raise PlanError(f"the plan calls kernel '{name}', which these C sources do not have: compile the model again") from None

    @cached_property
    def definitions(self) -> dict[str, Path]:
        """Function or object with external linkage -> .c file that defines it."""
        found: dict[str, Path] = {}
        for path in sorted(p.relative_to(self.root) for p in self.root.rglob("*.c")):
            code = self.code(path)
            for symbol in [*_FUNCTION.findall(code), *_OBJECT.findall(code)]:
                found[symbol] = path
        return found

    @cached_property
    def assembly(self) -> dict[str, Path]:
        """Function -> .S file that defines it for one instruction set, beside the C file that defines it for all others."""
        found: dict[str, Path] = {}
        for path in sorted(p.relative_to(self.root) for p in self.root.rglob("*.S")):
            for symbol in _GLOBAL.findall(self.code(path)):
                found[symbol] = path
        return found

    @cached_property
    def structs(self) -> dict[str, tuple[Path, list[tuple[str, str, int]]]]:
        """Struct -> (header, members as (type, name, count); count 0: not an array)."""
        found: dict[str, tuple[Path, list[tuple[str, str, int]]]] = {}
        for path in self.headers:
            for body, name in _STRUCT.findall(self.code(path)):
                try:
                    found[name] = (path, list(self._members(body)))
                except PlanError:
                    continue  # a struct with pointers: no argument struct
        return found

    @cached_property
    def constants(self) -> dict[str, int]:
        """Integer constants (enum values and macros) of the headers, for array sizes."""
        found: dict[str, int] = {}
        for path in self.headers:
            for a, b, c, d in _CONSTANT.findall(self.code(path)):
                found[a or c] = int(b or d)
        return found

    def _members(self, body: str) -> list[tuple[str, str, int]]:
        members: list[tuple[str, str, int]] = []
        for declaration in filter(None, (" ".join(d.split()) for d in body.split(";"))):
            ctype, _, declarators = declaration.partition(" ")
            for declarator in declarators.split(","):
                match = _DECLARATOR.match(declarator.strip())
                if match is None:
                    raise PlanError(f"'{declaration}' is not a plain field")
                size = match[2]
                count = 0 if size is None else int(size) if size.isdigit() else self.constants[size]
                members.append((ctype, match[1], count))
        return members

    def fields(self, struct: str) -> list[Field]:
        """All 32-bit fields of an argument struct in C order, nested structs and arrays unfolded."""
        found: list[Field] = []
        for ctype, name, count in self.structs[struct][1]:
            for path in [f"{name}[{i}]" for i in range(count)] if count else [name]:
                if ctype in self.structs:
                    found += [Field(f"{path}.{f.path}", f.type) for f in self.fields(ctype)]
                else:
                    found.append(Field(path, ctype))
        return found

    def includes(self, path: Path) -> list[Path]:
        """Files that `path` includes by quotes."""
        found = []
        for name in _INCLUDE.findall(self.text(path)):
            target = (self.root / path.parent / name).resolve()
            found.append(target.relative_to(self.root.resolve()))
        return found

    def _uses(self, path: Path) -> set[str]:
        """Symbols that a file needs from elsewhere: everything it names, but for what it only declares."""
        code = self.code(path)
        if path.suffix == ".h":
            code = _EXTERN.sub(" ", _PROTOTYPE.sub(" ", code))
        return set(re.findall(r"\bkg_\w+\b", code)) & self.definitions.keys()

    def closure(self, kernels: list[str]) -> list[Path]:
        """The files that these kernels are made of: their sources, all headers, and sources of helpers they call."""
        return self.closure_of([self.definitions[f"kg_{self.kernel(k).name}"] for k in kernels])

    def closure_of(self, paths: list[Path]) -> list[Path]:
        """These files, all headers, and the sources of everything they call."""
        todo = list(paths)
        done: set[Path] = set()
        while todo:
            path = todo.pop()
            if path in done:
                continue
            done.add(path)
            todo += self.includes(path)
            uses = self._uses(path)
            todo += [self.definitions[s] for s in uses] + [self.assembly[s] for s in uses if s in self.assembly]
        return sorted(done)


def flat_name(path: Path) -> str:
    """Name of a copied file in the emitted folder."""
    return f"kg_{path.name}"


def flatten(sources: Sources, paths: list[Path]) -> dict[str, str]:
    """File name -> text, with include paths rewritten to flat names."""
    flat: dict[str, str] = {}
    origin: dict[str, Path] = {}
    for path in paths:
        name = flat_name(path)
        if name in flat:
            raise PlanError(f"C sources '{origin[name]}' and '{path}' have the same file name: one of them must be renamed")
        text = sources.text(path)
        for include in sources.includes(path):
            text = re.sub(
                rf'^([ \t]*#[ \t]*include[ \t]+)"[^"]*\b{re.escape(include.name)}"', rf'\1"{flat_name(include)}"', text, flags=re.M
            )
        flat[name], origin[name] = text, path
    return flat


@lru_cache(maxsize=1)
def sources() -> Sources:
    """The sources of this installation."""
    return Sources(csrc_dir())

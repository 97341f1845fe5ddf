"""Where things stand in a project of each ecosystem."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Layout:
    """A project: where emitted sources and headers go, which other files there are, and how a list of sources is written."""

    sources: str
    headers: str
    files: dict[str, str]  # path -> template
    source_path: str = ""  # before each name in a list of sources
    indent: str = "  "
    quote: str = ""
    values: dict[str, str] = field(default_factory=dict)  # what the templates need beside details.fields


_MAIN = {"ENTRY": "int main(void)", "FAILED": " 1", "LEAVE": "  return 0;\n"}
_APP_MAIN = {"ENTRY": "void app_main(void)", "FAILED": "", "LEAVE": ""}

LAYOUTS = {
    "cmake": Layout(
        sources="src",
        headers="src",
        files={
            "CMakeLists.txt": "cmake/CMakeLists.txt",
            "cmake/arm-none-eabi.cmake": "cmake/arm-none-eabi.cmake",
            "examples/main.c": "common/main.c",
            "README.md": "cmake/README.md",
        },
        source_path="src/",
        values=_MAIN,
    ),
    "arduino": Layout(
        sources="src",
        headers="src",
        files={
            "library.properties": "arduino/library.properties",
            "examples/Example/Example.ino": "arduino/Example.ino",
            "README.md": "arduino/README.md",
        },
    ),
    "platformio": Layout(
        sources="lib/@NAME@/src",
        headers="lib/@NAME@/include",
        files={
            "platformio.ini": "platformio/platformio.ini",
            "src/main.cpp": "platformio/main.cpp",
            "README.md": "platformio/README.md",
        },
    ),
    "zephyr": Layout(
        sources="src",
        headers="include",
        files={
            "zephyr/module.yml": "zephyr/module.yml",
            "zephyr/CMakeLists.txt": "zephyr/CMakeLists.txt",
            "zephyr/Kconfig": "zephyr/Kconfig",
            "samples/@NAME@/CMakeLists.txt": "zephyr/sample.CMakeLists.txt",
            "samples/@NAME@/prj.conf": "zephyr/prj.conf",
            "samples/@NAME@/sample.yaml": "zephyr/sample.yaml",
            "samples/@NAME@/src/main.c": "common/main.c",
            "README.md": "zephyr/README.md",
        },
        source_path="../src/",
        indent="    ",
        values=_MAIN,
    ),
    "esp-idf": Layout(
        sources="components/@NAME@/src",
        headers="components/@NAME@/include",
        files={
            "CMakeLists.txt": "esp-idf/CMakeLists.txt",
            "main/CMakeLists.txt": "esp-idf/main.CMakeLists.txt",
            "main/main.c": "common/main.c",
            "components/@NAME@/CMakeLists.txt": "esp-idf/component.CMakeLists.txt",
            "components/@NAME@/idf_component.yml": "esp-idf/idf_component.yml",
            "README.md": "esp-idf/README.md",
        },
        source_path="src/",
        indent="    ",
        quote='"',
        values=_APP_MAIN,
    ),
}

"""Projects of every ecosystem: metadata by the published rules, C that compiles, and examples that print what the simulator computes.

Zephyr's and ESP-IDF's build files are run by CMake with the few functions of those frameworks that they call replaced by plain ones.
"""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import kilograd as kg
from kilograd.cli.demo import ASSET
from kilograd.emit.projects import LAYOUTS, Details, emit_project, project_files
from kilograd.errors import PlanError
from kilograd.ir.serialize import load_graph
from kilograd.plan.plan import Plan
from tests.emit.emitted import need
from tests.emit.test_text import WARNINGS, conv_plan

VERSION = r"\d+\.\d+\.\d+"
CORES = {"cortex-m4": "mps2-an386", "cortex-m0": "mps2-an385"}  # the M3 board runs what an M0 runs
# newlib's start-up without a vector table, and the table of two words that an emulated board needs
VECTORS = """
extern void _start(void);
__attribute__((section(".vectors"), used)) static const void *const vectors[2] = {(void *)0x00400000, (void *)_start};
"""
ARDUINO = """
#include <stdint.h>
#include <stdio.h>
struct serial {
  void begin(long) {}
  void print(const char *text) { fputs(text, stdout); }
  void print(char c) { putchar(c); }
  void print(long value) { printf("%ld", value); }
  void println(const char *text = "") { puts(text); }
};
static serial Serial;
static void delay(unsigned long) {}
"""
ZEPHYR = """cmake_minimum_required(VERSION 3.21)
project(stub C)
macro(zephyr_include_directories)
  include_directories(${ARGN})
endmacro()
macro(zephyr_library_named name)
  add_library(${name} STATIC)
  set(ZEPHYR_CURRENT_LIBRARY ${name})
endmacro()
macro(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endmacro()
macro(zephyr_library_compile_options)
  target_compile_options(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endmacro()
set(CONFIG_MY_NET y)
add_subdirectory(@DIR@/zephyr module)
add_executable(example @DIR@/samples/my_net/src/main.c)
target_include_directories(example PRIVATE @DIR@/include)
target_link_libraries(example my_net)
"""
ESP_IDF = """cmake_minimum_required(VERSION 3.21)
project(stub C)
function(idf_component_register)
  cmake_parse_arguments(A "" "" "SRCS;INCLUDE_DIRS;PRIV_REQUIRES" ${ARGN})
  set(COMPONENT_LIB component_${NAME})
  add_library(component_${NAME} STATIC ${A_SRCS})
  target_include_directories(component_${NAME} PUBLIC ${A_INCLUDE_DIRS})
  foreach(other ${A_PRIV_REQUIRES})
    target_link_libraries(component_${NAME} PRIVATE component_${other})
  endforeach()
  set(COMPONENT_LIB component_${NAME} PARENT_SCOPE)
endfunction()
set(NAME my_net)
add_subdirectory(@DIR@/components/my_net component)
set(NAME main)
add_subdirectory(@DIR@/main main)
file(WRITE ${CMAKE_BINARY_DIR}/start.c "void app_main(void);\\nint main(void) { app_main(); return 0; }\\n")
add_executable(example ${CMAKE_BINARY_DIR}/start.c)
target_link_libraries(example component_main)
"""


@cache
def plan() -> Plan:
    """A plan of the demo's network that can learn."""
    return kg.compile(load_graph(ASSET), train="last:2")


@cache
def expected() -> str:
    """What every example prints."""
    tensor = plan().tensors[plan().inputs[0]]
    x = ((np.arange(tensor.nbytes) * 7 % 256) - 128).astype(np.int8).reshape(tensor.shape)
    simulator = kg.Simulator(plan())
    before = simulator.infer(x)
    simulator.train_step(x, 0)
    after = simulator.infer(x)
    assert before.tobytes() != after.tobytes()
    results = {"output:": before, "after one training step:": after}
    return "".join(f"{title} {' '.join(str(v) for v in y.reshape(-1))}\n" for title, y in results.items())


def need_tools(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def cmake(source: Path, build: Path, *options: str) -> None:
    """Configure and build; warnings of CMake itself are errors."""
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    command = ["cmake", "-Werror=dev", *generator, "-S", str(source), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release", *options]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(build)], check=True, capture_output=True)


def output(*command: str | Path) -> str:
    argv = [str(c) for c in command]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL).stdout


def pairs(text: str, separator: str) -> dict[str, str]:
    """key/value lines; of YAML the top level only."""
    rows = [line.partition(separator) for line in text.splitlines() if line and line[0] not in " #-"]
    return {key: value.strip().strip('"') for key, _, value in rows}


# ---- metadata --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LAYOUTS)
def test_nothing_is_left_to_fill_in(kind: str) -> None:
    files = project_files(plan(), kind, "My Net")
    for path, text in files.items():
        assert not re.search(r"@[A-Z_]+@", path + text), path
        assert "\t" not in text or path.endswith(("keywords.txt", "Kconfig")), path
        assert text.endswith("\n"), path
    assert "How" not in files["README.md"] and "## " in files["README.md"] and "my_net.h" in files["README.md"]


def test_arduino_metadata() -> None:
    files = project_files(plan(), "arduino", "My Net", Details("1.2.3", "Ada", "ada@example.com", "https://example.com/x"))
    properties = pairs(files["library.properties"], "=")
    needed = ("name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures")
    assert all(properties[key] for key in needed)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.\-]{0,62}", properties["name"])
    assert not properties["name"].lower().startswith("arduino")
    assert properties["version"] == "1.2.3" and properties["maintainer"] == "Ada <ada@example.com>"
    assert properties["category"] in {
        "Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing", "Data Storage", "Data Processing",
        "Other",
    }  # fmt: skip
    assert f"src/{properties['includes']}" in files
    sketches = [Path(f) for f in files if f.endswith(".ino")]
    assert sketches and all(s.parts[0] == "examples" and s.stem == s.parent.name for s in sketches)
    rows = [line.split("\t") for line in files["keywords.txt"].splitlines()]
    header = files["src/my_net.h"]
    assert all(len(row) == 2 and row[0] in header and row[1] in ("KEYWORD1", "KEYWORD2", "LITERAL1") for row in rows)


def test_platformio_metadata() -> None:
    files = project_files(plan(), "platformio", "My Net")
    library = json.loads(files["lib/my_net/library.json"])
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", library["name"]) and len(library["name"]) <= 50
    assert re.fullmatch(VERSION, library["version"]) and 0 < len(library["description"]) <= 255 and library["keywords"]
    assert all({"name", "email"} <= author.keys() for author in library["authors"])
    assert f"lib/my_net/{library['build']['includeDir']}/{library['headers']}" in files
    assert any(f.startswith(f"lib/my_net/{library['build']['srcDir']}/") for f in files)
    ini = configparser.ConfigParser()
    ini.read_string(files["platformio.ini"])
    environments = [s.removeprefix("env:") for s in ini.sections() if s.startswith("env:")]
    assert ini["platformio"]["default_envs"] in environments
    for name in environments:
        assert ini[f"env:{name}"]["platform"] in library["platforms"]
        assert name == "native" or (ini[f"env:{name}"]["board"] == name and ini[f"env:{name}"]["framework"] == "arduino")


def test_zephyr_metadata() -> None:
    files = project_files(plan(), "zephyr", "My Net")
    module = files["zephyr/module.yml"]
    assert pairs(module, ":")["name"] == "my_net"
    build = dict(re.findall(r"^  (\w+): (\S+)$", module, re.M))
    assert f"{build['cmake']}/CMakeLists.txt" in files and build["kconfig"] in files
    (samples,) = re.findall(r"^samples:\n  - (\S+)$", module, re.M)
    assert {"CMakeLists.txt", "prj.conf", "sample.yaml", "src/main.c"} <= {
        f.removeprefix(f"{samples}/my_net/") for f in files if f.startswith(f"{samples}/")
    }
    symbols = re.findall(r"^config (\w+)$", files["zephyr/Kconfig"], re.M)
    assert symbols == ["MY_NET"] and "CONFIG_MY_NET=y" in files["samples/my_net/prj.conf"]
    assert "CONFIG_MY_NET" in files["zephyr/CMakeLists.txt"]
    for line in files["zephyr/Kconfig"].splitlines():
        assert line.startswith(("config ", "\t")), line
    (pattern,) = re.findall(r'- "(output.*)"', files["samples/my_net/sample.yaml"])
    assert re.match(pattern, expected())


def test_esp_idf_metadata() -> None:
    files = project_files(plan(), "esp-idf", "My Net", Details("1.2.3", "Ada", "ada@example.com", "https://example.com/x"))
    manifest = files["components/my_net/idf_component.yml"]
    assert pairs(manifest, ":") | {"maintainers": "", "dependencies": ""} == {
        "version": "1.2.3", "url": "https://example.com/x", "maintainers": "", "dependencies": "",
        "description": "A quantized neural network that infers and learns in integers, as plain C11.",
    }  # fmt: skip
    assert '  - "Ada <ada@example.com>"' in manifest and re.search(r'^  idf: ">=\d+\.\d+"$', manifest, re.M)
    assert re.search(r"include\(\$ENV\{IDF_PATH\}/tools/cmake/project.cmake\)\nproject\(\w+\)\n$", files["CMakeLists.txt"])
    assert "PRIV_REQUIRES my_net)" in files["main/CMakeLists.txt"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": "1.2"}, {"version": "v1.2.3"}, {"version": "01.2.3"},
        {"author": "a\nb"}, {"author": "A <b>"}, {"email": 'a"b'}, {"url": ""},
    ],
)
def test_details_that_would_break_a_file(wrong: dict[str, str]) -> None:
    with pytest.raises(PlanError):
        Details(**wrong)


def test_wrong_requests(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="there are cmake, arduino"):
        project_files(plan(), "make")
    (tmp_path / "f").write_text("")
    with pytest.raises(PlanError, match="is a file"):
        emit_project(plan(), tmp_path / "f", "cmake")


# ---- building --------------------------------------------------------------------------------------------------------------


def test_cmake_on_the_host(tmp_path: Path) -> None:
    need_tools("cmake", "cc")
    emit_project(plan(), tmp_path / "p", "cmake", "My Net")
    cmake(tmp_path / "p", tmp_path / "b", f"-DCMAKE_C_FLAGS={' '.join(WARNINGS[1:])}")
    assert output(tmp_path / "b" / "my_net_example") == expected()


@pytest.mark.parametrize("core", CORES)
def test_cmake_for_a_microcontroller(tmp_path: Path, core: str) -> None:
    """Library and example are built with the project's toolchain file; the emulated core prints what the simulator computes."""
    need_tools("cmake", "arm-none-eabi-gcc")
    source, build = tmp_path / "p", tmp_path / "b"
    emit_project(plan(), source, "cmake", "My Net")
    flags = f"-mcpu={core}"
    cmake(source, build, "--toolchain", str(source / "cmake/arm-none-eabi.cmake"), f"-DKILOGRAD_CPU_FLAGS={flags}")
    assert (build / "my_net_example").is_file() or (build / "my_net_example.elf").is_file()
    need_tools("qemu-system-arm")
    (tmp_path / "vectors.c").write_text(VECTORS)
    run = ["arm-none-eabi-gcc", "-O2", "-mthumb", flags, "--specs=rdimon.specs", "-Wl,--section-start=.vectors=0", f"-I{source}/src"]
    parts = [tmp_path / "vectors.c", source / "examples/main.c", build / "libmy_net.a"]
    subprocess.run([*run, *map(str, parts), "-o", str(tmp_path / "x.elf")], check=True)
    emulator = ["qemu-system-arm", "-M", CORES[core], "-nographic", "-monitor", "none", "-serial", "null"]
    assert output(*emulator, "-semihosting-config", "enable=on,target=native", "-kernel", tmp_path / "x.elf") == expected()


@pytest.mark.parametrize(("kind", "stub"), [("zephyr", ZEPHYR), ("esp-idf", ESP_IDF)])
def test_build_files_of_frameworks(tmp_path: Path, kind: str, stub: str) -> None:
    need_tools("cmake", "cc")
    emit_project(plan(), tmp_path / "p", kind, "My Net")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "CMakeLists.txt").write_text(stub.replace("@DIR@", str(tmp_path / "p")))
    cmake(tmp_path / "s", tmp_path / "b")
    assert output(tmp_path / "b" / "example") == expected()


def build_cpp(directory: Path, sources: Path, include: Path, program: str, *flags: str) -> Path:
    """Library in C, program in C++, as the Arduino tools and PlatformIO do."""
    for tool in ("gcc", "g++"):
        need(tool)
    warnings = ["-Wall", "-Wextra", "-Werror"]
    files = sorted(str(p) for p in sources.glob("*.c"))
    subprocess.run(["gcc", "-O1", "-std=gnu11", *warnings, f"-I{include}", "-c", *files], cwd=directory, check=True)
    command = ["g++", "-O1", "-std=gnu++11", *warnings, f"-I{include}", f"-I{directory}", *flags, program]
    subprocess.run([*command, *map(str, sorted(directory.glob("*.o"))), "-o", str(directory / "run")], check=True)
    return directory / "run"


def test_arduino_sketch(tmp_path: Path) -> None:
    emit_project(plan(), tmp_path / "p", "arduino", "My Net")
    sketch = (tmp_path / "p/examples/Example/Example.ino").read_text()
    (tmp_path / "sketch.cpp").write_text(f"{ARDUINO}{sketch}\nint main() {{ setup(); loop(); }}\n")
    assert output(build_cpp(tmp_path, tmp_path / "p/src", tmp_path / "p/src", str(tmp_path / "sketch.cpp"))) == expected()


@pytest.mark.parametrize("framework", ["native", "arduino"])
def test_platformio_program(tmp_path: Path, framework: str) -> None:
    emit_project(plan(), tmp_path / "p", "platformio", "My Net")
    library, program = tmp_path / "p/lib/my_net", tmp_path / "p/src/main.cpp"
    if framework == "arduino":
        (tmp_path / "Arduino.h").write_text(ARDUINO)
        program = tmp_path / "run.cpp"
        program.write_text('#define ARDUINO\n#include "p/src/main.cpp"\nint main() { setup(); loop(); }\n')
    assert output(build_cpp(tmp_path, library / "src", library / "include", str(program))) == expected()


@pytest.mark.parametrize("kind", LAYOUTS)
def test_inference_only_and_without_state(kind: str) -> None:
    """A plan that cannot learn gets an example that only infers, and an array of one byte where there is no state."""
    small = conv_plan()
    small.calls.pop()
    small.state, small.regions, small.entries = b"", small.regions[:1], {"infer": small.entries["infer"]}
    del small.tensors["train"]
    files = project_files(small, kind, "n")
    (example,) = [t for f, t in files.items() if f.endswith(("main.c", "main.cpp", ".ino"))]
    assert "train" not in example and "state[1]" in example and "n_infer(&m);" in example


@pytest.mark.parametrize("kind", LAYOUTS)
def test_command(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("typer")
    from kilograd.cli.app import run

    plan().save(tmp_path / "m.kgp")
    assert run(["emit", str(tmp_path / "m.kgp"), "-o", str(tmp_path / "d"), "--project", kind, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["project"] == kind and all((tmp_path / "d" / f).is_file() for f in answer["files"])
    assert set(answer["files"]) == set(project_files(plan(), kind))

"""Boards of hardware: firmware for them builds without a warning and stands where the chip looks for it. None of it was run on hardware."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path

import pytest

import kilograd as kg
from kilograd.cli.demo import ASSET
from kilograd.device.boards import boards, find_board
from kilograd.device.build import Firmware, build
from kilograd.device.external import export
from kilograd.device.images import Elf, boot2_checksum, flat
from kilograd.errors import BoardError
from kilograd.ir.serialize import load_graph
from kilograd.plan.plan import Plan
from tests.device.test_images import read_uf2

REAL = [b.name for b in boards() if not b.emulated and not b.external]


@cache
def plan() -> Plan:
    return kg.compile(load_graph(ASSET), train="head")


def firmware(board: str, directory: Path) -> Firmware:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    return build(board, plan(), directory)


def test_there_are_boards() -> None:
    assert set(REAL) == {"nucleo-f446re", "stm32f746g-disco", "nrf52840-dk", "rp2040-pico"}


@pytest.mark.parametrize("name", REAL)
def test_firmware(tmp_path: Path, name: str) -> None:
    board, made = find_board(name), firmware(name, tmp_path)
    image = flat(made.elf)
    assert image.address == board.flash.origin and len(image.data) <= board.flash.bytes
    assert (tmp_path / "firmware.bin").read_bytes() == image.data
    start = 256 if name == "rp2040-pico" else 0
    stack, reset, fault = struct.unpack_from("<3I", image.data, start)
    assert stack % 8 == 0 and board.ram.origin < stack <= board.ram.origin + board.ram.bytes
    for handler in (reset, fault):
        assert handler & 1 and board.flash.origin < handler < board.flash.origin + made.text_bytes + 512
    assert plan().to_bytes() in image.data and (image.address + image.data.index(plan().to_bytes())) % 16 == 0


@pytest.mark.parametrize("name", REAL)
def test_store_is_apart_from_code_and_matches_the_chip(name: str) -> None:
    board = find_board(name)
    store = board.store
    assert store is not None
    size = store.sector_bytes * (store.sectors + store.plan_sectors)
    assert board.flash.origin + board.flash.bytes <= store.origin
    assert store.origin % store.sector_bytes == 0
    end = {"nucleo-f446re": 0x08080000, "stm32f746g-disco": 0x08100000, "nrf52840-dk": 0x100000, "rp2040-pico": 0x10200000}[name]
    assert store.origin + size <= end


def test_second_boot_stage(tmp_path: Path) -> None:
    """The build puts the checksum there, in every file that it makes; what runs while the flash is busy stands in RAM."""
    made = firmware("rp2040-pico", tmp_path)
    image = flat(made.elf).data
    assert struct.unpack_from("<I", image, 252)[0] == boot2_checksum(image[:252])
    address, family, content = read_uf2((tmp_path / "firmware.uf2").read_bytes())
    assert (address, family) == (0x10000000, 0xE48BFF56) and content[: len(image)] == image
    assert Elf(made.elf).section(".data") is not None and 64 <= made.data_bytes <= 512
    assert {"firmware.bin", "firmware.uf2"} <= set(made.files)


# ---- ESP-IDF ----------------------------------------------------------------------------------------------------------------

#: as much of ESP-IDF and FreeRTOS as the board's file names
STAND_IN = """
#pragma once
#include <stddef.h>
#include <stdint.h>
typedef struct { int baud_rate, data_bits, parity, stop_bits, flow_ctrl, source_clk; } uart_config_t;
enum { UART_NUM_0, UART_DATA_8_BITS, UART_PARITY_DISABLE, UART_STOP_BITS_1, UART_HW_FLOWCTRL_DISABLE, UART_SCLK_DEFAULT };
int uart_driver_install(int port, int receive, int transmit, int queue, void *handle, int flags);
int uart_param_config(int port, const uart_config_t *line);
int uart_read_bytes(int port, void *data, uint32_t bytes, uint32_t ticks);
int uart_write_bytes(int port, const void *data, size_t bytes);
uint32_t esp_cpu_get_cycle_count(void);
typedef struct { int label; } esp_partition_t;
enum { ESP_OK, ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY };
const esp_partition_t *esp_partition_find_first(int type, int subtype, const char *label);
int esp_partition_read(const esp_partition_t *p, size_t offset, void *data, size_t bytes);
int esp_partition_write(const esp_partition_t *p, size_t offset, const void *data, size_t bytes);
int esp_partition_erase_range(const esp_partition_t *p, size_t offset, size_t bytes);
#define portMAX_DELAY 0xFFFFFFFFu
void vTaskDelay(uint32_t ticks);
unsigned uxTaskGetStackHighWaterMark(void *task);
"""
HEADERS = ("driver/uart.h", "esp_cpu.h", "esp_partition.h", "freertos/FreeRTOS.h", "freertos/task.h")


def test_esp_idf_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`kilograd build` writes the project; every source of it compiles for RV32IMC against stand-ins for the framework's headers."""
    pytest.importorskip("typer")
    from kilograd.cli.app import run

    plan().save(tmp_path / "m.kgp")
    project = tmp_path / "p"
    assert run(["build", "--board", "esp32-c3", str(tmp_path / "m.kgp"), "-o", str(project), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["external"] == "ESP-IDF"
    needed = {"CMakeLists.txt", "main/CMakeLists.txt", "main/board.c", "main/linker.lf", "partitions.csv", "sdkconfig.defaults"}
    assert needed | {"README.md"} <= set(answer["files"]) and "board.toml" not in answer["files"]
    assert "0x210000, 0x20000" in (project / "partitions.csv").read_text()  # [store] of board.toml
    lists = dict(re.findall(r"^set\((\w+)\n((?:  .*\n)+)\)", (project / "generated/sources.cmake").read_text(), re.M))
    sources, includes = (re.findall(r'"(.+)"', lists[name]) for name in ("KILOGRAD_SOURCES", "KILOGRAD_INCLUDES"))
    assert all(Path(p).exists() for p in [*sources, *includes])
    compiler = shutil.which("riscv64-unknown-elf-gcc")
    if compiler is None:
        pytest.skip("riscv64-unknown-elf-gcc is not installed")
    for header in HEADERS:
        (tmp_path / "idf" / header).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "idf" / header).write_text(STAND_IN if header == "driver/uart.h" else '#include "driver/uart.h"\n')
    flags = ["-march=rv32imc", "-mabi=ilp32", "--specs=picolibc.specs", "-O1", "-std=gnu17", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    folders = [f"-I{p}" for p in (*includes, tmp_path / "idf", project / "generated")]
    subprocess.run([compiler, *flags, *folders, "-c", str(project / "main/board.c"), *sources], cwd=tmp_path, check=True)
    listing = subprocess.run(["riscv64-unknown-elf-nm", *sorted(p.name for p in tmp_path.glob("*.o"))], cwd=tmp_path, capture_output=True)
    symbols = [line.split()[-2:] for line in listing.stdout.decode().splitlines() if len(line.split()) >= 2]
    defined = {name for kind, name in symbols if kind not in "Uw"}
    missing = {name for kind, name in symbols if kind == "U"} - defined
    assert not {name for name in missing if name.startswith("kg_")}
    assert {"app_main", "main", "kg_board_flash"} <= defined


def test_build_of_a_board_that_another_framework_builds(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"ESP-IDF.*README\.md"):
        build("esp32-c3", plan(), tmp_path)
    (tmp_path / "f").write_text("")
    with pytest.raises(BoardError, match="is a file"):
        export(find_board("esp32-c3"), plan(), tmp_path / "f")

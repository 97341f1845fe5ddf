"""`kilograd flash`: the exact command line of every tool, what happens without a tool, and a real load into an emulated board."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import kilograd as kg
from kilograd.cli.demo import ASSET
from kilograd.device import bench
from kilograd.device.boards import boards, find_board
from kilograd.device.build import Options, build
from kilograd.device.emulator import free_port
from kilograd.device.flash import HINTS, TOOLS, find_volume, flash, flash_job, tools_of
from kilograd.errors import BoardError
from kilograd.ir.serialize import load_graph
from tests.device.test_images import elf, read_uf2

REAL = ["nucleo-f446re", "stm32f746g-disco", "nrf52840-dk", "rp2040-pico"]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Firmware at the start of the STM32's flash."""
    path = tmp_path / "x.elf"
    path.write_bytes(elf([(0x08000000, 0x08000000, b"code")]))
    return path


def line(board: str, image: Path, **options: str) -> str:
    return flash_job(find_board(board), image, **options).line.replace(str(image.parent), "DIR")


@pytest.mark.parametrize(
    ("board", "options", "expected"),
    [
        ("nucleo-f446re", {}, "openocd -f board/st_nucleo_f4.cfg -c 'program {DIR/x.elf} verify reset exit'"),
        (
            "nucleo-f446re", {"port": "0669"},
            "openocd -f board/st_nucleo_f4.cfg -c 'adapter serial 0669' -c 'program {DIR/x.elf} verify reset exit'",
        ),
        ("nucleo-f446re", {"tool": "pyocd"}, "pyocd load --no-wait --target stm32f446retx --format elf DIR/x.elf"),
        (
            "nucleo-f446re", {"tool": "dfu"},
            "dfu-util --device 0483:df11 --alt 0 --dfuse-address 0x08000000:leave --download DIR/x.dfu.bin",
        ),
        ("stm32f746g-disco", {}, "openocd -f board/stm32f746g-disco.cfg -c 'program {DIR/x.elf} verify reset exit'"),
        (
            "stm32f746g-disco", {"tool": "pyocd", "port": "07"},
            "pyocd load --no-wait --target stm32f746nghx --probe 07 --format elf DIR/x.elf",
        ),
        (
            "stm32f746g-disco", {"tool": "dfu", "port": "3"},
            "dfu-util --device 0483:df11 --alt 0 --serial 3 --dfuse-address 0x08000000:leave --download DIR/x.dfu.bin",
        ),
        ("nrf52840-dk", {}, "pyocd load --no-wait --target nrf52840 --format elf DIR/x.elf"),
        (
            "nrf52840-dk", {"tool": "openocd"},
            "openocd -f interface/jlink.cfg -c 'transport select swd' -f target/nrf52.cfg -c 'program {DIR/x.elf} verify reset exit'",
        ),
        ("rp2040-pico", {"port": "DRIVE"}, "cp DIR/x.uf2 DRIVE/x.uf2"),
        (
            "rp2040-pico", {"tool": "openocd"},
            "openocd -f interface/cmsis-dap.cfg -f target/rp2040.cfg -c 'program {DIR/x.elf} verify reset exit'",
        ),
        ("rp2040-pico", {"tool": "pyocd"}, "pyocd load --no-wait --target rp2040 --format elf DIR/x.elf"),
        (
            "qemu:mps2-an386", {"port": "localhost:4000"},
            "gdb-multiarch -nx -batch -ex 'set confirm off' -ex 'set tcp auto-retry off' -ex 'target remote localhost:4000' -ex load "
            "-ex compare-sections -ex 'monitor system_reset' -ex detach DIR/x.elf",
        ),
    ],
)  # fmt: skip
def test_command_lines(image: Path, board: str, options: dict[str, str], expected: str) -> None:
    assert line(board, image, **options) == expected


@pytest.mark.parametrize(
    ("board", "options", "suffix", "expected"),
    [
        ("nucleo-f446re", {}, ".bin", "openocd -f board/st_nucleo_f4.cfg -c 'program {DIR/x.bin} 0x08000000 verify reset exit'"),
        ("nrf52840-dk", {}, ".bin", "pyocd load --no-wait --target nrf52840 --format bin --base-address 0x00000000 DIR/x.bin"),
        ("nrf52840-dk", {}, ".hex", "pyocd load --no-wait --target nrf52840 --format hex DIR/x.hex"),
        ("nucleo-f446re", {"tool": "dfu"}, ".bin",
         "dfu-util --device 0483:df11 --alt 0 --dfuse-address 0x08000000:leave --download DIR/x.bin"),
        ("rp2040-pico", {"port": "DRIVE"}, ".uf2", "cp DIR/x.uf2 DRIVE/x.uf2"),
        ("esp32-c3", {"port": "/dev/ttyUSB0"}, ".bin",
         "esptool --chip esp32c3 --port /dev/ttyUSB0 --baud 460800 write-flash 0x10000 DIR/x.bin"),
    ],
)  # fmt: skip
def test_other_files(tmp_path: Path, board: str, options: dict[str, str], suffix: str, expected: str) -> None:
    image = tmp_path / f"x{suffix}"
    image.write_bytes(b"image")
    assert line(board, image, **options) == expected


@pytest.mark.parametrize(("board", "file"), [("nucleo-f446re", "firmware.elf"), ("esp32-c3", "build/kilograd_firmware.bin")])
def test_folder_of_a_build(tmp_path: Path, image: Path, board: str, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    shutil.copy(image, tmp_path / file)
    assert flash_job(find_board(board), tmp_path) == flash_job(find_board(board), tmp_path / file)


@pytest.mark.parametrize("tool", [t for t in TOOLS if t != "uf2"])
def test_files_that_a_tool_does_not_take(tmp_path: Path, tool: str) -> None:
    image = tmp_path / "x.txt"
    image.write_text("?")
    board = next(b for b in boards() if tool in tools_of(b))
    with pytest.raises(BoardError, match="takes"):
        flash_job(board, image, tool=tool)


def test_every_board_can_be_flashed() -> None:
    for board in boards():
        assert tools_of(board) and set(tools_of(board)) <= TOOLS.keys(), board.name
        if board.emulated:
            assert tools_of(board) == ["gdb"]


def test_wrong_requests(image: Path, tmp_path: Path) -> None:
    board = find_board("nucleo-f446re")
    for wrong, words in (({"tool": "esptool"}, "openocd, pyocd, dfu|openocd, dfu, pyocd"), ({"tool": "magic"}, "not flashed by")):
        with pytest.raises(BoardError, match=words):
            flash_job(board, image, **wrong)  # type: ignore[arg-type]
    with pytest.raises(BoardError, match="kilograd build"):
        flash_job(board, tmp_path / "absent.elf")
    with pytest.raises(BoardError, match="ESP-IDF makes it, see .*README.md"):
        flash_job(find_board("esp32-c3"), tmp_path)
    with pytest.raises(BoardError, match="HOST:NUMBER"):
        flash_job(find_board("mps2-an386"), image, port="somewhere")
    folder = tmp_path / "{a}"
    folder.mkdir()
    shutil.copy(image, folder)
    with pytest.raises(BoardError, match="braces"):
        flash_job(board, folder / image.name)


@pytest.mark.parametrize(("board", "tool"), [("nucleo-f446re", "openocd"), ("nrf52840-dk", "pyocd"), ("nucleo-f446re", "dfu")])
def test_missing_tool(image: Path, monkeypatch: pytest.MonkeyPatch, board: str, tool: str) -> None:
    monkeypatch.setenv("PATH", "")
    job = flash_job(find_board(board), image, tool=tool)
    with pytest.raises(BoardError) as error:
        flash(job)
    assert HINTS[job.tool] in str(error.value) and job.line in str(error.value)


@pytest.mark.parametrize(("script", "fails"), [("exit 0", False), ("exit 3", True), ("echo Section .text: MIS-MATCHED!", True)])
def test_failure_of_a_tool_is_told(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch, script: str, fails: bool) -> None:
    """gdb in batch mode ends with 0 though sections differ: what it says counts."""
    tool = tmp_path / "gdb-multiarch"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    job = flash_job(find_board("mps2-an386"), image)
    if not fails:
        assert flash(job) == ""
        return
    with pytest.raises(BoardError, match="gdb-multiarch failed"):
        flash(job)


def test_uf2_drive(tmp_path: Path) -> None:
    drive = tmp_path / "RPI-RP2"
    drive.mkdir()
    image = tmp_path / "x.elf"
    image.write_bytes(elf([(0x10000000, 0x10000000, b"boot" * 64), (0x10000100, 0x10000100, b"code")]))
    assert find_volume("RPI-RP2", (f"{tmp_path}/{{0}}",)) is None
    job = flash_job(find_board("rp2040-pico"), image, port=str(drive))
    with pytest.raises(BoardError, match="BOOTSEL"):
        flash(job)
    (drive / "INFO_UF2.TXT").write_text("UF2 Bootloader\n")
    assert find_volume("RPI-RP2", (f"{tmp_path}/{{0}}",)) == drive
    flash(job)
    address, family, content = read_uf2((drive / "x.uf2").read_bytes())
    assert (address, family) == (0x10000000, 0xE48BFF56) and content[:260] == b"boot" * 64 + b"code"


def test_dfu_image(image: Path) -> None:
    job = flash_job(find_board("nucleo-f446re"), image, tool="dfu")
    assert job.makes == image.with_suffix(".dfu.bin") and job.content == b"code"


@pytest.mark.parametrize("board", [b for b in [*REAL] if "openocd" in tools_of(find_board(b))])
def test_openocd_reads_the_configuration(image: Path, board: str) -> None:
    """The configuration files exist and parse; no hardware is looked for."""
    if shutil.which("openocd") is None:
        pytest.skip("openocd is not installed")
    argv = list(flash_job(find_board(board), image, tool="openocd").argv[:-1])
    done = subprocess.run([*argv, "noinit; shutdown"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_command(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("typer")
    from kilograd.cli.app import run

    assert run(["flash", "--board", "nucleo-f446re", str(image), "--dry-run"]) == 0
    assert capsys.readouterr().out.strip() == f"openocd -f board/st_nucleo_f4.cfg -c 'program {{{image}}} verify reset exit'"
    assert run(["flash", "--board", "nucleo-f446re", "--tool", "dfu", str(image), "--dry-run", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["dry_run"] and answer["argv"][0] == "dfu-util" and answer["makes"].endswith("x.dfu.bin")
    assert not image.with_suffix(".dfu.bin").exists()
    assert run(["flash", "--board", "nonsense", str(image), "--dry-run"]) == 1
    assert "there is no board 'nonsense'" in capsys.readouterr().err


@contextmanager
def waiting_emulator(machine: str, serial: int, gdb: int) -> Iterator[None]:
    """An emulated board without a program, stopped, that waits for gdb."""
    line = ["qemu-system-arm", "-M", machine, "-nographic", "-monitor", "none", "-serial", f"tcp:127.0.0.1:{serial},server=on,wait=off"]
    line += ["-semihosting-config", "enable=on,target=native", "-icount", "shift=7,sleep=off,align=off"]
    process = subprocess.Popen([*line, "-S", "-gdb", f"tcp:127.0.0.1:{gdb}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.3)
        yield
    finally:
        process.kill()
        process.wait()


def connect(port: int) -> socket.socket:
    """The serial line, as soon as QEMU listens."""
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port), 10)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("QEMU does not listen")


def test_load_into_an_emulated_board(tmp_path: Path) -> None:
    """gdb loads firmware into a board that has none, every section is compared, and the board then learns as the simulator does."""
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm", "gdb-multiarch"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    board, plan = find_board("qemu:mps2-an386"), kg.compile(load_graph(ASSET), train="head")
    firmware = build(board, plan, tmp_path, Options(app="bench", samples=2))
    serial, gdb = free_port(), free_port()
    with waiting_emulator("mps2-an386", serial, gdb), connect(serial) as port:
        said = flash(flash_job(board, firmware.elf, port=f"127.0.0.1:{gdb}"))
        assert said.count("matched") >= 3 and "MIS-MATCHED" not in said
        port.settimeout(60)
        port.sendall(b"\n")
        text = b""
        while not text.endswith(b"\nend\n"):
            part = port.recv(4096)
            assert part, text
            text += part
    assert bench.parse(text.decode()).first_difference(bench.simulate(plan, 2), plan) == ""


def test_no_emulator_is_told(image: Path) -> None:
    if shutil.which("gdb-multiarch") is None:
        pytest.skip("gdb-multiarch is not installed")
    with pytest.raises(BoardError, match="gdb-multiarch failed"):
        flash(flash_job(find_board("qemu:mps2-an386"), image, port=f"localhost:{free_port()}"))

"""The real client against the real device side: the same bits as the Simulator, and a clear answer to everything that cannot be."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kilograd as kg
from kilograd.device.client import Device
from kilograd.device.frames import Command, Frame, Splitter, Status, encode
from kilograd.errors import DataError, DeviceError
from kilograd.ir.graph import Array, Kind
from kilograd.plan.compile import plan_graph
from kilograd.plan.plan import Plan
from tests.link.programs import Pipe, board_program, training_plan
from tests.train.nets import small_net


def samples(n: int, seed: int = 1) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.integers(-128, 128, (n, 6, 6, 3)).astype(np.int8), rng.integers(0, 4, n).astype(np.int32)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return training_plan()


@pytest.fixture(scope="module")
def plan_file(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("link") / "net.kgp"
    plan.save(path)
    return path


@pytest.fixture
def device(plan_file: Path) -> Iterator[Device]:
    with Device(Pipe(plan_file)) as board:
        yield board


def same_state(device: Device, simulator: kg.Simulator) -> None:
    """Every state tensor, byte by byte."""
    for tensor in simulator.plan.tensors.values():
        if tensor.kind is Kind.STATE:
            assert device.read_bytes(tensor.name) == simulator.read(tensor.name).tobytes(), tensor.name


@pytest.mark.parametrize("payload", [96, 128, 1024])
def test_same_bits_as_the_simulator(plan: Plan, plan_file: Path, payload: int) -> None:
    """108 bytes a sample: chunks with the small buffers, one frame with the large."""
    simulator, (x, y) = kg.Simulator(plan), samples(12)
    with Device(Pipe(plan_file, payload)) as device:
        assert device.info.max_request == payload and device.info.max_answer == payload
        assert np.array_equal(device.infer(x), simulator.infer(x))
        for i in range(len(x)):
            assert device.train_step(x[i], y[i]) == simulator.train_step(x[i], y[i])
        order = [3, 1, 1, 0]
        assert np.array_equal(device.train(x, y, order), simulator.train(x, y, order))
        assert device.evaluate(x, y) == simulator.evaluate(x, y)
        same_state(device, simulator)
        device.reset()
        simulator.reset()
        same_state(device, simulator)
        assert device.resent == 0


def test_info_and_statistics(device: Device, plan: Plan) -> None:
    info = device.info
    assert (info.protocol, info.board, info.plan) == (1, "memory", plan.name)
    assert (info.state_bytes, info.arena_bytes, info.tensors) == (len(plan.state), plan.arena_bytes, len(plan.tensors))
    assert (info.input_bytes, info.output_bytes, info.label_bytes) == (108, 4, 4)
    assert info.has_plan and info.trains and info.saves and info.updates and info.plan_unit == 8
    assert device.model.tensors["x"].shape == (1, 6, 6, 3) and device.model.tensors["x"].quant == plan.tensors["x"].quant
    assert device.stats().infer_ticks == 0
    device.infer(samples(1)[0])
    stats = device.stats()
    assert (stats.unit, stats.infer_ticks, stats.stack_bytes, stats.stack_used) == ("instructions", 1000, 4096, 1234)
    assert (stats.arena_bytes, stats.state_bytes, stats.damaged_frames) == (plan.arena_bytes, len(plan.state), 0)


def test_tensors_by_name(device: Device, plan: Plan) -> None:
    name = next(t.name for t in plan.tensors.values() if t.kind is Kind.STATE and t.nbytes > 150 and t.dtype.value == "int8")
    value = device.read(name)
    assert value.tobytes() == kg.Simulator(plan).read(name).tobytes()
    device.write(name, np.roll(value, 1))
    assert np.array_equal(device.read(name), np.roll(value, 1))
    device.write_bytes(name, b"\x05\x06", offset=3)
    assert device.read_bytes(name, 3, 2) == b"\x05\x06"
    with pytest.raises(DeviceError, match="no tensor 'nothing'"):
        device.read("nothing")
    with pytest.raises(DeviceError, match="beyond the end"):
        device.read_bytes(name, value.nbytes - 1, 2)
    with pytest.raises(DeviceError, match="beyond the end"):
        device.write_bytes(name, b"12", value.nbytes - 1)
    with pytest.raises(DataError, match="shape"):
        device.write(name, np.zeros(3, np.int8))


def test_save_load_and_reset(plan: Plan, plan_file: Path) -> None:
    simulator, (x, y) = kg.Simulator(plan), samples(4)
    with Device(Pipe(plan_file, busy=2)) as device:
        with pytest.raises(DeviceError, match="nothing saved"):
            device.load()
        device.train(x, y)
        device.save()  # refused twice as busy, then done
        simulator.train(x, y)
        device.train(x, y)
        device.load()
        same_state(device, simulator)
        assert device.stats().erases == 1 and device.stats().saved_sequence == 1
        device.reset()
        same_state(device, kg.Simulator(plan))
        with pytest.raises(DeviceError, match="nothing saved"):
            device.load()


def test_plan_update(plan_file: Path, tmp_path: Path) -> None:
    smaller, (x, y) = training_plan("last:1"), samples(3)
    broken = bytearray(smaller.to_bytes())
    broken[-5] ^= 1
    with Device(Pipe(plan_file), plan_file) as device:
        before = device.read_bytes("train")
        with pytest.raises(DeviceError, match="refuses the new plan") as error:
            device.update_plan(bytes(broken))
        assert error.value.status == "PLAN_REFUSED"
        assert device.read_bytes("train") == before  # the old plan still runs
        with pytest.raises(DeviceError, match="more memory"):
            device.update_plan(training_plan("full", storage="w8f8"))
        with pytest.raises(DeviceError, match="does not fit into the board's flash"):
            device.update_plan(bytes(70000))
        info = device.update_plan(smaller)
        assert info.checksum == int.from_bytes(smaller.to_bytes()[12:16], "little")
        simulator = kg.Simulator(smaller)
        assert np.array_equal(device.train(x, y), simulator.train(x, y))
        same_state(device, simulator)


def test_a_board_without_a_plan(plan: Plan) -> None:
    with Device(Pipe(None)) as device:
        assert not device.info.has_plan and device.info.plan == ""
        with pytest.raises(DeviceError, match="has no plan"):
            device.infer(samples(1)[0])
        with pytest.raises(DeviceError) as error:
            device.save()
        assert error.value.status == "NO_PLAN"
        device.stats()


def test_a_plan_for_inference(tmp_path: Path) -> None:
    plan, (x, y) = plan_graph(small_net()), samples(2)
    plan.save(tmp_path / "infer.kgp")
    simulator = kg.Simulator(plan)
    with Device(Pipe(tmp_path / "infer.kgp")) as device:
        assert not device.info.trains
        assert np.array_equal(device.infer(x), simulator.infer(x))
        with pytest.raises(DeviceError, match="compiled for inference"):
            device.train(x, y)
        with pytest.raises(DeviceError, match="compiled for inference"):
            device._run(Command.TRAIN, bytes(20))
        constant = next(t.name for t in plan.tensors.values() if t.kind is Kind.CONST)
        assert device.read_bytes(constant) == simulator.read(constant).tobytes()
        with pytest.raises(DeviceError, match="cannot be written") as error:
            device.write_bytes(constant, b"1")
        assert error.value.status == "READ_ONLY"


def test_the_other_plan_is_refused(plan_file: Path) -> None:
    transport = Pipe(plan_file)
    with pytest.raises(DeviceError, match="not the one given"):
        Device(transport, training_plan("last:1"))
    transport.close()


def test_wrong_data_is_told_before_it_is_sent(device: Device) -> None:
    x, y = samples(2)
    with pytest.raises(DataError, match="reads samples of shape"):
        device.infer(x[:, :5])
    with pytest.raises(DataError, match="out of range"):
        device.train(x, y + 4)
    with pytest.raises(DataError, match="order"):
        device.train(x, y, [2])


class Wire:
    """Frames by hand."""

    def __init__(self, transport: Pipe) -> None:
        self.transport, self.splitter = transport, Splitter()

    def ask(self, frame: Frame | bytes) -> Frame | None:
        self.transport.write(frame if isinstance(frame, bytes) else encode(frame))
        for _ in range(100):
            for answer in self.splitter.feed(self.transport.read()):
                return answer
        return None

    def status(self, frame: Frame) -> tuple[Status, int]:
        answer = self.ask(frame)
        assert answer is not None and answer.type == frame.type | 0x80 and answer.sequence == frame.sequence
        return Status(answer.payload[0]), int.from_bytes(answer.payload[1:5], "little")


@pytest.fixture
def wire(plan_file: Path) -> Iterator[Wire]:
    transport = Pipe(plan_file, 96)
    yield Wire(transport)
    transport.close()


def test_each_failure_has_its_status(wire: Wire, plan: Plan) -> None:
    mine = plan.to_bytes()[12:16]
    assert wire.status(Frame(Command.STATISTICS, 7, b""))[0] is Status.NO_CONVERSATION
    assert wire.status(Frame(Command.INFO, 1, b"x"))[0] is Status.BAD_REQUEST
    assert wire.status(Frame(Command.INFO, 2, b""))[0] is Status.OK
    assert wire.status(Frame(99, 3, b""))[0] is Status.UNKNOWN_COMMAND
    assert wire.status(Frame(0, 4, b""))[0] is Status.UNKNOWN_COMMAND
    assert wire.status(Frame(Command.INFER, 5, bytes(97))) == (Status.OVERSIZE, 96)
    assert wire.status(Frame(Command.INFER, 6, bytes(5000))) == (Status.OVERSIZE, 96)
    assert wire.status(Frame(Command.SAVE, 7, b"\1\2\3\4")) == (Status.WRONG_PLAN, int.from_bytes(mine, "little"))
    assert wire.status(Frame(Command.SAVE, 8, b"\1\2\3"))[0] is Status.BAD_REQUEST
    assert wire.status(Frame(Command.INFER, 9, mine + bytes([40, 0, 0, 0, 1]))) == (Status.BAD_ORDER, 0)
    assert wire.status(Frame(Command.INFER, 10, mine + bytes(4) + bytes(60)))[0] is Status.OK
    assert wire.status(Frame(Command.INFER, 11, mine + bytes([61, 0, 0, 0]) + bytes(40))) == (Status.BAD_ORDER, 60)
    assert wire.status(Frame(Command.INFER, 12, mine + bytes([60, 0, 0, 0]) + bytes(60))) == (Status.OUT_OF_RANGE, 108)
    assert wire.status(Frame(Command.TRAIN, 13, mine + bytes([60, 0, 0, 0]) + bytes(48))) == (Status.BAD_ORDER, 0)  # another sample
    assert wire.status(Frame(Command.INFER, 14, mine + bytes([60, 0, 0, 0]) + bytes(48))) == (Status.BAD_ORDER, 0)  # which ended this one
    assert wire.status(Frame(Command.INFER, 15, mine + bytes(4)))[0] is Status.BAD_REQUEST
    assert wire.status(Frame(Command.DESCRIBE, 16, mine + bytes([0, 0, 255, 0, 0, 0])))[0] is Status.NOT_FOUND
    assert wire.status(Frame(Command.READ, 17, mine + bytes([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 96, 0])))[0] is Status.BAD_REQUEST
    assert wire.status(Frame(Command.PLAN_WRITE, 18, bytes(12))) == (Status.BAD_ORDER, 0xFFFFFFFF)
    assert wire.status(Frame(Command.PLAN_BEGIN, 19, bytes([100, 0, 0, 0, 0, 0, 0, 0])))[0] is Status.OK
    assert wire.status(Frame(Command.PLAN_WRITE, 20, bytes(4) + bytes(12)))[0] is Status.BAD_REQUEST  # not a multiple of the unit
    assert wire.status(Frame(Command.PLAN_COMMIT, 21, b"")) == (Status.BAD_ORDER, 0)
    assert wire.status(Frame(Command.STATISTICS, 22, b"", version=2)) == (Status.WRONG_VERSION, 1)


def test_a_repeated_request_is_done_once(wire: Wire, plan: Plan) -> None:
    mine, (x, y) = plan.to_bytes()[12:16], samples(1)
    sample = x.tobytes() + y.astype("<i4").tobytes()
    first = Frame(Command.TRAIN, 11, mine + bytes(4) + sample[:80])
    second = Frame(Command.TRAIN, 12, mine + (80).to_bytes(4, "little") + sample[80:])
    simulator = kg.Simulator(plan)
    wire.ask(Frame(Command.INFO, 10, b""))
    answers = [wire.ask(f) for f in (first, first, second, second, second)]
    assert answers[0] == answers[1] and answers[2] == answers[3] == answers[4]
    assert answers[4] is not None and int.from_bytes(answers[4].payload[1:5], "little") == round(simulator.train_step(x, y).loss * 65536)
    assert wire.ask(first) is None  # late: the host has gone on, nothing is done and nothing is said
    # once: the step counter stands where one step brings it
    index = list(plan.tensors).index("train")
    size = plan.tensors["train"].nbytes
    read = wire.ask(Frame(Command.READ, 13, mine + bytes(2) + index.to_bytes(4, "little") + bytes(4) + size.to_bytes(2, "little")))
    assert read is not None and read.payload[1:] == simulator.read("train").tobytes()


def test_over_a_socket(plan: Plan, plan_file: Path) -> None:
    """pyserial's socket://, which real emulators use."""
    pytest.importorskip("serial")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                subprocess.run([board_program(), str(plan_file), "256"], stdin=connection, stdout=connection, check=True)

        thread = threading.Thread(target=serve)
        thread.start()
        simulator, (x, y) = kg.Simulator(plan), samples(5)
        with Device.open(f"socket://127.0.0.1:{server.getsockname()[1]}", plan_file) as device:
            assert np.array_equal(device.train(x, y), simulator.train(x, y))
            assert np.array_equal(device.infer(x), simulator.infer(x))
        thread.join(10)
        assert not thread.is_alive()


def test_nobody_there() -> None:
    class Silence:
        def write(self, data: bytes) -> None: ...
        def read(self) -> bytes:
            return b""

        def close(self) -> None: ...

    with pytest.raises(DeviceError, match="does not answer"):
        Device(Silence(), patience=0.1)
    with pytest.raises(DeviceError, match="cannot open the port"):
        pytest.importorskip("serial")
        Device.open("/dev/no-such-port")


def test_long_names_are_cut_to_the_frame(tmp_path: Path) -> None:
    long, plan = "x" * 300, training_plan()
    tensors = {(long if name == "x" else name): t for name, t in plan.tensors.items()}
    tensors[long] = replace(tensors[long], name=long)
    renamed = replace(plan, name="n" * 300, tensors=tensors, inputs=[long])
    renamed.save(tmp_path / "long.kgp")
    simulator, (x, y) = kg.Simulator(renamed), samples(2)
    with Device(Pipe(tmp_path / "long.kgp", 96)) as device:
        assert device.info.board == "memory" and device.info.plan == "n" * (95 - 47 - len("memory"))
        assert device.model.inputs == ["x" * (95 - 48)]
        assert np.array_equal(device.train(x, y), simulator.train(x, y))
        with pytest.raises(DeviceError, match="longer than the board takes"):
            device.read(long)

"""Frames: every message comes back as it was, nothing else is taken for one."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from kilograd.device.frames import AROUND, Frame, Splitter, cobs_decode, cobs_encode, decode, encode

# long stretches without a zero reach the 254-byte blocks
content = st.one_of(
    st.binary(max_size=600),
    st.lists(st.sampled_from([b"\0", b"\x01", b"\xff" * 253, b"a" * 254, b"b" * 255]), max_size=6).map(b"".join),
)
frames = st.builds(Frame, st.integers(0, 255), st.integers(0, 65535), content)


@given(content)
def test_cobs_comes_back_and_has_no_zero(data: bytes) -> None:
    coded = cobs_encode(data)
    assert 0 not in coded and cobs_decode(coded) == data
    assert len(data) + 1 <= len(coded) <= len(data) + len(data) // 254 + 1


@given(st.binary(max_size=300))
def test_any_bytes_can_be_decoded(coded: bytes) -> None:
    data = cobs_decode(coded)
    assert data is None or len(data) <= len(coded)


def test_cobs_by_the_book() -> None:
    for data, coded in (("", "01"), ("00", "0101"), ("0000", "010101"), ("11220033", "0311220233"), ("11000000", "0211010101")):
        assert cobs_encode(bytes.fromhex(data)).hex() == coded
    count = bytes(range(1, 255))  # 254 bytes without a zero: a full block, no zero behind it
    assert cobs_encode(count) == b"\xff" + count
    assert cobs_encode(count + b"\xff") == b"\xff" + count + b"\x02\xff"
    assert cobs_encode(count + b"\0") == b"\xff" + count + b"\x01\x01"


@given(frames)
def test_a_frame_comes_back(frame: Frame) -> None:
    raw = encode(frame)
    assert raw[0] == raw[-1] == 0 and decode(raw[1:-1]) == frame


def test_a_frame_byte_by_byte() -> None:
    """The example of docs/serial-link.md."""
    body = bytes([1, 12, 0x34, 0x12, 0, 0])
    assert encode(Frame(12, 0x1234, b"")) == b"\0" + cobs_encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"
    assert encode(Frame(12, 0x1234, b"")).hex(" ") == "00 05 01 0c 34 12 01 05 ef 87 85 df 00"


@given(frames, st.data())
def test_a_flipped_bit_is_noticed(frame: Frame, data: st.DataObject) -> None:
    raw = bytearray(encode(frame)[1:-1])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert decode(bytes(raw)) is None


@given(st.lists(frames, max_size=4), st.binary(max_size=40), st.integers(1, 97))
def test_frames_are_found_behind_garbage(messages: list[Frame], garbage: bytes, step: int) -> None:
    """However the bytes are cut up."""
    wire = garbage + b"".join(encode(m) for m in messages)
    splitter = Splitter()
    found = [f for i in range(0, len(wire), step) for f in splitter.feed(wire[i : i + step])]
    assert found[len(found) - len(messages) :] == messages


def test_endless_garbage_takes_no_endless_memory() -> None:
    splitter = Splitter()
    for _ in range(50):
        assert splitter.feed(b"\x55" * 10000) == []
    assert len(splitter._pending) <= Splitter.LIMIT
    assert splitter.feed(b"\0" + encode(Frame(1, 2, b"3"))) == [Frame(1, 2, b"3")] and splitter.damaged == 1
    assert AROUND == 10

"""Frames of the serial link: COBS, header, CRC-32. docs/serial-link.md is the specification."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

VERSION = 1
HEADER = struct.Struct("<BBHH")  # version, type, sequence, bytes of the payload
CRC = struct.Struct("<I")
AROUND = HEADER.size + CRC.size
ANSWER = 0x80  # in the type of every answer
MAX_PAYLOAD = 65535


class Command(IntEnum):
    """Type of a request."""

    INFO = 1
    DESCRIBE = 2
    FIND = 3
    INFER = 4
    TRAIN = 5
    EVALUATE = 6
    READ = 7
    WRITE = 8
    SAVE = 9
    LOAD = 10
    FACTORY_RESET = 11
    STATISTICS = 12
    PLAN_BEGIN = 13
    PLAN_WRITE = 14
    PLAN_COMMIT = 15


class Status(IntEnum):
    """First byte of an answer's payload."""

    OK = 0
    UNKNOWN_COMMAND = 1
    WRONG_VERSION = 2
    OVERSIZE = 3
    BAD_REQUEST = 4
    NO_CONVERSATION = 5
    NO_PLAN = 6
    WRONG_PLAN = 7
    BAD_ORDER = 8
    NOT_FOUND = 9
    OUT_OF_RANGE = 10
    READ_ONLY = 11
    CANNOT_TRAIN = 12
    UNSUPPORTED = 13
    BUSY = 14
    FLASH_FULL = 15
    FLASH_ERROR = 16
    NOTHING_SAVED = 17
    PLAN_REFUSED = 18
    TOO_SMALL = 19
    RUN_FAILED = 20


@dataclass(frozen=True)
class Frame:
    """One message."""

    type: int
    sequence: int
    payload: bytes
    version: int = VERSION


def cobs_encode(data: bytes) -> bytes:
    """Bytes without a zero, from which cobs_decode gives the data again."""
    out, i = bytearray(), 0
    while True:
        end = data.find(0, i, i + 254)
        run = data[i : end if end >= 0 else i + 254]
        out.append(len(run) + 1)
        out += run
        i += len(run)
        if i == len(data):
            return bytes(out)
        if len(run) < 254:
            i += 1  # the zero that the code stands for


def cobs_decode(coded: bytes) -> bytes | None:
    """The data, or None when these bytes are no COBS."""
    out, i, zero = bytearray(), 0, False
    while i < len(coded):
        code = coded[i]
        run = coded[i + 1 : i + code]
        if code == 0 or len(run) != code - 1 or 0 in run:
            return None
        if zero:
            out.append(0)
        out += run
        i += code
        zero = code != 255
    return bytes(out)


def encode(frame: Frame) -> bytes:
    """A frame as it goes over the wire, with a zero at both ends."""
    body = HEADER.pack(frame.version, frame.type, frame.sequence, len(frame.payload)) + frame.payload
    return b"\0" + cobs_encode(body + CRC.pack(zlib.crc32(body))) + b"\0"


def decode(coded: bytes) -> Frame | None:
    """The frame between two zeros of the wire, or None when it is damaged."""
    raw = cobs_decode(coded)
    if raw is None or len(raw) < AROUND or zlib.crc32(raw[:-4]) != CRC.unpack(raw[-4:])[0]:
        return None
    version, kind, sequence, size = HEADER.unpack_from(raw)
    return Frame(kind, sequence, raw[HEADER.size : -4], version) if size == len(raw) - AROUND else None


class Splitter:
    """Frames out of a stream of bytes; whatever is no whole frame is left out and counted."""

    #: a frame of the largest payload, coded; what is longer without a zero is garbage
    LIMIT = (MAX_PAYLOAD + AROUND) * 255 // 254 + 2

    def __init__(self) -> None:
        self._pending = bytearray()
        self.damaged = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete."""
        *whole, rest = (bytes(self._pending) + data).split(b"\0")
        frames = [decode(part) for part in whole if part]
        self.damaged += frames.count(None)
        if len(rest) > self.LIMIT:
            rest = rest[: self.LIMIT]  # stays damaged until its zero comes, and takes no more memory
        self._pending = bytearray(rest)
        return [f for f in frames if f is not None]

"""Firmware images: what of an ELF file goes into flash, as one flat image, and the checksum that the RP2040 wants in front of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from kilograd.errors import BoardError

_LOAD = 1  # program header type PT_LOAD
_LARGEST = 64 << 20
BOOT2_SECTION = ".boot2"
BOOT2_BYTES = 256


@dataclass(frozen=True)
class Segment:
    """Bytes and the address in flash where they go."""

    address: int
    data: bytes

    @property
    def end(self) -> int:
        """Address after the last byte."""
        return self.address + len(self.data)


class Elf:
    """The parts of a 32-bit little-endian ELF file that flashing needs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw = path.read_bytes()
        if self.raw[:6] != b"\x7fELF\x01\x01" or len(self.raw) < 52:
            raise BoardError(f"'{path}' is not a 32-bit little-endian ELF file")
        (_, self._programs, self._sections) = struct.unpack_from("<3I", self.raw, 24)
        sizes = struct.unpack_from("<6H", self.raw, 40)
        self._program_bytes, self._program_count, self._section_bytes, self._section_count, self._names = sizes[1:6]

    def _table(self, form: str, offset: int, step: int, count: int) -> list[tuple[int, ...]]:
        try:
            return [struct.unpack_from(form, self.raw, offset + i * step) for i in range(count)]
        except struct.error:
            raise BoardError(f"'{self.path}' is cut short: its header tables lie outside the file") from None

    def _bytes(self, offset: int, size: int) -> bytes:
        if offset + size > len(self.raw):
            raise BoardError(f"'{self.path}' is cut short: {size} bytes at {offset} lie outside the file")
        return self.raw[offset : offset + size]

    def segments(self) -> list[Segment]:
        """What is loaded, by the address at which it is stored (not at which it runs)."""
        rows = self._table("<5I", self._programs, self._program_bytes, self._program_count)
        found = [Segment(stored, self._bytes(offset, size)) for kind, offset, _, stored, size in rows if kind == _LOAD and size]
        return sorted(found, key=lambda s: s.address)

    def section(self, name: str) -> tuple[int, int] | None:
        """Offset in the file and size of a section; None when there is none of that name."""
        rows = self._table("<6I", self._sections, self._section_bytes, self._section_count)
        if self._names >= len(rows):
            return None
        names = self._bytes(rows[self._names][4], rows[self._names][5])
        for row in rows:
            if names[row[0] :].split(b"\0", 1)[0] == name.encode():
                return row[4], row[5]
        return None


def flat(path: Path) -> Segment:
    """The ELF file as one image; what lies between its segments stays erased (0xFF)."""
    segments = Elf(path).segments()
    if not segments:
        raise BoardError(f"'{path}' has nothing to load")
    first, last = segments[0].address, max(s.end for s in segments)
    if last - first > _LARGEST:
        raise BoardError(f"'{path}' is spread over {last - first:,} bytes, from {first:#x}: that is no image for one flash memory")
    image = bytearray(b"\xff" * (last - first))
    for segment in segments:
        image[segment.address - first : segment.end - first] = segment.data
    return Segment(first, bytes(image))


def boot2_checksum(code: bytes) -> int:
    """CRC-32 as the RP2040's boot ROM computes it: polynomial 0x04C11DB7, from the top bit down, start 0xFFFFFFFF, nothing inverted at
    the end (RP2040 datasheet, 2.8.1.3.1)."""
    crc = 0xFFFFFFFF
    for byte in code:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 1 << 31 else crc << 1) & 0xFFFFFFFF
    return crc


def seal_boot2(path: Path) -> bool:
    """Write the checksum of the second boot stage into its last four bytes. False when the file has no such stage."""
    elf = Elf(path)
    found = elf.section(BOOT2_SECTION)
    if found is None:
        return False
    offset, size = found
    if size != BOOT2_BYTES:
        raise BoardError(f"'{path}': section {BOOT2_SECTION} has {size} bytes, the boot ROM reads {BOOT2_BYTES}")
    checksum = boot2_checksum(elf.raw[offset : offset + BOOT2_BYTES - 4])
    with path.open("r+b") as file:
        file.seek(offset + BOOT2_BYTES - 4)
        file.write(struct.pack("<I", checksum))
    return True

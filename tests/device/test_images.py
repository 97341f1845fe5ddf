"""ELF files to flat images, the RP2040's checksum, and UF2 files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from kilograd.device.images import BOOT2_BYTES, Elf, boot2_checksum, flat, seal_boot2
from kilograd.device.uf2 import uf2
from kilograd.errors import BoardError


def elf(segments: list[tuple[int, int, bytes]], sections: dict[str, bytes] | None = None) -> bytes:
    """A 32-bit ELF file: segments (address it runs at, address it is stored at, bytes) and sections."""
    sections = sections or {}
    names = b"\0" + b"".join(n.encode() + b"\0" for n in [*sections, ".shstrtab"])
    body, programs, headers, at = b"", b"", bytes(40), 52 + 32 * len(segments)
    for runs, stored, data in segments:
        programs += struct.pack("<8I", 1, at + len(body), runs, stored, len(data), len(data) + 8, 5, 4)
        body += data
    for name, data in {**sections, ".shstrtab": names}.items():
        headers += struct.pack("<10I", names.index(name.encode() + b"\0"), 1, 2, 0, at + len(body), len(data), 0, 0, 1, 0)
        body += data
    count = len(sections) + 2
    header = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    header += struct.pack("<2H5I6H", 2, 40, 1, 0, 52, at + len(body), 0, 52, 32, len(segments), 40, count, count - 1)
    return header + programs + body + headers


def test_segments_lie_where_they_are_stored(tmp_path: Path) -> None:
    path = tmp_path / "f.elf"
    path.write_bytes(elf([(0x20000000, 0x08000010, b"data"), (0x08000000, 0x08000000, b"codecode"), (0x20001000, 0x20001000, b"")]))
    assert [(s.address, s.data) for s in Elf(path).segments()] == [(0x08000000, b"codecode"), (0x08000010, b"data")]
    image = flat(path)
    assert image.address == 0x08000000 and image.data == b"codecode" + b"\xff" * 8 + b"data"


@pytest.mark.parametrize("cut", [10, 60, 90, -30])
def test_broken_files(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "f.elf"
    path.write_bytes(elf([(0, 0, b"x" * 20)], {".boot2": bytes(BOOT2_BYTES)})[:cut])
    with pytest.raises(BoardError):
        flat(path)
        seal_boot2(path)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "f.elf"
    for content, words in (
        (b"\x7fELF\x02\x01" + bytes(60), "32-bit"),
        (b"hello", "32-bit"),
        (elf([]), "nothing to load"),
        (elf([(0, 0, b"a"), (0, 0x90000000, b"b")]), "spread over"),
    ):
        path.write_bytes(content)
        with pytest.raises(BoardError, match=words):
            flat(path)


def test_checksum_of_the_second_stage(tmp_path: Path) -> None:
    assert boot2_checksum(b"123456789") == 0x0376E6E7  # the check value of CRC-32/MPEG-2, which this is
    path = tmp_path / "f.elf"
    stage = bytes(range(252)) + bytes(4)
    path.write_bytes(elf([(0x10000000, 0x10000000, stage)], {".text": b"abc", ".boot2": stage}))
    assert seal_boot2(path)
    found = Elf(path).section(".boot2")
    assert found is not None
    sealed = path.read_bytes()[found[0] : found[0] + found[1]]
    assert sealed[:252] == stage[:252] and struct.unpack("<I", sealed[252:])[0] == boot2_checksum(stage[:252])
    path.write_bytes(elf([(0, 0, b"abcd")], {".text": b"abcd"}))
    assert not seal_boot2(path)
    path.write_bytes(elf([(0, 0, b"abcd")], {".boot2": b"abcd"}))
    with pytest.raises(BoardError, match="has 4 bytes"):
        seal_boot2(path)


def read_uf2(content: bytes) -> tuple[int, int, bytes]:
    """Address, family and image of a UF2 file; checks every block against the published format."""
    assert len(content) % 512 == 0
    blocks = [content[i : i + 512] for i in range(0, len(content), 512)]
    image, start, families = b"", 0, set()
    for i, block in enumerate(blocks):
        magic0, magic1, flags, address, size, number, count, family = struct.unpack_from("<8I", block)
        assert (magic0, magic1, struct.unpack_from("<I", block, 508)[0]) == (0x0A324655, 0x9E5D5157, 0x0AB16F30)
        assert flags == 0x2000 and size == 256 and (number, count) == (i, len(blocks))
        start = start or address
        assert address == start + 256 * i and address % 256 == 0
        image += block[32 : 32 + size]
        assert not any(block[32 + size : 508])
        families.add(family)
    (family,) = families
    return start, family, image


def test_uf2() -> None:
    data = bytes(i % 251 for i in range(1000))
    address, family, image = read_uf2(uf2(data, 0x10000000, 0xE48BFF56))
    assert (address, family) == (0x10000000, 0xE48BFF56) and image[:1000] == data and len(image) == 1024

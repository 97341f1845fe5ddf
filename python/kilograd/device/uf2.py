"""UF2: firmware as a file that is copied onto a board's USB drive. Blocks of 512 bytes that carry 256 each."""

from __future__ import annotations

import struct

MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
FAMILY_PRESENT = 0x2000
PAYLOAD = 256


def uf2(image: bytes, address: int, family: int) -> bytes:
    """The file for an image that starts at `address`."""
    blocks = -(-len(image) // PAYLOAD)
    out = bytearray()
    for i in range(blocks):
        part = image[i * PAYLOAD : (i + 1) * PAYLOAD].ljust(PAYLOAD, b"\0")
        flags = FAMILY_PRESENT if family else 0
        head = struct.pack("<8I", MAGIC[0], MAGIC[1], flags, address + i * PAYLOAD, PAYLOAD, i, blocks, family)
        out += head + part.ljust(476, b"\0") + struct.pack("<I", MAGIC[2])
    return bytes(out)

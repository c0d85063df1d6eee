"""The forms that every upload contender takes, made by code, and what a contender has to have got of them. No I/O."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final
from zlib import crc32

MIB: Final = 1024 * 1024
BOUNDARY: Final = "----WebKitFormBoundary7MA4YWxkTrZu0gW0"
CONTENT_TYPE: Final = f"multipart/form-data; boundary={BOUNDARY}"
_BLOCK: Final = random.Random(7).randbytes(MIB)
_END: Final = f"\r\n--{BOUNDARY}--\r\n".encode()


def file_form(size: int) -> Iterator[bytes]:
    """Yield a form of one file of so many bytes, as a browser sends it, in pieces of up to 1 MiB."""
    disposition = 'Content-Disposition: form-data; name="file"; filename="video.bin"'
    yield f"--{BOUNDARY}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
    yield from _content(size)
    yield _END


def fields_form(count: int) -> Iterator[bytes]:
    """Yield a form of so many small fields."""
    fields = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="field{index}"\r\n\r\n{field(index)}\r\n'
        for index in range(count)
    )
    yield fields.encode() + _END[2:]


def field(index: int) -> str:
    """Return the value of field `index`."""
    return f"value {index * 7919 % 10_007}"


def file_checksum(size: int) -> int:
    """Return the CRC of the file's content."""
    checksum = 0
    for piece in _content(size):
        checksum = crc32(piece, checksum)
    return checksum


def fields_checksum(count: int) -> int:
    """Return the CRC of all values, one after the other."""
    return crc32("".join(map(field, range(count))).encode())


def _content(size: int) -> Iterator[bytes]:
    for start in range(0, size, MIB):
        yield _BLOCK[: min(MIB, size - start)]

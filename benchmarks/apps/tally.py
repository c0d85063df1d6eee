"""What upload routes do with what they get: nothing, or a checksum of it. One for all contenders."""

from __future__ import annotations

from typing import Any, Protocol
from zlib import crc32


class _Reads(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Tally:
    """Counts bytes or fields. With `check` also their CRC, which costs more than many a contender: it is not timed."""

    def __init__(self, check: str | None) -> None:
        self._check = bool(check)
        self._count = self._checksum = 0

    def chunk(self, chunk: bytes) -> None:
        """Take a piece of a file."""
        self._count += len(chunk)
        if self._check:
            self._checksum = crc32(chunk, self._checksum)

    def field(self, value: str) -> None:
        """Take a field."""
        self._count += 1
        if self._check:
            self._checksum = crc32(value.encode(), self._checksum)

    def file(self, file: _Reads, size: int) -> None:
        """Take a file that a contender has stored, whose size it knows; it is read for the check alone."""
        if not self._check:
            self._count += size
            return
        while chunk := file.read(65_536):
            self.chunk(chunk)

    def result(self) -> dict[str, Any]:
        """Return what the client is told."""
        return {"count": self._count, "checksum": self._checksum}

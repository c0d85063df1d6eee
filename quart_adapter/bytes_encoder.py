"""The format of a stream that is bytes already: passed on as it is, and held to the size that was announced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from quart_adapter.errors import StreamCutOff
from rxstream.formats import Encoder
from rxstream.formats.base import Refused

__all__ = ["BytesEncoder"]


class BytesEncoder(Encoder[Any]):
    """Passes bytes-likes on as they are, and holds a stream to the size that was announced for it.

    Args:
        size: Bytes that the stream must have; None for any number.
    """

    content_type: ClassVar[str] = "application/octet-stream"
    format: ClassVar[str] = "bytes"

    def __init__(self, size: int | None = None) -> None:
        super().__init__()
        self._size = size
        self._sent = 0
        self._last: list[bytes] = []

    def _batch(self, items: Sequence[Any]) -> bytes:
        for item in items:
            if isinstance(item, str):
                raise Refused("text has no bytes of its own; encode it, as with operators.map(str.encode)")
            if not isinstance(item, bytes | bytearray | memoryview):
                raise Refused(
                    f"a stream of bytes was expected, not of {type(item).__name__}; use an encoder such as "
                    "encode_ndjson(), or export()"
                )
        chunk = bytes(items[0]) if len(items) == 1 else b"".join(items)
        return chunk if self._size is None else self._within(chunk, self._size)

    def _within(self, chunk: bytes, size: int) -> bytes:
        """The chunk; but the one that completes the size is kept until the end shows that nothing follows it: once
        all bytes are out, there is no way left to tell the client that something is wrong."""
        if not chunk:
            return chunk
        sent = self._sent + len(chunk)
        if sent > size:
            raise Refused(f"the stream has more than the {size} bytes of its Content-Length")
        self._sent = sent
        if sent == size:
            self._last.append(chunk)
            return b""
        return chunk

    def _closing(self) -> bytes:
        if self._size is not None and self._sent < self._size:
            raise StreamCutOff(f"the stream ended after {self._sent} of the {self._size} bytes of its Content-Length")
        return b"".join(self._last)

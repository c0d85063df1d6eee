"""What every decoder is: bytes in, items out. No Rx, no I/O and no clock in this room.

A decoder belongs to one stream and gives the same items, and the same error, however the bytes are cut into chunks. It
keeps no more than one unfinished item, whose size is bounded; half an item is never given out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, Generic, TypeVar

from rxstream.errors import DecodeError

__all__ = ["Decoder", "checked_limit"]

T = TypeVar("T")

BOM: Final = b"\xef\xbb\xbf"
SLICE: Final = 65536
"""Bytes that are looked at in one go, however large the chunk: the work space stays small."""


class Decoder(ABC, Generic[T]):
    """Turns the chunks of one document into items.

    A byte order mark at the start is skipped.

    Attributes:
        content_type: The media type of the documents that it reads.
        count: How many items were decoded so far, which is the index of the next one.
        failure: The `DecodeError` of the first item that could not be decoded, else None. Its `position` is the index
            of that item, from 0; its text names the line, from 1, where the format has lines.

    Example:
        >>> from rxstream.formats import NDJSONDecoder
        >>> decoder = NDJSONDecoder()
        >>> decoder.decode(b'{"n": 1}\\n{"n"'), decoder.decode(b": 2}"), decoder.flush()
        ([{'n': 1}], [], [{'n': 2}])
    """

    content_type: ClassVar[str]

    def __init__(self) -> None:
        self.count = 0
        self.failure: DecodeError | None = None
        self._head: bytes | None = b""  # what may be the start of a byte order mark

    def decode(self, chunk: bytes) -> list[T]:
        """Decode the next bytes; if an item fails, the items before it, with `failure` set.

        Args:
            chunk: Any number of bytes.

        Returns:
            The items that these bytes complete.

        Raises:
            DecodeError: An earlier call has set `failure`: the stream has ended there.
            TypeError: The chunk is not bytes.
        """
        if self.failure is not None:
            raise self.failure
        if not isinstance(chunk, bytes):
            if not isinstance(chunk, bytearray | memoryview):
                raise TypeError(f"a decoder takes bytes, not {type(chunk).__name__}; encode text as UTF-8")
            chunk = bytes(chunk)
        if self._head is not None:
            chunk = self._after_mark(chunk)
        items: list[T] = []
        try:
            if len(chunk) <= SLICE:
                self._feed(chunk, items)
            else:
                for start in range(0, len(chunk), SLICE):
                    self._feed(chunk[start : start + SLICE], items)
        except DecodeError as error:
            self.failure = error
        return items

    def flush(self) -> list[T]:
        """The end of the bytes: what they leave as the last item.

        Returns:
            One item, or none.

        Raises:
            DecodeError: `failure` is set, or the bytes end in the middle of an item: a document that was cut off must
                not look complete.
        """
        if self.failure is not None:
            raise self.failure
        items: list[T] = []
        try:
            if self._head:
                head, self._head = self._head, None
                self._feed(head, items)
            self._close(items)
        except DecodeError as error:
            self.failure = error
            raise
        return items

    @abstractmethod
    def _feed(self, data: bytes, items: list[Any]) -> None:
        """Append what the bytes complete to `items`, and count it; raise a `DecodeError` at what cannot be decoded."""

    @abstractmethod
    def _close(self, items: list[Any]) -> None:
        """The same for what is left at the end: one item, an error, or nothing."""

    def _refusal(self, message: str, cause: BaseException | None = None) -> DecodeError:
        """The error for the item that would come next."""
        error = DecodeError(message, position=self.count)
        error.__cause__ = cause
        return error

    def _after_mark(self, chunk: bytes) -> bytes:
        """The chunk without a byte order mark; nothing as long as it may be one."""
        assert self._head is not None
        head = self._head + chunk
        if len(head) < len(BOM) and BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(BOM)


def checked_limit(name: str, value: object) -> int:
    """A limit as it was given, which is to be an integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return value

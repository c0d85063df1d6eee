"""A JSON array, element by element (RFC 8259)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rxstream.formats.base import Encoder, Serialize, T
from rxstream.formats.json import JSONWriter, NaN, explain_json

__all__ = ["JSONArrayEncoder"]


class JSONArrayEncoder(Encoder[T]):
    """Encodes items as the elements of one JSON array, a batch in one msgspec call.

    The `]` comes from `finish` alone: an array that was cut off, or in which an item failed, does not parse.

    Args:
        serialize: Called with each item, gives what is encoded in its place.
        nan: "refuse" makes NaN and Infinity an error, "null" writes null for them.

    Raises:
        TypeError: `serialize` is not callable.
        ValueError: `nan` is neither word.

    Example:
        >>> encoder = JSONArrayEncoder()
        >>> encoder.encode([1, 2]) + encoder.encode([3]) + encoder.finish()
        b'[1,2,3]'
    """

    content_type: ClassVar[str] = "application/json"
    format: ClassVar[str] = "json"

    def __init__(self, serialize: Serialize[T] | None = None, *, nan: NaN = "refuse") -> None:
        super().__init__(serialize)
        self._json = JSONWriter(nan=nan)

    def _batch(self, items: Sequence[Any]) -> bytes:
        array = memoryview(self._json.array(items))
        return b"".join((b"," if self.count else b"[", array[1:-1]))

    def _closing(self) -> bytes:
        return b"]" if self.count else b"[]"

    def _explain(self, item: Any, error: Exception) -> str:
        return explain_json(item, error)

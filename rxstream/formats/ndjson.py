"""NDJSON: one JSON value a line, each line ended by LF, UTF-8 without BOM (ndjson.org)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rxstream.formats.base import Encoder, Serialize, T
from rxstream.formats.json import JSONWriter, NaN, explain_json

__all__ = ["NDJSONEncoder"]


class NDJSONEncoder(Encoder[T]):
    """Encodes items as lines of JSON, a batch in one msgspec call.

    Args:
        serialize: Called with each item, gives what is encoded in its place.
        nan: "refuse" makes NaN and Infinity an error, "null" writes null for them.

    Raises:
        TypeError: `serialize` is not callable.
        ValueError: `nan` is neither word.

    An item that is `msgspec.Raw` goes out as it is; if it spans lines, its line ends are taken out.

    Example:
        >>> NDJSONEncoder().encode([{"n": 1}, [2]])
        b'{"n":1}\\n[2]\\n'
    """

    content_type: ClassVar[str] = "application/x-ndjson"
    format: ClassVar[str] = "ndjson"

    def __init__(self, serialize: Serialize[T] | None = None, *, nan: NaN = "refuse") -> None:
        super().__init__(serialize)
        self._json = JSONWriter(nan=nan)

    def _batch(self, items: Sequence[Any]) -> bytes:
        return self._json.lines(items)

    def _explain(self, item: Any, error: Exception) -> str:
        return explain_json(item, error)

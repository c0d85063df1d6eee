"""A JSON array, read item by item (RFC 8259), in the space of one item."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final, overload

from rxstream.formats.decoder import Decoder, T, checked_limit
from rxstream.formats.json_reader import JSONReader, JSONScanner

__all__ = ["JSONArrayDecoder"]

_SPACE: Final = b" \t\n\r"
_not_space: Final = re.compile(rb"[^ \t\n\r]")


class JSONArrayDecoder(Decoder[T]):
    """Decodes the items of one JSON array as they come.

    Integers are exact, up to the 4,300 digits that Python reads; of two equal keys in an object the last one counts.

    Args:
        type: What items are decoded into, and validated against: a dataclass, a Struct, a TypedDict or any other type
            that msgspec knows. Default: dicts, lists and so on.
        max_item: Bytes from one comma to the next.
        max_depth: How deep arrays and objects may be nested in an item.

    Raises:
        TypeError: The type is none that msgspec decodes into, or a limit is no `int`.
        ValueError: A limit is below 1.

    Example:
        >>> decoder = JSONArrayDecoder(list[int])
        >>> decoder.decode(b"[[1], [2, "), decoder.decode(b"3]]"), decoder.flush()
        ([[1]], [[2, 3]], [])
    """

    content_type: ClassVar[str] = "application/json"

    @overload
    def __init__(
        self: JSONArrayDecoder[Any], type: None = None, *, max_item: int = ..., max_depth: int = ...
    ) -> None: ...
    @overload
    def __init__(self, type: type[T], *, max_item: int = ..., max_depth: int = ...) -> None: ...
    def __init__(self, type: Any = None, *, max_item: int = 1 << 24, max_depth: int = 64) -> None:
        super().__init__()
        self._max_item = checked_limit("max_item", max_item)
        self._json = JSONReader(type, max_depth=max_depth)
        self._scanner = JSONScanner(max_depth)
        self._rest = bytearray()  # the item that has no end yet, at most `max_item` of it
        self._opened = self._closed = False

    def _feed(self, data: bytes, items: list[Any]) -> None:
        if not self._opened:
            data = self._after_bracket(data)
        if self._closed:
            self._check_nothing_in(data)
        elif self._opened:
            self._rest += data
            self._scan(items)

    def _close(self, items: list[Any]) -> None:
        if not self._opened:
            raise self._refusal("there is no JSON array, nothing but space; an empty array is []")
        if not self._closed:
            raise self._refusal(f"the array has no end: the bytes end in or behind item {self.count}, without a ]")

    def _after_bracket(self, data: bytes) -> bytes:
        """What is behind the bracket that opens the array; nothing as long as there is none."""
        data = data.lstrip(_SPACE)
        if not data:
            return data
        if data[:1] != b"[":
            raise self._refusal(
                f"the document is no JSON array: it starts with {data[:1]!r}; lines of JSON are for decode_ndjson"
            )
        self._opened = True
        return data[1:]

    def _check_nothing_in(self, data: bytes | bytearray) -> None:
        found = _not_space.search(data)
        if found is not None:
            raise self._refusal(f"{found[0]!r} stands behind the ] that closes the array; one array is one document")

    def _scan(self, items: list[Any]) -> None:
        scan = self._scanner.scan(self._rest)
        if scan.cut:
            whole = bytes(memoryview(self._rest)[: scan.cut])
            del self._rest[: scan.cut]
            self._decode(whole, items)
        if scan.closed >= 0:
            self._end(scan.closed - scan.cut, items)
        elif 0 <= scan.too_deep < scan.cut + self._max_item:  # else it is too long before it is too deep
            raise self._refusal(f"item {self.count} {self._json.explain_depth()}")
        elif len(self._rest) > self._max_item:
            raise self._too_long()

    def _end(self, at: int, items: list[Any]) -> None:
        """The last item, up to the bracket at `at`, and what is behind that."""
        last, bracket, behind = bytes(self._rest[:at]), self._rest[at : at + 1], self._rest[at + 1 :]
        self._rest.clear()
        if bracket == b"]":
            if self.count or last.strip(_SPACE):
                self._item(last, "]", items)
            self._closed = True
            self._check_nothing_in(behind)
        else:
            self._item(last + bracket, "}", items)  # fails: an item cannot end with a bracket that it did not open

    def _decode(self, data: bytes, items: list[Any]) -> None:
        """Whole items, each with its comma: in one call, or else one by one up to the one that fails."""
        if len(data) <= self._max_item:
            # A comma at depth 0 is behind a whole item, so this is JSON if, and only if, all the items are.
            try:
                decoded = self._json.array(b"[%b]" % data[:-1])
            except Exception:  # whatever it is, it comes again where it can be named
                decoded = []
            if decoded:
                items.extend(decoded)
                self.count += len(decoded)
                return
        scanner = JSONScanner(self._json.max_depth)
        start = 0
        while start < len(data):
            end = start + scanner.scan(memoryview(data)[start:], single=True).cut
            self._item(data[start : end - 1], ",", items)
            start = end

    def _item(self, value: bytes, behind: str, items: list[Any]) -> None:
        """Decode one item, or say what is wrong with it."""
        if len(value) > self._max_item:
            raise self._too_long()
        if not value.strip(_SPACE):
            raise self._refusal(f"item {self.count} is missing: there is nothing before a {behind}")
        try:
            items.append(self._json.value(value))
        except Exception as error:
            raise self._refusal(f"item {self.count} {self._json.explain(value, error)}", error) from error
        self.count += 1

    def _too_long(self) -> Exception:
        return self._refusal(f"item {self.count} is longer than max_item={self._max_item} bytes; raise max_item")

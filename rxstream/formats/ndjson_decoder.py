"""NDJSON, read line by line: one JSON value a line, UTF-8 (ndjson.org)."""

from __future__ import annotations

from typing import Any, ClassVar, overload

from rxstream.formats.decoder import Decoder, T, checked_limit
from rxstream.formats.json_reader import JSONReader

__all__ = ["NDJSONDecoder"]

_BLANK = b" \t\r"


class NDJSONDecoder(Decoder[T]):
    """Decodes lines of JSON.

    Lines end with LF or CRLF, the last one with either or nothing. Blank lines are skipped. Integers are exact, up to
    the 4,300 digits that Python reads; of two equal keys in an object the last one counts.

    Args:
        type: What lines are decoded into, and validated against: a dataclass, a Struct, a TypedDict or any other type
            that msgspec knows. Default: dicts, lists and so on.
        max_line: Bytes in a line.
        max_depth: How deep arrays and objects may be nested in each other.

    Raises:
        TypeError: The type is none that msgspec decodes into, or a limit is no `int`.
        ValueError: A limit is below 1.

    Example:
        >>> NDJSONDecoder(list[int]).decode(b"[1]\\n[2, 3]\\n")
        [[1], [2, 3]]
    """

    content_type: ClassVar[str] = "application/x-ndjson"

    @overload
    def __init__(self: NDJSONDecoder[Any], type: None = None, *, max_line: int = ..., max_depth: int = ...) -> None: ...
    @overload
    def __init__(self, type: type[T], *, max_line: int = ..., max_depth: int = ...) -> None: ...
    def __init__(self, type: Any = None, *, max_line: int = 1 << 20, max_depth: int = 64) -> None:
        super().__init__()
        self._max_line = checked_limit("max_line", max_line)
        self._json = JSONReader(type, max_depth=max_depth)
        self._rest = bytearray()  # the line that has no end yet, at most `max_line` of it
        self._line = 0  # lines that are done

    def _feed(self, data: bytes, items: list[Any]) -> None:
        end = data.rfind(b"\n") + 1
        if end:
            lines = b"".join((self._rest, memoryview(data)[: end - 1]))
            self._rest = bytearray(memoryview(data)[end:])
            self._lines(lines, items)
        else:
            self._rest += data
        if len(self._rest) > self._max_line:
            raise self._too_long()

    def _close(self, items: list[Any]) -> None:
        line = bytes(self._rest)
        self._rest.clear()
        self._lines(line, items)

    def _lines(self, data: bytes, items: list[Any]) -> None:
        # Line by line, since `decode_lines` takes two values in a line, and a value over two lines.
        lines = data.split(b"\n")
        done = self._quickly(lines, items) if len(data) <= self._max_line and self._json.lines_are_flat(data) else 0
        self.count += done
        self._line += done
        for line in lines[done:]:
            self._checked(line, items)

    def _quickly(self, lines: list[bytes], items: list[Any]) -> int:
        """Decode lines up to the first that is blank or bad; their number."""
        value, append, before = self._json.value, items.append, len(items)
        try:
            for line in lines:
                append(value(line))
        except Exception:  # whatever it is, it comes again where it can be named
            pass
        return len(items) - before

    def _checked(self, line: bytes, items: list[Any]) -> None:
        """Decode one line, or say what is wrong with it."""
        if len(line) > self._max_line:
            raise self._too_long()
        self._line += 1
        if not line.strip(_BLANK):
            return
        if self._json.is_too_deep(line):
            raise self._refusal(f"line {self._line} {self._json.explain_depth()}")
        try:
            items.append(self._json.value(line))
        except Exception as error:
            raise self._refusal(f"line {self._line} {self._json.explain(line, error)}", error) from error
        self.count += 1

    def _too_long(self) -> Exception:
        return self._refusal(f"line {self._line + 1} is longer than max_line={self._max_line} bytes; raise max_line")

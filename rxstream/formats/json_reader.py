"""The one place where JSON becomes items: msgspec, bounded in depth, with its errors in words that help."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from rxstream.formats.decoder import checked_limit

__all__ = ["JSONReader", "JSONScanner"]

_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}\n"))
_CONSTANT: Final = re.compile(rb"\b(?:NaN|Infinity)\b")
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_QUOTE, _BACKSLASH, _COMMA = b'"\\,'
_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")

# Each repetition below begins with a character that what comes before it cannot take, so that there is one way only
# to match any text, and the time is linear in its length whatever comes.
_IN_STRING: Final = rb'[^"\\]*+(?:\\.[^"\\]*+)*'
_STRING: Final = rb'"' + _IN_STRING + rb'"'
_string_rest: Final = re.compile(_IN_STRING, re.DOTALL)
_flat: Final = re.compile(rb'[^"\[\]{}]*+(?:' + _STRING + rb'[^"\[\]{}]*+)*', re.DOTALL)
_top: Final = re.compile(rb'[^"\[\]{},]*+(?:' + _STRING + rb'[^"\[\]{},]*+)*', re.DOTALL)
_LEVELS: Final = 3


def _items(levels: int) -> re.Pattern[bytes]:
    """Whole items with their commas, as long as no item is nested deeper than `levels`."""
    inner = _STRING
    for _ in range(levels):
        inner = _STRING + rb'|[\[{][^"\[\]{}]*+(?:(?:' + inner + rb')[^"\[\]{}]*+)*[\]}]'
    return re.compile(rb'(?:[^"\[\]{},]*+(?:(?:' + inner + rb')[^"\[\]{},]*+)*,)*', re.DOTALL)


_bulk: Final = [_items(levels) for levels in range(_LEVELS + 1)]


class JSONReader:
    """Decodes single values, and several at once.

    Args:
        kind: What values are decoded into, None for dicts, lists and so on.
        max_depth: How deep arrays and objects may be nested.

    Raises:
        TypeError: `kind` is nothing that msgspec decodes into, or the limit no `int`.
        ValueError: The limit is below 1.
    """

    def __init__(self, kind: Any, *, max_depth: int) -> None:
        self.max_depth = checked_limit("max_depth", max_depth)
        self._name = None if kind is None else getattr(kind, "__name__", None) or str(kind)
        kind = Any if kind is None else kind
        self.value = msgspec.json.Decoder(kind).decode
        self.array = msgspec.json.Decoder(list[kind]).decode

    def lines_are_flat(self, data: bytes | bytearray) -> bool:
        """Whether no line is nested too deeply; False: look at each."""
        skeleton = data.translate(None, _NOT_BRACKETS)
        return max(map(len, skeleton.split(b"\n"))) <= 2 * self.max_depth

    def is_too_deep(self, value: bytes) -> bool:
        """Whether one value is nested too deeply."""
        return JSONScanner(self.max_depth).scan(value).too_deep >= 0

    def explain_depth(self) -> str:
        """What is wrong with a value that is nested too deeply."""
        return f"is nested deeper than max_depth={self.max_depth}; flatten it, or raise max_depth"

    def explain(self, value: bytes, error: Exception) -> str:
        """What is wrong with a value that was refused, to be put behind its name."""
        if isinstance(error, msgspec.ValidationError):
            fits = "holds what cannot be decoded" if self._name is None else f"does not fit {self._name}"
            return f"{fits}: {error}"
        if isinstance(error, UnicodeDecodeError):
            return f"is not UTF-8 (byte 0x{error.object[error.start]:02x}); convert it to UTF-8"
        if isinstance(error, RecursionError):
            return "is nested too deeply for this interpreter; lower max_depth"
        if not isinstance(error, msgspec.DecodeError):
            return f"cannot be decoded: {type(error).__name__}: {error}"
        if _CONSTANT.search(value):
            return f"is not JSON ({_reason(error)}): NaN and Infinity are no numbers there; write null, or text"
        if _SURROGATE.search(value):
            return f"is not JSON ({_reason(error)}): it may have one half of a surrogate pair, which is no text"
        return f"is not JSON: {_reason(error)}"


def _reason(error: Exception) -> str:
    text = str(error).removeprefix("JSON is malformed: ")
    return "it ends too early" if text == "Input data was truncated" else text


class Scan:
    """How far a `JSONScanner` came.

    Attributes:
        cut: Where the last whole item ends, its comma included; 0 for none.
        closed: Where the bracket stands that closes the array; -1: not yet.
        too_deep: Where a bracket stands that is nested too deeply; -1: nowhere.
    """

    __slots__ = ("closed", "cut", "too_deep")

    def __init__(self) -> None:
        self.cut = 0
        self.closed = self.too_deep = -1


class JSONScanner:
    """Finds where the items of an array end, without decoding them; looks at each byte once.

    Goes by strings, brackets and commas alone: whether items are JSON is for the decoder to find out. If they are not,
    what is found here may be wrong, but it does not depend on how the bytes come.
    """

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._bulk = _bulk[min(_LEVELS, max_depth)]
        self._at = self._depth = 0
        self._in_string = False

    def scan(self, data: bytes | bytearray | memoryview, *, single: bool = False) -> Scan:
        """Goes on where it stopped, over the same bytes and those that came since.

        Args:
            data: What comes behind the last cut, which the caller takes away together with all before it.
            single: Stop behind the first item.
        """
        scan = Scan()
        at, end = self._at, len(data)
        while at < end:
            if self._in_string:
                at = _end(_string_rest, data, at)
                if at == end or data[at] == _BACKSLASH:  # what it escapes is still to come
                    break
                at += 1
                self._in_string = False
            elif self._depth:
                at = _end(_flat, data, at)
            else:
                if not single and (bulk := _end(self._bulk, data, at)) > at:
                    at = scan.cut = bulk
                at = _end(_top, data, at)
            if at == end:
                break
            at = self._step(scan, data, at)
            if scan.closed >= 0 or scan.too_deep >= 0 or (single and scan.cut):
                break
        self._at = at - scan.cut
        return scan

    def _step(self, scan: Scan, data: bytes | bytearray | memoryview, at: int) -> int:
        """Takes one character that matters."""
        character = data[at]
        if character == _QUOTE:
            self._in_string = True
        elif character in _OPENING:
            self._depth += 1
            if self._depth > self._max_depth:
                scan.too_deep = at
        elif character in _CLOSING:
            if not self._depth:
                scan.closed = at
            else:
                self._depth -= 1
        elif character == _COMMA and not self._depth:
            scan.cut = at + 1
        return at + 1


def _end(pattern: re.Pattern[bytes], data: bytes | bytearray | memoryview, at: int) -> int:
    match = pattern.match(data, at)
    assert match is not None  # each of them matches nothing, too
    return match.end()

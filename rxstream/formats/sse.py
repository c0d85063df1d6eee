"""Server-sent events, as the event stream section of the WHATWG HTML standard says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, get_args

from rxstream.formats.base import Encoder, Serialize, T
from rxstream.formats.json import JSONWriter, NaN, explain_json

__all__ = ["SSEEncoder", "ServerSentEvent"]

# A browser sends the id back in the Last-Event-ID header at each reconnect; servers answer 431 to headers that are
# too long, and the client would then come back with the same id for ever.
MAX_ID_BYTES = 1024
MAX_RETRY = 2**63 - 1

_LINE_END = re.compile("\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event of an event stream.

    Args:
        data: Text goes out as it is; each CR, LF or CRLF in it starts a new line, which the client sees as LF.
            Anything else goes out as JSON. Empty text still is an event.
        event: The event's type; default: the browser's `message`.
        id: What the client sends as `Last-Event-ID` when it reconnects. "" resets it.
        retry: How long the client waits before it reconnects, in milliseconds.
        comment: Text that clients skip, before the event; may have several lines.

    Raises:
        TypeError: `event`, `id` or `comment` is no text, `retry` no integer.
        ValueError: `event` is empty; `event` or `id` holds a control character (CR, LF and NUL among them) or a lone
            surrogate; `id` starts or ends with a space, which browsers strip, or is longer than 1024 bytes of UTF-8,
            since it comes back in a request header; `retry` is negative or over 63 bits.

    Events are immutable: the bytes of one whose data is text are made once, however many clients it goes to. Data that
    is not text may change, and is encoded each time.

    Example:
        >>> ServerSentEvent({"celsius": 21.5}, event="sample", id="17").event
        'sample'
    """

    data: Any
    _: KW_ONLY
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None
    _encoded: bytes | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.event is not None:
            _check_name("event", self.event)
            if not self.event:
                raise ValueError("event must not be empty: clients take that for 'message'; leave it out")
        if self.id is not None:
            _check_id(self.id)
        if self.retry is not None:
            _check_retry(self.retry)
        if self.comment is not None and not isinstance(self.comment, str):
            raise TypeError(f"comment must be text, not {type(self.comment).__name__}")


class SSEEncoder(Encoder[T]):
    """Encodes items as server-sent events.

    A `ServerSentEvent` goes out as it says; text is the data of an event; anything else (a mapping, a dataclass,
    bytes, None, ...) is data as JSON, under the rules of the JSON formats.

    Args:
        serialize: Called with each item, gives what is encoded in its place: a `ServerSentEvent`, text, or a value
            for JSON.
        nan: "refuse" makes NaN and Infinity an error, "null" writes null for them.

    Raises:
        TypeError: `serialize` is not callable.
        ValueError: `nan` is neither word.

    Example:
        >>> SSEEncoder().encode(["two\\nlines", {"n": 1}])
        b'data: two\\ndata: lines\\n\\ndata: {"n":1}\\n\\n'
    """

    content_type: ClassVar[str] = "text/event-stream"
    format: ClassVar[str] = "sse"

    def __init__(self, serialize: Serialize[T] | None = None, *, nan: NaN = "refuse") -> None:
        super().__init__(serialize)
        if nan not in get_args(NaN):
            raise ValueError(f'nan must be "refuse" or "null", not {nan!r}')
        self._nan: NaN = nan
        self._writer: JSONWriter | None = None  # most of the streams that wait for their first event never need one

    def _batch(self, items: Sequence[Any]) -> bytes:
        if len(items) == 1:
            return self._event(items[0])
        for kind in set(map(type, items)):
            if issubclass(kind, ServerSentEvent | str):
                return b"".join(map(self._event, items))
        # Values only: one line each, so that the lines' ends become the events' ends.
        return b"data: " + self._json().lines(items)[:-1].replace(b"\n", b"\n\ndata: ") + b"\n\n"

    def _json(self) -> JSONWriter:
        if self._writer is None:
            self._writer = JSONWriter(nan=self._nan)
        return self._writer

    def _event(self, item: Any) -> bytes:
        if type(item) is str:
            return _text(item)
        if isinstance(item, ServerSentEvent):
            return item._encoded or self._encode(item)
        if isinstance(item, str):
            return _lines(b"data: ", item) + b"\n"
        return b"data: " + self._json().line(item) + b"\n"

    def _encode(self, event: ServerSentEvent) -> bytes:
        head = _head(event)
        if not isinstance(event.data, str):
            return head + b"data: " + self._json().line(event.data) + b"\n"
        encoded = head + _lines(b"data: ", event.data) + b"\n"
        object.__setattr__(event, "_encoded", encoded)
        return encoded

    def _explain(self, item: Any, error: Exception) -> str:
        if isinstance(item, ServerSentEvent) and not isinstance(item.data, str) and not isinstance(error, UnicodeError):
            item = item.data
        return explain_json(item, error)


def _head(event: ServerSentEvent) -> bytes:
    """All lines but those of the data."""
    parts = []
    if event.comment is not None:
        parts.append(_lines(b": ", event.comment))
    if event.event is not None:
        parts.append(b"event: " + str.encode(event.event) + b"\n")
    if event.id is not None:
        parts.append(b"id: " + str.encode(event.id) + b"\n")
    if event.retry is not None:
        parts.append(b"retry: %d\n" % event.retry)
    return b"".join(parts)


_recent: tuple[str, bytes] = ("", b"data: \n\n")


def _text(text: str) -> bytes:
    """The event of a text; the last one is kept, since one text often goes to many streams, one after the other."""
    global _recent
    known, encoded = _recent
    if known is not text:
        encoded = _lines(b"data: ", text) + b"\n"
        _recent = text, encoded
    return encoded


def _lines(prefix: bytes, text: str) -> bytes:
    """Each line of the text behind the prefix, ended by LF."""
    if "\n" not in text and "\r" not in text:
        return prefix + str.encode(text) + b"\n"
    return b"".join([prefix + line.encode() + b"\n" for line in _LINE_END.split(text)])


def _check_name(what: str, text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{what} must be text, not {type(text).__name__}")
    for character in text:
        if unicodedata.category(character) == "Cc":
            raise ValueError(f"{what} must not hold control characters, found {character!a}: they would end its line")
    try:
        str.encode(text)
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} must be Unicode text, found a lone surrogate at {error.start}") from None


def _check_id(text: object) -> None:
    _check_name("id", text)
    assert isinstance(text, str)
    if text.strip(" ") != text:
        raise ValueError(f"id must not start or end with a space, which browsers strip from Last-Event-ID: {text!r}")
    size = len(str.encode(text))
    if size > MAX_ID_BYTES:
        raise ValueError(
            f"id must have at most {MAX_ID_BYTES} bytes of UTF-8, not {size}: it comes back in a request header"
        )


def _check_retry(retry: object) -> None:
    if not isinstance(retry, int) or isinstance(retry, bool):
        raise TypeError(f"retry must be an integer of milliseconds, not {type(retry).__name__}")
    if not 0 <= retry <= MAX_RETRY:
        raise ValueError("retry must be between 0 and 2**63 - 1 milliseconds")

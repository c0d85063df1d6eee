"""Server-sent events, read as the event stream section of the WHATWG HTML standard says, to the letter.

Bytes that are not UTF-8 become U+FFFD, fields that nobody knows are ignored, and an event without its closing empty
line is dropped: the standard knows no errors. The limits, which it leaves to whoever reads, are the only ones here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from rxstream.formats.decoder import Decoder, checked_limit

__all__ = ["ReceivedEvent", "SSEDecoder"]

_MAX_RETRY: Final = 2**63 - 1
_digits: Final = re.compile(rb"[0-9]+")


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event as a browser dispatches it.

    Args:
        data: The lines of data, joined by LF.
        event: Its type.
        id: The last event id at that moment, which the stream may have sent with an earlier event.
        retry: The reconnection time that the stream has asked for up to then, in milliseconds; None: none. Two events
            that differ in that alone are equal.

    Example:
        >>> ReceivedEvent("a\\nb", id="7")
        ReceivedEvent(data='a\\nb', event='message', id='7', retry=None)
    """

    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = field(default=None, compare=False)


class SSEDecoder(Decoder[ReceivedEvent]):
    """Decodes server-sent events.

    Args:
        on_comment: Is called with the text of each comment line, without the colon and a space behind it.
        max_line: Bytes in a line.
        max_data: Bytes in the data of an event.

    Raises:
        TypeError: `on_comment` is not callable, or a limit no `int`.
        ValueError: A limit is below 1.

    Attributes:
        retry: The reconnection time that was sent last, in milliseconds; None: none. Above 63 bits it is cut to that.
        last_event_id: The id that a client sends as `Last-Event-ID` when it reconnects: that of the last event.

    Example:
        >>> SSEDecoder().decode(b"id: 7\\ndata: a\\ndata: b\\n\\n")
        [ReceivedEvent(data='a\\nb', event='message', id='7', retry=None)]
    """

    content_type: ClassVar[str] = "text/event-stream"

    def __init__(
        self,
        *,
        on_comment: Callable[[str], object] | None = None,
        max_line: int = 1 << 20,
        max_data: int = 1 << 24,
    ) -> None:
        super().__init__()
        if on_comment is not None and not callable(on_comment):
            raise TypeError(f"on_comment must be callable or None, not {type(on_comment).__name__}")
        self._on_comment = on_comment
        self._max_line = checked_limit("max_line", max_line)
        self._max_data = checked_limit("max_data", max_data)
        self.retry: int | None = None
        self.last_event_id = ""
        self._rest = bytearray()  # the line that has no end yet, at most `max_line` of it
        self._after_cr = False
        self._line = 0  # lines that are done
        self._data = bytearray()  # with an LF behind each line, at most `max_data` and one more
        self._type = self._id = ""

    def _feed(self, data: bytes, items: list[Any]) -> None:
        if self._after_cr and data:  # a CRLF may be split between two chunks, and its CR has ended the line already
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *lines = data.split(b"\n")
        self._rest += first
        if lines:
            line, self._rest = bytes(self._rest), bytearray(lines.pop())
            for each in (line, *lines):
                self._take(each, items)
        if len(self._rest) > self._max_line:
            raise self._too_long()

    def _close(self, items: list[Any]) -> None:
        self._rest.clear()
        self._data.clear()

    def _take(self, line: bytes, items: list[Any]) -> None:
        """Interprets one line."""
        if len(line) > self._max_line:
            raise self._too_long()
        self._line += 1
        if not line:
            self._dispatch(items)
            return
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            if len(self._data) + len(value) > self._max_data:
                raise self._refusal(
                    f"line {self._line}: the data of an event is longer than max_data={self._max_data} bytes; "
                    "raise max_data"
                )
            self._data += value
            self._data += b"\n"
        elif not name:
            if self._on_comment is not None:
                self._on_comment(value.decode(errors="replace"))
        else:
            self._set(name, value)

    def _set(self, name: bytes, value: bytes) -> None:
        """Takes one of the fields that are not data; the others are ignored."""
        if name == b"event":
            self._type = value.decode(errors="replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode(errors="replace")
        elif name == b"retry" and _digits.fullmatch(value):
            digits = value.lstrip(b"0")  # Python reads no more than 4,300 of them
            self.retry = _MAX_RETRY if len(digits) > 19 else min(int(digits or b"0"), _MAX_RETRY)

    def _dispatch(self, items: list[Any]) -> None:
        self.last_event_id = self._id
        if self._data:
            data = self._data[:-1].decode(errors="replace")
            items.append(ReceivedEvent(data, self._type or "message", self._id, self.retry))
            self._data.clear()
            self.count += 1
        self._type = ""

    def _too_long(self) -> Exception:
        return self._refusal(f"line {self._line + 1} is longer than max_line={self._max_line} bytes; raise max_line")

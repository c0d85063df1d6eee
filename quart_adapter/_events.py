"""What a browser makes of a stream of server-sent events, for tests.

Written from the standard alone and apart from the encoder, so that the two can be held against each other. What may not
come in: leniency. A test that passes here passes in an `EventSource`.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

__all__ = ["Event", "EventParser"]


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event as an `EventSource` dispatches it: `id` is the last event id at that moment."""

    data: str
    event: str = "message"
    id: str = ""


class EventParser:
    """Reads server-sent events from bytes that come in any chunks.

    `retry` is the reconnection time last sent (milliseconds), `comments` are the comment lines so far, heartbeats among
    them. An event without its closing empty line is dropped, as a browser drops it.

    Source: WHATWG HTML 9.2.6.

    Example:
        >>> EventParser().feed(b"id: 7\\ndata: a\\ndata: b\\n\\n")
        [Event(data='a\\nb', event='message', id='7')]
    """

    def __init__(self) -> None:
        self.retry: int | None = None
        self.comments: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._started = self._after_cr = False
        self._id = self._type = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completed."""
        text = self._decoder.decode(chunk)
        if text and not self._started:
            self._started, text = True, text.removeprefix("\ufeff")
        if text and self._after_cr:  # a CRLF may be split between two chunks
            self._after_cr, text = False, text.removeprefix("\n")
        self._after_cr = self._after_cr or text.endswith("\r")
        *lines, self._text = (self._text + text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments.append(value)
        elif name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)
        return None

    def _dispatch(self) -> Event | None:
        data, kind = self._data, self._type
        self._data, self._type = [], ""
        return Event("\n".join(data), kind or "message", self._id) if data else None

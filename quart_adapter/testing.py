"""For the tests of users: a client of a streaming route that reads, stalls or vanishes, in process.

Quart's own test client waits for the end of a body, which an endless stream never reaches, and takes chunks faster
than any network. This one speaks ASGI to the app itself: it takes no more than a small window of bytes that nobody has
read, as a socket does; every wait has a deadline; and leaving the block disconnects. What may not come in: a server, a
socket.

    StreamError         every refusal of this module; an AssertionError, so that a test shows it as its failure
    ├── DeadlineExceeded    what was waited for did not come in time
    ├── BodyEnded           the body ended, cleanly, before what was waited for
    └── BodyCutOff          the body ended without its last message; the app's error is the `__cause__`
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from quart.typing import TestClientProtocol
from werkzeug.datastructures import Headers

from rxstream.formats import ReceivedEvent as Event
from rxstream.formats import SSEDecoder

__all__ = [
    "BodyCutOff",
    "BodyEnded",
    "DeadlineExceeded",
    "Event",
    "EventParser",
    "StreamClient",
    "StreamError",
    "stream",
]

_SHOWN = 1_000  # last bytes of the body that an error shows
_SENDS_TO_NOBODY = 1_000  # chunks; an app that sends more has frozen the event loop, and would never be cancelled


class StreamError(AssertionError):
    """The root of the tree above."""


class DeadlineExceeded(StreamError):
    """What was waited for did not come within the deadline; the message shows what came."""


class BodyEnded(StreamError):
    """The body ended cleanly before what was waited for; the message shows what came."""


class BodyCutOff(StreamError):
    """The body ended without its last message, as a real client would notice; the app's error is the `__cause__`."""


@asynccontextmanager
async def stream(
    client: TestClientProtocol,
    path: str,
    *,
    method: str = "GET",
    headers: Any = None,
    query_string: dict[str, Any] | None = None,
    body: bytes = b"",
    deadline: float = 5.0,
    window: int = 65_536,
    stalled: bool = False,
    wait: bool = True,
) -> AsyncIterator[StreamClient]:
    """Requests a streaming route, and disconnects at the end of the block.

    Args:
        client: Quart's test client; its cookies go along.
        path, method, headers, query_string: As for the test client's `request`.
        body: The body of the request.
        deadline: Seconds that each single wait may take.
        window: Bytes that the app may be ahead of the reader. Its send waits beyond that.
        stalled: Begin with `stall()`: status and headers come, the first chunk waits for `resume()`.
        wait: Enter the block when the response has started. `False` enters at once, for a client that vanishes before.

    Raises:
        DeadlineExceeded: The response did not start in time; or the app still ran after the disconnect, and was then
            cancelled.
        Exception: An error of the app after the response had started, which the block has not seen, in `failed` or as a
            `BodyCutOff`. An error of the block itself goes first.

    On cancel the app's call is cancelled and awaited.

    Example:
        async with stream(app.test_client(), "/events") as s:
            assert s.status == 200
            first, second = await s.events(2)
    """
    if not deadline > 0 or window < 1:
        raise ValueError(f"deadline must be above 0 and window at least 1, got {deadline!r} and {window!r}")
    connection: Any = client.request(path, method=method, headers=headers, query_string=query_string)
    opened = StreamClient(
        connection.app, connection.scope, body=body, deadline=deadline, window=window, stalled=stalled
    )
    try:
        if wait:
            await opened.started()
        yield opened
    except BaseException:
        with suppress(Exception):
            await opened.leave()
        raise
    await opened.leave()


class EventParser:
    """Reads server-sent events from bytes that come in any chunks, as a browser does.

    `retry` is the reconnection time last sent (milliseconds), `comments` are the comment lines so far, heartbeats among
    them. An event without its closing empty line is dropped. Bad UTF-8 and unknown fields are no errors, as the
    standard says; a line over 1 MiB, or data over 16 MiB, is a `DecodeError`.

    Source: WHATWG HTML 9.2.6.

    Example:
        >>> [event.data for event in EventParser().feed(b"id: 7\\ndata: a\\ndata: b\\n\\n")]
        ['a\\nb']
    """

    def __init__(self) -> None:
        self.comments: list[str] = []
        self._decoder = SSEDecoder(on_comment=self.comments.append)

    @property
    def retry(self) -> int | None:
        """The reconnection time last sent, in milliseconds."""
        return self._decoder.retry

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completed."""
        events = self._decoder.decode(chunk)
        if self._decoder.failure is not None:
            raise self._decoder.failure
        return events


class StreamClient:
    """One request and its body as it comes; made by `stream()`. Read one body in one way: as events, rows or bytes.

    Every method that waits raises `DeadlineExceeded` when its deadline has passed; every reader raises `BodyEnded` or
    `BodyCutOff` when the body ends too early. The messages show what came. `received` counts the bytes of the body;
    `parser` is the one behind `events()`, for `parser.retry` and `parser.comments`.
    """

    def __init__(self, app: Any, scope: Any, *, body: bytes, deadline: float, window: int, stalled: bool) -> None:
        self.status: int | None = None
        self.headers = Headers()
        self.parser = EventParser()
        self.received = self._dropped = 0
        self._deadline, self._window, self._stalled = deadline, window, stalled
        self._unread, self._last = bytearray(), bytearray()
        self._events: list[Event] = []
        self._complete = self._gone = self._seen = False
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(4)  # the request, its end, a disconnect
        self._inbox.put_nowait({"type": "http.request", "body": body, "more_body": False})
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._call = asyncio.ensure_future(app(scope, self._inbox.get, self._send))
        self._call.add_done_callback(lambda _: self._news.set())

    @property
    def failed(self) -> BaseException | None:
        """Why the body was cut off: the app's error, or a `BodyCutOff` where it ended in silence; otherwise `None`.

        It is known once the app is done: `await closed()` first. An error that was looked at is not raised at the end
        of the block.
        """
        if not self._call.done():
            return None
        self._seen = True
        if (error := self._error()) is not None or self._complete or self._gone:
            return error
        return BodyCutOff(self._report("the body ended without its last message"))

    async def events(self, count: int | None = None) -> list[Event]:
        """The next `count` server-sent events; all, to the clean end of the body, when no count is given."""

        def enough() -> bool:
            self._events += self.parser.feed(self._take(len(self._unread)))
            return self._complete if count is None else len(self._events) >= count

        await self._until(enough, f"{'all' if count is None else count} events", lambda: self._events)
        taken, self._events = self._events[:count], self._events[count:] if count is not None else []
        return taken

    async def rows(self, count: int | None = None) -> list[Any]:
        """The next `count` rows of NDJSON, decoded; all, to the clean end of the body, when no count is given."""
        rows: list[Any] = []

        def enough() -> bool:
            while len(rows) != count and (line := self._line()) is not None:
                if line.strip():
                    rows.append(_decoded(line))
            return self._complete if count is None else len(rows) >= count

        await self._until(enough, f"{'all' if count is None else count} rows", lambda: rows)
        return rows

    async def read(self, size: int) -> bytes:
        """The next `size` bytes of the body."""
        taken = bytearray()

        def enough() -> bool:
            taken.extend(self._take(size - len(taken)))
            return len(taken) >= size

        await self._until(enough, f"{size} bytes", lambda: bytes(taken[-_SHOWN:]))
        return bytes(taken)

    async def body(self) -> bytes:
        """The rest of the body, to its clean end."""
        taken = bytearray()

        def enough() -> bool:
            taken.extend(self._take(len(self._unread)))
            return self._complete

        await self._until(enough, "the end of the body", lambda: bytes(taken[-_SHOWN:]))
        return bytes(taken)

    async def started(self) -> None:
        """Waits for the status and the headers."""
        await self._until(lambda: self.status is not None, "the response's start", lambda: self.status)

    async def closed(self) -> None:
        """Waits until the app is done with the request, whichever way; its cleanup has run then."""
        await self._until(self._call.done, "the end of the app's call", lambda: self._call, alive=True)

    def stall(self) -> None:
        """Takes nothing from now on: the app's next send waits for `resume()` or `disconnect()`."""
        self._stalled = True

    def resume(self) -> None:
        """Takes from the app again."""
        self._stalled = False
        self._room.set()

    async def disconnect(self) -> None:
        """Vanishes, as a client that closes its connection, and waits until the app is done with the request."""
        self._gone = True
        self._inbox.put_nowait({"type": "http.disconnect"})
        self._room.set()
        await self.closed()

    async def leave(self) -> None:
        """Disconnects, and raises an error of the app that nobody has seen; `stream()` calls it."""
        try:
            await self.disconnect()
        finally:
            self._call.cancel()
            await asyncio.wait([self._call], timeout=self._deadline)
        if not self._seen and (error := self._error()) is not None:
            raise error

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            for name, value in message.get("headers", ()):
                self.headers.add(name.decode("latin-1"), value.decode(errors="replace"))
        elif message["type"] == "http.response.body":
            await self._wait_for_room()
            if self._gone:
                self._drop()
            else:
                self._keep(message.get("body", b""), last=not message.get("more_body", False))
        self._news.set()

    async def _wait_for_room(self) -> None:
        while not self._gone and (self._stalled or len(self._unread) >= self._window):
            self._room.clear()
            await self._room.wait()

    def _drop(self) -> None:
        """A server takes what is sent to a client that has gone, and a body that never suspends goes on for ever."""
        self._dropped += 1
        if self._dropped > _SENDS_TO_NOBODY:
            raise StreamError(self._report(f"{self._dropped} chunks came after the disconnect; yield to the loop"))

    def _keep(self, data: bytes, *, last: bool) -> None:
        self.received += len(data)
        self._unread += data
        self._last = (self._last + data)[-_SHOWN:]
        self._complete = last
        if last:
            self._inbox.put_nowait({"type": "http.disconnect"})

    def _take(self, size: int) -> bytes:
        data = bytes(self._unread[:size])
        del self._unread[:size]
        self._room.set()
        return data

    def _line(self) -> bytes | None:
        end = self._unread.find(b"\n") + 1
        if not end and self._complete:
            end = len(self._unread)
        return self._take(end) if end else None

    async def _until(
        self, enough: Callable[[], bool], what: str, so_far: Callable[[], object], *, alive: bool = False
    ) -> None:
        try:
            async with asyncio.timeout(self._deadline):
                while not enough():
                    if not alive:
                        self._check_alive(what, so_far)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise DeadlineExceeded(self._report(f"{what} did not come within {self._deadline} s", so_far())) from None

    def _check_alive(self, what: str, so_far: Callable[[], object]) -> None:
        if self._complete:
            raise BodyEnded(self._report(f"the body ended before {what}", so_far()))
        if self._call.done():
            self._seen = True
            why = "this client disconnected" if self._gone else "the body was cut off"
            raise BodyCutOff(self._report(f"{why} before {what}", so_far())) from self._error()

    def _error(self) -> BaseException | None:
        error = None if not self._call.done() or self._call.cancelled() else self._call.exception()
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:  # Quart 0.23 has a task group
            error = error.exceptions[0]
        return error

    def _report(self, trouble: str, so_far: object = None) -> str:
        came = "" if so_far is None else f"; so far: {so_far!r}"
        last = f"{self.received} bytes of body, the last of them {bytes(self._last)!r}" if self.received else "no body"
        return f"{trouble}{came} (status {self.status}, {last})"


def _decoded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise StreamError(f"a row is not JSON ({error}): {line!r}") from error

"""A request body that is read no faster than it is used.

Quart reads a body as fast as the client sends it. Here the server is asked for more only while the body has room, so
that the client feels a slow consumer. The app's `request_class` is the public place for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from math import inf
from typing import Any, ClassVar, Final, Literal

from quart import Request
from quart.wrappers.request import Body
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from quart_adapter._waiting import IdleTimer, Signal
from quart_adapter.errors import UploadError
from quart_adapter.limits import BodyLimits
from quart_adapter.peer import Peer
from rxstream.errors import RxStreamError

__all__ = ["CHUNK", "MESSAGE", "BoundedBody", "bounded_request"]

CHUNK: Final = 65536
"""Bytes of the largest chunk that a reader is given."""

PROBE: Final = 1.0
"""Seconds between two looks for a client that may have gone while the server does not read from it."""

SMALL: Final = 4096
"""Bytes below which messages are joined as they come: a client may send a byte at a time."""

MESSAGE: Final = 512 * 1024
"""Bytes of the largest piece that a parser is given: what servers deliver at once is taken as it is, uncopied."""

Mode = Literal["pause", "collect", "late", "discard"]


class BoundedBody(Body):
    """A body that pauses its client.

    `append` is Quart's entrance; `put` is the one that waits for room. The mode says what room means:

    - `pause`: at most `limits.buffer` bytes are kept for the reader, the client waits.
    - `collect`: somebody awaits the whole body (`get_data`, `form`, `json`): all is kept, up to the content limit.
    - `late`: the response has begun and nobody reads: `limits.buffer` bytes are kept, the rest is dropped.
    - `discard`: the response is complete: all is dropped. Servers wait for a body that nobody takes.

    Attributes:
        received: Bytes that came, read or not.
        whole: Whether the client has sent all of it.
        gone: Whether the client has closed the connection, or given the request up.
        limit: The most bytes that it may have; None for any number.
    """

    limits: ClassVar[BodyLimits] = BodyLimits()

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        super().__init__(None, None)  # the limit is looked at when somebody reads: a route may set its own first
        self.expected = expected_content_length
        self.limit = max_content_length
        self.received = 0
        self.whole = self.gone = False
        self.find_peer: Callable[[], Peer | None] | None = None
        self.on_gone: Callable[[], object] | None = None
        self._peer: asyncio.Future[Peer | None] | None = None
        self._chunks: list[bytes | bytearray] = []  # bounded as the mode says; most requests have no body
        self._offset = 0  # bytes of the first chunk that are read
        self._size = 0
        self._mode: Mode = "pause"
        self._reading = False
        self._arrived = Signal()
        self._room = Signal()
        self._idle: IdleTimer | None = None
        self._taken_at = 0.0
        self._waited = 0.0  # seconds that readers waited for the client, and the bytes that came, in this rate window
        self._came = 0

    # -- the server's side

    async def put(self, data: bytes) -> None:
        """Takes bytes once there is room; one message may go over it, since a message cannot be split over waits."""
        if self._peer is not None and not self.received:
            await asyncio.shield(self._peer)
        if self._full:
            await self._wait_for_room()
        self.append(data)

    def append(self, data: bytes) -> None:
        """Takes bytes, room or not."""
        if not data:
            return
        self.received += len(data)
        self._arrived.set()
        if self._must_raise is not None or self._mode == "discard":
            return
        if self._mode == "collect" and self._too_large():
            self._fail(RequestEntityTooLarge())
        elif self._mode == "late" and self._size + len(data) > self.limits.buffer:
            self._fail(RxStreamError("the body was not read before the response began, and is too large to keep"))
        else:
            self._keep(data)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        last = self._chunks[-1] if self._chunks else None
        if len(data) >= SMALL:
            self._chunks.append(bytes(data))
        elif isinstance(last, bytearray) and len(last) < CHUNK:
            last += data
        else:
            self._chunks.append(bytearray(data))

    def set_complete(self) -> None:
        """The last bytes came."""
        self.whole = True
        self._over()

    def set_result(self, data: bytes) -> None:
        """Takes a body at once: for Quart's `test_request_context`."""
        self.append(data)
        self.set_complete()

    def disconnect(self) -> None:
        """The client has gone."""
        self.gone = True
        if not self._complete.is_set():
            self._fail(ClientDisconnected())
        self._over()

    @property
    def _full(self) -> bool:
        return self._mode == "pause" and self._size >= self.limits.buffer and self._must_raise is None

    async def _wait_for_room(self) -> None:
        time, stall = asyncio.get_running_loop().time, self.limits.stall_timeout or inf
        began = time()
        peer = await asyncio.shield(self._peer or self._look_for_peer())
        while self._full:
            left = max(began, self._taken_at) + stall - time()
            if left <= 0:
                self._fail(UploadError(408, "upload_timeout", "nobody took the body's bytes in time"))
                return
            try:
                async with asyncio.timeout(None if (tick := min(PROBE if peer else inf, left)) == inf else tick):
                    await self._room.wait()
            except TimeoutError:
                if peer is not None and await asyncio.to_thread(peer.gone):
                    self.disconnect()
                    if self.on_gone is not None:
                        self.on_gone()

    def begin(self) -> None:
        """The body of a request that has one begins.

        If it may be paused, the client's end of the connection is looked up before anything of it is handed on: later,
        one that has gone could not be told from one that cannot be seen.
        """
        if self.expected is None or self.expected > self.limits.buffer:
            self._look_for_peer()

    def _look_for_peer(self) -> asyncio.Future[Peer | None]:
        loop = asyncio.get_running_loop()
        if self.find_peer is None:
            self._peer = loop.create_future()
            self._peer.set_result(None)
        else:
            self._peer = loop.run_in_executor(None, self.find_peer)
        return self._peer

    def _fail(self, error: Exception) -> None:
        self._must_raise = error
        self._drop()
        self._over()
        self._room.set()

    def _over(self) -> None:
        self._complete.set()
        self._arrived.set()
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._idle is not None:
            self._idle.stop()

    def _drop(self) -> None:
        self._chunks.clear()
        self._size = self._offset = 0

    def _too_large(self) -> bool:
        # What was received counts, and not, as in Quart, what happens to be unread.
        return self.limit is not None and max(self.received, self.expected or 0) > self.limit

    # -- the response's side

    def response_started(self) -> None:
        """The first bytes of the response are sent."""
        if self._mode == "pause" and not self._reading:
            self._mode = "late"
            self._room.set()

    def discard(self) -> None:
        """The response is complete; what was awaited as a whole stays."""
        if self._mode != "collect":
            if self._must_raise is None and (self._chunks or not self._complete.is_set()):
                self._must_raise = RxStreamError("the request is answered, what was left of its body is dropped")
                self._arrived.set()
            self._drop()
        self._mode = "discard"
        self._room.set()
        self._stop_timer()

    async def read_on(self, size: int, seconds: float) -> None:
        """Waits until all of it has come, dropped or kept, but for no more than so many bytes and seconds."""
        most = self.received + size
        try:
            async with asyncio.timeout(seconds):
                while not (self.whole or self.gone) and self.received < most:
                    await self._arrived.wait()
        except TimeoutError:
            pass  # the caller looks at `whole`

    # -- the reader's side

    async def __anext__(self) -> bytes:
        if data := await self.read(CHUNK):
            return data
        raise StopAsyncIteration

    async def read(self, size: int) -> bytes:
        """Waits for the next bytes, at most so many; none at the end. May be cancelled: nothing is lost."""
        self._reading = True
        self._check()
        while not self._chunks:
            if self._complete.is_set():
                return b""
            await self._wait_for_data()
            self._check()
        data = self._take(size)
        if self._size < self.limits.buffer:
            self._room.set()
        return data

    def _check(self) -> None:
        if self._must_raise is None and self._too_large():
            self._fail(RequestEntityTooLarge())
        if self._must_raise is not None:
            raise self._must_raise

    async def _wait_for_data(self) -> None:
        time = asyncio.get_running_loop().time
        if self._idle is None and self.limits.idle_timeout is not None:
            self._idle = IdleTimer(self.limits.idle_timeout, self._idled)
        began = time()
        if self._idle is None:
            await self._arrived.wait()
        else:
            with self._idle.since(began):
                await self._arrived.wait()
        self._waited += time() - began
        if self._waited >= self.limits.rate_window and not self._complete.is_set():
            self._look_at_the_rate()

    def _idled(self) -> None:
        self._fail(UploadError(408, "upload_timeout", "the client sent nothing for too long"))

    def _look_at_the_rate(self) -> None:
        if self.received - self._came < (self.limits.min_rate or 0) * self._waited:
            self._fail(UploadError(408, "upload_timeout", "the client sent too slowly"))
        self._waited, self._came = 0.0, self.received

    def _take(self, most: int) -> bytes:
        """Joins small chunks and cuts large ones."""
        self._taken_at = asyncio.get_running_loop().time()
        head = self._chunks[0]
        if not self._offset and len(head) <= most and (len(head) >= SMALL or len(self._chunks) == 1):
            del self._chunks[0]
            self._size -= len(head)
            return bytes(head)
        parts: list[bytes | bytearray] = []
        size = 0
        while self._chunks and size < most:
            head = self._chunks[0]
            part = head[self._offset : self._offset + most - size]
            parts.append(part)
            size += len(part)
            self._offset += len(part)
            if self._offset == len(head):
                del self._chunks[0]
                self._offset = 0
        self._size -= size
        return b"".join(parts)

    def __await__(self) -> Generator[Any, None, bytes]:
        self._check()
        if self._mode in ("pause", "late"):
            self._mode = "collect"
            self._room.set()
        yield from self._complete.wait().__await__()
        self._check()
        data = b"".join(self._chunks)[self._offset :]
        self._offset = 0
        self._chunks = [data] if data else []
        return data

    def clear(self) -> None:
        """Forgets what was awaited: for `get_data(cache=False)`."""
        self._drop()


def bounded_request(request_class: type[Request], limits: BodyLimits) -> type[Request]:
    """A request class whose bodies are bounded, and whose `max_content_length` holds once it is set."""
    body = type("BoundedBody", (BoundedBody,), {"limits": limits})

    class BoundedRequest(request_class):  # type: ignore[misc, valid-type]
        body_class = body

        @property
        def max_content_length(self) -> int | None:
            """The most bytes that the body may have; a route may set it before it reads."""
            length: int | None = super().max_content_length
            return length

        @max_content_length.setter
        def max_content_length(self, value: int | None) -> None:
            self._max_content_length = value
            if isinstance(self.body, BoundedBody):
                self.body.limit = value

    return BoundedRequest

"""The body of a streamed response: batches of items from a boundary, as chunks for the server.

Here is what a stream needs between its buffer and the socket: heartbeats while it is idle, turns for the other tasks
of the loop, a deadline for clients that stall, an end when the server stops, and a failure that the client can see.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextvars import copy_context
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from quart.wrappers.response import ResponseBody
from werkzeug.exceptions import ServiceUnavailable

from quart_adapter._ways_out import Abandon, cut_off, let_go, soon
from quart_adapter.connection import request_task
from quart_adapter.errors import StreamCutOff, as_response
from quart_adapter.info import StreamInfo
from rxstream.async_boundary import AsyncBoundary
from rxstream.errors import RxStreamError
from rxstream.formats import Encoder

if TYPE_CHECKING:
    from types import TracebackType

    from quart_adapter.extension import RxStream
    from rxstream.metrics import StreamProbe

__all__ = ["StreamBody"]

logger = logging.getLogger("quart_adapter")

CHUNK: Final = 65536
"""Bytes at which a chunk is large enough: what is ready is joined up to about here, nothing is waited for."""

TURN_CHUNKS: Final = 16
TURN_SECONDS: Final = 0.005
"""A body gives the loop a turn after so many chunks or so long: `send()` to a fast client, or one that has gone, never
suspends, and a body that never does could neither be cancelled nor leave room for others."""

SIT_OUT: Final = 4
"""Turns of the loop that a body lets pass after a chunk, before it waits for more. On an idle loop that is no time; on
a busy one, where a turn is long, events that come one by one are joined, and a chunk costs far more than an event."""

HEARTBEAT: Final = b":\n\n"

_NOTHING: Final[Iterator[bytes]] = iter(())


class StreamBody(ResponseBody):
    """Owns a boundary from `prepare` on, and disposes it on every way out; also if the response is never sent.

    Args:
        boundary: The stream.
        encoder: Turns its items into bytes; the only place that knows the format.
        streams: The app's settings and its live streams.
        name: What it is called where streams are looked at.
        probe: Where it is counted.
        head: Bytes that go out at once.
        heartbeat: Seconds of silence after which a comment is sent; None for a format that has none.
        on_error: Turns a failure into the stream's last bytes; None: the response is cut off.
    """

    __slots__ = (  # there are thousands of them
        "_active",
        "_boundary",
        "_bytes",
        "_chunks",
        "_context",
        "_cut",
        "_encoder",
        "_head",
        "_heartbeat",
        "_loop",
        "_name",
        "_on_error",
        "_opened",
        "_over",
        "_pending",
        "_probe",
        "_run",
        "_run_began",
        "_sending",
        "_since",
        "_stopping",
        "_streams",
        "_stride",
        "_task",
        "_timer",
    )

    def __init__(
        self,
        boundary: AsyncBoundary[Any],
        encoder: Encoder[Any],
        streams: RxStream,
        *,
        name: str | None = None,
        probe: StreamProbe | None = None,
        head: bytes = b"",
        heartbeat: float | None = None,
        on_error: Callable[[Exception], bytes] | None = None,
    ) -> None:
        self._boundary = boundary  # first: `__del__` needs them, whatever fails below
        self._probe = probe
        self._loop = asyncio.get_running_loop()
        self._encoder = encoder
        self._streams = streams
        self._name = name
        self._head = head
        self._heartbeat = heartbeat
        self._on_error = on_error
        self._chunks: AsyncGenerator[bytes, None] | None = None
        self._pending = _NOTHING  # chunks of the batch that is being sent
        self._stride = 1  # items that make a chunk, learned from the last one
        self._over = False
        self._context = copy_context()
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._opened = self._since = self._loop.time()  # when the last chunk was handed over
        self._sending = False
        self._active = False  # whether the task is in here, and not in the handler's code
        self._bytes = 0
        self._run = 0  # chunks since other tasks last had a turn
        self._run_began = self._since
        self._stopping = False
        self._cut: StreamCutOff | None = None

    # -- before the response

    async def prepare(self, *, wait: bool) -> None:
        """Subscribes. With `wait`, not before the first item, or the end, is there: a failure until then is the
        handler's, and so has a status. Without, only a failure that comes at once is."""
        self._streams.opened(self)
        if self._probe is not None:
            self._probe.open().watch(self._boundary.buffer)
        if (task := request_task() or self._task) is not None:
            # The end of the request is the stream's.
            task.add_done_callback(Abandon(ref(self)), context=self._context)
        self._active = True
        try:
            await self._boundary.open()
            if wait:
                if not await self._boundary.ready():
                    raise ServiceUnavailable("the server stops")
                self._head += b"".join(self._encoded(self._boundary.buffer.take(1)))
            else:
                for _ in range(3):  # turns of the loop in which a source that fails at once has failed
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._uncancelled():  # by `stop`, out of a source that takes long to be subscribed to
                raise ServiceUnavailable("the server stops") from None
            raise
        finally:
            self._active = False
        failure: Exception | None = self._encoder.failure
        if self._encoder.count == len(self._boundary.buffer) == 0:
            failure = failure or self._boundary.error
        if failure is not None:
            self._note_failure(failure)
            raise as_response(failure)

    # -- the response

    async def __aenter__(self) -> StreamBody:
        if self._cut is not None and self._on_error is None:
            self.abandon()
            raise self._cut
        self._task = asyncio.current_task()
        self._active = True
        self._since = self._loop.time()
        self._watch()
        return self

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        if self._chunks is not None:
            raise RuntimeError("the body of a streamed response can be read once")
        self._chunks = self._produce()
        return self._chunks

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._active = False
        await self.aclose()
        if isinstance(error, asyncio.CancelledError) and self._uncancelled():
            assert self._cut is not None
            raise self._cut  # servers take a plain exception for what it is: the client sees a failure

    async def aclose(self) -> None:
        """Ends the subscription, and waits for the source's cleanup. Any number of times."""
        self.abandon()
        if self._chunks is not None:
            await self._chunks.aclose()
        await self._boundary.aclose()

    def abandon(self) -> None:
        """Ends the subscription. Any number of times."""
        self._streams.closed(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._boundary.disconnect()
        if self._probe is not None:
            self._probe.close()

    def __del__(self) -> None:
        if self._boundary.connected and not self._boundary.buffer.disposed:
            soon(self._loop, partial(let_go, self._boundary, self._probe), self._context)

    def stop(self, grace: float) -> None:
        """The server stops: an event stream ends well, now; another format has `grace` seconds before it is cut."""
        self._stopping = True
        self._boundary.poke()
        self._loop.call_later(grace, cut_off, ref(self), "the server stopped")

    def info(self) -> StreamInfo:
        """The stream at this moment."""
        return StreamInfo(
            self._name,
            self._encoder.format,
            self._loop.time() - self._opened,
            self._encoder.count,
            self._bytes,
            self._boundary.buffer.statistics(),
        )

    # -- chunks

    async def _produce(self) -> AsyncGenerator[bytes, None]:
        chunk = self._head or await self._next()
        while chunk is not None:
            self._since = now = self._loop.time()
            self._sending = True
            self._bytes += len(chunk)
            if (probe := self._probe) is not None:
                probe.elements, probe.bytes = self._encoder.count, self._bytes
                if probe.first is None:
                    probe.begun()
            yield chunk
            self._sending = False  # being asked for the next chunk is how one learns that the last one is sent
            self._run += 1
            if self._run >= TURN_CHUNKS or now - self._run_began >= TURN_SECONDS:
                await asyncio.sleep(0)
                self._turn()
            chunk = next(self._pending, None) or await self._next()
        if self._over and self._probe is not None and not self._ends_now:
            self._probe.completed()

    async def _next(self) -> bytes | None:
        """The first chunk of the next batch, a heartbeat, or the last chunk; None: there is no more."""
        boundary = self._boundary
        try:
            while not self._over:
                if self._encoder.failure is not None:
                    raise self._encoder.failure
                if self._ends_now:
                    boundary.finish()  # what has come is still sent
                if not (boundary.buffer.items or boundary.ended):
                    await self._sit_out()
                    stirred = not self._ends_now and await boundary.ready()
                    self._turn()
                    if not stirred:
                        if self._heartbeat and not self._stopping:
                            return HEARTBEAT
                        continue
                ended = boundary.ended  # before the look into the buffer: items come before the end
                if batch := boundary.buffer.take(self._limit):
                    self._pending = self._encoded(batch)
                    if chunk := next(self._pending, None):
                        return await self._filled_up(chunk)
                elif ended:
                    return self._last()
        except Exception as error:
            return self._failed(error)
        return None

    @property
    def _ends_now(self) -> bool:
        return self._stopping and self._on_error is not None

    @property
    def _limit(self) -> int | None:
        """Items that are taken at once: what may yet be dropped stays in the buffer until it is a chunk's turn."""
        return None if self._boundary.buffer.config.strategy == "suspend" else self._stride

    def _sit_out(self) -> asyncio.Future[None]:
        """What to await until the turns have passed: no coroutine, since to resume one costs far more than a look."""
        buffer = self._boundary.buffer
        buffer.settle(buffer.config.capacity)  # all is sent: the source may go on
        over: asyncio.Future[None] = self._loop.create_future()
        self._let_pass(SIT_OUT - 1, over)  # and the one in which the awaiter is woken
        return over

    def _let_pass(self, turns: int, over: asyncio.Future[None]) -> None:
        buffer = self._boundary.buffer
        if over.done():  # cancelled
            return
        if turns == 0 or self._boundary.ended or 2 * len(buffer.items) >= buffer.config.capacity:
            over.set_result(None)
        else:
            self._loop.call_soon(self._let_pass, turns - 1, over, context=self._context)

    async def _filled_up(self, chunk: bytes) -> bytes:
        """A chunk with what a source that waits has ready within a turn of the loop, up to about `CHUNK` bytes: to send
        one costs as much as hundreds of rows."""
        buffer = self._boundary.buffer
        if buffer.config.strategy != "suspend":  # what may yet be dropped is not to be bytes before its time
            return chunk
        chunks, size = [chunk], len(chunk)
        while size + len(chunk) <= CHUNK:
            if (following := next(self._pending, None)) is None:
                if self._encoder.failure is not None:
                    break
                if not (buffer.items or self._boundary.ended):
                    buffer.settle(buffer.config.capacity)
                    await asyncio.sleep(0)
                if not (batch := buffer.take()):
                    break
                self._pending = self._encoded(batch)
                following = next(self._pending, b"")
            chunk = following
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)

    def _encoded(self, items: Sequence[Any]) -> Iterator[bytes]:
        """Chunks of about `CHUNK` bytes; up to the item that fails."""
        start = 0
        while start < len(items) and self._encoder.failure is None:
            part = items[start : start + self._stride]
            start += len(part)
            chunk = self._context.run(self._encoder.encode, part)  # `serialize` is the handler's, and may use `request`
            if chunk:
                self._stride = max(1, min(4096, CHUNK * len(part) // len(chunk)))
                yield from (chunk,) if len(chunk) <= 2 * CHUNK else _slices(chunk)
            if start < len(items):
                self._boundary.buffer.settle(len(part))  # sent: the source may go on while the next part is

    def _last(self) -> bytes | None:
        self._over = True
        if self._boundary.buffer.disposed:  # or a part would look like the whole
            raise StreamCutOff("the stream was closed before it was sent")
        if self._boundary.error is not None:
            raise self._boundary.error
        return self._encoder.finish() or None

    def _failed(self, error: Exception) -> bytes | None:
        self._over = True
        self._note_failure(error)
        if self._on_error is not None:
            logger.error("an event stream failed", exc_info=error)
            return self._context.run(self._on_error, error) or None
        if isinstance(error, TimeoutError):  # Quart would take it for its own, and end in silence
            raise RxStreamError(f"the stream timed out: {error}") from error
        raise error

    def _note_failure(self, error: Exception) -> None:
        if self._probe is not None:
            self._probe.failed(error)

    # -- time

    def _turn(self) -> None:
        self._run, self._run_began = 0, self._loop.time()

    def _watch(self) -> None:
        """One timer for a stream: it looks at what the stream is at, and for how long."""
        limits = self._streams.send_timeout or inf, self._heartbeat or inf
        limit = limits[0] if self._sending else limits[1]
        left = self._since + limit - self._loop.time()
        if left <= 0:
            if self._sending:
                self.cut_off(f"the client took nothing for {limit} s")
                return
            self._boundary.poke()
            left = limit
        again = min(left, *limits)  # by then it may be at the other
        if again < inf:
            self._timer = self._loop.call_later(again, self._watch)

    def cut_off(self, reason: str) -> None:
        """Ends the response as a failure: now if it is being sent, else as soon as it would be."""
        if self._task is not None and not self._task.done() and self._streams.has(self):
            self._cut = StreamCutOff(reason)
            if self._active:  # or the task is in the handler's own code, which is none of ours
                self._task.cancel()

    def _uncancelled(self) -> bool:
        """Takes a cancellation back that was ours, out of a wait that had no other end."""
        if self._cut is None or self._task is None:
            return False
        self._task.uncancel()
        return True


def _slices(chunk: bytes) -> Iterator[bytes]:
    """A large item in pieces: a client is given its deadline for each."""
    return (chunk[start : start + CHUNK] for start in range(0, len(chunk), CHUNK))

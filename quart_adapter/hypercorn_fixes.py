"""Three faults of Hypercorn that cannot be mended from outside: opt-in wraps of its functions, for the whole process.

Nothing here runs unless `RxStream(patch_hypercorn=True)` asks for it. Each wrap looks for the fault first, and stays
away where the library has another shape.
"""

from __future__ import annotations

import importlib
import importlib.util
import signal
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["apply", "forget", "on_shutdown"]

_applied = False
_callbacks: list[Callable[[], object]] = []


def apply() -> None:
    """Wraps Hypercorn's functions, once; does nothing where Hypercorn is not installed."""
    global _applied
    if _applied or importlib.util.find_spec("hypercorn") is None:
        return
    _applied = True
    _reset_failed_streams()
    _wait_for_windows()
    _announce_shutdown()


def on_shutdown(callback: Callable[[], object]) -> None:
    """Has a callback called when a worker process is told to stop."""
    if _applied:
        _callbacks.append(callback)


def forget(callback: Callable[[], object]) -> None:
    """Takes a callback back."""
    if callback in _callbacks:
        _callbacks.remove(callback)


def _reset_failed_streams() -> None:
    """An app that fails amid an HTTP/2 response leaves the stream open, and the client waits for ever."""
    import h2.errors
    import h2.exceptions
    from hypercorn.protocol.events import StreamClosed
    from hypercorn.protocol.h2 import H2Protocol

    stream_send = H2Protocol.stream_send

    async def send_or_reset(self: Any, event: Any) -> None:
        if isinstance(event, StreamClosed):
            buffer = self.stream_buffers.get(event.stream_id)
            if buffer is not None and not buffer._complete:  # the app ended without its last body message
                try:
                    self.connection.reset_stream(event.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
                except h2.exceptions.ProtocolError:
                    pass  # the client has closed the stream, or the connection, already
                else:
                    await buffer.close()
                    await self._flush()
        await stream_send(self, event)

    H2Protocol.stream_send = send_or_reset  # type: ignore[method-assign]


def _wait_for_windows() -> None:
    """A buffer wakes its producer whenever a small piece was popped, an empty one included: with a closed window the
    whole response ends up in memory. It is to be woken when little is left."""
    from hypercorn.protocol import h2

    low_water = h2.BUFFER_LOW_WATER

    async def pop(self: Any, max_length: int) -> bytes:
        length = min(len(self.buffer), max_length)
        data = bytes(self.buffer[:length])
        del self.buffer[:length]
        if len(self.buffer) < low_water:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data

    h2.StreamBuffer.pop = pop  # type: ignore[method-assign]


def _announce_shutdown() -> None:
    """A worker process is told to stop by its parent, which then kills the others as soon as one has stopped; and its
    app's shutdown comes after its streams have ended."""
    run: Any = importlib.import_module("hypercorn.asyncio.run")  # it imports the name, and is where it is looked up
    check = run.check_multiprocess_shutdown_event

    async def check_and_tell(shutdown_event: Any, sleep: Callable[[float], Awaitable[Any]]) -> None:
        await check(_Told(shutdown_event), sleep)
        for callback in list(_callbacks):
            callback()

    run.check_multiprocess_shutdown_event = check_and_tell


class _Told:
    """Whether a worker process is to stop: its parent has said so, or SIGTERM has come; a second one kills it."""

    def __init__(self, shutdown_event: Any) -> None:
        self._shutdown_event = shutdown_event
        self._terminated = False
        signal.signal(signal.SIGTERM, self._terminate)

    def _terminate(self, number: int, frame: object) -> None:
        self._terminated = True
        signal.signal(number, signal.SIG_DFL)

    def is_set(self) -> bool:
        """What Hypercorn asks several times a second."""
        return self._terminated or bool(self._shutdown_event.is_set())

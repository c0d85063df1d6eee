"""The pull side of a boundary for one task of an event loop: batches, and waiting for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from reactivex import Observable

from rxstream.boundary import Boundary
from rxstream.buffer_config import BufferConfig
from rxstream.demand import DemandScheduler
from rxstream.loops import call_on
from rxstream.machine import machine_of

__all__ = ["AsyncBoundary"]

T = TypeVar("T")
logger = logging.getLogger("rxstream")

BEGINNING: Final = 0.2
"""Seconds that an operator amid a pipe waits for its source to be subscribed to on a worker: far longer than it takes,
but where the source's `subscribe` itself blocks. The event loop stands still meanwhile."""


class _Begun:
    """Makes a thread wait for the first that happens: as far as it is needed, a future."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        lock.acquire()

    def wait(self, seconds: float) -> bool:
        """Whether it happened in time."""
        happened: bool = self._lock.acquire(timeout=seconds)
        return happened

    def done(self) -> bool:
        """Whoever waits here leaves by himself."""
        return False

    def set_result(self, result: bool) -> None:
        """It has happened, perhaps twice at a time."""
        with suppress(RuntimeError):
            self._lock.release()


class AsyncBoundary(Boundary[T]):
    """A boundary that one task of one event loop pulls from, a batch at a time.

    The lean engine below `AsyncStream` and HTTP bodies: every subscription on every connection is one of these.

    Args:
        source, config, on_dropped: As for a `Boundary`.

    Attributes:
        when_open: Is called once it has subscribed to its source.
    """

    __slots__ = ("_getters", "_items", "_loop", "_room", "_subscribed", "when_open")

    def __init__(
        self,
        source: Observable[T],
        config: BufferConfig,
        on_dropped: Callable[[T], object] | None = None,
    ) -> None:
        super().__init__(source, config, on_dropped)
        self.when_open: Callable[[], object] | None = None
        self._room = self.buffer.room
        self._items = self.buffer.items
        self._loop: asyncio.AbstractEventLoop | None = None
        self._getters: list[asyncio.Future[bool] | _Begun | None] = []  # whoever waits; None once it is closed
        self.waiting = self._getters
        self._subscribed = False

    @property
    def connected(self) -> bool:
        """Whether there is, or was, a subscription."""
        return self._loop is not None

    def on_next(self, item: T) -> None:
        """Takes an item, from any thread: keeps it, drops one, or makes the caller wait."""
        # `Buffer.offer`, written out: these lines run for each item of each stream.
        try:
            self._room.pop()
        except IndexError:
            self._squeeze(item)
            return
        self._items.append(item)
        if self._getters:
            self.changed()

    def _squeeze(self, item: T) -> None:
        if self.buffer.offer(item):
            self.changed()
        else:
            self._refused(item)

    def claim(self, loop: asyncio.AbstractEventLoop) -> None:
        """The next thing is `begin`: `open` is not to subscribe any more."""
        self._loop = loop

    def begin(self, below: DemandScheduler | None) -> None:
        """Subscribes in this call, for an operator amid a pipe: whoever pushes into the source next is not missed.

        A source that may wait while it is subscribed to is subscribed to on the worker; this waits for its `subscribe`
        to return, or its first item, but no longer than `BEGINNING`.
        """
        loop = self._loop
        assert loop is not None
        begun = _Begun(machine_of(loop).lock())
        self._getters.append(begun)
        self.connect(loop, below=below)
        if not (self._subscribed or self.ended or begun.wait(BEGINNING)):
            logger.warning("a source takes long to be subscribed to; if it is a hot one, what it sends now is missed")
        self._forget(begun)

    async def open(self) -> None:
        """Subscribes, and waits until the source has been subscribed to or has sent its first signal."""
        if self._loop is None and not self.ended:
            self._loop = asyncio.get_running_loop()
            self.connect(self._loop)
        while not (self._opened or self.ended or self.buffer):
            await self._wait(opening=True)
        if self.when_open is not None:
            self.when_open()

    @property
    def _opened(self) -> bool:
        scheduler = self._scheduler
        return self._subscribed and (scheduler is None or not scheduler.deferred)

    async def ready(self) -> bool:
        """Waits until there is something to take, or the end. False: neither, `poke` was called.

        Where it has to wait, the last batch counts as consumed.
        """
        while not (self.ended or self.buffer):
            self.buffer.settle(self.buffer.config.capacity)
            if not await self._wait():
                return False
        return True

    async def take(self, limit: int | None = None) -> list[T]:
        """Waits for items and takes them, oldest first; the last batch counts as consumed. Empty: the end.

        Raises:
            Exception: What the stream failed with, once its last item has been taken.
        """
        # A source on this loop that `take` has just woken needs a turn of it, which costs far less than to wait to be
        # woken by the source. One on a thread needs the interpreter, which it has sooner if this one waits.
        gives_turn = self._scheduler is not None and not self._scheduler.off_loop
        while True:
            ended = self.ended  # before the look into the buffer: what came before the end must not be missed
            if batch := self.buffer.take(limit):
                return batch
            if ended:
                if self.error is not None:
                    raise self.error
                return batch
            if gives_turn:
                gives_turn = False
                await asyncio.sleep(0)
            else:
                await self._wait()

    def poke(self) -> None:
        """Ends a `ready` that waits."""
        for getter in (*self._getters,):
            if getter is not None and not getter.done():
                self._forget(getter)
                getter.set_result(False)

    def disconnect(self) -> None:
        """Disposes the subscription, discards what is in the buffer. Any thread, any number of times; never raises."""
        if None not in self._getters:
            self._getters.append(None)  # before the sweep: who appends an item after that comes to sweep again
        super().disconnect()
        self.ended = True
        self.changed()

    async def aclose(self) -> None:
        """Disposes the subscription; waits, with a bound, for the cleanup of the sources. Any number of times."""
        self.disconnect()
        if self._scheduler is not None:
            await self._scheduler.cleaned_up()

    def _subscribe(self) -> None:
        try:
            super()._subscribe()
        finally:
            self._subscribed = True
            self.changed()

    def _wait(self, *, opening: bool = False) -> asyncio.Future[bool]:
        """What to await for an item or the end: no coroutine, since each of thousands of idle streams is in here."""
        loop = self._loop
        assert loop is not None
        for left in (*self._getters,):  # by one who was cancelled
            if left is not None and left.done():
                self._forget(left)
        getter: asyncio.Future[bool] = loop.create_future()
        self._getters.append(getter)
        # A producer on another thread may have looked for a getter before this one was there.
        if self.ended or self._items or (opening and self._opened):
            self._forget(getter)
            _wake(getter)
        return getter

    def _forget(self, getter: asyncio.Future[bool] | _Begun) -> None:
        with suppress(ValueError):  # another thread wakes it
            self._getters.remove(getter)

    def changed(self) -> None:
        """Wakes whoever waits; after the end it discards what still came."""
        if self.buffer.disposed:
            self.buffer.sweep()
        for getter in (*self._getters,):
            if getter is not None:
                try:
                    self._getters.remove(getter)
                except ValueError:  # another thread wakes it
                    continue
                assert self._loop is not None
                if isinstance(getter, _Begun):
                    getter.set_result(True)
                else:
                    call_on(self._loop, _wake, getter)


def _wake(getter: asyncio.Future[bool]) -> None:
    if not getter.done():
        getter.set_result(True)

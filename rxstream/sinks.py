"""Where a pipeline ends: an Observable as an async iterator, with one bounded buffer in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import suppress
from itertools import islice
from types import AsyncGeneratorType, TracebackType
from typing import Any, Final, Generic, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from rxstream.boundary import Boundary, Source
from rxstream.buffer import BufferStatistics, check_on_dropped
from rxstream.buffer_config import BufferConfig, BufferLike, resolve_buffer
from rxstream.demand import DemandScheduler
from rxstream.loops import SourceTask, call_on
from rxstream.machine import machine_of
from rxstream.sources import from_async_iterable

__all__ = ["AsyncBoundary", "AsyncStream", "to_async_iterable"]

T = TypeVar("T")
R = TypeVar("R")
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

    def pulled(self) -> AsyncStream[T]:
        """The stream of it, for a source that is its other side; on that source's task."""
        if isinstance(task := asyncio.current_task(), SourceTask):
            task.pulls_from = self.buffer
        return AsyncStream(self)

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


class AsyncStream(AsyncIterator[T], Generic[T]):
    """An Observable as an async iterator and async context manager; made by `to_async_iterable`."""

    def __init__(self, boundary: AsyncBoundary[T]) -> None:
        self._boundary = boundary
        self._generator: AsyncGeneratorType[Any, None] | None = None

    def __aiter__(self) -> AsyncIterator[T]:
        # The generator itself, and not this object: an `async for` then costs no call of ours for an item.
        return self._start(_each)

    async def __anext__(self) -> T:
        """The next item.

        Cancelled, as by a timeout around it, it ends the stream: for a timeout that does not, use the `timeout`
        operator, or wait for one pending task.

        Raises:
            StopAsyncIteration: The stream has completed, or was closed.
            Exception: What the stream failed with.
        """
        item: T = await self._start(_each).__anext__()
        return item

    def batches(self) -> AsyncIterator[list[T]]:
        """Iterates over lists of all the items that are there, at least one; places in the buffer are free again once
        the next list is asked for. The fastest way to consume: it costs one step of the loop for many items."""
        return self._start(_batches)

    def statistics(self) -> BufferStatistics:
        """What the buffer held, delivered, dropped and discarded up to now."""
        return self._boundary.buffer.statistics()

    async def aclose(self) -> None:
        """Ends the subscription; what is still in the buffer is discarded, and given to `on_dropped`.

        Waits for the cleanup of async sources, up to `CLEANUP_TIMEOUT` seconds. Any number of times.
        """
        # In this order: a generator that waits while it is closed would be an error to a task that asks it for an item.
        await self._boundary.aclose()
        generator = self._generator
        if generator is not None and not generator.ag_running:
            await generator.aclose()

    async def __aenter__(self) -> AsyncStream[T]:
        """Subscribes, so that a hot source misses nothing from here on."""
        try:
            await self._boundary.open()
        except BaseException:
            self._boundary.disconnect()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _start(self, iterate: Callable[[AsyncBoundary[T]], AsyncGenerator[Any, None]]) -> AsyncGenerator[Any, None]:
        if self._generator is None:
            self._generator = cast("AsyncGeneratorType[Any, None]", iterate(self._boundary))
        elif self._generator.__name__ != iterate.__name__:
            raise RuntimeError("a stream is consumed by items or by batches, not by both")
        return self._generator


# These are functions, not methods, so that a stream that is just let go of is collected, and with it its generator,
# which the event loop then closes.


async def _each(boundary: AsyncBoundary[T]) -> AsyncGenerator[T, None]:
    # Only under `suspend` is a batch within the bound: elsewhere a slow consumer would see items of long ago.
    limit = None if boundary.buffer.config.strategy == "suspend" else 1
    rest: Iterator[T] = iter(())
    try:
        await boundary.open()
        while batch := await boundary.take(limit):
            rest = iter(batch)
            half = len(batch) // 2
            del batch  # an item that is consumed is not kept alive while the next one is waited for
            if half:
                for item in islice(rest, half):
                    yield item
                boundary.buffer.settle(half)  # the producer refills while the consumer goes on
            for item in rest:
                yield item
            del item
    finally:
        boundary.buffer.give_back(rest)
        await boundary.aclose()


async def _batches(boundary: AsyncBoundary[T]) -> AsyncGenerator[list[T], None]:
    try:
        await boundary.open()
        while batch := await boundary.take():
            yield batch
    finally:
        await boundary.aclose()


def through_buffer(
    source: Observable[T],
    config: BufferConfig,
    on_dropped: Callable[[T], object] | None = None,
    iterate: Callable[[AsyncStream[T]], AsyncIterator[Any]] = aiter,
) -> Source[Any]:
    """What an async iterator makes of a stream, as a source: for operators that are consumers amid a pipe.

    Like any operator they subscribe to `source` within `subscribe`, so that what a hot one sends next is not missed.
    """

    def subscribe(observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        return beginning(
            AsyncBoundary(source, config, on_dropped),
            lambda boundary: from_async_iterable(lambda: iterate(boundary.pulled())),
            observer,
            scheduler,
        )

    return Source(subscribe)


def beginning(
    boundary: AsyncBoundary[T],
    pulling: Callable[[AsyncBoundary[T]], Observable[R]],
    observer: abc.ObserverBase[R],
    scheduler: abc.SchedulerBase | None,
) -> abc.DisposableBase:
    """Subscribes an observer to what is pulled from a boundary, and the boundary to its source."""
    demand = scheduler if isinstance(scheduler, DemandScheduler) else None
    loop = demand.loop if demand is not None else asyncio._get_running_loop()
    if loop is not None:
        boundary.claim(loop)
    opened = Disposable(None if demand is None else demand.defer())
    boundary.when_open = opened.dispose
    # First, since the source may make this thread wait until something is pulled.
    pulled = pulling(boundary).subscribe(observer, scheduler=scheduler)
    if loop is not None:
        boundary.begin(demand)
    return CompositeDisposable(pulled, opened, Disposable(boundary.disconnect))


def to_async_iterable(
    observable: Observable[T],
    buffer: BufferLike | None = "export",
    *,
    on_dropped: Callable[[T], object] | None = None,
) -> AsyncStream[T]:
    """Iterates asynchronously over an Observable, through a bounded buffer that its sources feel.

    Subscribes on entering `async with`, or at the first item. The result serves one consumer on one event loop.

    Args:
        observable: Any pipeline; under `suspend` its sources wait while the buffer is full, so that they are at most
            the capacity and one item for each concurrent producer ahead of the consumer. Where an operator makes many
            of one item of an async source, those of one item are kept as well, once, up to 64.
        buffer: A preset's name, a `BufferConfig`, or a mapping that overrides parts of the `export` preset.
        on_dropped: Is called with each item that is dropped, or discarded at the end. If it raises, that is the
            stream's failure, after the items that are in the buffer.

    Returns:
        An async iterator and async context manager with `batches()`, `statistics()` and `aclose()`.

    Raises:
        TypeError: `observable` is none, the buffer is nothing that can be one, or `on_dropped` is not callable.
        ValueError: No preset has that name, or the capacity is out of range.

    On cancel, break or an error in the `async with` block the subscription is disposed, what is left in the buffer is
    discarded, and the cleanup of async sources has run when the block is left. Without the block, leave a loop early
    with `aclose()`. The pull side follows the Reactive Streams specification 1.0.4: never more than was asked for.

    `merge`, `flat_map` and other operators of RxPY have one lock for each Observable, not for each subscription: where
    one such object serves several consumers, wrap what builds it in `reactivex.defer`, or the slowest delays them all.

    Example:
        >>> async def main():
        ...     async with to_async_iterable(reactivex.range(5), {"capacity": 2}) as numbers:
        ...         return [n async for n in numbers]
        >>> asyncio.run(main())
        [0, 1, 2, 3, 4]
    """
    if not isinstance(observable, Observable):
        raise TypeError(f"to_async_iterable takes an Observable, not {type(observable).__name__}")
    check_on_dropped(on_dropped)
    return AsyncStream(AsyncBoundary(observable, resolve_buffer(buffer, "export"), on_dropped))

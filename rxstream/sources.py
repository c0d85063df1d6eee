"""Sources that can wait: async iterables and files as Observables that a full buffer holds back, without a thread."""

from __future__ import annotations

import asyncio
import contextvars
import io
import logging
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rxstream.boundary import Boundary, Source
from rxstream.demand import DemandScheduler
from rxstream.errors import RxStreamError, as_failure
from rxstream.loops import start_task
from rxstream.machine import REAL, machine_of

__all__ = ["from_async_batches", "from_async_iterable", "from_file"]

S = TypeVar("S")
T = TypeVar("T")
_Move = Callable[[AsyncIterator[S], abc.ObserverBase[T]], Coroutine[Any, Any, None]]
_MoveOnDemand = Callable[..., Coroutine[Any, Any, None]]
logger = logging.getLogger("rxstream")

TURN: Final = 0.002
"""Seconds that a source may go on before it gives other tasks of the loop a turn."""

READ: Final = 262144
"""Bytes of a file that are read at once, if that makes several chunks: a hop to a thread costs more than they do."""


def from_async_iterable(source: AsyncIterable[T] | Callable[[], AsyncIterable[T]]) -> Observable[T]:
    """Turns an async iterable into an Observable that waits for room before it pushes.

        source   --1--2----3----4--|        (4 waits until the buffer has room)
        result   --1--2----3-------4--|

    Args:
        source: A callable that makes a fresh async iterable for each subscription (an async generator function), or
            an async iterable. An async iterator can be subscribed to once; a second subscription is an error.

    Raises:
        TypeError: It is neither.

    Pulls one item, waits for room, pushes it: one item of it is ahead of the buffer at most. Under `sliding` and
    `dropping`, and below a subscriber without a buffer, it does not wait but gives the loop a turn every 2 ms.
    Runs on the event loop of the boundary, else on the running one; subscribed to with neither, it fails.

    On dispose the iteration is cancelled where it stands and the iterator `aclose()`d on its own loop. Errors of the
    iterable are passed on as they are; a `CancelledError` that it raises by itself is an `RxStreamError`. What an
    observer without a buffer raises, or a failure for which it has no `on_error`, is logged to `rxstream`, once.

    Example:
        >>> async def rows():
        ...     async for row in cursor:
        ...         yield row
        >>> names = from_async_iterable(rows).pipe(operators.map(lambda row: row["name"]))
    """
    if not (callable(source) or isinstance(source, AsyncIterable)):
        raise TypeError(f"from_async_iterable takes an async iterable or a callable that makes one, not {source!r}")
    taken = False

    def make() -> AsyncIterator[T]:
        nonlocal taken
        if not isinstance(source, AsyncIterable):
            iterable = source()
            if not isinstance(iterable, AsyncIterable):
                raise TypeError(f"the callable given to from_async_iterable made no async iterable: {iterable!r}")
            return aiter(iterable)
        if isinstance(source, AsyncIterator):
            if taken:
                raise RxStreamError(
                    "an async iterator can be subscribed to once; give from_async_iterable a callable that makes one"
                )
            taken = True
        return aiter(source)

    return _source(make, _move, _move_on_demand)


def from_async_batches(make: Callable[[], AsyncIterator[Sequence[T]]]) -> Observable[T]:
    """The same for a source of ours that has several items at a time: each is pushed when there is room for it.

    A batch is in the hands of the source, not in the buffer: it is to be small. What is left of it on dispose is gone.
    """
    return _source(make, _move_batches, _move_batches_on_demand)


def _source(make: Callable[[], AsyncIterator[S]], move: _Move[S, T], move_on_demand: _MoveOnDemand) -> Source[T]:
    def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        if isinstance(scheduler, DemandScheduler) and scheduler.loop is not None:
            on_demand = partial(move_on_demand, scheduler=scheduler)
            return scheduler.start(lambda: _pump(make, on_demand, observer, scheduler))
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            observer.on_error(RxStreamError("from_async_iterable needs a running event loop to subscribe on"))
            return Disposable()
        return start_task(lambda: _pump(make, move, observer, None), loop, contextvars.copy_context(), set())

    return Source(subscribe)


async def _pump(
    make: Callable[[], AsyncIterator[S]],
    move: _Move[S, T],
    observer: abc.ObserverBase[T],
    scheduler: DemandScheduler | None,
) -> None:
    """Moves an iterator's items into an observer, and always closes the iterator."""
    iterator: AsyncIterator[S] | None = None
    try:
        iterator = make()
        await move(iterator, observer)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        await _end(scheduler, observer, as_failure(error))
    except _ObserverFailed as failure:
        _report(failure.error)
    except Exception as error:  # the source's failure, whatever it is
        await _end(scheduler, observer, error)
    else:
        await _end(scheduler, observer)
    finally:
        if iterator is not None and hasattr(iterator, "aclose"):
            await iterator.aclose()


async def _move_on_demand(
    iterator: AsyncIterator[T], observer: abc.ObserverBase[T], scheduler: DemandScheduler
) -> None:
    if isinstance(observer, Boundary):
        await _fill(iterator, observer, scheduler)
        return
    room = scheduler.buffer.room
    on_next = observer.on_next
    turns = _Turns(machine_of(scheduler.loop).effort)
    left = turns.length
    async for item in iterator:
        if room and not scheduler.off_loop:  # the fast path: nothing is awaited, nothing else is asked
            on_next(item)
        else:
            await scheduler.push(on_next, item)
        left -= 1
        if left <= 0:
            left = await turns.take()


async def _fill(iterator: AsyncIterator[T], boundary: Boundary[T], scheduler: DemandScheduler) -> None:
    """`_move_on_demand` where no operator stands between: there is no worker then, and `on_next` is written out."""
    take_place, keep, waiting = boundary.buffer.room.pop, boundary.buffer.items.append, boundary.waiting
    turns = _Turns(machine_of(scheduler.loop).effort)
    left = turns.length
    async for item in iterator:
        try:
            take_place()
        except IndexError:
            await scheduler.push(boundary.on_next, item)
        else:
            keep(item)
            if waiting:
                boundary.changed()
        left -= 1
        if left <= 0:
            left = await turns.take()


async def _move_batches_on_demand(
    iterator: AsyncIterator[Sequence[T]], observer: abc.ObserverBase[T], scheduler: DemandScheduler
) -> None:
    room = scheduler.buffer.room
    on_next = observer.on_next
    turns = _Turns(machine_of(scheduler.loop).effort)
    left = turns.length
    async for batch in iterator:
        for item in batch:
            if room and not scheduler.off_loop:
                on_next(item)
            else:
                await scheduler.push(on_next, item)
        left -= len(batch)
        if left <= 0:
            left = await turns.take()


class _ObserverFailed(Exception):
    """Carries what an observer without a buffer raised past the handling of what the source raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error


async def _move(iterator: AsyncIterator[T], observer: abc.ObserverBase[T]) -> None:
    turns = _Turns()
    left = turns.length
    async for item in iterator:
        try:
            observer.on_next(item)
        except Exception as error:
            raise _ObserverFailed(error) from None
        left -= 1
        if left <= 0:
            left = await turns.take()


async def _move_batches(iterator: AsyncIterator[Sequence[T]], observer: abc.ObserverBase[T]) -> None:
    async def items() -> AsyncIterator[T]:
        async for batch in iterator:
            for item in batch:
                yield item

    await _move(items(), observer)


async def _end(
    scheduler: DemandScheduler | None, observer: abc.ObserverBase[T], error: Exception | None = None
) -> None:
    """Sends the terminal."""
    signal = observer.on_completed if error is None else partial(observer.on_error, error)
    try:
        if scheduler is None:
            signal()
        elif scheduler.blocks and not isinstance(observer, Boundary):
            # Operators such as `take_last` send all they have at the end, `concat` and `catch` go on with the next
            # source: only a thread can wait amid that.
            await scheduler.push_off_loop(signal)
        elif isinstance(observer, Boundary):
            signal()  # takes no place
        else:
            await scheduler.push(signal)
    except Exception as failure:
        if scheduler is None:
            _report(failure)
        else:
            scheduler.fail(failure)


def _report(error: Exception) -> None:
    logger.error("an observer failed; its subscription is disposed", exc_info=error)


class _Turns:
    """Turns of the loop, taken by time but looked at by count: reading the clock at each item costs too much."""

    def __init__(self, effort: Callable[[], float] = REAL.effort) -> None:
        self.length = 1
        self._effort = effort
        self._began = effort()

    async def take(self) -> int:
        """Yields to the loop if it is time; returns the number of items until the next look."""
        elapsed = self._effort() - self._began
        if elapsed < TURN:
            self.length = min(256, self.length * 2)
        else:
            self.length = max(1, int(self.length * TURN / elapsed))
            await asyncio.sleep(0)
            self._began = self._effort()
        return self.length


def from_file(path: str | os.PathLike[str], *, chunk_size: int = 65536) -> Observable[bytes]:
    """Reads a file as chunks of bytes, each when there is room for it.

    Args:
        path: The file; it is opened at each subscription.
        chunk_size: Bytes of each chunk but the last, at least 1.

    Raises:
        TypeError: `chunk_size` is no `int`.
        ValueError: `chunk_size` is below 1.

    Reads happen in the event loop's default executor, so that a slow disk stalls nobody. A file that cannot be opened
    or read is an `OSError` downstream. On dispose the file is closed.

    Example:
        >>> total = from_file("data.bin").pipe(operators.map(len), operators.sum())
    """
    if not isinstance(chunk_size, int) or isinstance(chunk_size, bool):
        raise TypeError(f"chunk_size must be an int, not {chunk_size!r}")
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {chunk_size}")
    name = os.fspath(path)
    at_once = chunk_size * max(1, READ // chunk_size)

    async def chunks() -> AsyncIterator[bytes]:
        file = _File(name)
        try:
            await asyncio.to_thread(file.open)
            while block := await asyncio.to_thread(file.read, at_once):
                for start in range(0, len(block), chunk_size):
                    yield block[start : start + chunk_size]
        finally:
            file.close()

    return from_async_iterable(chunks)


class _File:
    """A file that is read on other threads and may be closed at any time, also in the middle of a call.

    A cancelled `to_thread` goes on in its thread. A file that it opened then would stay open, and closing the file
    under its hands could give its number to another file: so it is the one who closes.
    """

    def __init__(self, name: str | bytes) -> None:
        self._name = name
        self._file: io.FileIO | None = None
        self._closed = False
        self._lock = threading.Lock()

    def open(self) -> None:
        """Opens the file, unless `close` was called."""
        with self._lock:
            if not self._closed:
                self._file = open(self._name, "rb", 0)  # noqa: SIM115 - closed by `_settle`
        self._settle()

    def read(self, size: int) -> bytes:
        """Reads up to `size` bytes; none at the end of the file."""
        with self._lock:
            chunk = b"" if self._file is None or self._closed else self._file.read(size)
        self._settle()
        return chunk

    def close(self) -> None:
        """Closes the file, or has it closed by the thread that is using it. Never waits."""
        self._closed = True
        self._settle()

    def _settle(self) -> None:
        if self._closed and self._lock.acquire(blocking=False):
            try:
                file, self._file = self._file, None
                if file is not None:
                    file.close()
            finally:
                self._lock.release()

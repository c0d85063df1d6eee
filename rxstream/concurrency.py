"""Async functions over streams, with a bounded number of calls in flight."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from reactivex import Observable

from rxstream import loops
from rxstream.amid import through_buffer
from rxstream.buffer_config import BufferConfig, BufferLike
from rxstream.sinks import to_async_iterable

__all__ = ["for_each", "map_async"]

T = TypeVar("T")
R = TypeVar("R")
logger = logging.getLogger("rxstream")


def map_async(
    fn: Callable[[T], Awaitable[R]], *, max_concurrent: int = 1, ordered: bool = True
) -> Callable[[Observable[T]], Observable[R]]:
    """Awaits an async function for each item, a bounded number at a time, and passes the results on.

        source         --1--2--3-----------|
        map_async(f)   -----f(1)-f(2)-f(3)-|

    Args:
        fn: An async function of one item.
        max_concurrent: Calls in flight, and results that wait for their turn, together; at least 1.
        ordered: Results in the order of the items; False: as they come.

    Raises:
        TypeError: `fn` is not callable, or `max_concurrent` no `int`.
        ValueError: `max_concurrent` is below 1.

    Demand-aware: while nobody below has room, no call is started and the source is suspended, `max_concurrent` items
    ahead. The first failure cancels the other calls, waits for them, and is passed on after the results before it.
    On dispose the calls are cancelled. Needs an event loop, as `from_async_iterable` does.

    Example:
        >>> urls.pipe(map_async(fetch, max_concurrent=8)).pipe(operators.map(len))
    """
    _check(fn, max_concurrent)
    config = BufferConfig(max_concurrent, "suspend")

    def operator(source: Observable[T]) -> Observable[R]:
        return through_buffer(source, config, iterate=lambda items: bounded_map(items, fn, max_concurrent, ordered))

    return operator


async def for_each(
    observable: Observable[T],
    async_fn: Callable[[T], Awaitable[Any]],
    *,
    buffer: BufferLike | None = "export",
    max_concurrent: int = 1,
) -> None:
    """Awaits an async function for each item of an Observable: a consumer for async code and notebooks.

    Args:
        observable: Any pipeline; its sources wait, as `buffer` says, while the function is busy.
        async_fn: An async function of one item; its result is not used.
        buffer: A preset's name, a `BufferConfig`, or a mapping that overrides parts of the `export` preset.
        max_concurrent: Calls in flight, at least 1. With more than one, items may end in any order.

    Raises:
        TypeError, ValueError: An argument is wrong.
        Exception: What the stream failed with, after its items; or what `async_fn` raised, at once.

    On cancel, or when a call fails, the other calls are cancelled, the subscription is disposed and what is left in
    the buffer discarded.

    Example:
        >>> await for_each(readings, store, max_concurrent=4)
    """
    _check(async_fn, max_concurrent)
    async with to_async_iterable(observable, buffer) as items:
        if max_concurrent == 1:
            async for item in items:
                await _call(async_fn, item)
        else:
            async with aclosing(bounded_map(items, async_fn, max_concurrent, False)) as results:
                async for _ in results:
                    pass


def _check(fn: Callable[..., Any], max_concurrent: int) -> None:
    if not callable(fn):
        raise TypeError(f"an async function is needed, not {fn!r}")
    if not isinstance(max_concurrent, int) or isinstance(max_concurrent, bool):
        raise TypeError(f"max_concurrent must be an int, not {max_concurrent!r}")
    if max_concurrent < 1:
        raise ValueError(f"max_concurrent must be at least 1, not {max_concurrent}")


def _call(fn: Callable[[T], Awaitable[R]], item: T) -> Awaitable[R]:
    awaitable = fn(item)
    if not isinstance(awaitable, Awaitable):
        raise TypeError(f"an async function is needed, but {fn!r} returned {type(awaitable).__name__}")
    return awaitable


async def bounded_map(
    items: AsyncIterable[T], fn: Callable[[T], Awaitable[R]], limit: int, ordered: bool
) -> AsyncGenerator[R, None]:
    """Maps an async iterable with at most `limit` calls in flight or results not yet taken."""
    calls = _Calls(fn, limit, ordered)
    feeder = asyncio.ensure_future(calls.feed(items))
    try:
        while (call := await calls.next()) is not None:
            yield await call
            calls.free.release()
        await feeder  # raises what the items failed with, after all results
    finally:
        await _end([feeder, *calls.running])


class _Calls:
    """The calls in flight: a feeder starts them, the generator takes them when it is their turn."""

    def __init__(self, fn: Callable[[Any], Awaitable[Any]], limit: int, ordered: bool) -> None:
        self.free = asyncio.Semaphore(limit)
        self.running: set[asyncio.Future[Any]] = set()  # at most `limit`, as is `_ready`
        self._ready: deque[asyncio.Future[Any]] = deque()
        self._changed = asyncio.Event()
        self._fed = False
        self._fn = fn
        self._ordered = ordered

    async def feed(self, items: AsyncIterable[Any]) -> None:
        """Starts a call for each item, as soon as one may be started."""
        try:
            iterator = aiter(items)
            try:
                await self.free.acquire()
                async for item in iterator:
                    self._start(item)
                    await self.free.acquire()
            finally:
                if hasattr(iterator, "aclose"):
                    await iterator.aclose()
        finally:
            self._fed = True
            self._changed.set()

    async def next(self) -> asyncio.Future[Any] | None:
        """The call whose result comes next: the oldest, or one that is done. None: no more."""
        while not self._ready:
            if self._fed and not self.running:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._ready.popleft()

    def _start(self, item: Any) -> None:
        call = asyncio.ensure_future(_call(self._fn, item))
        self.running.add(call)
        call.add_done_callback(self._done)
        if self._ordered:
            self._ready.append(call)
            self._changed.set()

    def _done(self, call: asyncio.Future[Any]) -> None:
        self.running.discard(call)
        if not self._ordered:
            self._ready.append(call)
        self._changed.set()


async def _end(tasks: list[asyncio.Future[Any]]) -> None:
    """Cancels tasks and waits for them, so that none outlives its stream; what hangs is cancelled again, and left."""
    for task in tasks:
        task.cancel()
    pending: set[asyncio.Future[Any]] = set(tasks)
    for _ in range(2):
        if pending:
            _, pending = await asyncio.wait(pending, timeout=loops.CLEANUP_TIMEOUT)
        for task in pending:
            logger.warning("a call did not end within %s s of its cancellation: %r", loops.CLEANUP_TIMEOUT, task)
            task.cancel()
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # the first failure has been passed on, the others are its company

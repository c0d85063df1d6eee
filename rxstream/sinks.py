"""Where a pipeline ends: an Observable as an async iterator, with one bounded buffer in between."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from itertools import islice
from types import AsyncGeneratorType, TracebackType
from typing import Any, Generic, TypeVar, cast

from reactivex import Observable

from rxstream.async_boundary import AsyncBoundary
from rxstream.buffer_config import BufferLike, resolve_buffer
from rxstream.buffer_watch import BufferStatistics
from rxstream.drop_hook import check_on_dropped

__all__ = ["AsyncStream", "to_async_iterable"]

T = TypeVar("T")


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

"""The push side of a boundary: what it refuses, whom it lets wait, what it says."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.subject import Subject

from rxstream.async_boundary import AsyncBoundary
from rxstream.buffer_config import BufferConfig
from rxstream.errors import BackpressureError
from rxstream.sinks import AsyncStream, to_async_iterable
from tests.rxstream.support import (
    DEADLINE,
    STRATEGIES,
    Counted,
    first,
    pusher,
    stream_config,
    subscribed,
    until,
    workers,
)


async def test_a_push_on_the_loop_cannot_wait() -> None:
    """A hot source on the loop that meets a full buffer: an error with the ways out, after the accepted items."""
    subject, dropped = Subject[int](), list[int]()
    async with to_async_iterable(subject, stream_config(2), on_dropped=dropped.append) as items:
        await subscribed(subject)
        for number in range(4):
            subject.on_next(number)
        assert await first(items, 2) == [0, 1]
        with pytest.raises(BackpressureError) as caught:
            await anext(items)
        assert subject.observers == []
    for way in ("buffer (2, suspend)", '"sliding" or "dropping"', "a larger capacity", "from_async_iterable"):
        assert way in str(caught.value)
    assert dropped == [2]
    assert items.statistics().pushed == 3


async def test_a_push_on_another_loop_cannot_wait_either() -> None:
    """A coroutine of a second event loop would block that loop."""
    subject = Subject[int]()

    async def push() -> None:
        for number in range(4):
            subject.on_next(number)

    async with to_async_iterable(subject, stream_config(2)) as items:
        await subscribed(subject)
        await asyncio.to_thread(asyncio.run, push())
        with pytest.raises(BackpressureError):
            await first(items, 4)


async def test_an_error_after_the_end_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """There is nobody to send it to; whoever misbehaves is told of in the log, and not at each signal."""
    boundary: AsyncBoundary[int] = AsyncBoundary(rx.never(), BufferConfig(1, "sliding"))
    await boundary.open()
    boundary.on_completed()
    for number in range(3):
        boundary.on_error(ValueError(f"late {number}"))
    boundary.on_next(1)
    assert [(r.message, str(r.exc_info and r.exc_info[1])) for r in caplog.records] == [
        ("a source went on after its end; what it sends is discarded", "late 0")
    ]
    assert await boundary.take() == []
    await boundary.aclose()


class TestHook:
    @pytest.mark.parametrize("strategy", ["sliding", "dropping"])
    async def test_a_hook_that_raises_fails_the_stream_after_its_items(self, strategy: str) -> None:
        """What is in the buffer still comes; then the hook's error, once."""
        subject = Subject[int]()

        def hook(_: int) -> None:
            raise ValueError("hook")

        async with to_async_iterable(subject, stream_config(2, strategy), on_dropped=hook) as items:
            for number in range(5):
                subject.on_next(number)
            assert await first(items, 2) == ([1, 2] if strategy == "sliding" else [0, 1])
            with pytest.raises(ValueError, match="hook"):
                await anext(items)
            assert subject.observers == []

    async def test_a_hook_that_raises_at_the_end_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """On dispose nobody is left to be told: the log is."""
        subject = Subject[int]()

        def hook(_: int) -> None:
            raise ValueError("hook")

        async with to_async_iterable(subject, stream_config(2, "sliding"), on_dropped=hook):
            subject.on_next(1)
        assert [r.message for r in caplog.records] == ["on_dropped failed after the end of the stream"]

    @pytest.mark.parametrize("strategy", ["sliding", "dropping"])
    async def test_a_hook_that_disposes(self, strategy: str) -> None:
        """A hook may leave the stream: no deadlock, every item is accounted for."""
        subject, seen = Subject[int](), list[int]()

        def hook(item: int) -> None:
            seen.append(item)
            items._boundary.disconnect()

        async with to_async_iterable(subject, stream_config(2, strategy), on_dropped=hook) as items:
            for number in range(5):
                subject.on_next(number)
            assert [item async for item in items] == []
        assert sorted(seen) == [0, 1, 2]

    async def test_a_hook_that_pushes(self) -> None:
        """A hook may push what was dropped once more."""
        subject, seen = Subject[int](), list[int]()

        def hook(item: int) -> None:
            seen.append(item)
            if item < 100:
                subject.on_next(item + 100)

        async with to_async_iterable(subject, stream_config(2, "sliding"), on_dropped=hook) as items:
            for number in range(6):
                subject.on_next(number)
            subject.on_completed()
            got = [item async for item in items]
        assert len(got) + len(seen) == items.statistics().pushed == 6 + sum(n < 100 for n in seen)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_an_error_comes_after_the_buffered_items(strategy: str) -> None:
    """An error does not overtake, in any strategy, and is kept while the buffer is full."""
    subject = Subject[int]()
    async with to_async_iterable(subject, stream_config(2, strategy)) as items:
        await subscribed(subject)
        subject.on_next(1)
        subject.on_next(2)
        subject.on_error(ValueError("end"))
        assert await first(items, 2) == [1, 2]
        with pytest.raises(ValueError, match="end"):
            await anext(items)


async def test_a_thread_that_waits_is_no_misbehaving_source(caplog: pytest.LogCaptureFixture) -> None:
    """The stream fails while a thread waits for room: its item is discarded, without a word about it."""
    pushed, dropped = Subject[int](), list[int]()
    thread = pusher(pushed, range(2))
    async with to_async_iterable(pushed.pipe(ops.map(int)), stream_config(1), on_dropped=dropped.append) as items:
        await subscribed(pushed)
        thread.start()
        await until(lambda: items._boundary.buffer._waiting)
        items._boundary.on_error(ValueError("end"))
        assert await first(items, 1) == [0]
        with pytest.raises(ValueError, match="end"):
            await anext(items)
    thread.join(DEADLINE)
    assert dropped == [1]
    assert [r for r in caplog.records if r.name == "rxstream"] == []


async def test_what_is_no_exception_arrives_as_a_failure() -> None:
    """A source that sends `CancelledError` to `on_error` does not cancel its consumer."""
    subject = Subject[int]()
    async with to_async_iterable(subject, stream_config(1)) as items:
        await subscribed(subject)
        subject.on_error(asyncio.CancelledError())  # type: ignore[arg-type]
        with pytest.raises(Exception, match="CancelledError"):
            await anext(items)


async def test_the_ends_of_many_threads_count_once() -> None:
    """Threads that end a stream at the same time: one terminal, and the error is not lost."""
    for _ in range(50):
        barrier = threading.Barrier(4)
        stream: AsyncStream[Any] = to_async_iterable(rx.never(), stream_config(1))
        async with stream:

            def end(stream: AsyncStream[Any] = stream, barrier: threading.Barrier = barrier) -> None:
                barrier.wait(DEADLINE)
                stream._boundary.on_error(ValueError("end"))

            threads = [threading.Thread(target=end, daemon=True) for _ in range(4)]
            for thread in threads:
                thread.start()
            with pytest.raises(ValueError, match="end"):
                await anext(stream)
            for thread in threads:
                thread.join(DEADLINE)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_discarded_items_are_counted_and_shown(strategy: str) -> None:
    """On leaving, delivered, dropped and discarded are what was pushed, and the hook saw each of the lost."""
    lost: list[int] = []
    stream = to_async_iterable(rx.from_iterable(Counted()), stream_config(8, strategy), on_dropped=lost.append)
    async with stream:
        await first(stream, 10)
    await until(lambda: not workers())
    found = stream.statistics()
    assert (found.delivered, found.length) == (10, 0)
    assert found.pushed == 10 + found.dropped + found.discarded
    assert found.dropped + found.discarded == len(lost) == len(set(lost))

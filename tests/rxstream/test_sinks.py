"""`to_async_iterable`: the pull side, as an iterator, as a context manager, by batches."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import operator
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import Subject

from rxstream.async_boundary import AsyncBoundary
from rxstream.buffer_config import BufferConfig
from rxstream.buffering import with_buffer
from rxstream.concurrency import map_async
from rxstream.decoding import decode_ndjson
from rxstream.sinks import to_async_iterable
from rxstream.sources import from_async_iterable
from tests.rxstream.support import DEADLINE, STRATEGIES, Counted, everything, first, numbers, stream_config, until


@pytest.mark.parametrize("source", [None, 1, [1], "abc", numbers(1)])
def test_what_is_no_observable_is_refused(source: Any) -> None:
    """A wrong source is refused before anything is subscribed."""
    with pytest.raises(TypeError, match=f"to_async_iterable takes an Observable, not {type(source).__name__}"):
        to_async_iterable(source)


@pytest.mark.parametrize("buffer", [{"capacity": 0}, "none", 3, {"size": 3}])
def test_what_is_no_buffer_is_refused(buffer: Any) -> None:
    """So is a wrong buffer."""
    with pytest.raises((TypeError, ValueError)):
        to_async_iterable(rx.never(), buffer)


@pytest.mark.parametrize(
    "build",
    [
        lambda: to_async_iterable(rx.never(), on_dropped=3),  # type: ignore[arg-type]
        lambda: with_buffer(on_dropped=3),  # type: ignore[arg-type]
        lambda: with_buffer(scheduler=3),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_called_is_refused(build: Any) -> None:
    """A wrong hook or scheduler fails where it is given, and not when the first item is dropped."""
    with pytest.raises(TypeError, match="must be"):
        build()


def test_the_default_buffer() -> None:
    """Without a buffer it is the `export` preset."""
    found = to_async_iterable(rx.never()).statistics()
    assert (found.capacity, found.strategy) == (128, "suspend")


def test_statistics_are_frozen() -> None:
    """They say how it was, and cannot be changed."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        to_async_iterable(rx.never()).statistics().length = 1  # type: ignore[misc]


async def test_entering_the_block_subscribes() -> None:
    """A hot source misses nothing from there on, in any strategy."""
    for strategy in STRATEGIES:
        subject = Subject[int]()
        async with to_async_iterable(subject, stream_config(2, strategy)) as items:
            subject.on_next(1)
            assert await first(items, 1) == [1]


async def passed(item: Any) -> Any:
    """An async function that is done at once."""
    return item


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "operator",
    [
        map_async(passed, max_concurrent=8),
        with_buffer(capacity=8),
        with_buffer(capacity=8, strategy="sliding"),
        rx.compose(with_buffer(capacity=8), ops.map(bytes), map_async(passed, max_concurrent=8)),
        decode_ndjson(),
    ],
)
async def test_nor_behind_an_operator_that_subscribes_by_itself(operator: Any, strategy: str) -> None:
    """Nor where an operator of ours stands between: the block is entered once it has subscribed, too."""
    subject: Subject[bytes] = Subject()
    async with (
        asyncio.timeout(DEADLINE),
        to_async_iterable(subject.pipe(operator), stream_config(8, strategy)) as items,
    ):
        for _ in range(3):
            subject.on_next(b"1\n")
        subject.on_completed()
        assert len([item async for item in items]) == 3


async def test_an_operator_that_is_left_before_it_has_subscribed_holds_nobody_up() -> None:
    """The block is entered although the inner stream, which was given up at once, never opened."""
    both = rx.of(1, 2).pipe(ops.map(lambda n: rx.never().pipe(with_buffer(capacity=n))), ops.switch_latest())
    async with asyncio.timeout(DEADLINE), to_async_iterable(both):
        pass


async def test_opening_is_noticed_without_an_item() -> None:
    """Entering the block returns once the worker has subscribed, also if nothing ever comes."""
    for _ in range(300):
        async with asyncio.timeout(DEADLINE), to_async_iterable(rx.never(), stream_config(1)):
            pass


async def test_a_subscription_that_is_there_in_the_nick_of_time() -> None:
    """The worker has subscribed just before its consumer begins to wait for that: nobody waits for ever."""

    class Raced(AsyncBoundary[int]):
        def connect(self, *_: Any) -> None: ...

        def _wait(self, *, opening: bool = False) -> asyncio.Future[bool]:
            self._subscribed = True
            self.changed()
            return super()._wait(opening=opening)

    async with asyncio.timeout(DEADLINE):
        await Raced(rx.never(), BufferConfig(1, "suspend")).open()


async def test_anext_and_async_for_share_one_iteration() -> None:
    """Items can be taken by `anext` first and by a loop then."""
    async with to_async_iterable(rx.range(0, 9), stream_config(4)) as items:
        assert await anext(items) == 0
        assert await anext(items) == 1
        assert [item async for item in items] == list(range(2, 9))


async def test_by_batches() -> None:
    """Batches are never empty, never above the capacity, and together all items in order."""
    async with to_async_iterable(rx.range(0, 500), stream_config(16)) as items:
        batches = [batch async for batch in items.batches()]
    assert [item for batch in batches for item in batch] == list(range(500))
    assert all(1 <= len(batch) <= 16 for batch in batches)


async def test_items_or_batches() -> None:
    """One stream has one way to be consumed."""
    async with to_async_iterable(rx.range(0, 9), stream_config(4)) as items:
        await anext(items)
        with pytest.raises(RuntimeError, match="by items or by batches, not by both"):
            items.batches()


async def test_a_slow_consumer_of_a_sliding_buffer_sees_the_newest() -> None:
    """No item of long ago waits in a batch."""
    subject = Subject[int]()
    async with to_async_iterable(subject, stream_config(2, "sliding")) as items:
        seen = []
        for number in range(0, 30, 3):
            for offset in range(3):
                subject.on_next(number + offset)
            seen += await first(items, 1)
    assert seen == [number + 1 for number in range(0, 30, 3)]


async def test_the_rest_of_a_batch_is_discarded_on_leaving() -> None:
    """Items that were taken but never handed out are not delivered."""
    lost: list[int] = []
    async with to_async_iterable(rx.range(0, 8), stream_config(8), on_dropped=lost.append) as items:
        await until(lambda: items.statistics().length == 8)
        await first(items, 3)
    assert sorted(lost) == [3, 4, 5, 6, 7]
    found = items.statistics()
    assert (found.delivered, found.discarded, found.pushed) == (3, 5, 8)


async def test_aclose_ends_a_consumer_that_waits() -> None:
    """Closing a stream while another task waits for its next item ends that iteration."""
    items = to_async_iterable(rx.never(), stream_config(1))

    async def consume() -> list[Any]:
        return [item async for item in items]

    consumer = asyncio.ensure_future(consume())
    await asyncio.sleep(0.01)
    await items.aclose()
    assert await asyncio.wait_for(consumer, DEADLINE) == []


async def test_an_error_inside_the_block_is_the_users() -> None:
    """The block is left with the user's error, and the source is closed."""
    source = Counted()
    with pytest.raises(KeyError):
        async with to_async_iterable(from_async_iterable(source.generate), stream_config(1)) as items:
            await first(items, 1)
            raise KeyError
    assert source.closed == 1


async def test_poke_ends_a_wait() -> None:
    """Whoever waits for the next item can be called away, and waits again."""
    subject = Subject[int]()
    boundary: AsyncBoundary[int] = AsyncBoundary(subject, BufferConfig(2, "sliding"))
    await boundary.open()
    asyncio.get_running_loop().call_soon(boundary.poke)
    assert await boundary.ready() is False
    asyncio.get_running_loop().call_soon(subject.on_next, 1)
    assert await boundary.ready() is True
    assert await boundary.take() == [1]
    boundary.poke()
    await boundary.aclose()
    assert await boundary.ready() is True
    assert await boundary.take() == []


async def test_whoever_waits_for_more_has_consumed_the_last_batch() -> None:
    """A consumer that comes for more by `ready` frees the places of what it took, or nobody could push."""
    boundary: AsyncBoundary[int] = AsyncBoundary(rx.range(0, 4), BufferConfig(1, "suspend"))
    await boundary.open()
    got = []
    async with asyncio.timeout(DEADLINE):
        while await boundary.ready() and (batch := boundary.buffer.take()):
            got += batch
    assert got == [0, 1, 2, 3]
    await boundary.aclose()


async def test_no_wake_up_is_lost_among_threads() -> None:
    """Producers on several threads and a consumer that is always faster: nothing is left behind in the buffer."""
    for _ in range(20):
        source = rx.merge(*(rx.range(0, 30, scheduler=rx.scheduler.NewThreadScheduler()) for _ in range(3)))
        assert len(await everything(source, 2, "suspend")) == 90


async def test_an_idle_boundary_is_small() -> None:
    """Ten thousand subscriptions to a subject are tens of megabytes, not more."""
    subject = Subject[int]()

    async def open_one() -> AsyncBoundary[int]:
        boundary: AsyncBoundary[int] = AsyncBoundary(subject, BufferConfig(64, "sliding"))
        await boundary.open()
        return boundary

    kept = [await open_one() for _ in range(10)]
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept += [await open_one() for _ in range(200)]
        each = (tracemalloc.get_traced_memory()[0] - before) / 200
    finally:
        tracemalloc.stop()
    for boundary in kept:
        await boundary.aclose()
    assert each < 4 * 1024
    assert subject.observers == []


def is_even(number: int) -> bool:
    """A predicate."""
    return number % 2 == 0


async def test_operators_between_cost_no_item() -> None:
    """A longer pipeline of stock operators delivers the same."""
    even: Observable[int] = from_async_iterable(lambda: numbers(200)).pipe(ops.filter(is_even))
    source = even.pipe(ops.scan(operator.add, 0), ops.pairwise())
    assert len(await everything(source, 3)) == 99


async def test_a_stream_that_is_closed_under_its_reader() -> None:
    """Whoever closes it, and whatever it is at: the reader sees an end, also while a source is cleaning up."""

    async def slow_to_close() -> AsyncIterator[int]:
        try:
            async for number in numbers(1_000_000):
                yield number
        finally:
            await asyncio.sleep(0.01)

    async def read() -> int:
        count = 0
        async for _ in stream:
            count += 1
            await asyncio.sleep(0)
        return count

    for turns in range(2, 40):
        stream = to_async_iterable(from_async_iterable(slow_to_close), stream_config(4))
        reader = asyncio.create_task(read())
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE):
            await stream.aclose()
            assert await reader < 100
        found = stream.statistics()
        assert found.pushed == found.delivered + found.discarded

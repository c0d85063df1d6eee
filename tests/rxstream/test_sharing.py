"""A source that several consumers share runs on the scheduler of the one who came first, and outlives that one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxstream.sinks import AsyncStream, to_async_iterable
from rxstream.sources import from_async_iterable
from tests.rxstream.support import DEADLINE, STRATEGIES, Counted, first, stream_config, until, workers


async def ticks() -> AsyncIterator[int]:
    """Counts for ever, and gives the loop its turns."""
    number = 0
    while True:
        yield number
        number += 1
        await asyncio.sleep(0.001)


SHARED: dict[str, Callable[[], Observable[Any]]] = {
    "source of ours": lambda: from_async_iterable(ticks).pipe(ops.share()),
    "timer": lambda: rx.interval(0.001).pipe(ops.share()),
    "timer behind an operator": lambda: rx.interval(0.001).pipe(ops.flat_map(lambda n: rx.of(n, n)), ops.share()),
    "replay": lambda: rx.interval(0.001).pipe(ops.replay(buffer_size=1), ops.ref_count()),
    "loop on the worker": lambda: rx.from_iterable(iter(int, 1)).pipe(ops.share()),
    "an action for each item": lambda: rx.generate(0, lambda n: True, lambda n: n + 1).pipe(ops.share()),
    "one after the other": lambda: rx.timer(0.001).pipe(ops.repeat(), ops.share()),
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", SHARED)
async def test_a_shared_source_outlives_the_consumer_that_began_it(name: str, strategy: str) -> None:
    """The second consumer still gets items when the first has left, and all ends when nobody is there."""
    shared = SHARED[name]()
    async with asyncio.timeout(DEADLINE):
        one: AsyncStream[Any] = to_async_iterable(shared, stream_config(64, strategy))
        async with one, to_async_iterable(shared, stream_config(64, strategy)) as two:
            await first(one, 1)
            await one.aclose()
            assert len(await first(two, 300)) == 300  # more than was in the buffers
    await until(lambda: not workers() and len(asyncio.all_tasks()) == 1)


async def test_the_cleanup_that_is_waited_for_is_ones_own() -> None:
    """Who leaves a shared source does not wait for it to end; who leaves last does."""
    source = Counted()
    shared = from_async_iterable(source.generate).pipe(ops.share())
    async with to_async_iterable(shared, stream_config(1, "sliding")) as last:
        async with to_async_iterable(shared, stream_config(1, "sliding")) as early:
            await first(early, 1)
        assert source.closed == 0
        await first(last, 1)
    assert source.closed == 1


async def test_a_push_that_waits_for_the_one_who_leaves_reaches_the_others() -> None:
    """The thread that stood before the full buffer of the first consumer goes on to the second with the same item."""
    shared = rx.from_iterable(iter(range(100))).pipe(ops.share())
    async with asyncio.timeout(DEADLINE):
        stalled: AsyncStream[int] = to_async_iterable(shared, stream_config(1))
        await stalled.__aenter__()
        await until(lambda: stalled.statistics().length == 1)
        async with to_async_iterable(shared, stream_config(4)) as other:
            await stalled.aclose()
            numbers = [number async for number in other]
    assert numbers == list(range(numbers[0], 100))


async def test_a_failure_behind_one_who_has_left_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An action that raises has nobody to fail any more: it is told to the log, and does not end in silence."""

    def broken(number: int) -> None:
        if gone:
            raise RuntimeError("broken observer")

    gone = False
    shared = rx.interval(0.001).pipe(ops.share())
    async with to_async_iterable(shared, stream_config(4, "sliding")) as one:
        watching = shared.subscribe(broken)
        await first(one, 2)
    gone = True
    await until(lambda: "broken observer" in caplog.text)
    watching.dispose()

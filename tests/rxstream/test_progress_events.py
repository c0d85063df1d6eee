"""`progress_events`: what one stream reports, any number of readers see, each at its own pace."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex as rx
from reactivex.subject import Subject

from rxstream import Progress, ServerSentEvent, from_async_iterable, progress_events, to_async_iterable
from rxstream.operators import with_progress
from rxstream.progress import ProgressEvents
from tests.rxstream.support import DEADLINE, everything, until


async def read(feed: ProgressEvents, seen: list[Any] | None = None) -> list[dict[str, Any]]:
    """All events of a reader, as data."""
    seen = [] if seen is None else seen
    async with asyncio.timeout(DEADLINE):
        async for event in feed:
            assert isinstance(event, ServerSentEvent)
            seen.append(event.data)
    return seen


def counted(feed: ProgressEvents) -> tuple[Subject[int], Any]:
    """A stream that the test moves, and its subscription."""
    source: Subject[int] = Subject()
    return source, source.pipe(with_progress("import", total=4, log_interval=1, on_progress=feed)).subscribe()


@pytest.mark.parametrize(("event", "error"), [(5, TypeError), ("", ValueError), ("a\nb", ValueError)])
def test_a_wrong_type_of_event_is_refused(event: Any, error: type[Exception]) -> None:
    """At once."""
    with pytest.raises(error):
        progress_events(event=event)


async def test_a_reader_sees_what_is_new_and_ends_after_the_last() -> None:
    """Each event is a report, and its percentage."""
    feed, seen = progress_events(), list[Any]()
    reader = asyncio.create_task(read(feed, seen))
    source, _ = counted(feed)
    for number in range(1, 5):
        source.on_next(number)
        await until(lambda number=number: len(seen) == number)
    source.on_completed()
    await reader
    assert [(data["elements"], data["percent"], data["done"]) for data in seen] == [
        (1, 25.0, False),
        (2, 50.0, False),
        (3, 75.0, False),
        (4, 100.0, False),
        (4, 100.0, True),
    ]
    assert list(seen[0]) == [
        "name", "elements", "bytes", "total", "elapsed", "rate", "eta", "done", "outcome", "unit", "percent",
    ]  # fmt: skip


async def test_a_late_reader_gets_the_latest_at_once() -> None:
    """In the middle, and after the end: then that is all there is."""
    feed = progress_events(event="status")
    assert feed.latest is None
    source, subscription = counted(feed)
    for number in range(3):
        source.on_next(number)
    reader = aiter(feed)
    event = await anext(reader)
    assert (event.event, event.data["elements"]) == ("status", 3)
    subscription.dispose()
    assert [(await anext(reader)).data["outcome"]] == ["cancelled"]
    for _ in range(2):
        assert [(data["elements"], data["outcome"]) for data in await read(feed)] == [(3, "cancelled")]
    assert isinstance(feed.latest, Progress)


async def test_a_slow_reader_skips_and_holds_nobody_up() -> None:
    """It never sees an old report, keeps none, and still gets the last one."""
    feed = progress_events()
    source, _ = counted(feed)
    source.on_next(0)
    slow = aiter(feed)
    assert (await anext(slow)).data["elements"] == 1
    for number in range(1000):
        source.on_next(number)
    source.on_completed()
    assert [event.data["elements"] async for event in slow] == [1001]


async def test_many_readers_at_their_own_pace() -> None:
    """While the stream runs on a thread as fast as it can: each sees rising numbers, and the end."""
    feed = progress_events()
    readers = [asyncio.create_task(read(feed)) for _ in range(20)]
    await asyncio.sleep(0)
    await everything(rx.range(20_000).pipe(with_progress("import", log_interval=10, on_progress=feed)))
    for seen in await asyncio.gather(*readers):
        numbers = [data["elements"] for data in seen]
        assert numbers == sorted(numbers)
        assert seen[-1]["done"] and numbers[-1] == 20_000


async def test_a_reader_that_leaves_leaves_nothing() -> None:
    """Neither in the feed nor anywhere; the others go on."""
    feed = progress_events()
    source, _ = counted(feed)
    source.on_next(0)
    readers = [asyncio.create_task(read(feed)) for _ in range(3)]
    await until(lambda: len(feed._waiting) == 3)
    for reader in readers[:2]:
        reader.cancel()
    await asyncio.wait(readers[:2])
    assert len(feed._waiting) == 1
    source.on_completed()
    assert (await readers[2])[-1]["done"]
    assert feed._waiting == []


async def test_it_is_an_async_iterable_for_pipelines() -> None:
    """Each subscription is a reader of its own."""
    feed = progress_events()
    events = from_async_iterable(feed)
    source, _ = counted(feed)
    source.on_next(0)
    async with to_async_iterable(events, "sse") as one, to_async_iterable(events, "sse") as other:
        assert (await anext(one)).data["elements"] == (await anext(other)).data["elements"] == 1
        source.on_completed()
        assert [event.data["done"] async for event in one] == [True]


def test_readers_on_several_loops() -> None:
    """In threads of their own, one after the other has closed; a loop that is gone holds up nobody."""
    feed, results = progress_events(), list[Any]()
    source, _ = counted(feed)

    async def wait_in_vain() -> None:
        reader = asyncio.ensure_future(anext(aiter(feed)))
        await until(lambda: feed._waiting)
        reader.cancel()

    asyncio.run(wait_in_vain())
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(read(feed)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    source.on_next(0)
    source.on_completed()
    for thread in threads:
        thread.join(DEADLINE)
    assert [seen[-1]["done"] for seen in results] == [True] * 3


async def test_it_keeps_no_stream_alive() -> None:
    """Only the latest report."""

    class Thing:
        pass

    feed, thing = progress_events(), Thing()
    gone = weakref.ref(thing)

    async def things(thing: Thing) -> AsyncIterator[Thing]:
        yield thing

    await everything(from_async_iterable(things(thing)).pipe(with_progress("x", on_progress=feed)))
    del thing
    await until(lambda: gc.collect() >= 0 and gone() is None)
    assert feed.latest is not None and feed.latest.done

"""Operators that are consumers amid a pipe (`with_buffer`, `map_async`, decoders), behind what hands items around.

`publish`, `group_by`, `window` give their items to whoever has subscribed, and to nobody else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import Subject

from rxstream import async_boundary
from rxstream.buffering import with_buffer
from rxstream.concurrency import map_async
from rxstream.decoding import decode_ndjson
from rxstream.sinks import to_async_iterable
from rxstream.sources import from_async_iterable
from tests.rxstream.support import DEADLINE, STRATEGIES, everything, first, numbers, stream_config, until, workers

COUNT = 300
Operator = Callable[[Observable[Any]], Observable[Any]]


async def same(item: int) -> int:
    """Takes a turn of the loop."""
    await asyncio.sleep(0)
    return item


INNER: dict[str, Operator] = {
    "map_async": map_async(same),
    "map_async, several": map_async(same, max_concurrent=8),
    "with_buffer": with_buffer(capacity=2),
    "two of them": rx.compose(with_buffer(capacity=1), ops.map(lambda n: n), map_async(same)),
}
SHAPES: dict[str, Callable[[Operator], Operator]] = {
    "publish": lambda inner: ops.publish(lambda shared: shared.pipe(inner)),
    "group_by": lambda inner: rx.compose(ops.group_by(lambda n: n % 3), ops.flat_map(lambda group: group.pipe(inner))),
    "window": lambda inner: rx.compose(ops.window_with_count(70), ops.flat_map(lambda part: part.pipe(inner))),
    "mapped": lambda inner: rx.compose(
        ops.group_by(lambda n: n % 3), ops.flat_map(lambda group: group.pipe(ops.map(lambda n: n), inner))
    ),
}
SOURCES: dict[str, Callable[[], Observable[int]]] = {
    "async": lambda: from_async_iterable(lambda: numbers(COUNT)),
    "stock": lambda: rx.range(COUNT),
    "both": lambda: rx.merge(from_async_iterable(lambda: numbers(COUNT // 2)), rx.range(COUNT // 2, COUNT)),
}


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("source", SOURCES)
async def test_nothing_is_lost(source: str, shape: str, inner: str) -> None:
    """Every item comes, and the source waits for the slowest of those that its items are handed to."""
    got = await everything(SOURCES[source]().pipe(SHAPES[shape](INNER[inner])), 4)
    assert sorted(got) == list(range(COUNT))
    await until(lambda: not workers())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("source", SOURCES)
async def test_nothing_is_lost_in_front_of_a_buffer_that_drops(source: str, shape: str) -> None:
    """The same where only the inner operator waits: what the outer buffer drops is counted."""
    dropped: list[int] = []
    items = SOURCES[source]().pipe(SHAPES[shape](map_async(same)))
    async with asyncio.timeout(DEADLINE), to_async_iterable(items, "sse", on_dropped=dropped.append) as stream:
        got = [item async for item in stream]
    assert sorted(got + dropped) == list(range(COUNT))


async def test_bytes_are_not_lost_either() -> None:
    """A decoder is such an operator, too."""
    lines = from_async_iterable(lambda: numbers(COUNT)).pipe(ops.map(lambda n: b"%d\n" % n))
    shared = lines.pipe(ops.publish(lambda chunks: chunks.pipe(decode_ndjson(int))))
    assert await everything(shared, 4) == list(range(COUNT))


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_push_right_after_subscribe(strategy: Any) -> None:
    """A plain observer: what is pushed in the next statement has a subscriber."""
    subject, got = Subject[int](), list[int]()
    subscription = subject.pipe(ops.map(lambda n: n), map_async(same)).subscribe(got.append)
    subject.on_next(1)
    await until(lambda: got == [1])
    subscription.dispose()
    assert not subject.observers
    hot = Subject[int]()
    async with to_async_iterable(hot.pipe(map_async(same)), stream_config(2, strategy)) as stream:
        hot.on_next(2)
        assert await first(stream, 1) == [2]


async def test_a_source_that_pushes_while_it_is_subscribed_to_still_waits() -> None:
    """`create` pushes inside `subscribe`, more than there is room for, amid a push on the loop and on a worker."""

    def burst(observer: Any, scheduler: Any) -> None:
        for number in range(COUNT):
            observer.on_next(number)
        observer.on_completed()

    inner = rx.create(burst).pipe(with_buffer(capacity=2))
    for source in (from_async_iterable(lambda: numbers(3)), rx.range(3)):
        got = await everything(source.pipe(ops.flat_map(lambda _: inner)), 4)
        assert sorted(got) == sorted(3 * list(range(COUNT)))


async def test_an_endless_one_is_left_with_its_stream() -> None:
    """The same for ever, on the worker of the boundary below: it is unwound when the consumer leaves."""
    ended: list[str] = []

    def forever(observer: Any, scheduler: Any) -> None:
        try:
            while True:
                observer.on_next(0)
        finally:
            ended.append("unwound")

    endless = rx.range(2).pipe(ops.flat_map(lambda _: rx.create(forever).pipe(with_buffer(capacity=1))))
    async with to_async_iterable(endless, stream_config(2)) as stream:
        await first(stream, 5)
    await until(lambda: ended and not workers())


async def test_a_subscribe_that_takes_long_does_not_hold_the_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop waits for it for a moment only, and says that something may be missed."""
    monkeypatch.setattr(async_boundary, "BEGINNING", 0.01)
    go_on = threading.Event()

    def slow(observer: Any, scheduler: Any) -> None:
        go_on.wait(DEADLINE)
        observer.on_next(1)

    got: list[int] = []
    subscription = rx.create(slow).pipe(map_async(same)).subscribe(got.append)
    assert ["takes long to be subscribed to" in record.message for record in caplog.records] == [True]
    go_on.set()
    await until(lambda: got == [1])
    subscription.dispose()


async def test_leaving_before_it_has_begun() -> None:
    """Disposed in the turn in which it was subscribed: the source is let go of at once."""
    subject = Subject[int]()
    subject.pipe(with_buffer(capacity=1), map_async(same)).subscribe(lambda _: None).dispose()
    assert not subject.observers

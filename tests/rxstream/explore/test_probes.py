"""Probes: what they see, and that nobody notices them."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from typing import Any

import pytest
import reactivex
from reactivex import operators as rx
from reactivex.testing import ReactiveTest, TestScheduler

from rxstream import from_async_iterable, operators, to_async_iterable
from rxstream.explore import Trace, probe, record, simulate
from tests.rxstream.support import STRATEGIES, everything, numbers, pusher, stream_config, subscribed, until


def kinds(trace: Trace, name: str) -> list[tuple[str, str | None]]:
    """What happened at a probe, but for the fill of its buffer."""
    return [(event.kind, event.item) for event in trace if event.probe == name and event.kind != "buffer"]


def test_it_sees_what_passes_and_lets_it_pass() -> None:
    """Items, and the end."""
    trace, seen = Trace(), []
    reactivex.of(1, None, "x").pipe(trace.probe("a")).subscribe(seen.append)
    assert seen == [1, None, "x"]
    assert kinds(trace, "a") == [("next", "1"), ("next", "None"), ("next", "x"), ("end", None)]


def test_it_sees_an_error() -> None:
    """And lets that pass, too."""
    trace, failures = Trace(), []
    error = ValueError("bad")
    reactivex.throw(error).pipe(trace.probe("a")).subscribe(on_error=failures.append)
    assert failures == [error]
    assert kinds(trace, "a") == [("error", "ValueError: bad")]


def test_without_a_trace_it_is_not_there() -> None:
    """Nothing is recorded, and nothing put in between."""
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(ReactiveTest.on_next(300, 1), ReactiveTest.on_completed(400))
    results = scheduler.start(lambda: source.pipe(probe("a")))
    assert results.messages == [ReactiveTest.on_next(300, 1), ReactiveTest.on_completed(400)]


def test_it_follows_the_clock_of_a_test_scheduler() -> None:
    """Virtual time of RxPY's own."""
    trace, scheduler = Trace(), TestScheduler()
    source = scheduler.create_hot_observable(ReactiveTest.on_next(300, "a"), ReactiveTest.on_next(500, "b"))
    scheduler.start(lambda: source.pipe(trace.probe("a")))
    first, second = trace.events
    assert second.at - first.at == 200.0


def test_the_places_are_in_the_order_of_the_pipeline() -> None:
    """Although a pipeline is subscribed to from its end; the one in front of the buffer tells of it."""
    source = reactivex.merge(
        reactivex.interval(0.1).pipe(probe("left")), reactivex.interval(0.15).pipe(probe("right"))
    ).pipe(probe("both"), rx.map(str), probe("texts"))
    trace = simulate(source, duration=1, consumer_delay=0.5, buffer=stream_config(2, "sliding"))
    assert trace.probes == ("left", "right", "both", "texts", "consumer")
    assert [(place.name, place.capacity) for place in trace.places if place.last] == [("texts", 2)]
    assert {event.probe for event in trace if event.kind == "drop"} == {"texts"}


def test_a_probe_inside_of_flat_map_is_above_of_what_is_below() -> None:
    """Although it is made while items flow; the buffer stays below the probe in front of it."""
    source = reactivex.interval(1.0).pipe(
        rx.take(3),
        probe("outer"),
        rx.flat_map(lambda n: reactivex.timer(0.1).pipe(probe("inner"), rx.map(lambda _: n))),
        probe("result"),
    )
    trace = simulate(source, buffer=stream_config(4, "sliding"))
    assert trace.probes == ("outer", "inner", "result", "consumer")
    assert [place.name for place in trace.places if place.last] == ["result"]
    assert trace.counts("inner")["next"] == 3


async def test_a_trace_of_many_streams_stays_small() -> None:
    """One that is kept for the life of an app: nothing in it grows with the number of streams."""
    trace = Trace(max_events=10)
    sizes = []
    for _ in range(3):
        for _ in range(20):
            await everything(reactivex.of(1, 2).pipe(trace.probe("a"), rx.map(str), trace.probe("b")))
        sizes.append(sum(len(value) for value in vars(trace).values() if hasattr(value, "__len__")))
    assert sizes[0] == sizes[2]
    assert trace.probes == ("a", "b")
    assert [place.name for place in trace.places if place.last] == ["b"]


def test_each_buffer_has_its_own_probe() -> None:
    """One in the middle of the pipe drops under the name of what is above it."""
    source = reactivex.interval(0.1).pipe(
        probe("above"), operators.with_buffer(capacity=2, strategy="dropping"), probe("below")
    )
    trace = simulate(source, duration=3, consumer_delay=0.4, buffer=stream_config(1))
    fronts = [(place.name, place.capacity, place.strategy) for place in trace.places if place.last]
    assert fronts == [("above", 2, "dropping"), ("below", 1, "suspend")]
    assert trace.counts("above")["drop"] > 0
    assert trace.counts("below")["suspend"] > 0
    assert "suspend" not in trace.counts("above") and "drop" not in trace.counts("below")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_item_is_accounted_for(strategy: str) -> None:
    """pushed = delivered + dropped, and the fill never passes the capacity."""
    trace = simulate(
        reactivex.interval(0.1).pipe(rx.take(50)), duration=60, consumer_delay=0.3, buffer=stream_config(4, strategy)
    )
    assert trace.counts("source")["next"] == 50
    assert trace.counts("consumer")["next"] + trace.counts("source").get("drop", 0) == 50
    assert max(event.filled or 0 for event in trace) == 4


def test_the_fill_is_that_of_each_moment() -> None:
    """A consumer that waits has nothing in hand; and what has not changed is not recorded."""
    trace = simulate(reactivex.interval(1.0), duration=5, buffer=stream_config(4))
    fills = [event.filled for event in trace if event.kind == "buffer"]
    assert fills == [1, 0] * 4 + [1]


async def test_discarded_items_are_seen() -> None:
    """What a consumer that leaves has not taken."""
    trace = Trace()
    async with to_async_iterable(reactivex.range(10).pipe(trace.probe("a")), stream_config(10)) as items:
        async for _ in items:
            await until(lambda: trace.counts("a")["next"] == 10)
            break
    assert trace.counts("a")["discard"] == 9


async def test_a_foreign_thread_that_waits_is_seen() -> None:
    """In real time."""
    trace: Trace = Trace()
    subject: reactivex.Subject[int] = reactivex.Subject()
    stream = to_async_iterable(subject.pipe(trace.probe("a")), stream_config(2))
    async with stream:
        await subscribed(subject)
        thread = pusher(subject, [*range(20)])
        thread.start()
        got = []
        async for item in stream:
            got.append(item)
            await asyncio.sleep(0.002)
            if item == 19:
                break
        thread.join()
    assert got == list(range(20))
    counts = trace.counts("a")
    assert counts["next"] == 20
    assert 0 < counts["suspend"] == counts["resume"]


async def test_one_trace_for_several_subscriptions() -> None:
    """Probes of one name share a line; each buffer is told of once."""
    trace = Trace()
    for _ in range(3):
        assert await everything(reactivex.range(5).pipe(trace.probe("a"), trace.probe("b"))) == list(range(5))
    assert trace.counts("a")["next"] == trace.counts("b")["next"] == 15
    assert trace.probes == ("a", "b")


async def test_it_keeps_no_item_alive() -> None:
    """A trace has texts, not items; and holds no stream that is over."""

    class Item:
        pass

    trace, alive = Trace(), []

    async def source() -> Any:
        for _ in range(5):
            item = Item()
            alive.append(weakref.ref(item))
            yield item

    assert len(await everything(from_async_iterable(source).pipe(trace.probe("a")))) == 5
    for _ in range(2):
        await asyncio.sleep(0)
    gc.collect()
    assert [ref() for ref in alive] == [None] * 5
    assert trace.counts("a")["next"] == 5


async def test_record_runs_in_real_time() -> None:
    """The consumer takes its time, and the trace ends with the stream."""
    began = time.monotonic()
    trace = await record(reactivex.range(5).pipe(probe("numbers")), consumer_delay=0.01)
    assert time.monotonic() - began >= 0.05
    assert kinds(trace, "numbers")[-1] == kinds(trace, "consumer")[-1] == ("end", None)
    assert trace.end >= 0.05


async def test_record_stops_after_the_duration() -> None:
    """An endless stream, too; what it had in its buffer is not in the picture."""
    trace = await record(
        from_async_iterable(lambda: numbers(10**9)), duration=0.05, consumer_delay=0.01, buffer=stream_config(2)
    )
    assert trace.end >= 0.05
    assert "discard" not in trace.counts("source")
    assert "end" not in trace.counts("consumer")


async def test_a_recording_that_is_cancelled_keeps_its_trace() -> None:
    """In a trace of one's own."""
    trace = Trace()
    task = asyncio.ensure_future(record(reactivex.interval(0.001), trace=trace))
    await until(lambda: trace.counts("consumer").get("next", 0) >= 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.closed and trace.counts("consumer")["next"] >= 3


async def test_a_timeout_of_the_stream_is_the_streams() -> None:
    """It is not taken for the end of the duration."""
    trace = await record(reactivex.never().pipe(rx.timeout(0.01)), duration=20)
    assert kinds(trace, "consumer")[0][0] == "error"


async def test_a_stream_that_fails_is_a_picture() -> None:
    """Not an exception."""
    trace = await record(reactivex.throw(ValueError("bad")))
    assert kinds(trace, "consumer") == [("error", "ValueError: bad")]


async def test_what_record_refuses() -> None:
    """Before anything runs."""
    for wrong, error in (
        ({"duration": -1}, ValueError),
        ({"duration": True}, TypeError),
        ({"consumer_delay": float("nan")}, ValueError),
        ({"buffer": 3}, TypeError),
        ({"observable": 3}, TypeError),
    ):
        arguments: dict[str, Any] = {"observable": reactivex.empty(), **wrong}
        with pytest.raises(error):
            await record(arguments.pop("observable"), **arguments)


def test_what_probe_refuses() -> None:
    """When it is built."""
    with pytest.raises(TypeError):
        probe(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name"):
        probe("")
    with pytest.raises(TypeError):
        probe("a", trace=3)  # type: ignore[arg-type]

"""`with_buffer`: where it drains, what it keeps, and that it is gone afterwards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.scheduler import ImmediateScheduler, NewThreadScheduler, ThreadPoolScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler, AsyncIOThreadSafeScheduler
from reactivex.subject import Subject

from rxstream.buffer_config import BufferConfig
from rxstream.buffering import with_buffer
from rxstream.errors import BackpressureError
from rxstream.sources import from_async_iterable
from tests.rxstream.support import (
    DEADLINE,
    STRATEGIES,
    Counted,
    Recorder,
    everything,
    numbers,
    pusher,
    subscribed,
    until,
    until_now,
    workers,
)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"capacity": 0}, ValueError, "capacity must be from 1"),
        ({"capacity": True}, TypeError, "capacity must be an int"),
        ({"capacity": 1.5}, TypeError, "capacity must be an int"),
        ({"strategy": "newest"}, ValueError, "strategy must be one of"),
        ({"buffer": "none"}, ValueError, "no buffer preset"),
        ({"buffer": 5}, TypeError, "a buffer is a preset's name"),
    ],
)
def test_a_wrong_buffer_is_refused_when_the_operator_is_built(
    arguments: Any, error: type[Exception], message: str
) -> None:
    """Not when it is subscribed to."""
    with pytest.raises(error, match=message):
        with_buffer(**arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"capacity": 3, "strategy": "sliding"}, (3, "sliding")),
        ({"buffer": "sse"}, (64, "sliding")),
        ({"buffer": "sse", "capacity": 2}, (2, "sliding")),
        ({"buffer": {"strategy": "dropping"}}, (128, "dropping")),
        ({"buffer": BufferConfig(5, "suspend"), "strategy": "dropping"}, (5, "dropping")),
    ],
)
async def test_parts_override_the_buffer(arguments: Any, expected: tuple[int, str]) -> None:
    """A capacity and a strategy can be given beside a preset."""
    subject, seen = Subject[int](), Recorder()
    subject.pipe(with_buffer(**arguments)).subscribe(seen.on_next, seen.on_error, seen.on_completed)
    await subscribed(subject)
    for number in range(1000):
        subject.on_next(number)
    subject.on_completed()
    await until(seen.over.is_set)
    capacity, strategy = expected
    kept = range(1000 - capacity, 1000) if strategy == "sliding" else range(capacity)
    assert seen.items == list(kept)


@pytest.mark.parametrize(
    ("strategy", "expected"), [("sliding", [0, 7, 8, 9]), ("dropping", [0, 1, 2, 3]), ("suspend", list(range(10)))]
)
@pytest.mark.parametrize("on_loop", [True, False])
async def test_a_slow_observer_fills_the_buffer(strategy: Any, expected: list[int], on_loop: bool) -> None:
    """While `on_next` is busy with the first item, a thread pushes nine more into three places."""
    subject, seen, inside, go_on = Subject[int](), Recorder(), threading.Event(), threading.Event()

    def on_next(item: int) -> None:
        inside.set()
        assert go_on.wait(DEADLINE)
        seen.on_next(item)

    def push() -> None:
        subject.on_next(0)
        assert inside.wait(DEADLINE)
        pushed = pusher(subject, range(1, 10))
        pushed.start()
        pushed.join(0.05 if strategy == "suspend" else DEADLINE)
        go_on.set()
        pushed.join(DEADLINE)
        subject.on_completed()

    buffered = subject.pipe(with_buffer(capacity=3, strategy=strategy))
    if on_loop:
        buffered.subscribe(on_next, seen.on_error, seen.on_completed)
    else:
        await asyncio.to_thread(buffered.subscribe, on_next, seen.on_error, seen.on_completed)
    await subscribed(subject)
    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    await until(seen.over.is_set)
    thread.join(DEADLINE)
    assert seen.items == expected


SCHEDULERS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "asyncio": lambda: AsyncIOScheduler(asyncio.get_running_loop()),
    "asyncio, thread-safe": lambda: AsyncIOThreadSafeScheduler(asyncio.get_running_loop()),
    "immediate": ImmediateScheduler,
    "new thread": NewThreadScheduler,
    "pool": lambda: ThreadPoolScheduler(1),
}


@pytest.mark.parametrize("where", ["argument", "subscribe"])
@pytest.mark.parametrize("name", SCHEDULERS)
async def test_the_scheduler_calls_the_observer(name: str, where: str) -> None:
    """Every item arrives, in order and one at a time, on whatever scheduler."""
    asyncio.get_running_loop().set_debug(True)  # so that it refuses calls from the wrong thread
    seen, scheduler = Recorder(), SCHEDULERS[name]()
    source = rx.merge(rx.from_iterable(range(200)), from_async_iterable(lambda: numbers(0)))
    argument, given = (scheduler, None) if where == "argument" else (None, scheduler)
    source.pipe(with_buffer(capacity=3, strategy="suspend", scheduler=argument)).subscribe(
        seen.on_next, seen.on_error, seen.on_completed, scheduler=given
    )
    await until(seen.over.is_set)
    assert (seen.items, seen.errors, seen.completed, seen.overlaps) == (list(range(200)), [], 1, 0)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("source", [rx.range(1000), rx.repeat_value(1, 1000), rx.range(5).pipe(ops.repeat(200))])
def test_a_scheduler_that_calls_at_once_keeps_the_stack_flat(source: Any, strategy: Any) -> None:
    """Sources that ask for each item anew, or subscribe again, do so amid the last one there."""
    seen = Recorder()
    buffered = source.pipe(with_buffer(capacity=4, strategy=strategy, scheduler=ImmediateScheduler()))
    buffered.subscribe(seen.on_next, seen.on_error, seen.on_completed)
    assert seen.over.wait(DEADLINE)
    assert (len(seen.items), seen.errors, seen.completed) == (1000, [], 1)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_scheduler_that_takes_no_more(strategy: Any, from_the_start: bool) -> None:
    """Its refusal is the stream's failure, and neither the producer's nor nobody's."""
    pool, subject, seen = ThreadPoolScheduler(1), Subject[int](), Recorder()
    source = subject.pipe(ops.merge(rx.of(0)))
    if from_the_start:
        pool.executor.shutdown()
    source.pipe(with_buffer(capacity=2, strategy=strategy, scheduler=pool)).subscribe(
        seen.on_next, seen.on_error, seen.on_completed
    )
    if not from_the_start:
        until_now(lambda: seen.items)
        pool.executor.shutdown()
        subject.on_next(1)
    assert seen.over.wait(DEADLINE)
    assert (seen.items, [str(error) for error in seen.errors]) == (
        [] if from_the_start else [0],
        ["cannot schedule new futures after shutdown"],
    )
    until_now(lambda: not subject.observers)


async def test_on_the_loop_the_observer_runs_on_the_loop() -> None:
    """Without a scheduler a plain observer is called on the running loop, whatever thread the source is on."""
    threads: set[threading.Thread] = set()
    done = asyncio.Event()
    rx.from_iterable(range(20)).pipe(with_buffer(capacity=2)).subscribe(
        lambda _: threads.add(threading.current_thread()), on_completed=done.set
    )
    async with asyncio.timeout(DEADLINE):
        await done.wait()
    assert threads == {threading.current_thread()}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_without_a_loop_it_has_a_thread_of_its_own(strategy: Any) -> None:
    """A script without asyncio: all arrives on one other thread, which is gone afterwards."""
    seen, threads = Recorder(), set[str]()

    def note(_: int) -> None:
        threads.add(threading.current_thread().name)

    buffered = rx.from_iterable(range(500)).pipe(with_buffer(capacity=500, strategy=strategy))
    buffered.pipe(ops.do_action(note)).subscribe(seen.on_next, seen.on_error, seen.on_completed)
    assert seen.over.wait(DEADLINE)
    assert (seen.items, seen.completed) == (list(range(500)), 1)
    assert threads == {"rxstream-worker"}


def add_one(number: int) -> int:
    """A mapper."""
    return number + 1


def test_nested_without_a_loop() -> None:
    """A buffer below a buffer below a plain observer."""
    seen = Recorder()
    above = rx.from_iterable(range(300)).pipe(with_buffer(capacity=2), ops.map(add_one))
    below = above.pipe(with_buffer(capacity=1)).pipe(with_buffer(capacity=3))
    below.subscribe(seen.on_next, seen.on_error, seen.on_completed)
    assert seen.over.wait(DEADLINE)
    assert (seen.items, seen.errors) == (list(range(1, 301)), [])


def test_timers_without_a_loop() -> None:
    """Timed sources work in a script as well."""
    seen = Recorder()
    rx.interval(0.001).pipe(ops.take(10)).pipe(with_buffer(capacity=2)).subscribe(
        seen.on_next, seen.on_error, seen.on_completed
    )
    assert seen.over.wait(DEADLINE)
    assert seen.items == list(range(10))


@pytest.mark.parametrize("below", STRATEGIES)
@pytest.mark.parametrize("above", STRATEGIES)
async def test_below_a_demand_aware_consumer(above: Any, below: str) -> None:
    """In the middle of a pipe it drains as the consumer has room, and its own strategy decides what is lost."""
    lost: list[int] = []
    source = rx.from_iterable(range(300)).pipe(
        with_buffer(capacity=4, strategy=above, on_dropped=lost.append), ops.map(lambda n: n)
    )
    got = await everything(source, 300 if below != "suspend" else 2, below)
    assert sorted(got + lost) == list(range(300))
    assert got == sorted(got)
    if above == "suspend":
        assert lost == []


async def test_a_subject_of_the_loop_below_a_suspended_consumer() -> None:
    """A sliding buffer in the middle is the way out for a hot source of the loop."""
    subject = Subject[int]()
    sliding = subject.pipe(with_buffer(capacity=2, strategy="sliding"))
    collected = asyncio.ensure_future(everything(sliding, 1))
    await subscribed(subject)
    for number in range(100):
        subject.on_next(number)
    subject.on_completed()
    assert (await collected)[-2:] == [98, 99]


async def test_a_flood_on_the_loop_is_an_error_downstream() -> None:
    """Under suspend a push on the loop into the full buffer fails the stream, after what it holds."""
    subject, seen = Subject[int](), Recorder()
    subject.pipe(with_buffer(capacity=2, strategy="suspend")).subscribe(seen.on_next, seen.on_error, seen.on_completed)
    await subscribed(subject)
    for number in range(5):
        subject.on_next(number)
    await until(seen.over.is_set)
    assert seen.items == [0, 1]
    assert [type(error) for error in seen.errors] == [BackpressureError]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_dispose_shows_what_was_in_the_buffer(strategy: Any) -> None:
    """Items that were not delivered are given to the hook; the source is disposed."""
    source, lost, seen = Counted(), list[int](), list[int]()
    subscription = (
        from_async_iterable(source.generate)
        .pipe(with_buffer(capacity=3, strategy=strategy, on_dropped=lost.append))
        .subscribe(seen.append)
    )
    await until(lambda: seen)
    subscription.dispose()
    await until(lambda: source.closed)
    missing = set(range(source.pulled)) - set(seen) - set(lost)
    assert missing <= {source.pulled - 1}  # one may have been in the source's hand
    assert not workers() or strategy == "suspend"


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_hook_that_raises(strategy: Any) -> None:
    """A failing hook is the stream's failure, once, after the items that are in the buffer."""
    subject, seen = Subject[int](), Recorder()

    def hook(_: int) -> None:
        raise KeyError("hook")

    subject.pipe(with_buffer(capacity=2, strategy=strategy, on_dropped=hook)).subscribe(
        seen.on_next, seen.on_error, seen.on_completed
    )
    await subscribed(subject)
    for number in range(5):
        subject.on_next(number)
    await until(seen.over.is_set)
    assert len(seen.items) == 2
    assert [type(error) for error in seen.errors] == [BackpressureError if strategy == "suspend" else KeyError]

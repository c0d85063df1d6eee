"""What every stream promises about its signals: how many, in which order, where to, and what is left afterwards."""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
import reactivex as rx
from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.disposable import Disposable, SerialDisposable
from reactivex.scheduler import ImmediateScheduler
from reactivex.subject import Subject

from rxstream import for_each, from_async_iterable, from_file, to_async_iterable
from rxstream.buffering import with_buffer
from rxstream.concurrency import map_async
from rxstream.errors import RxStreamError
from tests.rxstream.support import (
    DEADLINE,
    STRATEGIES,
    Counted,
    Recorder,
    everything,
    first,
    numbers,
    pusher,
    settled,
    stream_config,
    subscribed,
    until,
    until_now,
    workers,
)

Source = Observable[Any]


async def identity(item: Any) -> Any:
    """An async function that takes a turn."""
    await asyncio.sleep(0)
    return item


# -- never more than was asked for


@pytest.mark.parametrize("capacity", [1, 2, 5])
@pytest.mark.parametrize("kind", ["async", "iterable", "mapped", "buffered"])
async def test_a_source_is_at_most_capacity_and_one_item_ahead(kind: str, capacity: int) -> None:
    """A suspended source has pulled the capacity and the one item that waits, however far the consumer is."""
    numbers_ = Counted()
    source: Source = rx.from_iterable(numbers_) if kind == "iterable" else from_async_iterable(numbers_.generate)
    bound = capacity + 1
    if kind == "mapped":
        source = source.pipe(ops.map(lambda n: n), ops.filter(lambda n: True))
    if kind == "buffered":  # a second buffer adds its own capacity; the item on its way is one of its items
        source = source.pipe(with_buffer(capacity=2, strategy="suspend"))
        bound += 2
    async with to_async_iterable(source, stream_config(capacity)) as items:
        assert await settled(lambda: numbers_.pulled) == bound
        for received in range(1, 4 * capacity):
            await first(items, 1)
            assert numbers_.pulled - received <= bound
        high_water = items.statistics().high_water
    assert high_water <= capacity


async def test_a_source_is_never_ahead_of_batches() -> None:
    """Items of a batch that is being worked on still fill their places."""
    numbers_ = Counted()
    async with to_async_iterable(from_async_iterable(numbers_.generate), stream_config(4)) as items:
        batches = items.batches()
        consumed = 0
        for _ in range(5):
            batch = await anext(batches)
            assert await settled(lambda: numbers_.pulled) <= consumed + 4 + 1
            consumed += len(batch)


async def test_map_async_suspends_its_source() -> None:
    """No call is started while nobody below has room, and the source waits."""
    numbers_, calls = Counted(), list[int]()

    async def call(number: int) -> int:
        calls.append(number)
        return number

    source = from_async_iterable(numbers_.generate).pipe(map_async(call, max_concurrent=3))
    async with to_async_iterable(source, stream_config(2)) as items:
        await first(items, 1)
        assert await settled(lambda: len(calls)) <= 2 + 3 + 1
        assert numbers_.pulled <= len(calls) + 3 + 1 + 1


# -- one at a time


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("on_loop", [True, False])
async def test_signals_of_one_observer_never_overlap(strategy: Any, on_loop: bool) -> None:
    """Four threads push 800 items through a subject that serialises nothing; the observer is called once at a time."""
    seen, subject = Recorder(), Subject[int]()
    buffered = subject.pipe(with_buffer(capacity=800 if strategy == "dropping" else 4, strategy=strategy))

    def push() -> None:
        for number in range(200):
            subject.on_next(number)

    threads = [threading.Thread(target=push, daemon=True) for _ in range(4)]
    if on_loop:
        buffered.subscribe(seen.on_next, seen.on_error, seen.on_completed)
    else:
        await asyncio.to_thread(buffered.subscribe, seen.on_next, seen.on_error, seen.on_completed)
    await subscribed(subject)
    for thread in threads:
        thread.start()
    await until(lambda: not any(thread.is_alive() for thread in threads))
    subject.on_completed()
    await until(lambda: seen.over.is_set())
    assert seen.overlaps == 0
    if strategy != "sliding":
        assert len(seen.items) == 800


# -- failures and ends


class Failure(Exception):
    """What the tests fail with."""


def fail(*_: Any) -> Any:
    """A function of the user's that fails."""
    raise Failure


def failing_iterable() -> Any:
    """Fails at the second item."""
    yield 1
    raise Failure


async def failing_generator() -> AsyncIterator[int]:
    """The same, asynchronously."""
    yield 1
    raise Failure


async def async_fail(_: Any) -> Any:
    """An async function of the user's that fails."""
    raise Failure


class FailingIterable:
    """An async iterable that fails before its first item."""

    def __aiter__(self) -> AsyncIterator[int]:
        raise Failure


FAILURES: dict[str, Callable[[], Source]] = {
    "throw": lambda: rx.throw(Failure()),
    "iterable": lambda: rx.from_iterable(failing_iterable()),
    "async generator": lambda: from_async_iterable(failing_generator),
    "aiter": lambda: from_async_iterable(FailingIterable()),
    "callable": lambda: from_async_iterable(fail),
    "subscribe": lambda: Observable(fail),
    "create": lambda: rx.create(fail),
    "bare subscribe": lambda: Rude(fail),
    "mapper": lambda: from_async_iterable(lambda: numbers(3)).pipe(ops.map(fail)),
    "mapper on the worker": lambda: rx.of(1, 2).pipe(ops.map(fail)),
    "timer": lambda: rx.timer(0.001).pipe(ops.map(fail)),
    "observer within": lambda: from_async_iterable(lambda: numbers(3)).pipe(rude_operator),
    "observer within a timer": lambda: rx.timer(0.001).pipe(rude_operator),
    "map_async": lambda: rx.of(1, 2, 3).pipe(map_async(async_fail)),
    "map_async, not async": lambda: rx.of(1, 2, 3).pipe(map_async(fail)),
    "after others": lambda: rx.concat(rx.of(1, 2), rx.throw(Failure())),
}


def rude_operator(source: Source) -> Source:
    """An operator whose observer raises instead of sending the error on."""

    def subscribe(observer: Any, scheduler: Any = None) -> abc.DisposableBase:
        return source.subscribe(fail, observer.on_error, scheduler=scheduler)

    return Observable(subscribe)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", FAILURES)
async def test_a_failure_arrives_once(kind: str, strategy: str) -> None:
    """Whatever fails, the consumer gets that error, once, and nothing after it."""
    stream = to_async_iterable(FAILURES[kind](), stream_config(8, strategy))
    async with asyncio.timeout(DEADLINE), stream:
        with pytest.raises(Failure):
            async for _ in stream:
                pass
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", FAILURES)
async def test_a_failure_arrives_once_at_a_plain_observer(kind: str, strategy: Any) -> None:
    """The same below `with_buffer`: one `on_error`, nothing after it."""
    seen = Recorder()
    FAILURES[kind]().pipe(with_buffer(capacity=4, strategy=strategy)).subscribe(
        seen.on_next, seen.on_error, seen.on_completed
    )
    await until(lambda: seen.over.is_set())
    await settled(lambda: len(seen.errors) + seen.completed)
    assert [type(error) for error in seen.errors] == [Failure]
    assert seen.completed == 0


FINITE: dict[str, Callable[[], Source]] = {
    "empty": rx.empty,
    "empty iterable": lambda: rx.from_iterable(()),
    "empty async": lambda: from_async_iterable(lambda: numbers(0)),
    "of": lambda: rx.of(1),
    "async": lambda: from_async_iterable(lambda: numbers(3)),
    "map_async of nothing": lambda: rx.empty().pipe(map_async(identity)),
    "filtered": lambda: rx.of(1, 2).pipe(ops.filter(lambda n: False)),
    "empty file": lambda: from_file("/dev/null"),
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", FINITE)
async def test_a_finite_source_completes_once(kind: str, strategy: Any) -> None:
    """Each source ends, also when it is empty, and ends once."""
    seen = Recorder()
    FINITE[kind]().pipe(with_buffer(capacity=4, strategy=strategy)).subscribe(
        seen.on_next, seen.on_error, seen.on_completed
    )
    await until(lambda: seen.over.is_set())
    await settled(lambda: len(seen.errors) + seen.completed)
    assert (seen.errors, seen.completed) == ([], 1)
    await everything(FINITE[kind](), strategy=strategy)


class Rude(Source):
    """A source that goes on after its end, without the guard that `Observable.subscribe` puts around it."""

    def __init__(self, *signals: Callable[[Any], object]) -> None:
        super().__init__()
        self.signals = signals
        self.done = False

    def subscribe(self, on_next: Any = None, *_: Any, **__: Any) -> abc.DisposableBase:
        """Sends its signals at once."""
        for signal in self.signals:
            signal(on_next)
        self.done = True
        return Disposable()


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_nothing_comes_after_the_terminal(strategy: str, caplog: pytest.LogCaptureFixture) -> None:
    """What a misbehaving source sends after its end is counted as discarded and reported once, never delivered."""
    shown: list[Any] = []
    rude = Rude(
        lambda o: o.on_next(1),
        lambda o: o.on_completed(),
        lambda o: o.on_next(2),
        lambda o: o.on_next(3),
        lambda o: o.on_error(Failure()),
        lambda o: o.on_completed(),
    )
    async with asyncio.timeout(DEADLINE):
        async with to_async_iterable(rude, stream_config(4, strategy), on_dropped=shown.append) as stream:
            await until(lambda: rude.done)
            assert [item async for item in stream] == [1]
    assert shown == [2, 3]
    assert stream.statistics().discarded == 2
    assert [r.message for r in caplog.records if r.name == "rxstream"] == [
        "a source went on after its end; what it sends is discarded"
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_cancelled_error_in_subscribe(strategy: str) -> None:
    """`CancelledError` from somebody's `subscribe` is a failure; whoever awaits the stream was not cancelled."""

    def cancel(_: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(RxStreamError, match="CancelledError"):
        await everything(Rude(cancel), strategy=strategy)


async def test_of_two_errors_the_first_counts() -> None:
    """A second error changes nothing about the first."""
    one, two = Failure("one"), Failure("two")
    with pytest.raises(Failure, match="one"):
        await everything(Rude(lambda o: o.on_error(one), lambda o: o.on_error(two)))


# -- leaving


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_after_dispose_nothing_arrives(strategy: Any) -> None:
    """An observer that disposes in `on_next` has had its last item."""
    seen: list[int] = []

    def on_next(item: int) -> None:
        seen.append(item)
        if len(seen) == 3:
            subscription.dispose()

    subscription = rx.from_iterable(Counted()).pipe(with_buffer(capacity=2, strategy=strategy)).subscribe(on_next)
    await until(lambda: len(seen) >= 3)
    await until(lambda: not workers())
    assert len(seen) == 3


async def test_a_suspended_thread_is_released_on_dispose() -> None:
    """A foreign thread that waits in `on_next` goes on when the consumer leaves."""
    subject = Subject[int]()
    thread = pusher(subject, range(3))
    stream = to_async_iterable(subject, stream_config(1))
    async with stream:
        await subscribed(subject)
        thread.start()
        await until(lambda: stream.statistics().pushed == 1)
        assert thread.is_alive()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert subject.observers == []


async def test_a_suspended_coroutine_is_released_on_dispose() -> None:
    """An async source that waits for room is closed when the consumer leaves."""
    source = Counted()
    async with to_async_iterable(from_async_iterable(source.generate), stream_config(2)):
        await settled(lambda: source.pulled)
        assert source.closed == 0
    assert source.closed == 1


async def test_a_source_is_closed_once_on_its_own_loop() -> None:
    """Whoever stops early has the generator closed, by the task and loop that ran it."""
    closed: list[Any] = []

    async def source() -> AsyncIterator[int]:
        here = (asyncio.get_running_loop(), asyncio.current_task())
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            closed.append((asyncio.get_running_loop(), asyncio.current_task()) == here)

    async with to_async_iterable(from_async_iterable(source)) as items:
        await first(items, 3)
    assert closed == [True]


async def test_take_closes_the_source_at_once() -> None:
    """An operator that has had enough ends the source, while the consumer goes on."""
    source = Counted()
    assert await everything(from_async_iterable(source.generate).pipe(ops.take(3)), capacity=1) == [0, 1, 2]
    await until(lambda: source.closed == 1)


async def test_a_failing_dispose_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A source that raises when it is disposed is logged; the block is left in peace, and the rest is closed."""
    source = Counted()
    both = rx.merge(rx.create(lambda *_: Disposable(fail)), from_async_iterable(source.generate))
    async with to_async_iterable(both, stream_config(2)) as items:
        await first(items, 3)
    assert source.closed == 1
    assert any(r.exc_info and r.exc_info[0] is Failure for r in caplog.records)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_dispose_any_number_of_times_from_anywhere(strategy: Any) -> None:
    """Before, during and after, on the loop and on threads: it never raises."""
    subscription = rx.from_iterable(Counted()).pipe(with_buffer(capacity=2, strategy=strategy)).subscribe(fail_softly)
    await asyncio.gather(*(asyncio.to_thread(subscription.dispose) for _ in range(4)))
    subscription.dispose()
    stream = to_async_iterable(rx.of(1), stream_config(2, strategy))
    await stream.aclose()
    await stream.aclose()
    assert [item async for item in stream] == []


def fail_softly(_: Any) -> None:
    """An observer that does not mind."""


async def test_a_closed_stream_does_not_subscribe() -> None:
    """Iterating over a stream that was closed before gives nothing, and starts nothing."""
    subscribed_to: list[str] = []
    source = rx.defer(lambda _: subscribed_to.append("now") or rx.of(1))  # type: ignore[func-returns-value]
    stream = to_async_iterable(source, stream_config(1, "sliding"))
    await stream.aclose()
    assert [item async for item in stream] == []
    assert subscribed_to == []


def test_dispose_after_the_loop_is_closed() -> None:
    """A subscription may outlive its loop and is disposed all the same; a thread that waited for it is released."""
    subject, loop = Subject[int](), asyncio.new_event_loop()
    source = Counted()

    async def subscribe() -> tuple[Any, Any]:
        one = subject.pipe(with_buffer(capacity=1, strategy="suspend")).subscribe(fail_softly)
        two = rx.interval(1).pipe(with_buffer(capacity=1)).subscribe(fail_softly)
        await subscribed(subject)
        return one, two

    subscriptions = loop.run_until_complete(subscribe())
    thread = pusher(subject, range(50))
    thread.start()
    until_now(lambda: thread.is_alive())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    for subscription in subscriptions:
        subscription.dispose()
        subscription.dispose()
    assert source.pulled == 0


# -- independence


async def test_subscriptions_are_independent() -> None:
    """One operator object and one cold stream serve many subscriptions, each from its own start."""
    operator: Any = with_buffer(capacity=2, strategy="suspend")
    mapped: Any = map_async(identity, max_concurrent=2)
    source = from_async_iterable(lambda: numbers(50)).pipe(operator, mapped)
    other = rx.from_iterable(range(7)).pipe(operator, mapped)
    got = await asyncio.gather(everything(source, 1), everything(source, 3), everything(other, 2))
    assert list(got) == [list(range(50)), list(range(50)), list(range(7))]


async def test_a_stalled_consumer_delays_its_own_stream_only() -> None:
    """While one consumer holds everything up, the loop turns, timers come and other streams pass."""
    stalled = [
        to_async_iterable(rx.from_iterable(Counted()), stream_config(1)),
        to_async_iterable(from_async_iterable(Counted().generate), stream_config(1)),
    ]
    async with stalled[0], stalled[1]:
        assert await first(stalled[0], 1) == await first(stalled[1], 1) == [0]
        assert await everything(rx.interval(0.001).pipe(ops.take(20)), 2) == list(range(20))
        assert await everything(rx.from_iterable(range(1000)), 2) == list(range(1000))


async def test_a_deferred_pipeline_shares_no_lock() -> None:
    """Operators with a lock, built anew for each subscription: a stalled consumer holds up nobody else."""

    def build(_: Any) -> Source:
        return rx.merge(rx.range(0, 100), counted).pipe(ops.flat_map(lambda n: rx.of(n, n)))

    counted = from_async_iterable(lambda: numbers(100))
    pipeline = rx.defer(build)
    async with to_async_iterable(pipeline, stream_config(1)) as stalled:
        await first(stalled, 3)
        assert len(await everything(pipeline, 2)) == 400


async def test_subscribe_and_dispose_return_at_once() -> None:
    """Neither waits for a source that is busy subscribing, nor for its thread."""
    free, busy = threading.Event(), threading.Event()

    def subscribe(observer: Any, scheduler: Any = None) -> abc.DisposableBase:
        busy.set()
        assert free.wait(DEADLINE)
        return Disposable()

    subscription = Observable(subscribe).pipe(with_buffer(capacity=1, strategy="suspend")).subscribe(fail_softly)
    assert busy.wait(DEADLINE)
    subscription.dispose()
    assert not free.is_set()
    free.set()


def test_subscribe_without_a_loop_is_an_error_downstream() -> None:
    """A source that needs an event loop says so in `on_error`; `subscribe` does not raise."""
    seen = Recorder()
    from_async_iterable(lambda: numbers(1)).subscribe(seen.on_next, seen.on_error, seen.on_completed)
    from_async_iterable(lambda: numbers(1)).pipe(with_buffer(capacity=1, strategy="dropping")).subscribe(
        seen.on_next, seen.on_error, seen.on_completed
    )
    until_now(lambda: len(seen.errors) == 2)
    assert {type(error) for error in seen.errors} == {RxStreamError}
    assert "needs a running event loop" in str(seen.errors[0])


# -- observers that raise


@pytest.mark.parametrize("buffered", [True, False])
async def test_an_observer_that_raises(buffered: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Its subscription is disposed and the error logged once; its sibling goes on, and `on_error` is not called."""
    source, errors = Counted(50), list[Exception]()
    stream: Source = from_async_iterable(source.generate)
    if buffered:
        stream = stream.pipe(with_buffer(capacity=2, strategy="suspend"))
    sibling = Recorder()
    stream.subscribe(fail, errors.append)
    stream.subscribe(sibling.on_next, sibling.on_error, sibling.on_completed)
    await until(lambda: sibling.over.is_set() and source.closed == 2)
    assert sibling.items == list(range(50))
    assert errors == []
    reports = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [(r.name, r.message) for r in reports] == [("rxstream", "an observer failed; its subscription is disposed")]
    assert reports[0].exc_info is not None
    assert reports[0].exc_info[0] is Failure


@pytest.mark.parametrize("buffered", [True, False])
async def test_an_observer_without_on_error(buffered: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A failure for which nobody has an `on_error` is logged once, to `rxstream`."""
    stream = from_async_iterable(failing_generator)
    if buffered:
        stream = stream.pipe(with_buffer(capacity=2, strategy="suspend"))
    stream.subscribe(fail_softly)
    await until(lambda: any(r.exc_info and r.exc_info[0] is Failure for r in caplog.records))
    await settled(lambda: len(caplog.records))
    assert [r.name for r in caplog.records if r.levelname == "ERROR"] == ["rxstream"]


@pytest.mark.parametrize("kind", ["on_completed", "on_error"])
async def test_an_observer_whose_terminal_raises(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """What a terminal raises is logged as well."""
    source = from_async_iterable(failing_generator if kind == "on_error" else lambda: numbers(2))
    source.subscribe(fail_softly, **cast("dict[str, Any]", {"on_error": fail_softly, kind: lambda *_: fail()}))
    await until(lambda: any(r.name == "rxstream" and r.levelname == "ERROR" for r in caplog.records))


# -- the stack


async def test_a_million_synchronous_items() -> None:
    """A source that sends everything at once meets a flat stack."""
    count = 0
    async with asyncio.timeout(6 * DEADLINE):
        stream = to_async_iterable(rx.from_iterable(range(1_000_000)), stream_config(1000))
        async for batch in stream.batches():
            count += len(batch)
    assert count == 1_000_000


@pytest.mark.parametrize("where", ["loop", "thread", "immediate"])
async def test_pushing_again_from_inside_on_next(where: str) -> None:
    """An observer that pushes into its own source, 100,000 times over, runs on a flat stack."""
    subject, done = Subject[int](), threading.Event()
    limit = 100_000 if where != "loop" else 20_000

    def again(item: int) -> None:
        if item < limit:
            subject.on_next(item + 1)
        else:
            done.set()

    scheduler = ImmediateScheduler() if where == "immediate" else None
    buffered = subject.pipe(with_buffer(capacity=2, strategy="dropping", scheduler=scheduler))
    if where == "thread":
        subscription = await asyncio.to_thread(buffered.subscribe, again)
    else:
        subscription = buffered.subscribe(again)
    await asyncio.to_thread(subject.on_next, 0)
    await until(done.is_set)
    subscription.dispose()


async def test_a_hundred_thousand_repeats() -> None:
    """A source that is repeated, again and again, runs on a flat stack."""
    async with asyncio.timeout(6 * DEADLINE):
        stream = to_async_iterable(rx.repeat_value(7, 100_000), stream_config(1000))
        assert sum([len(batch) async for batch in stream.batches()]) == 100_000


async def test_subscribing_and_disposing_inside_on_next() -> None:
    """A stream may be started and ended by the observer of another one."""
    inner, outer = Recorder(), list[int]()

    def on_next(item: int) -> None:
        outer.append(item)
        rx.of(item).pipe(with_buffer(capacity=1)).subscribe(inner.on_next)
        gone = rx.never().pipe(with_buffer(capacity=1)).subscribe(inner.on_next)
        gone.dispose()

    rx.of(1, 2, 3).pipe(with_buffer(capacity=1)).subscribe(on_next)
    await until(lambda: sorted(inner.items) == [1, 2, 3])
    assert outer == [1, 2, 3]


# -- memory


class Item:
    """Something that can be watched."""


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("leave", ["end", "break", "error"])
async def test_nothing_is_kept_alive(strategy: str, leave: str) -> None:
    """After the end, or a dispose, nothing of ours holds the source, the items, the hook or the stream."""
    watched: list[weakref.ref[Any]] = []

    async def consume() -> None:
        class Hook:
            def __call__(self, item: Any) -> None: ...

        async def source() -> AsyncIterator[Item]:
            for _ in range(5):
                item = Item()
                watched.append(weakref.ref(item))
                yield item
            if leave == "error":
                raise Failure

        hook = Hook()
        both = rx.merge(from_async_iterable(source), rx.from_iterable([Item(), Item()]))
        stream = to_async_iterable(both, stream_config(2, strategy), on_dropped=hook)
        watched.extend(map(weakref.ref, (hook, source, both, stream)))
        try:
            async with asyncio.timeout(DEADLINE), stream:
                async for _ in stream:
                    if leave == "break":
                        break
        except Failure:
            pass

    await consume()
    await until(lambda: not workers())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    assert [ref() for ref in watched if ref() is not None] == []


async def test_an_item_that_is_consumed_is_not_kept() -> None:
    """While the consumer waits for the next item, the stream holds none of those before."""
    subject, watched = Subject[Item](), list[weakref.ref[Item]]()
    stream = to_async_iterable(subject, stream_config(4))
    async with stream:
        await subscribed(subject)
        for _ in range(4):
            item = Item()
            watched.append(weakref.ref(item))
            subject.on_next(item)
        del item
        await first(stream, 4)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        assert not waiting.done()
        gc.collect()
        assert [ref() for ref in watched if ref() is not None] == []
        waiting.cancel()


async def test_a_loop_that_is_left_without_aclose() -> None:
    """`break` without a block: the subscription ends when the iterator is collected."""
    source = Counted()
    async for _ in to_async_iterable(from_async_iterable(source.generate), stream_config(2)):
        break
    gc.collect()
    await until(lambda: source.closed == 1)


# -- data


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", ["async", "iterable"])
async def test_any_object_is_data(strategy: str, kind: str) -> None:
    """None, NaN, exceptions and types pass as they are."""
    items = [None, math.nan, Failure("data"), StopIteration(), StopAsyncIteration(), asyncio.CancelledError(), int, 0]

    async def source() -> AsyncIterator[Any]:
        for item in items:
            yield item

    stream = rx.from_iterable(items) if kind == "iterable" else from_async_iterable(source)
    seen = await everything(stream, 8, strategy)
    assert len(seen) == len(items)
    assert all(a is b for a, b in zip(seen, items, strict=True))


async def test_for_each_sees_every_object() -> None:
    """So do the functions of `for_each` and `map_async`."""
    seen: list[Any] = []

    async def note(item: Any) -> None:
        seen.append(item)

    await for_each(rx.of(None, 0).pipe(map_async(identity)), note)
    assert seen == [None, 0]


if sys.version_info >= (3, 12):

    @pytest.mark.parametrize("strategy", STRATEGIES)
    async def test_eager_tasks(strategy: str) -> None:
        """Where the loop begins tasks at once, a source still pushes nothing while it is subscribed to."""
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        nested = from_async_iterable(lambda: numbers(20)).pipe(
            ops.flat_map(lambda n: from_async_iterable(lambda: numbers(3, n)))
        )
        assert len(await everything(nested, 64, strategy)) == 60
        source, got, subscription = Counted(), list[int](), SerialDisposable()

        def take_three(number: int) -> None:
            got.append(number)
            if number == 2:
                subscription.dispose()

        subscription.disposable = from_async_iterable(source.generate).subscribe(take_three)
        await until(lambda: source.closed == 1)
        assert got == [0, 1, 2]

"""Sources that fall silent: in virtual time, on the loop, on threads; and what is no silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.scheduler import NewThreadScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.testing import ReactiveTest, TestScheduler

from rxstream import from_async_iterable, to_async_iterable, virtual
from rxstream.operators import with_buffer, with_circuit
from tests.rxstream.circuits import Listener, Origin, breaker, due, outcome, running
from tests.rxstream.support import STRATEGIES, Recorder, first, until, until_now

on_next, on_completed = ReactiveTest.on_next, ReactiveTest.on_completed


def marbles(*messages: Any, until: float = 1000, circuit: Any = None, **options: Any) -> list[tuple[float, str]]:
    """Subscribes at 200 to a hot source, and gives what the observer saw and when."""
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(*messages)
    guarded = source.pipe(with_circuit(circuit or breaker(), **options))
    result = scheduler.start(lambda: guarded, disposed=until)
    return [(message.time, str(message.value)) for message in result.messages]


def test_the_first_item_is_waited_for() -> None:
    """From the subscription on, and no longer."""
    error = "OnError(no first item came from the source for 50.0 s)"
    assert marbles(on_next(300, 1), first_item_timeout=50) == [(250, error)]


def test_after_the_first_item_its_timeout_is_over() -> None:
    """Without an `idle_timeout` the rest may take as long as it likes."""
    assert marbles(on_next(240, 1), on_next(900, 2), first_item_timeout=50) == [
        (240, "OnNext(1.0)"),
        (900, "OnNext(2.0)"),
    ]


def test_each_item_is_waited_for() -> None:
    """The time counts from the last item, exactly."""
    signals = marbles(on_next(230, 1), on_next(270, 2), on_next(275, 3), idle_timeout=50)
    assert signals == [
        (230, "OnNext(1.0)"),
        (270, "OnNext(2.0)"),
        (275, "OnNext(3.0)"),
        (325, "OnError(nothing more came from the source for 50.0 s)"),
    ]


def test_an_idle_timeout_holds_for_the_first_item_as_well() -> None:
    """Unless it has a timeout of its own, shorter or longer."""
    assert marbles(idle_timeout=50)[0][0] == 250
    assert marbles(idle_timeout=50, first_item_timeout=20)[0][0] == 220
    assert marbles(idle_timeout=50, first_item_timeout=90)[0][0] == 290
    assert [at for at, _ in marbles(on_next(280, 1), idle_timeout=10, first_item_timeout=90)] == [280, 290]


def test_a_source_that_ends_in_time_is_not_looked_at_any_more() -> None:
    """Nor one whose consumer has left."""
    assert marbles(on_next(220, 1), on_completed(240), idle_timeout=50) == [
        (220, "OnNext(1.0)"),
        (240, "OnCompleted()"),
    ]
    circuit = breaker()
    assert marbles(on_next(220, 1), until=230, circuit=circuit, idle_timeout=50) == [(220, "OnNext(1.0)")]
    assert circuit.fail_counter == 0


def test_silence_is_a_failure_of_the_circuit() -> None:
    """As any other: it counts, and opens a half-open circuit again."""
    listener = Listener()
    circuit = due(listeners=[listener])
    marbles(circuit=circuit, first_item_timeout=5)
    assert listener.words == [
        "open",
        "half-open",
        "failure no first item came from the source for 5.0 s",
        "open",
    ]


def test_what_is_excluded_may_be_silent() -> None:
    """`TimeoutError` can be excluded like any exception."""
    circuit = breaker(exclude=[TimeoutError])
    assert len(marbles(circuit=circuit, first_item_timeout=5)) == 1
    assert circuit.fail_counter == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", ["async", "silent"])
async def test_on_the_event_loop(kind: str, strategy: str) -> None:
    """The subscription's own timer, under each strategy; the source is cleaned up."""
    circuit, origin = breaker(), Origin(*([1] if kind == "async" else []), then="wait")
    signals = await outcome(origin.through(circuit, idle_timeout=0.05), strategy)
    assert [type(signal) for signal in signals] == [int, TimeoutError][-len(signals) :]
    assert len(signals) == (2 if kind == "async" else 1)
    assert circuit.fail_counter == 1 and origin.cleaned == 1 and running(circuit) == 0


@pytest.mark.parametrize("scheduler", ["none", "asyncio", "threads"])
async def test_with_a_plain_observer(scheduler: str) -> None:
    """On the running loop, on the one of a scheduler, and on a scheduler's threads."""
    given = {
        "none": lambda: None,
        "asyncio": lambda: AsyncIOScheduler(asyncio.get_running_loop()),
        "threads": NewThreadScheduler,
    }[scheduler]()
    circuit, recorder = breaker(), Recorder()
    rx.never().pipe(with_circuit(circuit, first_item_timeout=0.05)).subscribe(recorder, scheduler=given)
    await until(recorder.over.is_set)
    assert [type(error) for error in recorder.errors] == [TimeoutError]
    assert circuit.fail_counter == 1


def test_without_a_loop() -> None:
    """On a timer's thread."""
    circuit, recorder = breaker(), Recorder()
    rx.never().pipe(with_circuit(circuit, first_item_timeout=0.05)).subscribe(recorder)
    until_now(recorder.over.is_set)
    assert [type(error) for error in recorder.errors] == [TimeoutError]


# -- what is no silence


@pytest.mark.parametrize("source", ["async", "stock"])
def test_a_consumer_that_stalls_makes_no_source_silent(source: str) -> None:
    """While the buffer is full the source is made to wait: that is not held against it."""

    async def main() -> None:
        circuit, origin = breaker(), Origin(*range(12), then="wait")
        stock = rx.from_iterable(range(12)).pipe(ops.concat(rx.never()))
        made = from_async_iterable(origin) if source == "async" else stock
        guarded = made.pipe(with_circuit(circuit, idle_timeout=0.1))
        async with to_async_iterable(guarded, {"capacity": 4}) as stream:
            assert await first(stream, 1) == [0]
            await asyncio.sleep(0.5)  # five times as long as the source may be silent
            assert circuit.fail_counter == 0
            assert await first(stream, 11) == list(range(1, 12))
            with pytest.raises(TimeoutError):  # now it is
                await first(stream, 1)
        assert circuit.fail_counter == 1

    virtual.run(main)


def test_nor_does_one_that_lets_go_at_the_last_moment() -> None:
    """The time counts again from when the sources were let go of, and not from the last item."""

    async def main() -> None:
        circuit = breaker()

        async def items() -> AsyncIterator[int]:
            yield 0
            await asyncio.sleep(0.55)
            yield 1

        async def others() -> AsyncIterator[int]:
            await asyncio.sleep(0.05)
            yield 10

        guarded = from_async_iterable(items).pipe(with_circuit(circuit, idle_timeout=0.4))
        async with to_async_iterable(guarded.pipe(ops.merge(from_async_iterable(others))), {"capacity": 1}) as stream:
            assert await first(stream, 1) == [0]
            await asyncio.sleep(0.35)  # in which the other source waits
            assert await first(stream, 2) == [10, 1]
        assert circuit.fail_counter == 0

    virtual.run(main)


def test_nor_does_an_observer_that_takes_its_time() -> None:
    """A thread that is inside `on_next` is not silent, and has its time from when it comes out."""
    circuit, recorder = breaker(), Recorder()

    def slow(item: int) -> None:
        time.sleep(0.3)

    rx.range(2, scheduler=NewThreadScheduler()).pipe(
        with_circuit(circuit, idle_timeout=0.1), ops.do_action(slow)
    ).subscribe(recorder)
    until_now(recorder.over.is_set)
    assert recorder.items == [0, 1] and recorder.completed == 1 and recorder.errors == []


def test_a_buffer_below_is_looked_at_where_it_is() -> None:
    """`with_buffer` is a boundary of its own: it is what holds the source back."""

    async def main() -> None:
        circuit, origin = breaker(), Origin(*range(6), then="wait")
        guarded = origin.through(circuit, idle_timeout=0.1).pipe(with_buffer(capacity=2))
        async with to_async_iterable(guarded, {"capacity": 2}) as stream:
            assert await first(stream, 1) == [0]
            await asyncio.sleep(0.4)
            assert circuit.fail_counter == 0
            assert await first(stream, 5) == [1, 2, 3, 4, 5]

    virtual.run(main)


async def test_no_observer_stays_with_a_buffer() -> None:
    """A long stream of short guarded ones leaves nothing behind in the buffer that they all go into."""
    circuit = breaker(fail_max=10**6)
    inner = rx.of(1).pipe(with_circuit(circuit, idle_timeout=60))
    stream = to_async_iterable(rx.range(300).pipe(ops.flat_map(lambda _: inner)), {"capacity": 4})
    async with stream:
        async for _ in stream:
            assert len(stream._boundary.buffer._observers) <= 300
        assert stream._boundary.buffer._observers == ()

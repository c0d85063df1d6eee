"""`with_circuit`: what it asks the breaker before a stream, and tells it after."""

from __future__ import annotations

import asyncio
import gc
import threading
import traceback
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pybreaker
import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.subject import Subject

from rxstream import RxStreamError, circuits, for_each, from_async_iterable, to_async_iterable
from rxstream.circuit.guard import CircuitOpenError
from rxstream.operators import with_circuit, with_progress
from tests.rxstream.circuits import Lag, Listener, Origin, breaker, due, opened, outcome, probes, running
from tests.rxstream.support import STRATEGIES, Recorder, first, until, workers


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"circuit": 5}, TypeError, "a pybreaker.CircuitBreaker or a name"),
        ({"circuit": ""}, ValueError, "must not be empty"),
        ({"on_open": "stop"}, ValueError, "on_open must be"),
        ({"half_open_permits": 0}, ValueError, "half_open_permits must be at least 1"),
        ({"half_open_permits": True}, TypeError, "half_open_permits must be an int"),
        ({"half_open_permits": 1.5}, TypeError, "half_open_permits must be an int"),
        ({"healthy_after": "last_item"}, TypeError, "healthy_after must be 'first_item', 'completion' or a number"),
        ({"healthy_after": 0}, ValueError, "healthy_after must be a positive"),
        ({"healthy_after": True}, TypeError, "healthy_after"),
        ({"first_item_timeout": -1}, ValueError, "first_item_timeout must be a positive"),
        ({"first_item_timeout": "1"}, TypeError, "first_item_timeout must be a number"),
        ({"idle_timeout": float("nan")}, ValueError, "idle_timeout must be a positive"),
        ({"idle_timeout": float("inf")}, ValueError, "idle_timeout must be a positive"),
    ],
)
def test_wrong_arguments_are_refused_when_the_operator_is_built(
    arguments: Any, error: type[Exception], message: str
) -> None:
    """Not when it is subscribed to."""
    with pytest.raises(error, match=message):
        with_circuit(**{"circuit": breaker(), **arguments})


# -- asked at subscribe


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_an_open_circuit_refuses_and_the_source_is_not_touched(strategy: str) -> None:
    """The stream ends at once with pybreaker's error, which is one of ours too, and says when to come again."""
    circuit, origin = opened(name="stock", reset_timeout=17.2), Origin(1)
    (error,) = await outcome(origin.through(circuit), strategy)
    assert isinstance(error, pybreaker.CircuitBreakerError) and isinstance(error, RxStreamError)
    assert str(error) == "the circuit 'stock' is open"
    assert isinstance(error, CircuitOpenError)
    assert (error.circuit, error.retry_after) == ("stock", 18)
    assert origin.started == 0


def test_a_plain_observer_is_refused_within_subscribe() -> None:
    """There is no loop and no scheduler; the error comes at once, and from nowhere else."""
    recorder = Recorder()
    rx.of(1).pipe(with_circuit(opened())).subscribe(recorder)
    assert [type(error) for error in recorder.errors] == [CircuitOpenError]
    assert recorder.items == [] and recorder.completed == 0


async def test_it_is_asked_at_each_subscription() -> None:
    """One operator serves many streams, and the circuit decides about each."""
    circuit, origin = breaker(), Origin(1)
    guarded = origin.through(circuit)
    assert await outcome(guarded) == [1]
    circuit.open()
    assert [type(signal) for signal in await outcome(guarded)] == [CircuitOpenError]
    circuit.close()
    assert await outcome(guarded) == [1]
    assert origin.started == 2


async def test_a_name_is_a_circuit_of_the_registry() -> None:
    """`with_circuit("name")` is `with_circuit(circuits.get("name"))`."""
    name = "test_a_name_is_a_circuit_of_the_registry"
    circuits.get(name, fail_max=1)
    await outcome(Origin(then=OSError("down")).through(name))
    assert circuits.get(name).current_state == "open"


async def test_who_listens_is_told_of_each_refusal() -> None:
    """A listener of pybreaker's that has a `rejected` is called; one without, or one that fails, hurts nobody."""

    def fail(word: str) -> None:
        raise RuntimeError("a listener's own fault")

    listener = Listener()
    circuit = opened(listeners=[pybreaker.CircuitBreakerListener()])
    circuit.add_listener(Listener(fail))
    circuit.add_listener(listener)
    guarded = Origin(1).through(circuit)
    assert [len(await outcome(guarded)) for _ in range(3)] == [1, 1, 1]
    assert listener.words == ["rejected"] * 3


# -- told afterwards


async def test_a_stream_that_fails_counts_one_failure() -> None:
    """However many items came before it, and whatever the strategy is."""
    circuit = breaker(fail_max=99)
    for number, strategy in enumerate(STRATEGIES, 1):
        assert len(await outcome(Origin(1, 2, then=OSError("down")).through(circuit), strategy)) == 3
        assert circuit.fail_counter == number


async def test_streams_that_fail_after_their_first_item_open_the_circuit() -> None:
    """The first item proves health to a half-open circuit only: else such a source would never be left alone."""
    circuit = breaker(fail_max=3)
    for _ in range(3):
        assert circuit.current_state == "closed"
        await outcome(Origin(1, then=OSError("down")).through(circuit))
    assert circuit.current_state == "open"


async def test_its_own_failure_is_what_the_consumer_gets() -> None:
    """Also of the stream whose failure opens the circuit: pybreaker's error replaces none."""
    down = OSError("down")
    assert await outcome(Origin(1, then=down).through(breaker(fail_max=1))) == [1, down]
    assert down.__context__ is None and down.__cause__ is None
    frames = [frame.filename for frame in traceback.extract_tb(down.__traceback__)]
    assert not [name for name in frames if "pybreaker" in name]


async def test_a_stream_that_completes_counts_a_success() -> None:
    """It ends the row of failures, and listeners are told."""
    listener = Listener()
    circuit = breaker(listeners=[listener])
    await outcome(Origin(then=OSError("down")).through(circuit))
    await outcome(Origin(1).through(circuit))
    await outcome(Origin().through(circuit))  # an empty stream is a stream
    assert circuit.fail_counter == 0
    assert listener.words == ["failure down", "success", "success"]


async def test_what_is_excluded_counts_as_pybreaker_has_it() -> None:
    """By type or by a function, such a failure is a success; the consumer still sees it."""
    circuit = breaker(exclude=[KeyError, lambda error: "fine" in str(error)])
    await outcome(Origin(then=OSError("down")).through(circuit))
    error = KeyError("no such item")
    assert await outcome(Origin(then=error).through(circuit)) == [error]
    assert circuit.fail_counter == 0
    await outcome(Origin(then=OSError("down")).through(circuit))
    await outcome(Origin(then=ValueError("all fine")).through(circuit))
    assert circuit.fail_counter == 0


async def test_a_retry_sees_what_the_failure_did() -> None:
    """The breaker is told before the failure goes on, so whoever subscribes again at once asks a breaker that knows."""
    circuit, origin = breaker(fail_max=3), Origin(then=OSError("down"))
    (error,) = await outcome(origin.through(circuit).pipe(ops.retry(10)))
    assert isinstance(error, CircuitOpenError)
    assert origin.started == 3


async def test_a_failure_below_is_not_the_sources() -> None:
    """What an operator or the consumer does with the items says nothing about where they come from."""
    circuit = breaker()

    def fail(item: int) -> int:
        raise ValueError("the mapper's own fault")

    (error,) = await outcome(Origin(1, 2).through(circuit).pipe(ops.map(fail)))
    assert isinstance(error, ValueError)
    assert circuit.fail_counter == 0


async def test_an_observer_that_raises_is_not_a_failure_of_the_source(caplog: pytest.LogCaptureFixture) -> None:
    """It has left, after an item."""
    circuit = breaker()

    def fail(item: int) -> None:
        raise ValueError("the observer's own fault")

    Origin(1, 2, then="wait").through(circuit).subscribe(fail, on_error=lambda error: None)
    await until(lambda: not running(circuit))
    assert circuit.fail_counter == 0


# -- a consumer that leaves


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_leaving_before_the_first_item_counts_as_nothing(strategy: str) -> None:
    """Neither failures nor their row are touched."""
    listener = Listener()
    circuit, origin = breaker(listeners=[listener]), Origin(then="wait")
    await outcome(Origin(then=OSError("down")).through(circuit))
    task = asyncio.create_task(outcome(origin.through(circuit), strategy))
    await until(lambda: origin.started)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() and origin.cleaned == 1
    assert circuit.fail_counter == 1 and listener.words == ["failure down"]
    assert running(circuit) == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_leaving_after_the_first_item_is_a_success(strategy: str) -> None:
    """By the end of a block, a cancellation, an operator such as `take`, or a plain dispose."""
    listener = Listener()
    circuit, origin = breaker(listeners=[listener]), Origin(1, 2, then="wait")
    guarded = origin.through(circuit)

    async with to_async_iterable(guarded, {"capacity": 4, "strategy": strategy}) as stream:
        await first(stream, 1)
    assert listener.words == ["success"]
    task = asyncio.create_task(for_each(guarded, lambda item: asyncio.sleep(3600)))
    await until(lambda: origin.started == 2)
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert listener.words == ["success"] * 2
    assert await outcome(guarded.pipe(ops.take(1)), strategy) == [1]
    assert listener.words == ["success"] * 3
    recorder = Recorder()
    subscription = guarded.subscribe(recorder)
    await until(lambda: recorder.items)
    for _ in range(2):
        subscription.dispose()
    await until(lambda: origin.cleaned == 4)
    assert listener.words == ["success"] * 4
    assert circuit.fail_counter == 0 and running(circuit) == 0


async def test_a_cancellation_that_comes_as_a_signal_is_no_failure() -> None:
    """A source that passes one on was stopped, and did not fail."""
    circuit, source = breaker(), Subject[int]()
    recorder = Recorder()
    source.pipe(with_circuit(circuit)).subscribe(recorder)
    source.on_error(asyncio.CancelledError())  # type: ignore[arg-type]
    assert len(recorder.errors) == 1
    assert circuit.fail_counter == 0


# -- what it must not do


@pytest.mark.parametrize("source", [lambda origin: rx.range(10**9), lambda origin: origin], ids=["stock", "async"])
async def test_demand_passes_through(source: Any) -> None:
    """Under `suspend` the source is no further ahead than without a circuit."""
    pulled = 0

    def count(item: Any) -> None:
        nonlocal pulled
        pulled += 1

    origin = Origin(*range(1000))
    made = source(origin)
    stream = (rx.range(10**9) if made is not origin else origin.through(breaker())).pipe(
        ops.do_action(count), with_circuit(breaker())
    )
    async with to_async_iterable(stream, {"capacity": 5}) as items:
        assert await first(items, 3) == [0, 1, 2]
        await asyncio.sleep(0.05)
        assert pulled <= 3 + 5 + 1


async def test_a_source_of_ours_still_needs_no_thread() -> None:
    """It is subscribed to on the event loop, under `suspend` too, as it is without a circuit."""
    origin = Origin(then="wait")
    async with to_async_iterable(origin.through(breaker()).pipe(with_progress("x")), {"capacity": 4}):
        await until(lambda: origin.started)
        assert workers() == []


def test_no_lock_is_held_while_a_stream_runs() -> None:
    """Another thread can use the breaker amid an item."""
    circuit, free = breaker(), []

    def look(item: int) -> None:
        thread = threading.Thread(target=lambda: free.append(circuit.call(lambda: item)))
        thread.start()
        thread.join(5)

    rx.of(1, 2).pipe(with_circuit(circuit)).subscribe(look)
    assert free == [1, 2]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_call_that_has_the_breakers_lock_holds_no_stream_up(strategy: str) -> None:
    """pybreaker holds its lock while a guarded call runs: the loop does not wait for it, and no verdict is lost."""
    circuit = breaker(fail_max=99)
    ended, go = Origin(then=OSError("down")), asyncio.Event()

    async def fails_later() -> AsyncIterator[int]:
        yield 1
        await go.wait()
        raise OSError("down")

    begun = asyncio.create_task(outcome(from_async_iterable(fails_later).pipe(with_circuit(circuit)), strategy))
    await until(lambda: running(circuit))
    inside, leave = threading.Event(), threading.Event()

    def call() -> None:
        inside.set()
        leave.wait(20)

    thread = threading.Thread(target=circuit.call, args=(call,))
    thread.start()
    await asyncio.to_thread(inside.wait)
    async with Lag() as lag:
        go.set()
        assert len(await begun) == 2
        asks = asyncio.create_task(outcome(ended.through(circuit), strategy))
        await asyncio.sleep(0.05)
    assert not leave.is_set() and lag.most < 5, f"the loop stood still for {lag.most} s"  # it would have been 20
    leave.set()
    await asyncio.to_thread(thread.join)
    assert len(await asks) == 1
    await until(lambda: circuit.fail_counter == 2)


def test_an_operator_is_built_while_somebody_has_the_breakers_lock() -> None:
    """In a route, say, where the loop would wait for it."""
    circuit, inside, leave = breaker(), threading.Event(), threading.Event()

    def call() -> None:
        inside.set()
        leave.wait(20)

    thread = threading.Thread(target=circuit.call, args=(call,))
    thread.start()
    inside.wait(20)
    with_circuit(circuit)
    assert thread.is_alive()
    leave.set()
    thread.join()


async def test_nothing_is_kept_after_the_end() -> None:
    """Neither the observer nor an item: the breaker lives on for good."""

    class Thing:
        pass

    circuit = breaker(fail_max=99)
    gone: list[weakref.ref[Any]] = []

    async def things() -> AsyncIterator[Thing]:
        for _ in range(2):
            thing = Thing()
            gone.append(weakref.ref(thing))
            yield thing
            del thing
        if len(gone) > 3:
            raise OSError("down")

    guarded = from_async_iterable(things).pipe(with_circuit(circuit, idle_timeout=60))
    for _ in range(3):
        recorder = Recorder()
        gone.append(weakref.ref(recorder))
        guarded.subscribe(recorder)
        await until(recorder.over.is_set)
        del recorder
    await until(lambda: gc.collect() >= 0 and not any(ref() for ref in gone))
    assert len(gone) == 9


async def test_a_subscription_that_fails_is_a_failure() -> None:
    """A source that raises as it is subscribed to has failed to start."""
    circuit = breaker()

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        raise OSError("no connection")

    (error,) = await outcome(rx.create(subscribe).pipe(with_circuit(circuit)))
    assert isinstance(error, OSError) and circuit.fail_counter == 1


def test_a_trial_from_an_earlier_period_does_not_sway_a_later_one() -> None:
    """A stream that began before the circuit opened, and goes on, says nothing to a half-open circuit."""
    circuit = breaker(fail_max=1)
    old, trial = Subject[int](), Subject[int]()
    old.pipe(with_circuit(circuit, on_open="continue")).subscribe(on_error=lambda error: None)
    circuit.open()
    circuit.reset_timeout = 0
    trial.pipe(with_circuit(circuit)).subscribe()
    assert circuit.current_state == "half-open" and probes(circuit) == 1
    old.on_next(1)
    old.on_completed()
    assert circuit.current_state == "half-open" and probes(circuit) == 1
    trial.on_next(1)
    assert circuit.current_state == "closed"


async def test_a_broken_listener_costs_no_stream() -> None:
    """pybreaker lets what a listener raises through: the stream goes on, and the log has it."""

    def fail(word: str) -> None:
        raise RuntimeError("a listener's own fault")

    circuit = due(listeners=[])
    circuit.add_listener(Listener(fail))
    signals = await outcome(Origin(1).through(circuit))
    assert len(signals) == 1  # it could not be made half-open: refused, as an open one would be
    closed = breaker(listeners=[Listener(fail)])
    assert await outcome(Origin(1).through(closed)) == [1]

"""Half-open circuits: how many streams try, what proves health, and that no permit is lost."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from rxstream import from_async_iterable, to_async_iterable
from rxstream.circuit.guard import CircuitOpenError
from rxstream.operators import with_circuit
from tests.rxstream.circuits import Listener, Origin, due, opened, outcome, probes
from tests.rxstream.support import STRATEGIES, Recorder, first, until, until_now


def attempt(circuit: Any, **options: Any) -> tuple[Subject[int], Recorder, Any]:
    """A stream that somebody else moves: its source, its observer, its subscription."""
    source, recorder = Subject[int](), Recorder()
    return source, recorder, source.pipe(with_circuit(circuit, **options)).subscribe(recorder)


def refused(recorder: Recorder) -> bool:
    """Whether the circuit sent it away."""
    return [type(error) for error in recorder.errors] == [CircuitOpenError]


@pytest.mark.parametrize("permits", [1, 2, 5])
def test_exactly_its_permits_are_let_through(permits: int) -> None:
    """Whatever number of operators and streams there are: those of one breaker are counted together."""
    circuit = due()
    attempts = [attempt(circuit, half_open_permits=permits) for _ in range(permits + 3)]
    assert [refused(recorder) for _, recorder, _ in attempts] == [False] * permits + [True] * 3
    assert circuit.current_state == "half-open" and probes(circuit) == permits
    assert str(attempts[-1][1].errors[0]) == (
        "the circuit is half-open, and as many streams as it lets through are trying it"
    )


@pytest.mark.parametrize("permits", [1, 3])
@pytest.mark.parametrize("round", range(10))
def test_exactly_its_permits_are_let_through_from_many_threads(permits: int, round: int) -> None:
    """All at the same moment, when the circuit has just become due."""
    circuit, barrier = due(), threading.Barrier(12)
    recorders = [Recorder() for _ in range(12)]
    kept: list[Any] = []

    def subscribe(recorder: Recorder) -> None:
        guarded = rx.never().pipe(with_circuit(circuit, half_open_permits=permits))
        barrier.wait()
        kept.append(guarded.subscribe(recorder))

    threads = [threading.Thread(target=subscribe, args=(recorder,)) for recorder in recorders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until_now(lambda: sum(map(refused, recorders)) == 12 - permits)
    assert probes(circuit) == permits


def test_a_disposed_trial_gives_its_permit_back() -> None:
    """Before the first item, it has said nothing: the next one tries."""
    listener = Listener()
    circuit = due(listeners=[listener])
    _, _, subscription = attempt(circuit)
    for _ in range(2):
        subscription.dispose()
    assert circuit.current_state == "half-open" and probes(circuit) == 0
    _, second, _ = attempt(circuit)
    assert not refused(second) and probes(circuit) == 1
    assert listener.words == ["open", "half-open"]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_cancelled_trial_gives_its_permit_back(strategy: str) -> None:
    """The same for a task that is cancelled while it waits for the first item."""
    circuit = due()
    for _ in range(3):
        origin = Origin(then="wait")
        task = asyncio.create_task(outcome(origin.through(circuit), strategy))
        await until(lambda origin=origin: origin.started)
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: probes(circuit) == 0)  # a worker that is amid subscribing disposes once it is through
        assert circuit.current_state == "half-open"


def test_a_forgotten_trial_gives_its_permit_back() -> None:
    """One that nobody disposes, and nobody holds any more."""
    circuit = due()
    subscription: Any = attempt(circuit)
    assert probes(circuit) == 1
    del subscription
    gc.collect()
    assert probes(circuit) == 0
    assert not refused(attempt(circuit)[1])


def test_an_observer_that_raises_gives_its_permit_back() -> None:
    """Nobody may ever tell of its end."""
    circuit = due()

    def fail(item: int) -> None:
        raise ValueError("the observer's own fault")

    source = Subject[int]()
    subscription = source.pipe(with_circuit(circuit, healthy_after="completion")).subscribe(fail)
    with pytest.raises(ValueError, match="own fault"):
        source.on_next(1)
    assert probes(circuit) == 0 and circuit.current_state == "half-open"
    subscription.dispose()


def test_the_first_item_of_an_endless_stream_closes_the_circuit() -> None:
    """It does not pin half-open, and goes on; its later end is no second success."""
    listener = Listener()
    circuit = due(listeners=[listener])
    source, recorder, _ = attempt(circuit)
    source.on_next(1)
    assert circuit.current_state == "closed" and probes(circuit) == 0
    source.on_next(2)
    source.on_completed()
    assert recorder.items == [1, 2] and recorder.completed == 1
    assert listener.words == ["open", "half-open", "closed", "success"]


def test_a_stream_that_fails_after_it_has_proved_health_is_a_failure() -> None:
    """Of the closed circuit, which it has closed itself."""
    circuit = due()
    source, _, _ = attempt(circuit)
    source.on_next(1)
    source.on_error(OSError("down"))
    assert circuit.current_state == "closed" and circuit.fail_counter == 1


def test_a_trial_that_fails_opens_the_circuit_again() -> None:
    """And ends the other trials with it."""
    circuit = due()
    source, recorder, _ = attempt(circuit, half_open_permits=2)
    _, other, _ = attempt(circuit, half_open_permits=2)
    source.on_error(OSError("down"))
    assert circuit.current_state == "open" and probes(circuit) == 0
    assert [str(error) for error in recorder.errors] == ["down"]
    until_now(lambda: refused(other))
    circuit.reset_timeout = 3600
    assert refused(attempt(circuit)[1])


def test_a_trial_of_an_earlier_period_holds_no_permit() -> None:
    """It goes on while the circuit opens again, and is due again: it counts for nothing by then."""
    circuit = due()
    old, _, _ = attempt(circuit, half_open_permits=2, on_open="continue")
    failing, _, _ = attempt(circuit, half_open_permits=2)
    failing.on_error(OSError("down"))
    assert circuit.current_state == "open"
    trial = attempt(circuit)
    assert not refused(trial[1]) and probes(circuit) == 1
    old.on_next(1)
    old.on_completed()
    assert circuit.current_state == "half-open" and probes(circuit) == 1


def test_healthy_after_completion_waits_for_the_end() -> None:
    """Items prove nothing; an end does."""
    circuit = due()
    source, _, _ = attempt(circuit, healthy_after="completion")
    source.on_next(1)
    assert circuit.current_state == "half-open" and probes(circuit) == 1
    assert refused(attempt(circuit)[1])
    source.on_completed()
    assert circuit.current_state == "closed"


def test_leaving_a_trial_after_its_first_item_is_a_success() -> None:
    """Whatever else was to prove health."""
    circuit = due()
    source, _, subscription = attempt(circuit, healthy_after="completion")
    source.on_next(1)
    subscription.dispose()
    assert circuit.current_state == "closed"


def test_healthy_after_seconds_without_a_failure() -> None:
    """In virtual time: at the second, with or without items, and not before."""
    circuit, scheduler = due(), TestScheduler()
    states: list[tuple[float, str]] = []
    subscription = rx.never().pipe(with_circuit(circuit, healthy_after=30)).subscribe(scheduler=scheduler)
    for time in (29, 31):
        scheduler.schedule_absolute(time, lambda *_, time=time: states.append((time, circuit.current_state)))
    scheduler.start()
    assert states == [(29, "half-open"), (31, "closed")]
    subscription.dispose()


async def test_healthy_after_seconds_on_the_loop() -> None:
    """The same with the loop's clock, while the consumer stalls."""
    circuit, origin = due(), Origin(*range(100), then="wait")
    guarded = origin.through(circuit, healthy_after=0.05)
    async with to_async_iterable(guarded, {"capacity": 2}) as stream:
        assert await first(stream, 1) == [0]
        assert circuit.current_state == "half-open"
        await until(lambda: circuit.current_state == "closed")


def test_several_successes_where_the_breaker_wants_them() -> None:
    """`success_threshold`: one trial after the other, each counted once."""
    circuit = due(success_threshold=2)
    source, _, _ = attempt(circuit)
    source.on_next(1)
    assert circuit.current_state == "half-open"
    source.on_next(2)
    source.on_completed()
    assert circuit.current_state == "half-open" and circuit.success_counter == 1
    assert not refused(attempt(circuit)[1])
    assert refused(attempt(circuit)[1])


async def test_the_first_of_a_burst_closes_it_for_the_rest() -> None:
    """A circuit that comes due under load: one tries, the others are refused, and then all run."""
    circuit, go = due(), asyncio.Event()

    async def items() -> Any:
        await go.wait()
        yield 1

    guarded = from_async_iterable(items).pipe(with_circuit(circuit))
    streams = [asyncio.create_task(outcome(guarded, "sliding")) for _ in range(20)]
    await until(lambda: sum(stream.done() for stream in streams) == 19)
    go.set()
    results = await asyncio.gather(*streams)
    assert sum(result == [1] for result in results) == 1
    assert await asyncio.gather(*(outcome(guarded) for _ in range(5))) == [[1]] * 5


def test_an_excluded_failure_of_a_trial_closes_the_circuit() -> None:
    """As pybreaker has it: it is a success."""
    circuit = due(exclude=[KeyError])
    source, _, _ = attempt(circuit)
    source.on_error(KeyError("no such item"))
    assert circuit.current_state == "closed"


def test_it_becomes_due_by_a_clock_that_nobody_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """pybreaker counts by the wall clock; here an hour back or forth changes nothing."""
    import datetime

    import pybreaker

    from rxstream.circuit import guard

    class Jumped(datetime.datetime):
        hours = 0

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.datetime.now(tz) + datetime.timedelta(hours=cls.hours)

    monkeypatch.setattr(guard, "datetime", Jumped)
    monkeypatch.setattr(pybreaker, "datetime", Jumped)
    circuit = opened(reset_timeout=60)
    attempt(circuit)
    Jumped.hours = 1
    assert refused(attempt(circuit)[1])
    Jumped.hours = 0
    circuit.close()
    circuit.open()  # seen by a guard that is there
    Jumped.hours = 1
    assert refused(attempt(circuit)[1])
    started = guard.monotonic()
    monkeypatch.setattr(guard, "monotonic", lambda: started + 61)
    Jumped.hours = -1
    assert not refused(attempt(circuit)[1])


async def test_a_trial_through_operators_below() -> None:
    """`take(1)` leaves within the first item: that was one."""
    circuit = due()
    assert await outcome(Origin(1, 2, then="wait").through(circuit).pipe(ops.take(1))) == [1]
    assert circuit.current_state == "closed"

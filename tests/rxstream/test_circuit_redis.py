"""Circuits whose state is in Redis: shared by processes, asked off the event loop, and what holds while it is silent.

Two breakers with connections of their own are two processes to each other; real ones are in `test_circuit_http`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pybreaker
import pytest
import reactivex as rx
from reactivex.scheduler import NewThreadScheduler
from reactivex.testing import TestScheduler
from redis.backoff import NoBackoff
from redis.retry import Retry

from rxstream import for_each, from_async_iterable, to_async_iterable
from rxstream.circuit import guard
from rxstream.circuit.guard import CircuitOpenError
from rxstream.operators import with_circuit
from tests.rxstream.circuits import Lag, Listener, Origin, breaker, outcome, probes, running
from tests.rxstream.support import STRATEGIES, Recorder, first, until, until_now
from tests.servers.redis import RedisServer


def shared(server: RedisServer, *, socket_timeout: float = 20, **settings: Any) -> pybreaker.CircuitBreaker:
    """A breaker of a process, over a connection of its own."""
    client = server.client(socket_timeout=socket_timeout, retry=Retry(NoBackoff(), 0))
    return breaker(state_storage=pybreaker.CircuitRedisStorage("closed", client, "stock"), name="stock", **settings)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_one_process_opens_and_the_other_refuses(redis_server: RedisServer, strategy: str) -> None:
    """The failures of both are counted together, and the state is one."""
    one, other = shared(redis_server), shared(redis_server)
    origin = Origin(1)
    assert await outcome(origin.through(other), strategy) == [1]
    await until(lambda: not guard.Guard.of(other)._clerk.busy)  # its success, told, does not come behind the failures
    await outcome(Origin(then=OSError("down")).through(one), strategy)
    await outcome(Origin(then=OSError("down")).through(other), strategy)
    await until(lambda: one._state_storage.state == "open")  # which pybreaker sets after its own idea of it
    (refusal,) = await outcome(origin.through(one), strategy)
    assert isinstance(refusal, CircuitOpenError) and 3590 <= refusal.retry_after <= 3600
    (refusal,) = await outcome(origin.through(other), strategy)
    assert isinstance(refusal, CircuitOpenError)
    assert origin.started == 1


async def test_the_boundary_opens_once_the_circuit_has_answered(redis_server: RedisServer) -> None:
    """On entering `async with` the source has been subscribed to: a hot one misses nothing from there on."""
    subject: rx.Subject[int] = rx.Subject()
    async with to_async_iterable(subject.pipe(with_circuit(shared(redis_server))), "sse") as stream:
        subject.on_next(1)
        assert await first(stream, 1) == [1]


async def test_running_streams_of_the_other_process_end(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process looks into the storage at an interval while streams run that the opening would end, and only then."""
    monkeypatch.setattr(guard, "POLL", 0.05)
    one, other = shared(redis_server), shared(redis_server)
    origin = Origin(1, then="wait")
    ends = asyncio.create_task(outcome(origin.through(one), "sliding"))
    goes_on = asyncio.create_task(outcome(origin.through(one, on_open="continue"), "sliding"))
    await until(lambda: origin.started == 2)
    await asyncio.to_thread(other.open)
    signals = await ends
    assert signals[0] == 1 and isinstance(signals[1], CircuitOpenError)
    assert not goes_on.done() and running(one) == 0
    await until(lambda: not [thread for thread in threading.enumerate() if thread.name == "rxstream-circuit"])
    goes_on.cancel()
    await asyncio.wait([goes_on])


async def test_no_thread_waits_for_the_next_look(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the last stream that it looks around for."""
    monkeypatch.setattr(guard, "POLL", 3600)
    origin = Origin(then="wait")
    async with to_async_iterable(origin.through(shared(redis_server)), "sse"):
        await until(lambda: origin.started)
        assert [thread for thread in threading.enumerate() if thread.name == "rxstream-circuit"]
    await until(lambda: not [thread for thread in threading.enumerate() if thread.name == "rxstream-circuit"])


async def test_a_circuit_comes_back_for_both(redis_server: RedisServer) -> None:
    """One process tries it, and closes it for the other; each lets its own permits through."""
    one, other = shared(redis_server), shared(redis_server)
    await asyncio.to_thread(one.open)
    one.reset_timeout = other.reset_timeout = 0
    go = asyncio.Event()

    async def items() -> AsyncIterator[int]:
        await go.wait()
        yield 1

    trial = asyncio.create_task(outcome(from_async_iterable(items).pipe(with_circuit(one))))
    await until(lambda: probes(one) == 1)
    assert isinstance((await outcome(Origin(1).through(one)))[0], CircuitOpenError)
    go.set()
    assert await trial == [1]
    await until(lambda: one._state.name == "closed")
    assert await outcome(Origin(2).through(other)) == [2]


async def test_a_cancelled_trial_gives_its_permit_back(redis_server: RedisServer) -> None:
    """Also where it has not been answered yet."""
    circuit = shared(redis_server)
    await asyncio.to_thread(circuit.open)
    circuit.reset_timeout = 0
    for pause in (0, 0.001, 0.05):
        task = asyncio.create_task(outcome(Origin(then="wait").through(circuit)))
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: probes(circuit) == 0)
    assert await outcome(Origin(1).through(circuit)) == [1]


def test_who_leaves_while_the_breaker_is_asked_gives_its_permit_back(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer lets it in when it has gone already."""
    circuit = shared(redis_server)
    circuit.open()
    circuit.reset_timeout = 0
    redis_server.freeze()
    try:
        asked, kept = guard.Guard.of(circuit), list[Any]()
        admit = asked._admit
        monkeypatch.setattr(asked, "_admit", lambda stream, left: (kept.append(stream), admit(stream, left))[1])
        subscription = rx.never().pipe(with_circuit(circuit)).subscribe()
        until_now(lambda: asked.busy_for() > 0 and not asked._asking)
        subscription.dispose()
    finally:
        redis_server.thaw()
    until_now(lambda: circuit._state.name == "half-open" and probes(circuit) == 0 and not asked._clerk.busy)


@pytest.mark.parametrize("scheduler", ["none", "threads", "virtual"])
def test_plain_observers_without_a_loop(redis_server: RedisServer, scheduler: str) -> None:
    """They are subscribed on a thread, once the circuit has answered; under virtual time it is asked on the spot."""
    given = {"none": lambda: None, "threads": NewThreadScheduler, "virtual": TestScheduler}[scheduler]()
    circuit, recorder = shared(redis_server), Recorder()
    rx.of(1, 2).pipe(with_circuit(circuit)).subscribe(recorder, scheduler=given)
    if isinstance(given, TestScheduler):
        given.start()
    until_now(recorder.over.is_set)
    assert recorder.items == [1, 2] and recorder.completed == 1


async def test_a_silent_redis_never_stops_the_loop(redis_server: RedisServer) -> None:
    """Stopped in its tracks: streams begin, fail, end and leave, and the loop goes on all the while."""
    circuit = shared(redis_server, socket_timeout=20)
    before = Origin(1, then="wait")
    running_on = asyncio.create_task(outcome(before.through(circuit), "sliding"))
    await until(lambda: before.started)
    redis_server.freeze()
    try:
        async with Lag() as lag, asyncio.timeout(15):  # less than what one call to Redis would take
            leaving = asyncio.create_task(outcome(Origin(1).through(circuit)))
            await asyncio.sleep(0.05)
            leaving.cancel()
            results = await asyncio.gather(
                *(outcome(Origin(1).through(circuit), "sliding") for _ in range(20)),
                *(outcome(Origin(then=OSError("down")).through(circuit)) for _ in range(20)),
            )
            recorder = Recorder()
            rx.of(1, 2).pipe(with_circuit(circuit)).subscribe(recorder)
            assert recorder.items == [1, 2]  # within subscribe: others have waited before it
            running_on.cancel()
            await asyncio.wait([running_on, leaving])
        assert results[:20] == [[1]] * 20  # it was closed when it was last heard of
        assert [type(result[0]) for result in results[20:]] == [OSError] * 20
        assert lag.most < 1, f"the loop stood still for {lag.most} s"
    finally:
        redis_server.thaw()
    await until(lambda: circuit._state.name == "open")  # what had to wait has been counted


async def test_what_was_open_stays_closed_to_all_while_redis_is_silent(redis_server: RedisServer) -> None:
    """The last that was heard of it counts."""
    circuit = shared(redis_server)
    await asyncio.to_thread(circuit.open)
    redis_server.freeze()
    try:
        async with asyncio.timeout(15):
            (refusal,) = await outcome(Origin(1).through(circuit))
        assert isinstance(refusal, CircuitOpenError)
    finally:
        redis_server.thaw()


async def test_who_is_let_in_once_it_is_over_is_not_watched(redis_server: RedisServer) -> None:
    """A Redis that was silent and then is gone lets everybody in: also whom memory has refused meanwhile."""
    circuit = shared(redis_server)
    await asyncio.to_thread(circuit.open)
    redis_server.freeze()
    stream = to_async_iterable(Origin(1).through(circuit), "sse")  # kept: what is collected is not watched either
    with pytest.raises(CircuitOpenError):
        await anext(stream)
    redis_server.stop()
    await until(lambda: not guard.Guard.of(circuit)._clerk.busy)
    assert running(circuit) == 0


async def test_what_is_remembered_is_looked_at_twice(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The circuit may open while a stream is let in by memory, just before it could be told."""
    circuit = shared(redis_server)
    asked = guard.Guard.of(circuit)
    answers = iter([None, asked.refusal(1)])
    monkeypatch.setattr(asked, "_recalled", lambda: next(answers))
    monkeypatch.setattr(asked, "busy_for", lambda: 9.0)
    origin = Origin(1)
    assert isinstance((await outcome(origin.through(circuit)))[0], CircuitOpenError)
    assert origin.started == 0 and running(circuit) == 0


async def test_an_answer_that_comes_late_is_heard(redis_server: RedisServer) -> None:
    """A stream that was let in by memory ends once it shows that the circuit had opened."""
    one, other = shared(redis_server), shared(redis_server)
    assert await outcome(Origin(1).through(one)) == [1]
    await asyncio.to_thread(other.open)
    redis_server.freeze()
    try:
        origin = Origin(1, then="wait")
        task = asyncio.create_task(outcome(origin.through(one), "sliding"))
        await until(lambda: origin.started)
    finally:
        redis_server.thaw()
    signals = await task
    assert signals[0] == 1 and isinstance(signals[1], CircuitOpenError)


async def test_a_redis_that_is_gone_leaves_pybreakers_fallback(redis_server: RedisServer) -> None:
    """Closed, unless the storage was told otherwise: the streams go on."""
    circuit = shared(redis_server)
    redis_server.stop()
    await for_each(Origin(1).through(circuit), lambda item: asyncio.sleep(0))
    assert len(await outcome(Origin(then=OSError("down")).through(circuit))) == 1


async def test_who_asks_at_once_is_answered_with_one_look(redis_server: RedisServer) -> None:
    """A hundred subscribers cost the storage a few questions, not some hundred."""
    circuit = shared(redis_server)
    client = redis_server.client()
    await outcome(Origin(1).through(circuit))
    before = client.info("commandstats")["cmdstat_get"]["calls"]
    go = asyncio.Event()

    async def items() -> AsyncIterator[int]:
        yield 1
        await go.wait()

    guarded = from_async_iterable(items).pipe(with_circuit(circuit))
    async with asyncio.TaskGroup() as group:
        streams = [to_async_iterable(guarded, "sse") for _ in range(100)]
        entered = [group.create_task(stream.__aenter__()) for stream in streams]
    assert all(task.done() for task in entered)
    assert client.info("commandstats")["cmdstat_get"]["calls"] - before < 40
    for stream in streams:
        await stream.aclose()
    client.close()


async def test_the_listeners_of_the_other_process_hear_of_it(redis_server: RedisServer) -> None:
    """When that process next asks: pybreaker tells of a change that was made elsewhere."""
    listener = Listener()
    one, other = shared(redis_server), shared(redis_server, listeners=[listener])
    await outcome(Origin(1).through(other))
    await until(lambda: listener.words == ["success"])
    await asyncio.to_thread(one.open)
    await outcome(Origin(1).through(other))
    assert listener.words == ["success", "open", "rejected"]

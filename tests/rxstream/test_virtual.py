"""Virtual time and the stage: an event loop that never sleeps, and threads that act one at a time."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import Any

import pytest
import reactivex
from reactivex import operators as rx

from rxstream import BackpressureError, RxStreamError, circuits, for_each, operators, to_async_iterable, virtual
from rxstream import stage as stage_room
from rxstream.stage import Stage
from tests.rxstream.support import DEADLINE, stream_config, until_now


def loop_time() -> float:
    """What the clock shows."""
    return asyncio.get_running_loop().time()


def test_time_jumps() -> None:
    """An hour of sleep is over at once."""
    began = time.monotonic()

    async def main() -> float:
        await asyncio.sleep(3600)
        return loop_time()

    assert virtual.run(main) == 3600
    assert time.monotonic() - began < DEADLINE


def test_timers_are_in_order() -> None:
    """Whoever is due first is first; three times 0.1 is 0.3."""

    async def main() -> list[tuple[float, str]]:
        seen: list[tuple[float, str]] = []

        async def wait(name: str, *delays: float) -> None:
            for delay in delays:
                await asyncio.sleep(delay)
            seen.append((loop_time(), name))

        await asyncio.gather(wait("c", 0.1, 0.1, 0.1), wait("b", 0.2), wait("a", 0.1))
        return seen

    assert virtual.run(main) == [(0.1, "a"), (0.2, "b"), (0.3, "c")]


def test_the_clock_of_streams_follows() -> None:
    """`timestamp` and its like show virtual time, from a fixed date on."""

    async def main() -> list[str]:
        source = reactivex.interval(60).pipe(rx.timestamp(), rx.take(3))
        async with to_async_iterable(source) as items:
            return [item.timestamp.isoformat() async for item in items]

    assert virtual.run(main) == [f"2000-01-01T00:0{n}:00+00:00" for n in (1, 2, 3)]


def test_a_timeout_is_virtual() -> None:
    """`asyncio.timeout` and the operator."""

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100):
                await asyncio.Event().wait()
        with pytest.raises(Exception, match="Timeout"):
            await for_each(reactivex.never().pipe(rx.timeout(100)), lambda item: asyncio.sleep(0))
        return loop_time()

    assert virtual.run(main) == 200


def test_failures_and_context_pass() -> None:
    """What is raised is raised where it was called; contextvars are the caller's."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("outside")

    async def main() -> str:
        return variable.get()

    async def failing() -> None:
        raise KeyError("x")

    assert virtual.run(main) == "outside"
    with pytest.raises(KeyError):
        virtual.run(failing)


def test_waiting_for_what_can_never_happen_is_an_error() -> None:
    """Rather than a hang."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RxStreamError, match="nothing can happen any more"):
        virtual.run(main)


def test_other_threads_of_the_loop_are_waited_for() -> None:
    """`to_thread` takes real time, and no virtual time."""

    async def main() -> tuple[str, float]:
        return await asyncio.to_thread(lambda: time.sleep(0.05) or "done"), loop_time()

    assert virtual.run(main) == ("done", 0)


def test_an_endless_loop_in_a_coroutine_is_not_hidden() -> None:
    """One that gives way is stopped by whoever gave it a deadline."""

    async def main() -> float:
        async with asyncio.timeout(5):
            while True:  # noqa: ASYNC110
                await asyncio.sleep(1)

    with pytest.raises(TimeoutError):
        virtual.run(main)


def test_several_workers_come_out_the_same() -> None:
    """Streams side by side, each with a worker: the order of all that happens is the same, every time."""

    async def main() -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []

        async def consume(name: str, delay: float) -> None:
            source = reactivex.range(30).pipe(rx.do_action(lambda n: seen.append((name, n))))
            async with to_async_iterable(source, stream_config(3)) as items:
                async for item in items:
                    seen.append((name.upper(), item))
                    await asyncio.sleep(delay)

        await asyncio.gather(consume("a", 0.1), consume("b", 0.1), consume("c", 0.07))
        return seen

    first = virtual.run(main)
    assert len(first) == 180
    for _ in range(10):
        assert virtual.run(main) == first


def test_a_circuit_follows() -> None:
    """It stays open for its time, which is virtual; and from another time, not longer than that."""
    breaker = circuits.get("virtual", fail_max=1, reset_timeout=3600)

    async def ask(source: reactivex.Observable[Any]) -> str:
        try:
            async with to_async_iterable(source.pipe(operators.with_circuit(breaker))) as items:
                return str([item async for item in items])
        except Exception as error:
            return type(error).__name__

    async def main() -> list[str]:
        answers = [await ask(reactivex.throw(KeyError())), await ask(reactivex.of(1))]
        await asyncio.sleep(3599)
        answers.append(await ask(reactivex.of(1)))
        await asyncio.sleep(1)
        answers.append(await ask(reactivex.of(1)))
        return answers

    assert virtual.run(main) == ["KeyError", "CircuitOpenError", "CircuitOpenError", "[1]"]


def test_progress_is_reported_on_the_spot() -> None:
    """Each report, in order, when it is due."""

    async def main() -> list[Any]:
        seen: list[Any] = []
        source = reactivex.interval(1.0).pipe(
            rx.take(5),
            operators.with_progress(
                "five", total=5, log_interval=2, on_progress=lambda report: seen.append((report.elements, loop_time()))
            ),
        )
        await for_each(source, lambda item: asyncio.sleep(0), buffer="sse")
        return seen

    assert virtual.run(main) == [(2, 2), (4, 4), (5, 5)]


def test_no_thread_is_left() -> None:
    """Neither the loop's nor a worker's."""

    async def main() -> None:
        await for_each(reactivex.range(10), lambda n: asyncio.sleep(1))

    before = set(threading.enumerate())
    virtual.run(main)
    assert not [thread.name for thread in set(threading.enumerate()) - before]


def test_a_push_on_the_loop_into_a_held_lock_is_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop meets a worker in the lock of `merge`: the worker lets go of it, and the push fails as in real time."""
    monkeypatch.setattr(stage_room, "SLOW", 1)

    async def main() -> list[Any]:
        subject: reactivex.Subject[str] = reactivex.Subject()
        merged = reactivex.merge(reactivex.from_iterable(range(4)), subject)
        got: list[Any] = []
        async with to_async_iterable(merged, stream_config(2)) as items:
            async for item in items:
                got.append(item)
                if len(got) == 1:
                    await asyncio.sleep(0.1)
                    subject.on_next("hot")
        return got

    with pytest.raises(BackpressureError):
        virtual.run(main)


@pytest.mark.parametrize("capacity", [1, 2, 3, 5])
@pytest.mark.parametrize("delay", [0.0, 0.15, 0.5])
def test_timers_that_are_held_back_keep_their_order(capacity: int, delay: float) -> None:
    """Each item of `from_marbles` is a timer of its own, and so is its end: none overtakes one that waits."""

    async def main() -> list[Any]:
        got = []
        numbers = reactivex.from_marbles("-0-1-2-3-4-5-6-7-8-9-|", timespan=0.1)
        async with to_async_iterable(numbers, stream_config(capacity)) as items:
            async for item in items:
                got.append(item)
                await asyncio.sleep(delay)
        return got

    assert virtual.run(main) == list(range(10))


# -- the stage


def test_one_acts_at_a_time_and_in_order() -> None:
    """Threads that were called act in the order of the calls; between calls nobody does."""
    stage, seen = Stage(), list[str]()
    locks = [stage.lock() for _ in range(3)]
    for lock in locks:
        lock.acquire()

    def act(number: int) -> None:
        seen.append(f"{number} begins")
        locks[number].acquire()
        seen.append(f"{number} ends")

    threads = [stage.thread(target=act, args=(number,), daemon=True) for number in range(3)]
    for thread in threads:
        thread.start()
    assert seen == []
    assert stage.play(DEADLINE)
    assert seen == ["0 begins", "1 begins", "2 begins"]
    for number in (2, 0, 1):
        locks[number].release()
    assert seen[3:] == []
    assert stage.play(DEADLINE)
    assert seen[3:] == ["2 ends", "0 ends", "1 ends"]
    stage.close()
    stage.join(DEADLINE)
    assert not any(thread.is_alive() for thread in threads)


def test_one_who_does_not_come_back_ends_the_play() -> None:
    """From then on nobody waits for anybody."""
    stage, stop = Stage(), threading.Event()
    thread = stage.thread(target=stop.wait, daemon=True)
    thread.start()
    assert not stage.play(0.05)
    assert stage.closed and stage.play(0.05)
    stop.set()
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_a_lock_serves_other_threads_too() -> None:
    """One that is no actor waits for it as for any lock."""
    stage, seen = Stage(), list[bool]()
    lock = stage.lock()
    assert lock.acquire()
    assert not lock.acquire(timeout=0.01)
    assert not lock.acquire(blocking=False)
    thread = threading.Thread(target=lambda: seen.append(lock.acquire()))
    thread.start()
    lock.release()
    thread.join(DEADLINE)
    assert seen == [True]


def test_a_timed_wait_is_for_a_director_who_stands_still() -> None:
    """An actor that nobody calls goes on beside the play, after a while; the play goes on without it."""
    stage, seen = Stage(), list[bool]()
    lock = stage.lock()
    lock.acquire()
    thread = stage.thread(target=lambda: seen.append(lock.acquire(timeout=0.005)), daemon=True)
    thread.start()
    assert stage.play(DEADLINE)
    until_now(lambda: seen)
    assert seen == [False]
    assert stage.play(DEADLINE)
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_those_who_wait_when_it_closes_are_let_go() -> None:
    """For a condition, and before they have begun."""
    stage, seen = Stage(), list[Any]()
    condition = stage.condition(threading.Lock())

    def wait() -> None:
        with condition:
            seen.append(condition.wait_for(lambda: False, 0.1))

    first, second = (
        stage.thread(target=wait, daemon=True),
        stage.thread(target=lambda: seen.append("late"), daemon=True),
    )
    first.start()
    assert stage.play(DEADLINE)
    second.start()
    stage.close()
    stage.join(DEADLINE)
    assert sorted(seen, key=str) == [False, "late"]
    assert not (first.is_alive() or second.is_alive())


def test_an_operator_amid_a_push_subscribes_in_virtual_time() -> None:
    """Where the loop has to wait for a worker to subscribe, the worker gets its turn."""

    async def main() -> list[int]:
        items = reactivex.range(20).pipe(rx.publish(lambda shared: shared.pipe(operators.map_async(number))))
        return [item async for item in to_async_iterable(items, "sse")]

    async def number(n: int) -> int:
        await asyncio.sleep(1)
        return n

    assert virtual.run(main) == list(range(20))

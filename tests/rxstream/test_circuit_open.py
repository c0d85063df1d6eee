"""When a circuit opens: what becomes of the streams that run on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.scheduler import NewThreadScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import Subject

from rxstream import for_each, from_async_iterable, to_async_iterable
from rxstream.circuit.guard import CircuitOpenError
from rxstream.operators import with_circuit
from tests.rxstream.circuits import Listener, Origin, breaker, due, outcome, running
from tests.rxstream.support import STRATEGIES, Recorder, first, settled, until, until_now


def endless() -> Iterator[int]:
    """A stock source that never ends."""
    number = 0
    while True:
        yield number
        number += 1


SOURCES = {
    "async": lambda circuit, **o: Origin(*range(5), then="wait").through(circuit, **o),
    "silent": lambda circuit, **o: rx.never().pipe(with_circuit(circuit, **o)),
    "stock": lambda circuit, **o: rx.from_iterable(endless()).pipe(with_circuit(circuit, **o)),
    "timed": lambda circuit, **o: rx.interval(0.001).pipe(with_circuit(circuit, **o)),
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", SOURCES)
async def test_running_streams_end(kind: str, strategy: str) -> None:
    """Each kind of source, silent ones too, and each kind of consumer that keeps up: with pybreaker's error."""
    circuit, other = breaker(name="stock"), Origin(then=OSError("down"))
    streams = [asyncio.create_task(outcome(SOURCES[kind](circuit), strategy)) for _ in range(3)]
    await until(lambda: running(circuit) == 3)
    for _ in range(2):
        await outcome(other.through(circuit))
    for signals in await asyncio.gather(*streams):
        assert isinstance(signals[-1], CircuitOpenError)
        assert str(signals[-1]) == "the circuit 'stock' has opened"
    assert running(circuit) == 0
    assert circuit.fail_counter == 2  # what it ends does not count


async def test_it_does_not_matter_who_opens_it() -> None:
    """By hand, from another thread, with the breaker's lock held: nothing is sent to a consumer under that lock."""
    circuit, held = breaker(), []

    def try_lock() -> None:
        held.append(not circuit._lock.acquire(timeout=5))
        circuit._lock.release()

    def look(error: Exception) -> None:
        thread = threading.Thread(target=try_lock)
        thread.start()
        thread.join()

    async with asyncio.timeout(20):
        for subscribe in (
            lambda: rx.never().pipe(with_circuit(circuit)).subscribe(on_error=look),
            lambda: rx.never().pipe(with_circuit(circuit)).subscribe(on_error=look, scheduler=NewThreadScheduler()),
        ):
            subscription = subscribe()
            await asyncio.to_thread(circuit.open)
            await until(lambda: held)
            assert held == [False]
            held.clear()
            circuit.close()
            subscription.dispose()


async def test_a_stalled_consumer_gets_what_was_accepted_and_then_the_error() -> None:
    """The source is let go of at once; the buffer's items come before the terminal, as ever."""
    circuit, origin = breaker(), Origin(*range(100), then="wait")
    async with to_async_iterable(origin.through(circuit), {"capacity": 4}) as stream:
        assert await first(stream, 1) == [0]
        accepted = await settled(lambda: stream.statistics().pushed)
        circuit.open()
        await until(lambda: origin.cleaned)
        rest = []
        with pytest.raises(CircuitOpenError):
            async for item in stream:
                rest.append(item)
    assert accepted >= 4 and rest[: accepted - 1] == list(range(1, accepted)) and len(rest) <= accepted


async def test_a_blocked_worker_is_let_go_of() -> None:
    """A stock source whose thread waits for room ends as well."""
    circuit = breaker()
    async with to_async_iterable(rx.from_iterable(endless()).pipe(with_circuit(circuit)), {"capacity": 4}) as stream:
        assert await first(stream, 1) == [0]
        circuit.open()
        with pytest.raises(CircuitOpenError):
            await for_each_of(stream)


async def for_each_of(stream: Any) -> None:
    """Reads on to the end."""
    async with asyncio.timeout(20):
        async for _ in stream:
            pass


async def test_a_source_stuck_in_its_own_code_does_not_keep_the_consumer() -> None:
    """An iterator that blocks cannot be interrupted; the consumer gets the error nevertheless."""
    circuit, leave = breaker(), threading.Event()

    def stuck() -> Iterator[int]:
        yield 1
        leave.wait(30)
        yield 2

    task = asyncio.create_task(outcome(rx.from_iterable(stuck()).pipe(with_circuit(circuit))))
    await until(lambda: running(circuit))
    await asyncio.sleep(0.02)
    circuit.open()
    try:
        signals = await task
        assert not leave.is_set()
    finally:
        leave.set()
    assert signals[0] == 1 and isinstance(signals[1], CircuitOpenError)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_continue_lets_them_run(strategy: str) -> None:
    """`on_open="continue"`: to their own end; only new ones are refused. What they say counts for nothing by then."""
    circuit, go, begun = breaker(), asyncio.Event(), asyncio.Event()
    listener = Listener()

    async def items() -> Any:
        begun.set()
        yield 1
        await go.wait()
        yield 2

    source = from_async_iterable(items).pipe(with_circuit(circuit, on_open="continue"))
    task = asyncio.create_task(outcome(source, strategy))
    await begun.wait()
    circuit.open()
    circuit.add_listener(listener)
    assert isinstance((await outcome(source))[0], CircuitOpenError)
    go.set()
    assert await task == [1, 2]
    assert circuit.current_state == "open" and listener.words == ["rejected"]


async def test_a_plain_observer_on_the_loop_is_told_there() -> None:
    """Also where another thread opens the circuit, and with a scheduler of asyncio's."""
    circuit = breaker()
    for scheduler in (None, AsyncIOScheduler(asyncio.get_running_loop())):
        threads: list[int] = []
        rx.never().pipe(with_circuit(circuit)).subscribe(
            on_error=lambda error, threads=threads: threads.append(threading.get_ident()), scheduler=scheduler
        )
        await asyncio.to_thread(circuit.open)
        await until(lambda threads=threads: threads)
        assert threads == [threading.get_ident()]
        circuit.close()


def test_a_plain_observer_without_a_loop_is_told_on_a_thread() -> None:
    """There is no better place; the observer's failure goes to the log, and hurts nobody."""
    circuit, recorder = breaker(), Recorder()
    rx.never().pipe(with_circuit(circuit)).subscribe(recorder)
    circuit.open()
    until_now(recorder.over.is_set)
    assert [type(error) for error in recorder.errors] == [CircuitOpenError]


def test_an_observer_that_raises_at_the_end_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """There is nobody above to raise to: it goes to the log, and the others are told."""
    circuit, recorder = breaker(), Recorder()

    def fail(error: Exception) -> None:
        raise ValueError("the observer's own fault")

    rx.never().pipe(with_circuit(circuit)).subscribe(on_error=fail)
    rx.never().pipe(with_circuit(circuit)).subscribe(recorder)
    circuit.open()
    until_now(lambda: recorder.over.is_set() and "an observer failed" in caplog.text)


def test_an_item_on_its_way_comes_before_the_end() -> None:
    """Signals do not overlap: the end waits until the observer is through with the item."""
    circuit, source, recorder = breaker(), Subject[int](), Recorder()
    inside, leave = threading.Event(), threading.Event()
    order: list[Any] = []

    def on_next(item: int) -> None:
        inside.set()
        leave.wait(20)
        order.append(item)

    source.pipe(with_circuit(circuit)).subscribe(on_next, on_error=lambda error: order.append(error))
    thread = threading.Thread(target=source.on_next, args=(1,))
    thread.start()
    inside.wait(20)
    circuit.open()
    until_now(lambda: not source.observers)  # the source is let go of meanwhile
    assert order == []
    leave.set()
    until_now(lambda: len(order) == 2)
    thread.join()
    assert order[0] == 1 and isinstance(order[1], CircuitOpenError)
    assert recorder.items == []


@pytest.mark.parametrize("round", range(20))
def test_signals_never_overlap_and_the_end_comes_once(round: int) -> None:
    """A thread pushes as fast as it can, another opens the circuit, a third disposes another stream: at any moment."""
    circuit, recorders = breaker(), [Recorder() for _ in range(4)]
    sources = [Subject[int]() for _ in recorders]
    for source, recorder in zip(sources, recorders, strict=True):
        source.pipe(with_circuit(circuit, idle_timeout=30 if round % 2 else None)).subscribe(recorder)
    barrier = threading.Barrier(len(sources) + 1)

    def push(source: Subject[int]) -> None:
        barrier.wait()
        for number in range(200):
            source.on_next(number)
        source.on_completed()

    threads = [threading.Thread(target=push, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    barrier.wait()
    circuit.open()
    for thread in threads:
        thread.join()
    until_now(lambda: all(recorder.over.is_set() for recorder in recorders))
    for recorder in recorders:
        assert recorder.overlaps == 0
        assert len(recorder.errors) + recorder.completed == 1
        assert recorder.items == list(range(len(recorder.items)))
    assert running(circuit) == 0


async def test_an_observer_may_push_and_dispose_from_within() -> None:
    """Re-entrant signals, and a circuit that is opened from inside `on_next`: the item's end is the stream's."""
    circuit, source, recorder = breaker(), Subject[int](), Recorder()

    def react(item: int) -> None:
        if item < 3:
            source.on_next(item + 1)
        elif item == 3:
            circuit.open()

    source.pipe(with_circuit(circuit), ops.do_action(react)).subscribe(recorder)
    source.on_next(1)
    await until(recorder.over.is_set)
    assert recorder.items == [3, 2, 1] and len(recorder.errors) == 1


def test_a_reentrant_item_does_not_end_the_one_around_it() -> None:
    """The end waits until the outer `on_next` has returned, too."""
    circuit, source, order = breaker(), Subject[int](), list[Any]()

    def react(item: int) -> None:
        if item == 1:
            source.on_next(2)
            circuit.open()
            until_now(lambda: not source.observers)  # the thread that ends the stream has been here
            order.append("through")

    source.pipe(with_circuit(circuit)).subscribe(react, on_error=lambda error: order.append("end"))
    source.on_next(1)
    until_now(lambda: len(order) == 2)
    assert order == ["through", "end"]


def test_a_circuit_that_opens_amid_the_first_item_ends_the_stream() -> None:
    """A listener that opens it again when the trial has just closed it."""
    source, recorder = Subject[int](), Recorder()
    circuit: Any = due()

    def reopen(word: str) -> None:
        if word == "closed":
            circuit.open()

    circuit.add_listener(Listener(reopen))

    def wait(item: int) -> None:
        until_now(lambda: not source.observers)

    source.pipe(with_circuit(circuit), ops.do_action(wait)).subscribe(recorder)
    source.on_next(1)
    until_now(recorder.over.is_set)
    assert recorder.items == [1] and len(recorder.errors) == 1


async def test_many_streams_end_while_the_loop_goes_on() -> None:
    """A thousand streams, one failure too many: all end, and nothing has to wait for them."""
    circuit = breaker(fail_max=1)
    streams = [asyncio.create_task(outcome(rx.never().pipe(with_circuit(circuit)), "sliding")) for _ in range(1000)]
    await until(lambda: running(circuit) == 1000)
    circuit.open()
    ended = await asyncio.gather(*streams)
    assert all(isinstance(signals[0], CircuitOpenError) for signals in ended)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_where_the_end_is_sent(strategy: str) -> None:
    """On the event loop; under `suspend` on a thread, which may have to wait inside an operator's lock."""
    circuit, threads = breaker(), list[int]()
    note = ops.do_action(on_error=lambda error: threads.append(threading.get_ident()))
    task = asyncio.create_task(outcome(rx.never().pipe(with_circuit(circuit), note), strategy))
    await until(lambda: running(circuit))
    await asyncio.to_thread(circuit.open)
    await task
    assert (threads == [threading.get_ident()]) == (strategy != "suspend")


async def test_merged_streams_do_not_hang() -> None:
    """A worker that waits inside `merge`'s lock, and the end of a sibling that comes from outside."""
    circuit = breaker()
    merged = rx.merge(rx.from_iterable(endless()), rx.never().pipe(with_circuit(circuit)))
    seen: list[int] = []

    async def take(item: int) -> None:
        seen.append(item)
        await asyncio.sleep(0.001)
        if len(seen) == 10:
            circuit.open()

    async with asyncio.timeout(20):
        with pytest.raises(CircuitOpenError):
            await for_each(merged, take, buffer={"capacity": 4})

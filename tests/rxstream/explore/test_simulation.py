"""`simulate`: the streams in it are real, their time is not, and the same happens each time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as rx
from reactivex.subject import Subject

from rxstream import RxStreamError, from_async_iterable, from_file, operators, virtual
from rxstream.explore import Event, Trace, probe, simulate
from rxstream.explore import simulation as simulation_room
from tests.rxstream.support import STRATEGIES, numbers, stream_config


def ticks(count: int = 20) -> Observable[int]:
    """An item each tenth of a second."""
    return reactivex.interval(0.1).pipe(rx.take(count))


def passed(trace: Trace, name: str) -> list[tuple[float, str | None]]:
    """When which items passed a probe."""
    return [(event.at, event.item) for event in trace if event.probe == name and event.kind == "next"]


def items(trace: Trace, name: str, kind: str = "next") -> list[str | None]:
    """The items of one kind of event."""
    return [event.item for event in trace if event.probe == name and event.kind == kind]


async def paced() -> AsyncIterator[int]:
    """A source of ours with a pace."""
    async for number in numbers(30):
        await asyncio.sleep(0.1)
        yield number


PIPELINES: dict[str, Callable[[], Observable[Any]]] = {
    "timed": ticks,
    "cold": lambda: reactivex.from_iterable(range(40)),
    "cold, an item an action": lambda: reactivex.range(40),
    "async": lambda: from_async_iterable(paced),
    "async, never suspends": lambda: from_async_iterable(lambda: numbers(500)),
    "merged": lambda: reactivex.merge(ticks(), reactivex.from_iterable(range(30)), from_async_iterable(paced)),
    "flat_map": lambda: ticks(8).pipe(rx.flat_map(lambda n: reactivex.from_iterable(range(n)))),
    "nested": lambda: ticks(30).pipe(operators.with_buffer(capacity=2, strategy="sliding"), rx.delay(0.05)),
    "map_async": lambda: reactivex.range(20).pipe(
        operators.map_async(lambda n: asyncio.sleep(0.07, n), max_concurrent=3)
    ),
    "delayed": lambda: reactivex.from_iterable(range(10)).pipe(rx.delay(0.5)),
    "fails": lambda: ticks(10).pipe(rx.map(lambda n: 1 / (5 - n))),
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", PIPELINES)
def test_the_same_happens_each_time(name: str, strategy: str) -> None:
    """Each kind of source under each strategy: the events are the same, in the same order, at the same times."""
    traces = [
        simulate(PIPELINES[name](), consumer_delay=0.25, duration=20, buffer=stream_config(4, strategy))
        for _ in range(4)
    ]
    assert len(traces[0]) > 10
    for trace in traces[1:]:
        assert trace.events == traces[0].events


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_how_long_code_really_takes_does_not_show(strategy: str) -> None:
    """A slow machine makes the same picture: a source that never waits gives way by count, not by time."""

    def run(seconds: float) -> tuple[Event, ...]:
        source = from_async_iterable(lambda: numbers(300)).pipe(rx.do_action(lambda n: time.sleep(seconds)))
        return simulate(source, consumer_delay=0.1, duration=20, buffer=stream_config(4, strategy)).events

    assert run(0.0) == run(0.001)


def test_a_minute_takes_no_time() -> None:
    """Six hundred items of a minute, far faster than a minute."""
    began = time.monotonic()
    trace = simulate(reactivex.interval(0.1), duration=60)
    assert time.monotonic() - began < 20
    assert trace.counts("consumer")["next"] in (599, 600)
    assert trace.end == 60


def test_suspend_makes_a_timer_wait() -> None:
    """The tick that finds the buffer full is held back until half of it is free; nothing is lost."""
    trace = simulate(ticks(), consumer_delay=0.3, duration=60, buffer=stream_config(4))
    waits = [(event.kind, event.at) for event in trace if event.kind in ("suspend", "resume")]
    assert waits[:2] == [("suspend", 0.6), ("resume", 1.3)]
    assert items(trace, "consumer") == [str(n) for n in range(20)]
    assert passed(trace, "consumer")[:3] == [(0.1, "0"), (0.4, "1"), (0.7, "2")]


def test_suspend_makes_a_cold_source_wait() -> None:
    """A loop of RxPY's own blocks on its worker, at most the capacity and one ahead."""
    trace = simulate(reactivex.from_iterable(range(20)), consumer_delay=0.3, duration=60, buffer=stream_config(4))
    assert items(trace, "consumer") == [str(n) for n in range(20)]
    ahead = 0
    for event in trace:
        ahead += (event.probe == "source" and event.kind == "next") - (
            event.probe == "consumer" and event.kind == "next"
        )
        assert ahead <= 5
    assert max(at for at, _ in passed(trace, "source")) == pytest.approx(4.8)


@pytest.mark.parametrize("strategy", ["sliding", "dropping"])
def test_drops_are_in_it(strategy: str) -> None:
    """What a full buffer dropped, and when; what was not dropped arrived."""
    trace = simulate(ticks(), consumer_delay=0.3, duration=60, buffer=stream_config(4, strategy))
    lost = items(trace, "source", "drop")
    assert lost[0] == ("2" if strategy == "sliding" else "6")
    assert sorted(map(int, filter(None, lost + items(trace, "consumer")))) == list(range(20))


def test_a_hot_source_is_built_on_the_simulated_loop() -> None:
    """A function may start what pushes; a push that cannot wait is the documented failure."""

    def hot() -> Observable[int]:
        subject: Subject[int] = Subject()

        async def push() -> None:
            for number in range(10):
                await asyncio.sleep(0.1)
                subject.on_next(number)

        tasks.append(asyncio.get_running_loop().create_task(push()))
        return subject

    tasks: list[Any] = []
    trace = simulate(hot, consumer_delay=0.5, duration=5, buffer=stream_config(2))
    assert items(trace, "consumer") == ["0", "1"]
    (failure,) = items(trace, "consumer", "error")
    assert failure is not None and failure.startswith("BackpressureError: an item was pushed on the event loop")


def test_calls_to_other_threads_are_waited_for(tmp_path: Any) -> None:
    """A file is read in other threads, in real time; the clock stands meanwhile."""
    (tmp_path / "file").write_bytes(b"x" * 1000)
    trace = simulate(from_file(tmp_path / "file", chunk_size=100), consumer_delay=0.1, duration=60)
    assert [at for at, _ in passed(trace, "consumer")] == pytest.approx([0.1 * n for n in range(10)])


def test_a_pace_by_item() -> None:
    """The consumer's delay may depend on the item."""
    trace = simulate(reactivex.range(4), consumer_delay=lambda n: n * 1.0, duration=60)
    assert passed(trace, "consumer") == [(0.0, "0"), (0.0, "1"), (1.0, "2"), (3.0, "3")]


def test_it_ends_after_the_duration() -> None:
    """Nothing is recorded of what the end of the simulation discards."""
    trace = simulate(ticks(100), consumer_delay=1, duration=3, buffer=stream_config(4))
    assert trace.end == 3
    assert {event.kind for event in trace}.isdisjoint({"discard", "end", "error"})


def test_what_happens_at_its_last_moment_is_in_it() -> None:
    """The item that is due then, but not that it is discarded."""
    trace = simulate(reactivex.interval(1.0), duration=6)
    assert passed(trace, "source")[-1] == (6.0, "5")
    assert "discard" not in trace.counts("source")


def test_a_trace_of_ones_own_is_used_once() -> None:
    """It is closed then, and a second time would record nothing."""
    trace = Trace()
    assert simulate(reactivex.of(1), trace=trace) is trace
    with pytest.raises(ValueError, match="closed"):
        simulate(reactivex.of(1), trace=trace)


def test_a_stream_that_never_says_anything() -> None:
    """Nothing at all until the duration is over."""
    trace = simulate(reactivex.never(), duration=5)
    assert (len(trace), trace.end) == (0, 5)


async def test_it_runs_where_a_loop_runs() -> None:
    """As in a notebook; and leaves no thread."""
    trace = simulate(ticks().pipe(probe("ticks")), duration=60)
    assert trace.probes == ("ticks", "consumer")
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("rxstream")]


@pytest.mark.parametrize("strategy", ["sliding", "dropping"])
def test_a_source_without_end_or_pace_is_refused(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands while code runs: it would go on for ever."""
    monkeypatch.setattr(simulation_room, "CROWD", 1000)
    with pytest.raises(RxStreamError, match="1000 items came at 0 s of virtual time"):
        simulate(reactivex.repeat_value(1), consumer_delay=1, buffer=stream_config(4, strategy))
    with pytest.raises(RxStreamError, match="1000 items came"):
        simulate(from_async_iterable(forever), consumer_delay=1, buffer=stream_config(4, strategy))


async def forever() -> AsyncIterator[int]:
    """Never suspends, never ends."""
    while True:
        yield 1


def test_code_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no item ever comes, real time tells."""
    monkeypatch.setattr(virtual, "PATIENCE", 0.2)
    stop = threading.Event()
    source = reactivex.repeat_value(1).pipe(rx.take_while(lambda _: not stop.is_set()), rx.filter(lambda _: False))
    with pytest.raises(RxStreamError, match="without waiting for anything"):
        try:
            simulate(source, buffer=stream_config(4))
        finally:
            stop.set()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"pipeline": 3}, TypeError),
        ({"pipeline": lambda: 3}, TypeError),
        ({"duration": 0}, ValueError),
        ({"duration": float("inf")}, ValueError),
        ({"duration": "1"}, TypeError),
        ({"duration": None}, TypeError),
        ({"consumer_delay": -1}, ValueError),
        ({"consumer_delay": True}, TypeError),
        ({"consumer_delay": "slow"}, TypeError),
        ({"buffer": {"capacity": 0}}, ValueError),
        ({"buffer": "fast"}, ValueError),
        ({"trace": "here"}, TypeError),
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any], error: type[Exception]) -> None:
    """Before anything runs."""
    arguments = {"pipeline": reactivex.empty(), **wrong}
    with pytest.raises(error):
        simulate(arguments.pop("pipeline"), **arguments)


def test_what_the_consumer_raises_is_raised() -> None:
    """A mistake in the delay is the caller's, not the stream's."""
    with pytest.raises(ZeroDivisionError):
        simulate(reactivex.of(0), consumer_delay=lambda n: 1 / n)


def test_events_are_ordinary_values() -> None:
    """They compare, and print as they are made."""
    (first, *_) = simulate(reactivex.of("a"), duration=1)
    assert first == Event(at=0.0, probe="source", kind="next", item="a", filled=0)

"""`with_progress`: what it reports, where to, and that the stream does not feel it."""

from __future__ import annotations

import asyncio
import builtins
import dataclasses
import gc
import io
import logging
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from rxstream import Progress, from_async_iterable, to_async_iterable
from rxstream.operators import with_progress
from rxstream.progress.outlets import Bar, Call, Log, Thread
from tests.rxstream.circuits import Lag, Origin
from tests.rxstream.support import STRATEGIES, Recorder, everything, first, until, until_now


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines in the log, with their level."""
    caplog.set_level(logging.INFO, logger="rxstream.progress")
    return lambda: [f"{r.levelname} {r.getMessage()}" for r in caplog.records if r.name == "rxstream.progress"]


def reported(count: int, *, then: Exception | None = None, item: Any = 1, **options: Any) -> list[Progress]:
    """The reports of a stream in virtual time: an item a second from 201 on, then the end."""
    scheduler, reports = TestScheduler(), list[Progress]()
    source: Subject[Any] = Subject()
    for number in range(count):
        scheduler.schedule_absolute(201 + number, lambda *_: source.on_next(item))
    end = source.on_completed if then is None else lambda: source.on_error(then)
    scheduler.schedule_absolute(201 + count, lambda *_: end())
    guarded = source.pipe(with_progress("x", **{"on_progress": reports.append, **options}))
    scheduler.schedule_absolute(200, lambda *_: guarded.subscribe(on_error=lambda error: None, scheduler=scheduler))
    scheduler.start()
    return reports


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": 5}, TypeError, "a name is text"),
        ({"total": -1}, ValueError, "total must be at least 0"),
        ({"total": 1.5}, TypeError, "total must be an int"),
        ({"total": True}, TypeError, "total must be an int"),
        ({"log_interval": 0}, ValueError, "log_interval must be at least 1"),
        ({"log_interval": False}, TypeError, "log_interval must be an int"),
        ({"every": 0}, ValueError, "every must be a positive"),
        ({"every": float("nan")}, ValueError, "every must be a positive"),
        ({"every": "1"}, TypeError, "every must be a number"),
        ({"unit": "rows"}, ValueError, "unit must be 'elements' or 'bytes'"),
        ({"on_progress": 5}, TypeError, "on_progress must be callable"),
        ({"on_progress": asyncio.sleep}, TypeError, "cannot be async"),
    ],
)
def test_wrong_arguments_are_refused_when_the_operator_is_built(
    arguments: Any, error: type[Exception], message: str
) -> None:
    """Not when it is subscribed to."""
    with pytest.raises(error, match=message):
        with_progress(**{"name": "x", **arguments})


def test_a_report_has_the_documented_fields() -> None:
    """Frozen, in the documented order; those after `done` may be left out."""
    fields = [field.name for field in dataclasses.fields(Progress)]
    assert fields[:8] == ["name", "elements", "bytes", "total", "elapsed", "rate", "eta", "done"]
    report = Progress("x", 1, 0, None, 1.0, 1.0, None, False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.elements = 2  # type: ignore[misc]


# -- when, and what


def test_reports_come_every_so_many_items_and_at_the_end() -> None:
    """Each `log_interval`, and a last one always."""
    reports = reported(7, log_interval=3)
    assert [(report.elements, report.done) for report in reports] == [(3, False), (6, False), (7, True)]


def test_the_last_report_comes_even_for_nothing() -> None:
    """An empty stream, and one whose last item has just been reported."""
    assert [(r.elements, r.done, r.outcome) for r in reported(0)] == [(0, True, "completed")]
    assert [(r.elements, r.done) for r in reported(3, log_interval=3)] == [(3, False), (3, True)]
    assert [r.elements for r in reported(5, log_interval=None)] == [5]


def test_or_every_so_many_seconds() -> None:
    """As items come; then items are not counted for it."""
    reports = reported(20, every=5, log_interval=1)
    assert [report.elapsed for report in reports] == [5, 10, 15, 20, 21]
    assert [report.elements for report in reports] == [5, 10, 15, 20, 20]


def test_rate_and_what_is_left() -> None:
    """Of an item a second."""
    half, last = reported(10, total=10, log_interval=5)[0], reported(10, total=10)[-1]
    assert (half.rate, half.eta, half.percent) == (1.0, 5.0, 50.0)
    assert (last.eta, last.percent, last.outcome) == (0.0, 100.0, "completed")


@pytest.mark.parametrize("total", [None, 0, 1, 5, 7, 1000])
def test_never_more_than_all(total: int | None) -> None:
    """The total may be unknown, zero, too small or too large: no report passes 100 %, and the end is 100 %."""
    reports = reported(7, total=total, log_interval=1)
    percents = [report.percent for report in reports]
    assert all(percent is None or 0 <= percent <= 100 for percent in percents)
    assert [percent is None for percent in percents[:-1]] == [not total] * 7
    assert percents[-1] == 100
    assert all(report.eta is None or report.eta >= 0 for report in reports)
    assert [str(report) for report in reports]


def test_a_stream_that_fails_is_not_at_its_end() -> None:
    """Its last report stays where it was, and says how it ended."""
    last = reported(5, total=10, then=OSError("down"))[-1]
    assert (last.elements, last.percent, last.done, last.outcome, last.eta) == (5, 50.0, True, "error", None)


def test_bytes_are_counted() -> None:
    """Of bytes-likes; with `unit="bytes"` they are what the total counts."""
    assert [r.bytes for r in reported(3, item=b"1234")] == [12]
    assert [r.bytes for r in reported(3, item=bytearray(4))] == [12]
    assert [r.bytes for r in reported(3, item=memoryview(bytearray(8)).cast("H"))] == [24]
    assert [r.bytes for r in reported(3, item="1234")] == [0]
    report = reported(4, item=b"1234", unit="bytes", total=32, log_interval=2)[0]
    assert (report.passed, report.percent, report.rate, report.eta) == (8, 25.0, 4.0, 6.0)


# -- the log


async def test_lines_in_the_log(lines: Callable[[], list[str]]) -> None:
    """One each `log_interval`, and a last one."""
    await everything(rx.range(2500).pipe(with_progress("import", total=2500)))
    assert [line.split(" in ")[0] for line in lines()] == [
        "INFO import: 1,000 of 2,500 elements (40 %)",
        "INFO import: 2,000 of 2,500 elements (80 %)",
        "INFO import: done, 2,500 elements",
    ]
    assert lines()[0].endswith(" s left") and "/s" in lines()[0]


async def test_the_last_line_says_how_it_ended(lines: Callable[[], list[str]]) -> None:
    """With an error, or because the consumer left: by the end of a block, a cancellation, a dispose."""
    with pytest.raises(OSError, match="down"):
        await everything(Origin(1, 2, then=OSError("down")).pipe(with_progress("a")))
    async with to_async_iterable(Origin(1, 2, then="wait").pipe(with_progress("b", total=9))) as stream:
        await first(stream, 2)
    origin = Origin(then="wait")
    task = asyncio.create_task(everything(origin.pipe(with_progress("c"))))
    await until(lambda: origin.started)
    task.cancel()
    await asyncio.wait([task])
    subscription = rx.never().pipe(with_progress("d")).subscribe()
    for _ in range(2):
        subscription.dispose()
    await until(lambda: len(lines()) == 4)  # a worker that is amid subscribing says it once it is through
    assert sorted((line.split(" in ")[0] for line in lines()), key=lambda line: line.split()[1]) == [
        "WARNING a: failed after 2 elements",
        "INFO b: cancelled after 2 of 9 elements",
        "INFO c: cancelled after 0 elements",
        "INFO d: cancelled after 0 elements",
    ]


def test_a_source_that_cannot_be_subscribed_to(lines: Callable[[], list[str]]) -> None:
    """It has failed, and the report says so."""

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        raise OSError("no connection")

    recorder = Recorder()
    rx.create(subscribe).pipe(with_progress("x")).subscribe(recorder)
    assert len(recorder.errors) == 1
    assert lines()[0].startswith("WARNING x: failed after 0 elements")


async def test_a_log_that_raises_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler without care."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.INFO:
                raise OSError("the disk is full")

    logger = logging.getLogger("rxstream.progress")
    handler = Broken()
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.addHandler(handler)
    try:
        assert await everything(rx.range(5).pipe(with_progress("x", log_interval=1))) == list(range(5))
    finally:
        logger.removeHandler(handler)


# -- a function of one's own


async def test_whoever_sees_the_end_has_seen_the_last_report() -> None:
    """On each of many streams: a function that is quick has been called by then."""
    for _ in range(20):
        reports: list[Progress] = []
        await everything(rx.range(100).pipe(with_progress("x", log_interval=30, on_progress=reports.append)))
        await until(lambda reports=reports: reports and reports[-1].done)
        assert [r.elements for r in reports if r.done] == [100]
        elements = [r.elements for r in reports]
        assert elements == sorted(elements) and set(elements) <= {30, 60, 90, 100}


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_function_that_raises_leaves_the_stream_untouched(
    strategy: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time; it is logged once, and still called."""
    calls = []

    def fail(progress: Progress) -> None:
        calls.append(progress)
        raise SystemExit("the function's own fault")

    source = from_async_iterable(Origin(*range(10))).pipe(with_progress("x", log_interval=3, on_progress=fail))
    assert await everything(source, 16, strategy) == list(range(10))
    await until(lambda: calls and calls[-1].done)
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"].count(
        "on_progress failed; it is still called, but what it raises is not logged again"
    ) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_function_that_blocks_leaves_the_stream_untouched(strategy: str) -> None:
    """For good, and from the first call on: the stream goes through, and the loop does not stand still."""
    leave, calls = threading.Event(), list[Progress]()

    def block(progress: Progress) -> None:
        calls.append(progress)
        leave.wait(30)

    try:
        source = from_async_iterable(Origin(*range(5000))).pipe(with_progress("x", log_interval=2, on_progress=block))
        async with Lag() as lag:
            assert await everything(source, 5000, strategy) == list(range(5000))
        assert len(calls) == 1
        assert lag.most < 5, f"the loop stood still for {lag.most} s"  # it would have been 30
    finally:
        leave.set()
    await until(lambda: len(calls) == 2)  # what came in between is gone, but for the latest
    assert calls[1].done and calls[1].elements == 5000


def test_a_function_that_disposes_the_stream() -> None:
    """From its own thread, or on the spot under virtual time: no deadlock, and the last report comes once."""
    scheduler, reports, subscriptions = TestScheduler(), list[Progress](), list[Any]()

    def leave(progress: Progress) -> None:
        reports.append(progress)
        subscriptions[0].dispose()

    source: Subject[int] = Subject()
    subscriptions.append(
        source.pipe(with_progress("x", log_interval=1, on_progress=leave)).subscribe(scheduler=scheduler)
    )
    source.on_next(1)
    assert [(r.elements, r.outcome) for r in reports] == [(1, "running"), (1, "cancelled")]
    assert not source.observers


def test_no_report_comes_after_the_last() -> None:
    """A thread that is amid a report when another one disposes the stream comes too late with it."""
    for _ in range(50):
        reports: list[Progress] = []
        source: Subject[int] = Subject()
        subscription = source.pipe(with_progress("x", log_interval=1, on_progress=reports.append)).subscribe()
        thread = threading.Thread(target=lambda source=source: [source.on_next(n) for n in range(50)])
        thread.start()
        subscription.dispose()
        thread.join()
        until_now(lambda reports=reports: reports and reports[-1].done)
        assert [r.done for r in reports].count(True) == 1


def report(elements: int, outcome: Any = "running") -> Progress:
    """One of many."""
    return Progress("x", elements, 0, None, 1.0, 1.0, None, outcome != "running", outcome)


@pytest.mark.parametrize("kind", ["call", "thread", "log"])
def test_an_outlet_takes_nothing_after_the_last(kind: str, lines: Callable[[], list[str]]) -> None:
    """Whoever is late with a report."""
    taken: list[Progress] = []
    outlet: Any = {"call": Call, "thread": Thread}[kind](taken.append) if kind != "log" else Log(last_only=False)
    for one in (report(1), report(2, "cancelled"), report(1)):
        outlet.report(one, wait=False)
    if kind == "thread":
        until_now(lambda: not outlet._busy)
    assert [one.elements for one in taken][-1:] == ([] if kind == "log" else [2])
    assert len(lines()) == (2 if kind == "log" else 0)


def test_a_function_that_has_failed_is_called_again() -> None:
    """Whatever it has raised."""
    taken: list[int] = []

    def fail(progress: Progress) -> None:
        taken.append(progress.elements)
        raise SystemExit

    outlet = Thread(fail)
    for number in range(1, 4):
        outlet.report(report(number), wait=False)
        until_now(lambda number=number: taken[-1:] == [number] and not outlet._busy)
    assert taken == [1, 2, 3]


def test_a_source_whose_subscribe_raises(lines: Callable[[], list[str]]) -> None:
    """One that does not even keep to RxPY's own ways."""

    class Broken(rx.Observable[int]):
        def subscribe(self, *_: Any, **__: Any) -> Any:
            raise OSError("no connection")

    recorder = Recorder()
    Broken().pipe(with_progress("x")).subscribe(recorder)
    assert len(recorder.errors) == 1
    assert lines()[0].startswith("WARNING x: failed after 0 elements")


# -- what it must not do


async def test_demand_passes_through() -> None:
    """Under `suspend` the source is no further ahead than without it."""
    pulled = 0

    def count(item: Any) -> None:
        nonlocal pulled
        pulled += 1

    source = rx.range(10**9).pipe(ops.do_action(count), with_progress("x"))
    async with to_async_iterable(source, {"capacity": 5}) as items:
        assert await first(items, 3) == [0, 1, 2]
        await asyncio.sleep(0.05)
        assert pulled <= 3 + 5 + 1


async def test_one_operator_serves_many_streams() -> None:
    """Each counts for itself."""
    reports: list[Progress] = []
    counted = rx.range(10).pipe(with_progress("x", on_progress=reports.append))
    await asyncio.gather(*(everything(counted) for _ in range(5)))
    await until(lambda: len(reports) == 5)
    assert [r.elements for r in reports] == [10] * 5


async def test_nothing_is_kept_after_the_end() -> None:
    """Neither the observer nor an item."""

    class Thing:
        pass

    source: Subject[Any] = Subject()
    recorder, thing = Recorder(), Thing()
    gone = [weakref.ref(recorder), weakref.ref(thing)]
    source.pipe(with_progress("x", on_progress=lambda progress: None)).subscribe(recorder)
    source.on_next(thing)
    source.on_completed()
    del recorder, thing
    await until(lambda: gc.collect() >= 0 and not any(ref() for ref in gone))


# -- the bar


class Terminal(io.StringIO):
    """What a person looks at."""


async def test_a_bar(monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]]) -> None:
    """Drawn by tqdm on the standard error, with the last line in the log; no thread of tqdm's stays."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    before = set(threading.enumerate())
    items = await everything(rx.range(3000).pipe(with_progress("import", total=3000, bar=True)))
    assert len(items) == 3000
    drawn = terminal.getvalue()
    assert "import: 100%" in drawn and "3000/3000" in drawn
    assert [line.split(" in ")[0] for line in lines()] == ["INFO import: done, 3,000 elements"]
    assert not [thread for thread in set(threading.enumerate()) - before if "tqdm" in type(thread).__module__]


async def test_a_bar_says_how_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """And never that it has passed 100 %."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(OSError, match="down"):
        await everything(Origin(1, 2, 3, then=OSError("down")).pipe(with_progress("x", total=2, bar=True)))
    assert "error" in terminal.getvalue() and "150%" not in terminal.getvalue()


def test_a_bar_takes_nothing_after_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is late with a report; and the last one is what it shows."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = Bar("x", 10, "elements")
    for one in (report(1), report(2, "cancelled"), report(1)):
        bar.report(one, wait=False)
    assert "2/10" in terminal.getvalue().splitlines()[-1]


async def test_a_terminal_that_is_gone_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed before, or in the middle."""
    for closes in (0, 1000):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)

        def close(item: int, terminal: Terminal = terminal, closes: int = closes) -> None:
            if item == closes:
                terminal.close()

        source = rx.range(3000).pipe(ops.do_action(close), with_progress("x", bar=True, every=0.0001))
        assert len(await everything(source)) == 3000


def test_a_bar_without_tqdm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the operator is built."""
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("tqdm"):
            raise ImportError("No module named tqdm")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"pip install 'rxstream\[progress\]'"):
        with_progress("x", bar=True)
    with_progress("x")

"""What stands between streams and a backend: whatever a backend does, no stream feels it, and nothing grows."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import reactivex
from hypothesis import given, settings
from hypothesis import strategies as st

from rxstream import BufferConfig, StreamMetrics, from_async_iterable, to_async_iterable
from rxstream.buffer import Buffer
from rxstream.metrics import METRICS, MetricsBackend, StreamProbe, recorder, with_metrics
from rxstream.metrics.catalog import ELEMENTS
from rxstream.metrics.probe import Totals
from rxstream.metrics.recorder import JOBS
from rxstream.metrics.sums import INBOX, MAX_NAMES, OTHER, VALUES
from tests.rxstream.metered import Blocks, Kept, Raises
from tests.rxstream.support import DEADLINE, everything, numbers, until, until_now


def brief(metrics: StreamMetrics, name: str = "s") -> None:
    """A stream that is over at once."""
    metrics.probe(name, "items", "internal").open().close()


# -- a backend that raises


async def test_a_backend_that_raises_leaves_the_stream_untouched(caplog: pytest.LogCaptureFixture) -> None:
    """All items arrive, and the trouble is logged once, with its traceback."""
    backend = Raises()
    metrics = StreamMetrics(backend=backend)
    for _ in range(3):
        got = await everything(from_async_iterable(lambda: numbers(1000)).pipe(with_metrics("s", metrics)))
        assert got == list(range(1000))
        metrics.flush()
    assert backend.calls > 3
    (record,) = [record for record in caplog.records if record.name == "rxstream"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert "streams go on" in record.getMessage()


async def test_one_metric_that_fails_does_not_take_the_others_along(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call of the backend stands for itself."""

    def add(metric: Any, amount: float, labels: Any) -> None:
        if metric is ELEMENTS:
            raise OSError("the backend is broken")
        Kept.add(kept, metric, amount, labels)

    monkeypatch.setattr(kept, "add", add)
    metrics = StreamMetrics(backend=kept)
    await everything(reactivex.of(b"abc").pipe(with_metrics("s", metrics)))
    metrics.flush()
    assert (kept.counter("stream_bytes_total", "s"), kept.outcomes("s")) == (3, {"completed": 1})


# -- a backend that blocks


async def test_a_backend_that_blocks_leaves_the_stream_untouched() -> None:
    """Streams begin, run and end while a report hangs; the event loop goes on; only the thread that reports waits."""
    backend = Blocks()
    metrics = StreamMetrics(backend=backend)
    source = from_async_iterable(lambda: numbers(10_000))
    brief(metrics)
    await until(backend.entered.is_set)
    try:
        for _ in range(20):
            assert await everything(source.pipe(with_metrics("s", metrics))) == list(range(10_000))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(metrics.rendering()), 0.05)
    finally:
        backend.released.set()
    await until(lambda: not metrics._recorder._sums._live)


async def test_scrapes_of_a_backend_that_blocks_do_not_pile_up() -> None:
    """A few wait; the next is refused at once."""
    backend = Blocks()
    metrics = StreamMetrics(backend=backend)
    brief(metrics)
    await until(backend.entered.is_set)
    try:
        waiting = [metrics.rendering() for _ in range(JOBS)]
        assert not any(one.done() for one in waiting)
        with pytest.raises(RuntimeError, match="does not answer"):
            metrics.rendering().result(0)
    finally:
        backend.released.set()
    for one in waiting:
        assert (await asyncio.wrap_future(one))[0] == b""


async def test_a_flush_behind_a_report_that_blocks_has_an_end() -> None:
    """It says so, and does not hang."""
    backend = Blocks()
    metrics = StreamMetrics(backend=backend)
    brief(metrics)
    await until(backend.entered.is_set)
    try:
        assert metrics._recorder.flush(timeout=0.01) is False
    finally:
        backend.released.set()


async def test_what_a_backend_that_blocks_does_not_take_is_bounded(kept: Kept) -> None:
    """Counts are added up, values for histograms are let go of, oldest first; nothing grows with the streams."""
    backend = Blocks()
    metrics = StreamMetrics(backend=backend)
    brief(metrics)
    await until(backend.entered.is_set)
    try:
        for _ in range(VALUES + 5 * INBOX):
            brief(metrics)
        recorder = metrics._recorder
        assert len(recorder._sums._inbox) <= INBOX + 1
        assert len(recorder._sums._values) <= VALUES
        assert len(recorder._sums._counts) < 10
    finally:
        backend.released.set()


# -- names


def test_names_that_are_made_of_user_data_do_not_make_series(
    kept: Kept, metrics: StreamMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond a number of names all are one, and it is logged, once."""
    for number in range(MAX_NAMES + 50):
        brief(metrics, f"user_{number}")
    metrics.flush()
    streams = {dict(labels)["stream"] for _, labels in kept.values}
    assert len(streams) == MAX_NAMES + 1
    assert kept.outcomes(OTHER) == {"cancelled": 50}
    (record,) = [record for record in caplog.records if record.name == "rxstream"]
    assert "constants of the code" in record.getMessage()


def test_a_name_that_was_there_before_keeps_its_own(kept: Kept, metrics: StreamMetrics) -> None:
    """The flood does not wash away what is known."""
    brief(metrics, "prices")
    for number in range(MAX_NAMES + 1):
        brief(metrics, f"user_{number}")
    brief(metrics, "prices")
    metrics.flush()
    assert kept.outcomes("prices") == {"cancelled": 2}


def test_labels_have_the_names_that_the_catalog_says(kept: Kept, metrics: StreamMetrics) -> None:
    """`Kept` compares them at each call; here every kind of call is made."""
    probe = metrics.probe("s", "items", "in").open()
    probe.watch(Buffer(BufferConfig(1, "sliding")))
    probe.count(b"x")
    probe.failed(ValueError())
    probe.refused = "file_too_large"
    probe.close()
    metrics.flush()
    seen = {name for one in (kept.counters, kept.gauges, kept.values) for name, _ in one}
    assert {name for name in seen if "circuit" not in name} == {
        metric.name
        for metric in METRICS
        if "circuit" not in metric.name and metric.name != "stream_suspended_seconds_total"
    }
    assert kept.labels("stream") == {"s", "items", "in", "sliding", "error", "file_too_large"}


# -- probes


def test_a_stream_ends_once(kept: Kept, metrics: StreamMetrics) -> None:
    """Whatever closes it, and however often; also from many threads at once."""
    probe = metrics.probe("s", "items", "internal").open()
    barrier = threading.Barrier(8)

    def close() -> None:
        barrier.wait()
        probe.close()

    threads = [threading.Thread(target=close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    metrics.flush()
    assert kept.outcomes("s") == {"cancelled": 1}


def test_a_stream_that_never_began_is_none(kept: Kept, metrics: StreamMetrics) -> None:
    """Closing it counts nothing."""
    metrics.probe("s", "items", "internal").close()
    metrics.flush()
    assert kept.outcomes("s") == {}


def test_what_is_told_first_is_what_happened(metrics: StreamMetrics) -> None:
    """A failure is not taken for the end, and what comes after the close does not count."""
    probe = metrics.probe("s", "items", "internal").open()
    probe.failed(ValueError())
    probe.completed()
    assert probe.outcome == "error"
    probe = metrics.probe("s", "items", "internal").open()
    probe.close()
    probe.failed(ValueError())
    probe.completed()
    assert probe.outcome == "cancelled"


def test_counters_do_not_go_back(kept: Kept, metrics: StreamMetrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at in the middle of a change, a stream may seem to have come to less than before; then it catches up."""
    looks = iter(
        [Totals(suspended=5.0, overflows=4), Totals(suspended=3.0, overflows=2), Totals(suspended=6.0, overflows=5)]
    )
    monkeypatch.setattr(StreamProbe, "totals", lambda probe: next(looks))
    probe = metrics.probe("s", "items", "internal")
    probe.strategy = "suspend"
    probe._recorder._sums.opened(probe)
    for expected in ((5, 4), (5, 4), (6, 5)):
        metrics.flush()
        assert kept.counter("stream_suspended_seconds_total", "s") == expected[0]
        assert kept.counter("stream_buffer_overflows_total", "s", strategy="suspend") == expected[1]
    probe._recorder._sums._live.clear()


def test_the_thread_does_not_end_under_a_stream_that_begins(metrics: StreamMetrics) -> None:
    """Between its last look and its end one may have come: it looks again."""
    probe = metrics.probe("s", "items", "internal").open()
    thread = metrics._recorder._thread
    assert not metrics._recorder._may_end()
    assert metrics._recorder._thread is thread
    probe.close()


def test_a_closed_stream_keeps_nothing_alive(metrics: StreamMetrics) -> None:
    """Neither its buffer nor what that knows, before it is reported as well as after."""

    class Hook:
        def __call__(self, item: Any) -> None:
            pass

    hook = Hook()
    buffer: Buffer[int] | None = Buffer(BufferConfig(2, "suspend"), hook)
    probe = metrics.probe("s", "items", "internal").open()
    assert buffer is not None
    probe.watch(buffer)
    gone = weakref.ref(hook)
    probe.close()
    del hook, buffer
    gc.collect()
    assert gone() is None


async def test_a_stream_that_is_let_go_of_is_not_kept_by_its_metrics(kept: Kept, metrics: StreamMetrics) -> None:
    """The consumer loses it in the middle: it ends, and counts as cancelled."""
    stream = to_async_iterable(from_async_iterable(lambda: numbers(10**9)).pipe(with_metrics("s", metrics)))
    assert await anext(stream) == 0
    del stream
    gc.collect()

    def over() -> bool:
        metrics.flush()
        return kept.outcomes("s") == {"cancelled": 1} and kept.gauge("stream_active", "s") == 0

    await until(over)


def test_news_of_streams_is_never_lost_between_threads(kept: Kept, metrics: StreamMetrics) -> None:
    """Streams begin, count and end on many threads while it is reported all the time: the sums are exact."""

    def work() -> None:
        for _ in range(300):
            probe: StreamProbe = metrics.probe("s", "items", "internal").open()
            for _ in range(5):
                probe.count(b"ab")
            probe.completed()
            probe.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        metrics.flush()
    metrics.flush()
    assert kept.counter("stream_elements_total", "s") == 6 * 300 * 5
    assert kept.counter("stream_bytes_total", "s") == 6 * 300 * 10
    assert kept.outcomes("s") == {"completed": 1800}
    assert kept.gauge("stream_active", "s") == 0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["open", "count", "complete", "fail", "close", "flush"]), max_size=60))
def test_any_order_of_events_adds_up(events: list[str]) -> None:
    """Active is opened less closed, elements are those that were counted, each closed stream has one outcome."""
    kept = Kept()
    metrics = StreamMetrics(backend=kept)
    live: list[StreamProbe] = []
    opened = counted = closed = 0
    for event in [*events, "flush"]:
        if event == "open":
            live.append(metrics.probe("s", "items", "internal").open())
            opened += 1
        elif event == "flush":
            metrics.flush()
            assert (kept.counter("stream_elements_total", "s") or 0) == counted
            assert (kept.gauge("stream_active", "s") or 0) == opened - closed
            assert sum(kept.outcomes("s").values()) == closed
        elif live and event == "count":
            live[-1].count(1)
            counted += 1
        elif live and event == "complete":
            live[-1].completed()
        elif live and event == "fail":
            live[-1].failed(ValueError())
        elif live:
            live.pop().close()
            closed += 1


def test_where_there_are_no_threads_left_streams_run_without_metrics(
    metrics: StreamMetrics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and no stream fails for it."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    brief(metrics)
    assert "streams go on" in caplog.text


def test_a_backend_excludes_what_is_for_prometheus(kept: Kept) -> None:
    """The two are not mixed up in silence."""
    with pytest.raises(TypeError, match="leave them out"):
        StreamMetrics(backend=kept, namespace="shop")


def test_a_backend_that_cannot_be_scraped_says_so(metrics: StreamMetrics) -> None:
    """Where it is asked."""
    assert not metrics.can_render
    with pytest.raises(TypeError, match="no render"):
        metrics.render()


def test_the_last_report_is_waited_for(kept: Kept, metrics: StreamMetrics) -> None:
    """At the end of a server, or of the process."""
    brief(metrics)
    assert metrics.last_report()
    assert kept.outcomes("s") == {"cancelled": 1}
    brief(metrics)
    recorder._last_reports()
    assert kept.outcomes("s") == {"cancelled": 2}


def test_the_last_report_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that hangs does not hold the end of the process up."""
    monkeypatch.setattr(recorder, "INTERVAL", 0.01)
    backend = Blocks()
    metrics = StreamMetrics(backend=backend)
    brief(metrics)
    until_now(backend.entered.is_set)
    try:
        brief(metrics)
        assert not metrics.last_report()
    finally:
        backend.released.set()


FORK = """
import os, time
from rxstream import StreamMetrics
from tests.rxstream.metered import Kept

kept = Kept()
metrics = StreamMetrics(backend=kept)
before = metrics.probe("s", "items", "internal").open()
before.count(1)
metrics.probe("s", "items", "internal").open().close()
while metrics._recorder._thread is None or not kept.counters:
    time.sleep(0.01)
before.count(1)
if os.fork() == 0:
    kept.counters.clear()
    kept.values.clear()
    before.count(1)
    before.close()
    inside = metrics.probe("s", "items", "internal").open()
    inside.count(1)
    inside.completed()
    inside.close()
    assert metrics.last_report()
    assert kept.outcomes("s") == {"completed": 1}, kept.values
    assert kept.counter("stream_elements_total", "s") == 1, kept.counters
    os._exit(0)
assert os.wait()[1] == 0
before.close()
metrics.flush()
assert kept.counter("stream_elements_total", "s") == 2, kept.counters
"""


def test_a_process_that_is_forked_off_counts_for_itself() -> None:
    """What was open before is the other one's; the thread is there again."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")])),
        },
    )
    assert done.returncode == 0, done.stderr


def _is_backend(backend: MetricsBackend) -> MetricsBackend:
    return backend


_is_backend(Kept())

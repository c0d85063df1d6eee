"""`with_metrics`: what is counted of a pipeline, on every way out, and that nobody feels it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import reactivex
from prometheus_client import CollectorRegistry
from reactivex import Observable
from reactivex import operators as rx
from reactivex.subject import Subject

from rxstream import BackpressureError, StreamMetrics, from_async_iterable, operators, to_async_iterable
from rxstream.aging_buffer import AgingBuffer
from rxstream.metrics import with_metrics
from tests.rxstream.metered import Kept
from tests.rxstream.support import DEADLINE, Recorder, everything, numbers, until, until_now, workers


async def never() -> AsyncIterator[int]:
    """One item, and then nothing."""
    yield 1
    await asyncio.Event().wait()


async def failing() -> AsyncIterator[int]:
    """Two items, and then a failure."""
    yield 1
    yield 2
    raise ValueError("broken")


SOURCES: list[Callable[[], Observable[int]]] = [
    lambda: reactivex.from_iterable(range(1000)),
    lambda: from_async_iterable(lambda: numbers(1000)),
]


@pytest.mark.parametrize("make", SOURCES, ids=["cold", "async"])
@pytest.mark.parametrize("strategy", ["suspend", "sliding", "dropping"])
async def test_items_of_a_stream_are_counted(
    make: Callable[[], Observable[int]], strategy: str, kept: Kept, metrics: StreamMetrics
) -> None:
    """All that went through, whatever the buffer below did with them; its drops are counted too."""
    got = await everything(make().pipe(with_metrics("s", metrics)), 16, strategy)
    metrics.flush()
    assert kept.counter("stream_elements_total", "s") == 1000
    assert kept.counter("stream_buffer_overflows_total", "s", strategy=strategy) == 1000 - len(got)
    assert kept.outcomes("s") == {"completed": 1}
    assert (
        len(
            kept.values[
                (
                    "stream_time_to_first_element_seconds",
                    (("direction", "internal"), ("format", "items"), ("stream", "s")),
                )
            ]
        )
        == 1
    )


async def test_bytes_are_counted_where_items_are_bytes(kept: Kept, metrics: StreamMetrics) -> None:
    """Behind an encoder, say."""
    lines = await everything(
        reactivex.of({"n": 1}, {"n": 22}).pipe(operators.encode_ndjson(), with_metrics("s", metrics))
    )
    metrics.flush()
    assert kept.counter("stream_bytes_total", "s") == sum(map(len, lines)) > 0


async def test_an_empty_stream_is_told_from_one_that_completed(kept: Kept, metrics: StreamMetrics) -> None:
    """It has an outcome of its own, and no time to the first item."""
    await everything(reactivex.empty().pipe(with_metrics("s", metrics)))
    metrics.flush()
    assert kept.outcomes("s") == {"empty": 1}
    assert not any(name == "stream_time_to_first_element_seconds" for name, _ in kept.values)


async def test_a_failure_is_counted_and_passed_on(kept: Kept, metrics: StreamMetrics) -> None:
    """Once, and it is the same error."""
    with pytest.raises(ValueError, match="broken"):
        await everything(from_async_iterable(failing).pipe(with_metrics("s", metrics)))
    metrics.flush()
    assert kept.outcomes("s") == {"error": 1}
    assert kept.counter("stream_errors_total", "s") == 1
    assert kept.counter("stream_elements_total", "s") == 2


async def test_a_source_that_cannot_be_subscribed_to_has_failed(kept: Kept, metrics: StreamMetrics) -> None:
    """It raised where it should have sent an error."""

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await everything(Observable(subscribe).pipe(with_metrics("s", metrics)))
    metrics.flush()
    assert (kept.outcomes("s"), kept.gauge("stream_active", "s")) == ({"error": 1}, 0)


async def test_a_consumer_that_leaves_is_a_cancellation(kept: Kept, metrics: StreamMetrics) -> None:
    """And no failure."""
    async with to_async_iterable(from_async_iterable(never).pipe(with_metrics("s", metrics))) as items:
        assert await anext(items) == 1
        metrics.flush()
        assert kept.gauge("stream_active", "s") == 1
    metrics.flush()
    assert kept.outcomes("s") == {"cancelled": 1}
    assert kept.counter("stream_errors_total", "s") == 0


async def test_a_cancelled_task_is_a_cancellation(kept: Kept, metrics: StreamMetrics) -> None:
    """The consumer's task is cancelled while it waits."""

    async def consume() -> None:
        async with to_async_iterable(from_async_iterable(never).pipe(with_metrics("s", metrics))) as items:
            async for _ in items:
                begun.set()

    begun = asyncio.Event()
    task = asyncio.create_task(consume())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    metrics.flush()
    assert (kept.outcomes("s"), kept.counter("stream_errors_total", "s")) == ({"cancelled": 1}, 0)


async def test_an_operator_below_that_has_enough_is_a_cancellation(kept: Kept, metrics: StreamMetrics) -> None:
    """`take` disposes what is above it."""
    assert await everything(reactivex.from_iterable(range(1000)).pipe(with_metrics("s", metrics), rx.take(3))) == [
        0,
        1,
        2,
    ]
    metrics.flush()
    assert kept.outcomes("s") == {"cancelled": 1}


@pytest.mark.parametrize("end", ["completed", "error", "cancelled"])
async def test_gauges_return_to_zero(end: str, kept: Kept, metrics: StreamMetrics) -> None:
    """Active streams, utilization and high-water mark, on every way out."""
    subject: Subject[int] = Subject()
    stream = to_async_iterable(subject.pipe(with_metrics("s", metrics)), {"capacity": 4, "strategy": "sliding"})
    async with stream:
        subject.on_next(1)
        subject.on_next(2)
        subject.on_next(3)
        metrics.flush()
        assert kept.gauge("stream_active", "s") == 1
        assert kept.gauge("stream_buffer_utilization_ratio", "s") == 0.75
        assert await anext(stream) == 1
        assert await anext(stream) == 2
        metrics.flush()
        assert kept.gauge("stream_buffer_utilization_ratio", "s") == 0.25
        assert kept.gauge("stream_buffer_high_water_ratio", "s") == 0.75
        if end == "completed":
            subject.on_completed()
            assert [item async for item in stream] == [3]
        elif end == "error":
            subject.on_error(ValueError("broken"))
            with pytest.raises(ValueError, match="broken"):
                [item async for item in stream]
    metrics.flush()
    assert kept.outcomes("s") == {end: 1}
    for gauge in ("stream_active", "stream_buffer_utilization_ratio", "stream_buffer_high_water_ratio"):
        assert kept.gauge(gauge, "s") == 0


async def test_the_fullest_buffer_of_several_streams_shows(kept: Kept, metrics: StreamMetrics) -> None:
    """Utilization is a maximum, active streams are a sum."""
    subject: Subject[int] = Subject()
    counted = subject.pipe(with_metrics("s", metrics))
    sliding = {"strategy": "sliding"}
    async with (
        to_async_iterable(counted, {"capacity": 2, **sliding}),
        to_async_iterable(counted, {"capacity": 4, **sliding}),
        to_async_iterable(counted, {"capacity": 8, **sliding}),
    ):
        subject.on_next(1)
        metrics.flush()
        assert kept.gauge("stream_active", "s") == 3
        assert kept.gauge("stream_buffer_utilization_ratio", "s") == 0.5


async def test_a_source_that_waits_is_seen(kept: Kept, metrics: StreamMetrics) -> None:
    """The time for which a full buffer holds it back grows while it does, and stops when it may go on."""

    def suspended() -> float:
        metrics.flush()
        return kept.counter("stream_suspended_seconds_total", "s") or 0

    stream = to_async_iterable(
        from_async_iterable(lambda: numbers(9)).pipe(with_metrics("s", metrics)), {"capacity": 2}
    )
    async with stream:
        await until(lambda: suspended() > 0.01)
        before = suspended()
        await until(lambda: suspended() > before)
        assert len([item async for item in stream]) == 9
        after = suspended()
        assert suspended() == after


async def test_a_stream_that_nobody_waits_in_has_no_suspended_seconds(kept: Kept, metrics: StreamMetrics) -> None:
    """Under `sliding` there is nothing to wait for: no observer is attached that each batch would tell."""
    sliding = {"capacity": 4, "strategy": "sliding"}
    async with to_async_iterable(from_async_iterable(never).pipe(with_metrics("s", metrics)), sliding) as items:
        assert await anext(items) == 1
        assert items._boundary.buffer._observers == ()
    metrics.flush()
    assert kept.counter("stream_suspended_seconds_total", "s") is None


async def test_an_item_that_was_too_old_counts_as_dropped(kept: Kept, metrics: StreamMetrics) -> None:
    """By the strategy, as one that had to make room."""
    prices: Subject[int] = Subject()
    now = 0.0
    async with to_async_iterable(
        prices.pipe(with_metrics("s", metrics)), {"strategy": "sliding", "max_age": 5}
    ) as stream:
        buffer = stream._boundary.buffer
        assert isinstance(buffer, AgingBuffer)
        buffer.use(lambda: now)
        prices.on_next(1)
        now = 6.0
        prices.on_next(2)
        assert await anext(stream) == 2
    metrics.flush()
    assert kept.counter("stream_buffer_overflows_total", "s", strategy="sliding") == 1


async def test_a_push_that_cannot_wait_is_an_overflow(kept: Kept, metrics: StreamMetrics) -> None:
    """Above the operator below which it failed it counts as an overflow of `suspend`."""
    subject: Subject[int] = Subject()
    stream = to_async_iterable(
        subject.pipe(operators.with_buffer(capacity=2), with_metrics("s", metrics)), {"capacity": 1}
    )
    async with stream:
        await until(lambda: subject.observers)
        for number in range(9):
            subject.on_next(number)
        with pytest.raises(BackpressureError):
            [item async for item in stream]
    metrics.flush()
    assert kept.counter("stream_buffer_overflows_total", "s", strategy="suspend") == 1


def test_a_plain_observer_is_counted_too(kept: Kept, metrics: StreamMetrics) -> None:
    """No boundary below, no event loop: what there is to count is counted."""
    recorder = Recorder()
    reactivex.of(1, None, 3).pipe(with_metrics("s", metrics)).subscribe(recorder)
    metrics.flush()
    assert (recorder.items, recorder.completed) == ([1, None, 3], 1)
    assert (kept.counter("stream_elements_total", "s"), kept.outcomes("s")) == (3, {"completed": 1})


async def test_each_subscription_is_a_stream(kept: Kept, metrics: StreamMetrics) -> None:
    """One operator object, many streams."""
    counted = reactivex.of(1, 2).pipe(with_metrics("s", metrics))
    for _ in range(3):
        await everything(counted)
    metrics.flush()
    assert (kept.counter("stream_elements_total", "s"), kept.outcomes("s")) == (6, {"completed": 3})


async def test_a_source_of_ours_needs_no_thread_for_it(metrics: StreamMetrics) -> None:
    """With the operator as without: nothing in it could wait."""
    stream = to_async_iterable(from_async_iterable(never).pipe(with_metrics("s", metrics)))
    async with stream:
        assert await anext(stream) == 1
        assert workers() == []


@pytest.mark.parametrize("name", ["", "7up", "a b", "user@example.org", "x" * 81, "né"])
def test_a_name_that_is_no_constant_is_refused(name: str, metrics: StreamMetrics) -> None:
    """When the operator is built."""
    with pytest.raises(ValueError, match="constant of your code"):
        with_metrics(name, metrics)


@pytest.mark.parametrize("name", [None, 7, b"prices"])
def test_a_name_is_text(name: Any, metrics: StreamMetrics) -> None:
    """Anything else is a mistake."""
    with pytest.raises(TypeError, match="must be a str"):
        with_metrics(name, metrics)


async def test_without_metrics_it_counts_in_the_global_registry() -> None:
    """`StreamMetrics()` is the same wherever it is called."""
    from prometheus_client import REGISTRY

    await everything(reactivex.of(1, 2, 3).pipe(with_metrics("of_the_global_registry")))
    StreamMetrics().flush()
    labels = {"stream": "of_the_global_registry", "format": "items", "direction": "internal"}
    assert REGISTRY.get_sample_value("stream_elements_total", labels) == 3


async def test_the_thread_that_reports_ends_when_there_is_nothing_to_report(
    kept: Kept, metrics: StreamMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes by itself, and goes by itself, and comes again."""
    monkeypatch.setattr("rxstream.metrics.recorder.INTERVAL", 0.01)
    for count in (1, 2):
        await everything(reactivex.of(1).pipe(with_metrics("s", metrics)))
        await until(lambda count=count: kept.counter("stream_elements_total", "s") == count)
        assert kept.threads == {"rxstream-metrics"}
        until_now(lambda: metrics._recorder._thread is None)


PROGRAM = """
import asyncio, sys, threading
import reactivex
from quart import Quart
import rxstream, quart_adapter
from quart_adapter import RxStream, sse
from quart_adapter.testing import stream

app = Quart(__name__)
RxStream(app)

@app.get("/")
async def route():
    return await sse(reactivex.of(1, 2, 3), name="numbers")

async def main():
    async with stream(app.test_client(), "/") as reader:
        assert len(await reader.events(3)) == 3

asyncio.run(main())
print([name for name in sys.modules if name.split(".")[0] in ("prometheus_client", "pybreaker")])
print([thread.name for thread in threading.enumerate() if thread.name.startswith("rxstream-metrics")])
"""


def run(program: str) -> str:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_metrics_nothing_is_imported() -> None:
    """No library for metrics, and no thread: also where a stream has a name."""
    lines = run(PROGRAM).splitlines()
    assert "prometheus_client" not in lines[0]
    assert lines[1] == "[]"


def test_without_the_library_the_way_out_is_named() -> None:
    """The extra is asked for, and only where it is needed."""
    printed = run(
        "import sys; sys.modules['prometheus_client'] = None\n"
        "import rxstream\n"
        "try:\n    rxstream.StreamMetrics()\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    assert printed == "StreamMetrics needs prometheus_client: pip install rxstream[metrics]\n"


def test_the_example_of_the_operator_holds() -> None:
    """As its documentation has it."""
    registry = CollectorRegistry()
    reactivex.of(1, 2, 3).pipe(with_metrics("numbers", StreamMetrics(registry=registry))).subscribe()
    labels = {"stream": "numbers", "format": "items", "direction": "internal"}
    list(registry.collect())
    assert registry.get_sample_value("stream_elements_total", labels) == 3

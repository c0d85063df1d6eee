"""Running a pipeline in virtual time: a minute of stream in milliseconds, the same each time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from reactivex import Observable, abc

from rxstream import virtual
from rxstream.buffer_config import BufferLike, resolve_buffer
from rxstream.errors import RxStreamError
from rxstream.explore.probes import Clock, as_source, clock_of
from rxstream.explore.recording import check_duration, delay_of, opened, run
from rxstream.explore.trace import Trace

__all__ = ["simulate"]

T = TypeVar("T")

CROWD: Final = 100_000
"""Items at one moment of virtual time after which a source is taken for endless."""


def simulate(
    pipeline: Observable[T] | Callable[[], Observable[T]],
    *,
    consumer_delay: float | Callable[[T], float] = 0.0,
    duration: float = 60.0,
    buffer: BufferLike | None = None,
    trace: Trace | None = None,
) -> Trace:
    """Runs a pipeline into a slow consumer in virtual time, and records what happens: the same each time.

        source      --1--2--3--4--|
        consumer    --1-----2-----3-----4--|      (each takes it consumer_delay, and none of your time)

    The boundary, the buffer, the event loop and the worker threads are real; only the clock is not: it jumps to the
    next timer once all of them wait. Timed operators (`interval`, `delay`, ...) and `asyncio.sleep` follow it.

    Args:
        pipeline: Any pipeline, or a function that builds it on the simulated event loop, for one that needs a running
            loop (a `Subject` with a task that pushes). Fit it with `probe("name")` wherever you want a line.
        consumer_delay: Seconds that the consumer spends on each item, or a function of the item that says how many.
        duration: Seconds of stream after which it stops, if the stream has not ended.
        buffer: The boundary's: a preset's name, a `BufferConfig`, or a mapping that overrides parts of the `export`
            preset.
        trace: Where to record; None: in a new `Trace()`.

    Returns:
        The trace. A stream that fails is an event in it, not an exception.

    Raises:
        TypeError, ValueError: An argument is wrong.
        RxStreamError: 100,000 items came at one moment, or code ran on for 10 real seconds: virtual time stands while
            code runs, so a source without end needs a pace, or a buffer that makes it wait.

    May be called in a notebook: it runs in a thread of its own. What is not on the event loop or a worker of ours
    stays real: `time.sleep`, sockets, other threads. At the end the subscription is disposed; no thread is left.

    Example:
        >>> simulate(reactivex.interval(0.1), consumer_delay=0.3, buffer=BufferConfig(4, "sliding"), duration=3)
    """
    config = resolve_buffer(buffer, "export")
    delay = delay_of(consumer_delay)
    check_duration(duration)
    if duration is None:
        raise TypeError("a simulation needs a duration")
    if not (isinstance(pipeline, Observable) or callable(pipeline)):
        raise TypeError(f"simulate takes an Observable or a function that makes one, not {type(pipeline).__name__}")
    into = opened(trace)
    failures: list[RxStreamError] = []

    async def main() -> None:
        observable = pipeline if isinstance(pipeline, Observable) else pipeline()
        if not isinstance(observable, Observable):
            raise TypeError(f"the function given to simulate made no Observable: {observable!r}")
        await run(into, observable.pipe(partial(_guarded, failures)), config, delay, duration)

    virtual.run(main)
    if failures:
        raise failures[0]
    return into


def _guarded(failures: list[RxStreamError], source: Observable[T]) -> Observable[T]:
    """The source, which fails when too many items come at one moment of its clock."""

    def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        crowd = _Crowd(failures, clock_of(scheduler))

        def on_next(item: T) -> None:
            crowd.join()
            observer.on_next(item)

        return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

    return as_source(source, subscribe)


class _Crowd:
    """Counts the items of one moment."""

    def __init__(self, failures: list[RxStreamError], clock: Clock) -> None:
        self._failures = failures
        self._clock = clock
        self._moment = -1.0
        self._size = 0

    def join(self) -> None:
        """One item more.

        Raises:
            RxStreamError: It is one too many.
        """
        if (now := self._clock()) != self._moment:
            self._moment, self._size = now, 0
        self._size += 1
        if self._size > CROWD:
            failure = RxStreamError(
                f"{CROWD} items came at {now:g} s of virtual time, which stands while code runs: a source without "
                "end needs a pace (interval, or zip with one), or a buffer that makes it wait (suspend)"
            )
            self._failures.append(failure)
            raise failure

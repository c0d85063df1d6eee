"""Running a pipeline into a consumer as slow as is asked for, and recording what happens."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from reactivex import Observable

from rxstream.async_boundary import AsyncBoundary
from rxstream.buffer_config import BufferConfig, BufferLike, resolve_buffer
from rxstream.explore.probes import LAST, BufferProbe, boundary_probe, current_trace
from rxstream.explore.trace import Place, Trace
from rxstream.sinks import AsyncStream

__all__ = ["Delay", "check_duration", "delay_of", "opened", "record", "run"]

T = TypeVar("T")

Delay: TypeAlias = float | Callable[[Any], float]
"""Seconds that the consumer spends on each item, or a function of the item that says how many."""

CONSUMER: Final = "consumer"


async def record(
    observable: Observable[T],
    *,
    consumer_delay: float | Callable[[T], float] = 0.0,
    duration: float | None = None,
    buffer: BufferLike | None = None,
    trace: Trace | None = None,
) -> Trace:
    """Consumes a pipeline, in real time, and records what passes its probes, its buffer and the consumer.

        source      --1--2--3--4--|
        consumer    --1-----2-----3-----4--|      (each takes it consumer_delay)

    Args:
        observable: Any pipeline; fit it with `probe("name")` wherever you want a line. Without one, there is a line
            for what comes out of it.
        consumer_delay: Seconds that the consumer spends on each item, or a function of the item that says how many.
        duration: Seconds after which it stops; None: when the stream ends.
        buffer: The boundary's: a preset's name, a `BufferConfig`, or a mapping that overrides parts of the `export`
            preset.
        trace: Where to record; None: in a new `Trace()`. One of your own keeps what was recorded when you interrupt.

    Returns:
        The trace. A stream that fails is an event in it, not an exception.

    Raises:
        TypeError, ValueError: An argument is wrong.

    On cancel, and when the duration is over, the subscription is disposed and what is left in the buffer discarded.
    `simulate` does the same without waiting.

    Example:
        >>> trace = await record(reactivex.interval(0.1).pipe(probe("ticks")), consumer_delay=0.3, duration=3)
    """
    config = resolve_buffer(buffer, "export")
    delay = delay_of(consumer_delay)
    check_duration(duration)
    if not isinstance(observable, Observable):
        raise TypeError(f"record takes an Observable, not {type(observable).__name__}")
    return await run(opened(trace), observable, config, delay, duration)


async def run(
    trace: Trace, observable: Observable[Any], config: BufferConfig, delay: Callable[[Any], float], limit: float | None
) -> Trace:
    """Consumes until the end or the limit, and closes the trace before anything is disposed of."""
    loop = asyncio.get_running_loop()
    trace.begin(loop.time())
    trace.add_place(Place(CONSUMER, LAST))
    consuming = asyncio.ensure_future(_consume(trace, observable, config, delay))
    try:
        await asyncio.wait([consuming], timeout=limit)
    finally:
        trace.close(loop.time())
        consuming.cancel()
        await asyncio.wait([consuming])
    if not consuming.cancelled():
        consuming.result()  # raises what is no failure of the stream
    return trace


async def _consume(
    trace: Trace, observable: Observable[Any], config: BufferConfig, delay: Callable[[Any], float]
) -> None:
    current_trace.set(trace)  # in this task, and in all that the stream starts
    boundary = AsyncBoundary(observable.pipe(boundary_probe(trace)), config)
    async with AsyncStream(boundary) as items:
        await _take(trace, boundary, items, delay)
        trace.close(asyncio.get_running_loop().time())


async def _take(
    trace: Trace, boundary: AsyncBoundary[Any], items: AsyncStream[Any], delay: Callable[[Any], float]
) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time
    iterator = aiter(items)

    def sample() -> None:
        for observer in boundary.buffer.observers:
            if isinstance(observer, BufferProbe):
                observer.sample()

    while True:
        loop.call_soon(sample)  # if it waits for the next item: then the places of those that it had are free
        try:
            item = await anext(iterator)
        except StopAsyncIteration:
            trace.add(now(), CONSUMER, "end")
            return
        except Exception as error:  # the stream's failure: it is part of the picture
            trace.add(now(), CONSUMER, "error", f"{type(error).__name__}: {error}")
            return
        trace.add(now(), CONSUMER, "next", trace.text(item))
        sample()
        if (seconds := delay(item)) > 0:
            await asyncio.sleep(seconds)


def opened(trace: Trace | None) -> Trace:
    """A trace to record into.

    Raises:
        TypeError: It is none.
        ValueError: Something has been recorded into it, and it is closed.
    """
    if trace is None:
        return Trace()
    if not isinstance(trace, Trace):
        raise TypeError(f"trace must be a Trace, not {trace!r}")
    if trace.closed:
        raise ValueError("this trace is closed: it has been recorded into; take a new Trace()")
    return trace


def delay_of(delay: Delay) -> Callable[[Any], float]:
    """The delay as a function of the item.

    Raises:
        TypeError: It is neither a number nor callable.
        ValueError: It is negative, or no number of seconds.
    """
    if callable(delay):
        return delay
    if not isinstance(delay, int | float) or isinstance(delay, bool):
        raise TypeError(f"consumer_delay is a number of seconds or a function of the item, not {delay!r}")
    if not (math.isfinite(delay) and delay >= 0):
        raise ValueError(f"consumer_delay must be 0 or more seconds, not {delay}")
    return lambda item: delay


def check_duration(duration: float | None) -> None:
    """Refuses what is no duration.

    Raises:
        TypeError: It is no number.
        ValueError: It is not above 0, or endless.
    """
    if duration is None:
        return
    if not isinstance(duration, int | float) or isinstance(duration, bool):
        raise TypeError(f"duration is a number of seconds, not {duration!r}")
    if not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"duration must be a number of seconds above 0, not {duration}")

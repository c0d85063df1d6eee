"""Probes: operators that let everything pass, and tell a trace of it and of the buffer below them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from itertools import count
from typing import Any, Final, TypeVar

from reactivex import Observable, abc
from reactivex.scheduler import VirtualTimeScheduler

from rxstream.boundary import Source
from rxstream.buffer import Buffer
from rxstream.demand import DemandScheduler
from rxstream.explore.trace import Kind, Place, Trace

__all__ = ["BufferProbe", "Clock", "as_source", "boundary_probe", "clock_of", "current_trace", "probe"]

T = TypeVar("T")
Clock = Callable[[], float]

current_trace: ContextVar[Trace | None] = ContextVar("rxstream_trace", default=None)
"""Where the probes of a pipeline record that `record` or `simulate` runs."""

_order: Final = count()
"""Probes are made in the order in which a pipeline is written."""

LAST: Final = 1 << 62
"""The consumer's place in that order."""


def probe(name: str, *, trace: Trace | None = None) -> Callable[[Observable[T]], Observable[T]]:
    """Records what passes this point of a pipeline, and lets it pass.

        source       --1--2--3--|
        probe("a")   --1--2--3--|      (and the trace has "a": next 1, next 2, next 3, end)

    Args:
        name: What the point is called in the trace; probes of one name share a line.
        trace: Where to record. None: in the trace of the `record` or `simulate` that runs the pipeline, else nowhere.

    Raises:
        TypeError: `name` is no `str`, or `trace` no `Trace`.
        ValueError: `name` is empty.

    It finds the buffer of the boundary below through the subscription, and records what that drops and discards, when
    it makes its sources wait, and how full it is. Nothing is dropped by it, nothing waits for it, and a dispose passes
    through. Without a trace it costs one call a subscription. Follows ReactiveX `do`.

    Example:
        >>> squares = reactivex.range(5).pipe(probe("numbers"), operators.map(lambda n: n * n), probe("squares"))
        >>> simulate(squares, consumer_delay=0.1)
    """
    if not isinstance(name, str):
        raise TypeError(f"a probe's name is a str, not {name!r}")
    if not name:
        raise ValueError("a probe needs a name")
    if trace is not None and not isinstance(trace, Trace):
        raise TypeError(f"trace must be a Trace, not {trace!r}")
    order = next(_order)

    def operator(source: Observable[T]) -> Observable[T]:
        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            into = current_trace.get() if trace is None else trace
            if into is None:
                return source.subscribe(observer, scheduler=scheduler)
            seen = _Probe(into, name, order, observer, scheduler)
            return source.subscribe(seen.on_next, seen.on_error, seen.on_completed, scheduler=scheduler)

        return as_source(source, subscribe)

    return operator


def boundary_probe(trace: Trace) -> Callable[[Observable[T]], Observable[T]]:
    """A probe in front of the boundary that `record` and `simulate` end in; silent where the pipeline has its own."""

    def operator(source: Observable[T]) -> Observable[T]:
        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            seen: abc.ObserverBase[T] | _Probe | None = None

            def first() -> abc.ObserverBase[T] | _Probe:
                # Only now: the probes of the pipeline have been subscribed to by the first signal.
                nonlocal seen
                if seen is None:
                    name = "output" if any(place.order != LAST for place in trace.places) else "source"
                    own = isinstance(scheduler, DemandScheduler) and not BufferProbe.has(trace, scheduler.buffer)
                    seen = _Probe(trace, name, next(_order), observer, scheduler) if own else observer
                return seen

            return source.subscribe(
                lambda item: first().on_next(item),
                lambda error: first().on_error(error),
                lambda: first().on_completed(),
                scheduler=scheduler,
            )

        return as_source(source, subscribe)

    return operator


def as_source(source: Observable[T], subscribe: Callable[..., abc.DisposableBase]) -> Observable[T]:
    """What passes a source on as it is: what is asked of a `Source` holds for it, too, so that it needs no thread."""
    return Source(subscribe) if isinstance(source, Source) else Observable(subscribe)


def clock_of(scheduler: abc.SchedulerBase | None) -> Clock:
    """The monotonic clock that a subscription's timers follow, in seconds."""
    if isinstance(scheduler, DemandScheduler) and scheduler.loop is not None:
        return scheduler.loop.time
    if isinstance(scheduler, DemandScheduler | VirtualTimeScheduler):
        return lambda: scheduler.now.timestamp()
    return time.monotonic


class BufferProbe:
    """Tells a trace of one buffer, under the name of the probe in front of it."""

    def __init__(self, trace: Trace, buffer: Buffer[Any], place: str, clock: Clock) -> None:
        self.trace = trace
        self.place = place
        self.number = trace.new_buffer()
        self.begun = False  # whether something has passed above of it
        self._last = 0
        self._buffer = buffer
        self._clock = clock

    @classmethod
    def of(cls, trace: Trace, buffer: Buffer[Any], place: str, clock: Clock) -> BufferProbe:
        """The one of this trace and buffer; attached now, if there was none."""
        for observer in buffer.observers:
            if isinstance(observer, cls) and observer.trace is trace:
                return observer
        self = cls(trace, buffer, place, clock)
        buffer.attach(self)
        return self

    @property
    def filled(self) -> int:
        """Places of the buffer that are filled."""
        return self._buffer.filled

    def sample(self) -> None:
        """Records how full the buffer is, if it is not what it was; of two threads at once one may be late."""
        filled = self._buffer.filled
        if filled != self._last:
            self._last = filled
            self.trace.add(self._clock(), self.place, "buffer", None, filled)

    @classmethod
    def has(cls, trace: Trace, buffer: Buffer[Any]) -> bool:
        """Whether the trace is told of the buffer."""
        return any(isinstance(observer, cls) and observer.trace is trace for observer in buffer.observers)

    def suspended(self) -> None:
        """A producer waits for room."""
        self._add("suspend")

    def resumed(self) -> None:
        """None does any more."""
        self._add("resume")

    def dropped(self, item: Any) -> None:
        """The strategy sacrificed an item."""
        self._add("drop", item)

    def discarded(self, item: Any) -> None:
        """An item came, or was there, when the stream was over."""
        self._add("discard", item)

    def taken(self, count: int) -> None:
        """The consumer took items."""
        self.sample()

    def _add(self, kind: Kind, *items: Any) -> None:
        text = self.trace.text(items[0]) if items else None
        self.trace.add(self._clock(), self.place, kind, text, self._buffer.filled)


class _Probe:
    """One subscription at one probe."""

    def __init__(
        self,
        trace: Trace,
        name: str,
        order: int,
        observer: abc.ObserverBase[Any],
        scheduler: abc.SchedulerBase | None,
    ) -> None:
        self._trace = trace
        self._name = name
        self._observer = observer
        self._clock = clock_of(scheduler)
        trace.begin(self._clock())
        self._below: BufferProbe | None = None
        place = Place(name, order)
        if isinstance(scheduler, DemandScheduler):
            self._below = BufferProbe.of(trace, scheduler.buffer, name, self._clock)
            place = self._above(scheduler.buffer, self._below, order)
        trace.add_place(place)

    def _above(self, buffer: Buffer[Any], below: BufferProbe, order: float) -> Place:
        """This place, above a buffer; the last one above it, in the order of the pipeline, is in front of it."""
        place = Place(self._name, order, buffer.config.capacity, buffer.config.strategy, below.number)
        front = self._trace.place(below.place)
        if front is None or front.buffer != below.number or front.name == self._name:
            below.place = self._name
            return replace(place, last=True)
        if below.begun and order > front.order:
            # Made and subscribed to while items flow, inside of a `flat_map`: it is above of what was there before.
            known = self._trace.place(self._name)
            return replace(place, order=front.order - 0.5 if known is None else known.order)
        if order < front.order:
            return place
        self._trace.add_place(replace(front, last=False))
        below.place = self._name
        return replace(place, last=True)

    def on_next(self, item: Any) -> None:
        """Records the item, then lets it pass."""
        self._add("next", self._trace.text(item))
        self._observer.on_next(item)
        if self._below is not None:
            self._below.sample()

    def on_error(self, error: Exception) -> None:
        """Records the error, then lets it pass."""
        self._add("error", f"{type(error).__name__}: {error}")
        self._observer.on_error(error)

    def on_completed(self) -> None:
        """Records the end, then lets it pass."""
        self._add("end")
        self._observer.on_completed()

    def _add(self, kind: Kind, text: str | None = None) -> None:
        filled = None
        if self._below is not None:
            self._below.begun = True
            filled = self._below.filled
        self._trace.add(self._clock(), self._name, kind, text, filled)

"""One subscription whose items are counted on their way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Generic, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from rxstream.place import Place
from rxstream.progress.events import ProgressEvents
from rxstream.progress.outlets import Bar, Call, Log, Outlet, Thread
from rxstream.progress.report import Outcome, Progress, Unit

__all__ = ["CountedStream", "ProgressOptions"]

T = TypeVar("T")
logger = logging.getLogger("rxstream.progress")

BYTES: Final[frozenset[type[Any]]] = frozenset((bytes, bytearray, memoryview))
"""Looked up by the exact type: `isinstance` is several times as slow, and this is done for each item."""

DRAW: Final = 0.1
"""Seconds from one drawing of a bar to the next, unless `every` says more."""


@dataclass(frozen=True, slots=True)
class ProgressOptions:
    """What `with_progress` was told."""

    name: str
    total: int | None
    unit: Unit
    log_interval: int | None
    every: float | None
    on_progress: Callable[[Progress], object] | None
    bar: bool


class CountedStream(Generic[T]):
    """Passes a source on to one observer, and reports; what goes wrong with a report is logged, and stays out of it."""

    __slots__ = (
        "_began",
        "_bytes",
        "_due",
        "_elements",
        "_every",
        "_last",
        "_next",
        "_now",
        "_open",
        "_options",
        "_outlets",
        "_upstream",
    )

    def __init__(
        self, observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None, options: ProgressOptions
    ) -> None:
        place = Place(scheduler)
        self._next: Callable[[T], object] = observer.on_next
        self._options = options
        self._upstream = SingleAssignmentDisposable()
        self._open: list[abc.ObserverBase[T]] = [observer]  # whoever takes it makes the last report
        self._elements = self._bytes = 0
        self._now = place.now
        self._began = self._last = place.now()
        self._every = max(DRAW, options.every or 0.0) if options.bar else options.every
        self._due: float = 1 if self._every else options.log_interval or inf  # the count at which to look at it
        self._outlets = self._open_outlets(on_the_spot=place.simulated)

    def start(self, source: Observable[T], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase:
        """Subscribes."""
        try:
            self._upstream.disposable = source.subscribe(
                self.on_next, self.on_error, self.on_completed, scheduler=scheduler
            )
        except Exception as error:
            if not self._open:
                raise
            self.on_error(error)
        return Disposable(self.dispose)

    # -- signals

    def on_next(self, item: T) -> None:
        """Counts an item."""
        self._elements = elements = self._elements + 1
        if item.__class__ in BYTES:
            self._bytes += _size(item)
        if elements >= self._due:
            self._look()
        self._next(item)

    def on_error(self, error: Exception) -> None:
        """Makes the last report."""
        if (observer := self._finish("error")) is not None:
            observer.on_error(error)

    def on_completed(self) -> None:
        """Makes the last report."""
        if (observer := self._finish("completed")) is not None:
            observer.on_completed()

    def dispose(self) -> None:
        """The consumer leaves: makes the last report, if the stream has made none. Any thread, any number of times."""
        self._finish("cancelled")
        self._upstream.dispose()

    # -- reports

    def _look(self) -> None:
        if self._every is not None:
            now = self._now()
            if now - self._last < self._every:
                return
            self._last = now
        elif self._options.log_interval is not None:
            self._due = self._elements + self._options.log_interval
        self._report("running")

    def _finish(self, outcome: Outcome) -> abc.ObserverBase[T] | None:
        """Makes the last report, once; the observer, for whom that was."""
        try:
            observer = self._open.pop()
        except IndexError:
            return None
        self._report(outcome)
        self._outlets = []
        return observer

    def _report(self, outcome: Outcome) -> None:
        progress = self._progress(outcome)
        for outlet in self._outlets:
            try:
                outlet.report(progress, wait=outcome in ("completed", "error"))
            except Exception:  # a terminal that is gone, a logging handler, code of the user's
                logger.exception("the progress of a stream could not be reported")

    def _progress(self, outcome: Outcome) -> Progress:
        options = self._options
        passed = self._bytes if options.unit == "bytes" else self._elements
        elapsed = max(0.0, self._now() - self._began)
        rate = passed / elapsed if elapsed else 0.0
        eta = None
        if outcome == "completed":
            eta = 0.0
        elif outcome == "running" and rate and options.total is not None and passed <= options.total:
            eta = (options.total - passed) / rate
        return Progress(
            options.name, self._elements, self._bytes, options.total, elapsed, rate, eta, outcome != "running", outcome,
            options.unit,
        )  # fmt: skip

    def _open_outlets(self, *, on_the_spot: bool) -> list[Outlet]:
        options = self._options
        outlets: list[Outlet] = []
        if options.on_progress is not None:
            quick = on_the_spot or isinstance(options.on_progress, ProgressEvents)
            outlets.append(Call(options.on_progress) if quick else Thread(options.on_progress))
        if options.bar:
            try:
                outlets.append(Bar(options.name, options.total, options.unit))
            except Exception:  # a terminal that is gone: the stream does without
                logger.exception("a bar could not be drawn")
        outlets.append(Log(last_only=options.bar or options.log_interval is None))
        return outlets


def _size(item: Any) -> int:
    size: int = item.nbytes if isinstance(item, memoryview) else len(item)
    return size
